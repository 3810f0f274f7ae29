"""Rows and labels from a .npz file: checked, scaled, flattened, and split if the file has no test rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import DataError
from . import npz
from .split import split_rows


def load(path: Path, seed: int, dtype: np.dtype) -> tuple[list[np.ndarray], float, int]:
    """([x, t, x_test, t_test], the factor that x was multiplied by, the number of classes); see ``loading.load``."""
    stored = npz.read(path, ("x", "t"), ("x_test", "t_test"))
    x, scale = _rows(path, "x", stored["x"], dtype)
    t = _labels(path, "t", stored["t"], len(x), dtype)
    if len(stored) == 2:
        train, test = split_rows(len(x), seed, path)
        x, t, x_test, t_test = x[train], t[train], x[test], t[test]
    elif len(stored) == 4:
        x_test, test_scale = _rows(path, "x_test", stored["x_test"], dtype)
        t_test = _labels(path, "t_test", stored["t_test"], len(x_test), dtype)
        if (x.shape[1:], t.shape[1:], scale) != (x_test.shape[1:], t_test.shape[1:], test_scale):
            kinds = ", ".join(f"{key} {a.dtype}{a.shape}" for key, a in stored.items())
            raise DataError(f"Reading {path}: test rows unlike the training rows, found {kinds}. Save both alike.")
    else:
        raise DataError(f"Reading {path}: found only one of x_test and t_test. Save both, or neither for a split.")
    classes = t.shape[1] if t.ndim == 2 else int(max(t.max(), t_test.max())) + 1
    if classes > max(1000, len(x)):  # t is an id or a measurement; the model would have as many outputs
        raise DataError(f"Reading {path}: t runs to {classes - 1} for {len(x)} rows. Number the classes from 0.")
    return [x, t, x_test, t_test], scale, classes


def load_rows(path: Path, dtype: np.dtype, scale: float | None) -> tuple[np.ndarray, np.ndarray | None]:
    """All rows of x, with t if the file holds it. ``scale``: the factor for x of integers; None: as in ``load``."""
    stored = npz.read(path, ("x",), ("t",))
    x, _ = _rows(path, "x", stored["x"], dtype, scale)
    return x, _labels(path, "t", stored["t"], len(x), dtype) if "t" in stored else None


def flat_rows(stored: np.ndarray, scale: float, dtype: np.dtype) -> np.ndarray:
    """``stored`` (N, ...) times ``scale`` as (N, D) of dtype; numbers that are too large for dtype become inf."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.multiply(stored.reshape(len(stored), -1), dtype.type(scale), dtype=dtype, order="C")


def _rows(
    path: Path, key: str, stored: np.ndarray, dtype: np.dtype, scale: float | None = None
) -> tuple[np.ndarray, float]:
    """The rows (N, D), finite, and the factor that they were multiplied by."""
    if stored.dtype.kind not in "biuf" or stored.ndim < 2 or stored.size == 0:
        found = f"{key} is {stored.dtype} of shape {stored.shape}, expected at least one row of numbers, shape (N, D)"
        raise DataError(f"Reading {path}: {found}. Save real numbers, one row for each example.")
    if stored.dtype.kind == "f":
        scale = 1.0
    elif scale is None:
        scale = 1 / 255 if stored.dtype == np.uint8 else 1.0
    x = flat_rows(stored, scale, dtype)
    finite = np.isfinite(x).all(axis=1)
    if not finite.all():
        rows = f"{len(x) - finite.sum()} of {len(x)} rows, first in row {finite.argmin()}"
        raise DataError(f"Reading {path}: {key} is not finite as {dtype} in {rows}. Drop or repair these rows.")
    return x, scale


def _labels(path: Path, key: str, stored: np.ndarray, rows: int, dtype: np.dtype) -> np.ndarray:
    """Class numbers as int64 (N,), or one-hot rows and probabilities as dtype (N, C)."""
    found = f"Reading {path}: {key} is {stored.dtype} of shape {stored.shape}"
    integers = stored.dtype.kind in "biu" and stored.ndim == 1
    if not integers and not (stored.dtype.kind in "biuf" and stored.ndim == 2 and stored.shape[1] > 1):
        flat = stored.size == rows
        advice = f"For class numbers save {key}.astype('int64').ravel()." if flat else "Save one of these."
        rows_of_classes = "one-hot or probability rows of shape (N, C), C > 1"
        raise DataError(f"{found}, expected integers 0..C-1 of shape (N,), or {rows_of_classes}. {advice}")
    if len(stored) != rows:
        raise DataError(f"{found}, expected one label for each of {rows} rows of x. Save as many labels as rows.")
    with np.errstate(over="ignore"):
        t = stored.astype(np.int64 if integers else dtype)
    if not np.isfinite(t).all() or t.min() < 0:
        raise DataError(f"{found} with negative or non-finite values. Number the classes from 0; use 0 or more.")
    if t.ndim == 2:
        sums = t.sum(axis=1, dtype=np.float64)
        wrong = np.abs(sums - 1) > 1e-3
        if wrong.any():
            row = wrong.argmax()
            raise DataError(f"{found}, and row {row} sums to {sums[row]:.4g}. Save one-hot or probability rows.")
    return t
