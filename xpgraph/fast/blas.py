"""p ← p + a g by the BLAS that NumPy itself multiplies with: its threads are awake, and each has the half of the
gradient that it has just computed in its own cache.

Where its functions are not found (another BLAS, another build), NumPy's own arithmetic does it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache

import numpy as np

SHARED = 10_000  # elements from which on OpenBLAS takes all its threads


def axpy(a: float, g: np.ndarray, p: np.ndarray) -> bool:
    """p ← p + a g in place, for packed arrays of one size and of float32 or float64; False, and nothing done, if not.

    Not for a = 0 either, at which BLAS would return without looking whether g is finite.
    """
    add = _functions().get(p.dtype.char)
    if add is None or a == 0.0 or p.dtype != g.dtype or p.shape != g.shape:
        return False
    if not (p.flags.c_contiguous and g.flags.c_contiguous and p.flags.writeable and p.dtype.isnative):
        return False
    add(p.size, a, g.ctypes.data, 1, p.ctypes.data, 1)
    return True


@cache
def _functions() -> dict[str, Callable[..., None]]:
    """saxpy and daxpy of NumPy's OpenBLAS, by the letter of the dtype; empty where there are none."""
    from threadpoolctl import threadpool_info

    pools = [pool for pool in threadpool_info() if pool["internal_api"] == "openblas"]
    own = [pool for pool in pools if "numpy" in pool["filepath"]] or (pools if len(pools) == 1 else [])
    for pool in own:
        library = ctypes.CDLL(pool["filepath"])
        for prefix, suffix, whole in (
            ("scipy_", "64_", ctypes.c_int64),
            ("", "64_", ctypes.c_int64),
            ("", "", ctypes.c_int),
        ):
            names = {"f": f"{prefix}cblas_saxpy{suffix}", "d": f"{prefix}cblas_daxpy{suffix}"}
            if all(hasattr(library, name) for name in names.values()):
                found = {letter: getattr(library, name) for letter, name in names.items()}
                for letter, real in (("f", ctypes.c_float), ("d", ctypes.c_double)):
                    found[letter].restype = None
                    found[letter].argtypes = [whole, real, ctypes.c_void_p, whole, ctypes.c_void_p, whole]
                return found
    return {}
