"""p ← p + a g by the BLAS that NumPy itself multiplies with (SGD is such a step).

Its threads are awake after the backward pass, and each has the half of the gradient that it computed in its own cache.
Where its functions are not found (another BLAS, another build), callers fall back to NumPy's arithmetic.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache

import numpy as np

THREADED = 10_000  # elements: from here on OpenBLAS uses all its threads


def axpy(a: float, g: np.ndarray, p: np.ndarray) -> bool:
    """p ← p + a g in place, for packed float32 or float64 arrays of one shape. False, with p unchanged, if it cannot.

    It cannot for a = 0: BLAS would return at once, and a gradient that is not finite would not show in p.
    """
    add = functions().get(p.dtype.char)
    if add is None or a == 0.0 or p.dtype != g.dtype or p.shape != g.shape:
        return False
    if not (p.flags.c_contiguous and g.flags.c_contiguous and p.flags.writeable and p.dtype.isnative):
        return False
    add(p.size, a, g.ctypes.data, 1, p.ctypes.data, 1)
    return True


@cache
def functions() -> dict[str, Callable[..., None]]:
    """saxpy and daxpy of NumPy's OpenBLAS, by the character of the dtype ("f", "d"); empty where they are not found."""
    from threadpoolctl import threadpool_info

    libraries = [pool["filepath"] for pool in threadpool_info() if pool["internal_api"] == "openblas"]
    numpys = [path for path in libraries if "numpy" in path] or (libraries if len(libraries) == 1 else [])
    for path in numpys:
        library = ctypes.CDLL(path)
        builds = ("scipy_", "64_", ctypes.c_int64), ("", "64_", ctypes.c_int64), ("", "", ctypes.c_int)
        for prefix, suffix, integer in builds:
            names = {"f": f"{prefix}cblas_saxpy{suffix}", "d": f"{prefix}cblas_daxpy{suffix}"}
            if all(hasattr(library, name) for name in names.values()):
                axpys = {letter: getattr(library, name) for letter, name in names.items()}
                for letter, real in (("f", ctypes.c_float), ("d", ctypes.c_double)):
                    axpys[letter].restype = None
                    axpys[letter].argtypes = [integer, real, ctypes.c_void_p, integer, ctypes.c_void_p, integer]
                return axpys
    return {}
