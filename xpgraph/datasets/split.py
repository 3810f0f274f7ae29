"""The split of a user's rows into training and test rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..arrays import random_numbers
from ..errors import DataError


def split_rows(n: int, seed: int, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of the training rows and of the test rows, a fifth of n, in random order; it depends on the seed.

    Raises DataError for fewer than two rows.
    """
    if n < 2:
        raise DataError(f"Splitting {path}: found one row, which cannot be split in two. Give more rows.")
    train, test = np.split(random_numbers.permutation(n, seed, "split"), [n - max(1, n // 5)])
    return train, test
