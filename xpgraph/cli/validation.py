"""Validation rows: a part of the training rows, on which a run is evaluated after each epoch.

What is selected during a run, such as its best epoch, is selected on them, and never on the test rows.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..arrays.random_numbers import permutation
from ..datasets import Dataset
from ..errors import DataError

Rows = tuple[np.ndarray, np.ndarray]  # x (N, D) and t, (N,) or (N, C)


def split_validation(data: Dataset, fraction: float | None, seed: int) -> tuple[Dataset, Rows | None]:
    """The data without its validation rows, and these: ``fraction`` of the training rows, drawn by ``seed``.

    Without a fraction, the data as it is, and None. The test rows do not change. Raises DataError if there would be no
    validation row, or no row left to train on.
    """
    if fraction is None:
        return data, None
    n = len(data.x)
    count = round(n * fraction)
    if not 0 < count < n:
        raise DataError(
            f"--validation {fraction} of {n} training rows is {count} rows; at least one row must be set aside and one "
            "be left to train on. Give another fraction, or more data."
        )
    order = permutation(n, seed, "split", 1)  # index 0 draws the test rows
    validation, train = np.sort(order[:count]), np.sort(order[count:])
    return replace(data, x=data.x[train], t=data.t[train]), (data.x[validation], data.t[validation])
