"""Long arrays in blocks that stay in the second-level cache, on as many threads as pay; NumPy lets go of the GIL.

Which thread does a block changes no bit: every element is computed by itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np

BLOCK = 1 << 16  # elements: the arrays of an update, a block each, fit into a second-level cache of a megabyte
THREADED = 1 << 18  # elements from which on a second thread gains more than it takes to wake
MOST = 8  # threads: memory gives no more


@cache
def threads() -> int:
    """How many threads there are: the cores of this process, or fewer if those of BLAS or OpenMP are limited."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limits = [os.environ.get(name, "") for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")]
    return max(1, min(cores, MOST, *(int(limit) for limit in limits if limit.isdecimal())))


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, threads() - 1), thread_name_prefix="xpgraph")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a child has none of its parent's threads


def spread_over(work: Callable[..., None], *arrays: np.ndarray) -> None:
    """``work`` on matching blocks of packed arrays of one size."""
    size = arrays[0].size
    if size <= BLOCK:
        work(*arrays)
        return
    flat = [a.reshape(-1) for a in arrays]
    together([[a[i : i + BLOCK] for a in flat] for i in range(0, size, BLOCK)], lambda piece: work(*piece), size)


def together(pieces: Sequence, work: Callable, size: int) -> None:
    """``work`` on each piece, ``size`` elements in all; neighbours stay on one thread."""
    count = min(threads(), len(pieces)) if size >= THREADED else 1

    def some(which: int) -> None:
        for piece in pieces[which * len(pieces) // count : (which + 1) * len(pieces) // count]:
            work(piece)

    others = [_pool().submit(some, which) for which in range(1, count)]
    some(0)
    for other in others:
        other.result()


def in_blocks(update: Callable[..., None], clip: np.ndarray | None, *lists: list[np.ndarray]) -> None:
    """``update(p, g, *state)`` on matching pieces of parallel lists, flat where they can be, the gradients clipped."""

    def work(piece: Sequence[np.ndarray]) -> None:
        p, g, *state = piece
        update(p, g if clip is None else g * clip.astype(g.dtype), *state)

    total = sum(p.size for p in lists[0])
    if total <= BLOCK:
        for arrays in zip(*lists, strict=True):
            work(arrays)
    else:
        together(pieces(*lists), work, total)


def pieces(*lists: list[np.ndarray], block: int = 0) -> list[Sequence[np.ndarray]]:
    """Parallel lists cut into blocks, each from matching places of one array of every list; flat views if long."""
    found: list[Sequence[np.ndarray]] = []
    block = block or BLOCK
    for arrays in zip(*lists, strict=True):
        size = arrays[0].size
        if size <= block or not all(a.flags.c_contiguous for a in arrays):
            found.append(arrays)
        else:
            flat = [a.reshape(-1) for a in arrays]
            found += [[a[i : i + block] for a in flat] for i in range(0, size, block)]
    return found
