"""Memory for results, used again when nobody holds it any more: fresh pages cost more than the arithmetic on them.

An array is free when this file alone refers to it; whoever has it, or a view of it, owns it as any other.
"""

from __future__ import annotations

import math
import sys
import threading

import numpy as np

LEAST, MOST = 1 << 15, 1 << 26  # bytes of an array that is kept: less costs nothing, more is seldom asked for again
KEPT = 1 << 28  # bytes of all that are kept, for each thread


class _Shelves(threading.local):
    def __init__(self) -> None:
        self.arrays: dict[tuple[tuple[int, ...], np.dtype], list[np.ndarray]] = {}
        self.size = 0


_shelves = _Shelves()


def _free(shelf: list[np.ndarray]) -> np.ndarray | None:
    """An array that nobody else refers to."""
    for a in shelf:
        if sys.getrefcount(a) <= _UNHELD:
            return a
    return None


def _unheld() -> int:
    """What getrefcount says, in the loop of ``_free``, of an array that only a list refers to; Pythons differ."""
    for a in [np.empty(0)]:
        return sys.getrefcount(a)
    return 0


_UNHELD = _unheld() if getattr(sys, "_is_gil_enabled", lambda: True)() else -1  # without the GIL, none is ever free


def fresh(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """A new array in C order with any contents, for the caller to own."""
    size = math.prod(shape) * dtype.itemsize
    if not LEAST <= size <= MOST:
        return np.empty(shape, dtype)
    shelf = _shelves.arrays.get((shape, dtype))
    if shelf is None:
        shelf = _shelves.arrays[shape, dtype] = []
    a = _free(shelf)
    if a is not None and a.shape == shape and a.dtype == dtype and a.flags.c_contiguous:
        a.flags.writeable = True
        return a
    a = np.empty(shape, dtype)
    if _shelves.size + size > KEPT:
        clear()
        shelf = _shelves.arrays.setdefault((shape, dtype), [])
    shelf.append(a)
    _shelves.size += size
    return a


def clear() -> None:
    """Let go of all that is kept by this thread."""
    _shelves.arrays.clear()
    _shelves.size = 0
