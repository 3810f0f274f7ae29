"""Turn a Python loop over arrays into machine code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

if getattr(numba.config, "DISABLE_JIT", 0):
    raise ImportError("NUMBA_DISABLE_JIT is set: the loops would run as Python")

F32, F64 = np.dtype(np.float32), np.dtype(np.float64)
FLOATS = (F32, F64)


def compiled(function: Callable[..., Any]) -> Any:
    """The loop as machine code, compiled at its first call for each combination of dtypes.

    numba keeps the code beside the source file or in the user's cache folder, so only the first run waits for the
    compiler. Where neither folder can be written to, every process compiles again.
    """

    def compile_with(cache: bool) -> Any:
        compiler = numba.njit(nogil=True, error_model="numpy", fastmath={"contract", "nsz"}, cache=cache)
        return compiler(function)

    try:
        return compile_with(cache=True)
    except RuntimeError:  # no folder that can be written to
        return compile_with(cache=False)
