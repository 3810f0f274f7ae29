"""Long arrays in blocks that stay in the second-level cache, on as many threads as pay.

Threads help because NumPy and the compiled loops release the GIL. They change no bit of a result: every element is
computed by itself, whichever thread does its block.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np

BLOCK = 1 << 16  # elements: one block of every array of an update fits into a second-level cache of a megabyte
THREADED = 1 << 18  # elements: from here on a second thread gains more than waking it costs
MAX_THREADS = 8  # more would wait for the memory


@cache
def threads() -> int:
    """How many threads to use: the cores of this process, or fewer where BLAS or OpenMP is limited to fewer."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limits = [os.environ.get(name, "") for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")]
    return max(1, min(cores, MAX_THREADS, *(int(limit) for limit in limits if limit.isdecimal())))


@cache
def pool() -> ThreadPoolExecutor:
    """The threads beside the caller's own."""
    return ThreadPoolExecutor(max(1, threads() - 1), thread_name_prefix="xpgraph")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=pool.cache_clear)  # a forked child has none of its parent's threads


def each_block(work: Callable[..., None], *arrays: np.ndarray) -> None:
    """Call ``work`` on matching blocks of packed arrays of one size; the blocks are flat."""
    if arrays[0].size <= BLOCK:
        work(*arrays)
    else:
        on_threads(cut(*([a] for a in arrays)), lambda block: work(*block), arrays[0].size)


def on_threads(blocks: Sequence, work: Callable, size: int) -> None:
    """Call ``work`` on each block, ``size`` elements in all; neighbouring blocks stay on one thread."""
    count = min(threads(), len(blocks)) if size >= THREADED else 1

    def share(which: int) -> None:
        for block in blocks[which * len(blocks) // count : (which + 1) * len(blocks) // count]:
            work(block)

    others = [pool().submit(share, which) for which in range(1, count)]
    share(0)
    for other in others:
        other.result()


def update_blocks(update: Callable[..., None], clip: np.ndarray | None, *lists: list[np.ndarray]) -> None:
    """Call ``update(p, g, *state)`` on matching blocks of parallel lists, with gradients scaled by ``clip``."""

    def work(block: Sequence[np.ndarray]) -> None:
        p, g, *state = block
        update(p, g if clip is None else g * clip.astype(g.dtype), *state)

    total = sum(p.size for p in lists[0])
    if total <= BLOCK:
        for arrays in zip(*lists, strict=True):
            work(arrays)
    else:
        on_threads(cut(*lists), work, total)


def cut(*lists: list[np.ndarray], block: int = 0) -> list[Sequence[np.ndarray]]:
    """Parallel lists cut into blocks of ``block`` elements (BLOCK by default).

    Each block holds the matching part of one array from every list: flat views of long packed arrays, other arrays
    whole.
    """
    blocks: list[Sequence[np.ndarray]] = []
    length = block or BLOCK
    for arrays in zip(*lists, strict=True):
        size = arrays[0].size
        if size <= length or not all(a.flags.c_contiguous for a in arrays):
            blocks.append(arrays)
        else:
            flat = [a.reshape(-1) for a in arrays]
            blocks += [[a[i : i + length] for a in flat] for i in range(0, size, length)]
    return blocks
