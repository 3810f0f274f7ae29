"""Floor 0: random draws, made on the host from counters, so that every backend starts from the same bits.

A draw is keyed by (seed, purpose, index) and by nothing else: NumPy's Philox, a counter-based generator
(Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011). No draw changes another.
"""

from __future__ import annotations

import numpy as np

_PURPOSES = {"init": 1, "order": 2, "split": 3, "data": 4}


def _bits(seed: int, purpose: str, index: int) -> np.random.Philox:
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**64:
        raise ValueError(f"draws: the seed is {seed!r}; give a whole number from 0 to 2**64 - 1.")
    return np.random.Philox(key=np.array([seed, (_PURPOSES[purpose] << 48) + index], dtype=np.uint64))


def permutation(n: int, seed: int, purpose: str, index: int = 0) -> np.ndarray:
    """0..n-1 in random order, (n,) int64: the ranks of n raw 64-bit words, so no NumPy release can change it."""
    words = _bits(seed, purpose, index).random_raw(n)
    low, high = ((words >> np.uint64(shift)).astype(np.uint16) for shift in (32, 48))
    order = np.argsort(low, kind="stable")  # of 16 bits, NumPy makes a radix sort: two cost half of one over 64
    order = order[np.argsort(high[order], kind="stable")]
    ranked = words[order]
    if not (ranked[1:] > ranked[:-1]).all():  # words that differ in their lower half alone, or not at all
        order = np.argsort(words, kind="stable")
    return order.astype(np.int64, copy=False)


def uniform(shape: tuple[int, ...], seed: int, purpose: str, index: int = 0) -> np.ndarray:
    """Uniform on [0, 1), float64."""
    return np.random.Generator(_bits(seed, purpose, index)).random(shape)


def normal(shape: tuple[int, ...], seed: int, purpose: str, index: int = 0) -> np.ndarray:
    """Standard normal, float64."""
    return np.random.Generator(_bits(seed, purpose, index)).standard_normal(shape)
