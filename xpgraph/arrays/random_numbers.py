"""Portable random numbers: made on the host, so every backend starts from the same bits.

NumPy's Philox is a counter-based generator (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): it
encrypts 0, 1, 2, ... with a key. Here the key is (seed, purpose, index), such as (0, "order", 3) for the order of the
rows in epoch 3. Each call starts its own stream, so no call changes the numbers of another.
"""

from __future__ import annotations

import numpy as np

_PURPOSES = {"init": 1, "order": 2, "split": 3, "data": 4}


def _philox(seed: int, purpose: str, index: int) -> np.random.Philox:
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**64:
        raise ValueError(f"Drawing random numbers: the seed is {seed!r}; give a whole number from 0 to 2**64 - 1.")
    return np.random.Philox(key=np.array([seed, (_PURPOSES[purpose] << 48) + index], dtype=np.uint64))


def permutation(n: int, seed: int, purpose: str, index: int = 0) -> np.ndarray:
    """0..n-1 in random order, (n,) int64: the argsort of n raw 64-bit words, so no NumPy release can change it."""
    words = _philox(seed, purpose, index).random_raw(n)
    # NumPy sorts 16-bit integers by radix: two such sorts, of bits 32-47 and 48-63, cost half of one sort of 64 bits.
    low, high = ((words >> np.uint64(shift)).astype(np.uint16) for shift in (32, 48))
    order = np.argsort(low, kind="stable")
    order = order[np.argsort(high[order], kind="stable")]
    ascending = words[order]
    if not (ascending[1:] > ascending[:-1]).all():  # two words have the same upper half
        order = np.argsort(words, kind="stable")
    return order.astype(np.int64, copy=False)


def uniform(shape: tuple[int, ...], seed: int, purpose: str, index: int = 0) -> np.ndarray:
    """Uniform numbers in [0, 1), float64."""
    return np.random.Generator(_philox(seed, purpose, index)).random(shape)


def normal(shape: tuple[int, ...], seed: int, purpose: str, index: int = 0) -> np.ndarray:
    """Standard normal numbers, float64."""
    return np.random.Generator(_philox(seed, purpose, index)).standard_normal(shape)
