"""Floor 5: a .csv file as data to train on: classes by name, columns brought to one scale, both kept for later rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import random_numbers
from ..errors import DataError
from . import csv_reader as csvfile


@dataclass(frozen=True)
class Kept:
    """What a run keeps of its .csv file, so that later rows are read alike.

    label: as it was asked for. columns: the names of x's columns, "" each without a header. classes: their names, in
    the order of the model's outputs. x = (cell - shift) * scale, column by column.
    """

    label: str
    columns: tuple[str, ...]
    classes: tuple[str, ...]
    shift: tuple[float, ...]
    scale: tuple[float, ...]

    def as_json(self) -> dict[str, Any]:
        """For a run's config.json."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Kept:
        """What ``as_json`` gave; DataError where a configuration holds something else."""
        try:
            words = [tuple(map(str, stored[name])) for name in ("columns", "classes")]
            numbers = [tuple(map(float, stored[name])) for name in ("shift", "scale")]
            kept = cls(str(stored["label"]), words[0], words[1], numbers[0], numbers[1])
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"Reading what a run kept of its csv file: {type(error).__name__}: {error}. Train the run again."
            ) from error
        if not len(kept.columns) == len(kept.shift) == len(kept.scale):
            raise DataError(
                f"Reading what a run kept of its csv file: expected as many scales as columns, found "
                f"{len(kept.columns)}, {len(kept.shift)} and {len(kept.scale)}. Train the run again."
            )
        return kept

    def scaled(self, x: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """Rows x (N, D) float64 as the model is to see them."""
        with np.errstate(over="ignore", invalid="ignore"):
            return ((x - np.array(self.shift)) * np.array(self.scale)).astype(dtype)


def load(path: Path, label: str | int, seed: int, dtype: np.dtype) -> tuple[list[np.ndarray], Kept]:
    """([x, t, x_test, t_test], what to keep): a fifth of the rows, drawn by ``seed``, is kept for the test.

    Each column of x is moved and multiplied to mean 0 and standard deviation 1 over the training rows; t is int64.
    """
    table = csvfile.read(path, label)
    t, classes = number_classes(table.labels or [], str(path))
    n = len(t)
    if n < 2:
        raise DataError(f"Splitting {path}: found one row, of which a test cannot be kept. Give more rows.")
    train, test = np.split(random_numbers.permutation(n, seed, "split"), [n - max(1, n // 5)])
    shift, scale = scaling(table.x[train])
    kept = Kept(str(label), table.columns, classes, tuple(shift.tolist()), tuple(scale.tolist()))
    x = kept.scaled(table.x, dtype)
    _check_finite(x, path)
    return [x[train], t[train], x[test], t[test]], kept


def load_rows(path: Path, kept: Kept, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray | None]:
    """All rows of a file like that of the training, with or without its labels: (x (N, D), t (N,) int64 or None)."""
    table = csvfile.read(path, kept.label, len(kept.columns))
    for i, (found, expected) in enumerate(zip(table.columns, kept.columns, strict=True)):
        if found and expected and found != expected:
            raise DataError(
                f"Reading {path}: column {i + 1} of the numbers: expected {expected!r}, as in the training, found "
                f"{found!r}. Put the columns in that order."
            )
    x = kept.scaled(table.x, dtype)
    _check_finite(x, path)
    return x, None if table.labels is None else number_classes(table.labels, str(path), kept.classes)[0]


def scaling(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(shift, scale), (D,) each, that bring the columns of x to mean 0 and standard deviation 1; constant ones to 0."""
    with np.errstate(over="ignore", invalid="ignore"):
        shift, deviation = x.mean(axis=0), x.std(axis=0)
    varies = deviation > 1e-12 * np.abs(shift)  # what rounding alone makes must not be blown up
    return shift, 1.0 / np.where(varies, deviation, 1.0)


def number_classes(
    labels: Sequence[str], where: str, classes: tuple[str, ...] | None = None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """(t (N,) int64, the names of the classes) of labels as text; ``classes``: those of the training, if there was one.

    Names are in order: as whole numbers where all are such ("1", "1.0" and "01" are one class), else as text.
    Raises DataError for measurements, for nearly as many classes as rows, and for a class that the training had not.
    """
    names = {each: each for each in labels}
    if all(csvfile.number(name) is not None for name in classes or names):
        names = {each: _whole(each, where) for each in names}
    labels, found = [names[each] for each in labels], set(names.values())
    if classes is None:
        if len(found) > max(10, len(labels) // 2):
            raise DataError(
                f"Reading {where}: the label: expected classes, found {len(found)} different values in {len(labels)} "
                "rows, as of an id or a measurement. Choose another column as label."
            )
        numeric = all(csvfile.number(name) is not None for name in found)
        classes = tuple(sorted(found, key=int if numeric else None))
    number_of = {name: i for i, name in enumerate(classes)}
    strange = sorted(found - set(classes))
    if strange:
        raise DataError(
            f"Reading {where}: the label {strange[0][:40]!r} is none of the classes of the training: "
            f"{', '.join(classes[:20])}. Give rows of these classes."
        )
    return np.array([number_of[each] for each in labels], np.int64), classes


def _whole(label: str, where: str) -> str:
    """A label that is a whole number, in its plain form; others as they are, for the caller to find strange."""
    value = csvfile.number(label)
    if value is None:
        return label
    if value != int(value):
        raise DataError(
            f"Reading {where}: the label {label[:40]!r}: expected names or whole numbers of classes, found a "
            "measurement. Choose another column as label."
        )
    return str(int(value))


def _check_finite(x: np.ndarray, path: Path) -> None:
    if not np.isfinite(x).all():
        row, column = np.argwhere(~np.isfinite(x))[0]
        raise DataError(
            f"Reading {path}: column {column + 1} of the numbers is not finite as {x.dtype} once scaled, first in row "
            f"{row}. Leave the column out, or write it in another unit."
        )
