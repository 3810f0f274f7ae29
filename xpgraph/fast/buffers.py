"""Memory for results, reused once nobody refers to it: fresh pages cost more than the arithmetic on them.

An array that ``fresh`` returned belongs to its caller like any other. It is reused only when the references to it, and
to views of it, are gone: then this module holds the only one left.
"""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Sequence

import numpy as np

SMALLEST, LARGEST = 1 << 15, 1 << 26  # bytes of an array worth keeping: small ones are cheap, huge ones seldom recur
LIMIT = 1 << 28  # bytes kept in all, for each thread


class Pool(threading.local):
    """The arrays kept by this thread, by shape and dtype."""

    def __init__(self) -> None:
        self.arrays: dict[tuple[tuple[int, ...], np.dtype], list[np.ndarray]] = {}
        self.size = 0  # bytes


pool = Pool()


def _unused(kept: Sequence[np.ndarray]) -> np.ndarray | None:
    """An array that nobody else refers to."""
    for a in kept:
        if sys.getrefcount(a) <= UNUSED_COUNT:
            return a
    return None


def _unused_count() -> int:
    """What getrefcount says, in a loop like that of ``_unused``, of an array that only a list holds; Pythons differ."""
    for a in [np.empty(0)]:
        return sys.getrefcount(a)
    return 0


# Without the GIL the counts are not exact, so no array ever counts as unused there.
UNUSED_COUNT = _unused_count() if getattr(sys, "_is_gil_enabled", lambda: True)() else -1


def fresh(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array in C order with any contents, like np.empty."""
    size = math.prod(shape) * dtype.itemsize
    if not SMALLEST <= size <= LARGEST:
        return np.empty(shape, dtype)
    a = _unused(pool.arrays.get((shape, dtype), ()))
    if a is not None and a.shape == shape and a.dtype == dtype and a.flags.c_contiguous:  # else its owner changed it
        a.flags.writeable = True
        return a
    a = np.empty(shape, dtype)
    if pool.size + size > LIMIT:
        clear()
    pool.arrays.setdefault((shape, dtype), []).append(a)
    pool.size += size
    return a


def fresh_product(a: np.ndarray, b: np.ndarray) -> np.ndarray | None:
    """Memory for a @ b; None, so that np.matmul makes its own, unless both are matrices of one dtype."""
    return fresh((a.shape[0], b.shape[1]), a.dtype) if a.dtype == b.dtype and a.ndim == b.ndim == 2 else None


def clear() -> None:
    """Forget all arrays that this thread keeps."""
    pool.arrays.clear()
    pool.size = 0
