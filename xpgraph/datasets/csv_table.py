"""Rows and labels from a .csv file: classes numbered, columns scaled, and later rows treated like the training rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from . import csv_reader
from .split import split_rows


@dataclass(frozen=True)
class TableFormat:
    """The format of a training .csv file, to read later rows in the same way.

    label: the column of labels, as the user gave it. columns: the names of x's columns, "" each without a header.
    classes: their names, in the order of the model's outputs. x = (cell - shift) * scale, for each column.
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
    def from_json(cls, stored: Mapping[str, Any]) -> TableFormat:
        """The inverse of ``as_json``; DataError for anything else."""
        try:
            columns, classes = (tuple(map(str, stored[name])) for name in ("columns", "classes"))
            shift, scale = (tuple(map(float, stored[name])) for name in ("shift", "scale"))
            table_format = cls(str(stored["label"]), columns, classes, shift, scale)
            if not len(columns) == len(shift) == len(scale):
                raise ValueError(f"there are {len(columns)} columns, {len(shift)} shifts and {len(scale)} scales")
        except (KeyError, TypeError, ValueError) as error:
            what = f"Reading the format of a run's csv file: {type(error).__name__}: {error}"
            raise DataError(f"{what}. Train the run again.") from error
        return table_format

    def scaled(self, x: np.ndarray, dtype: np.dtype, path: Path) -> np.ndarray:
        """Rows x (N, D) float64 of the file ``path`` as the model sees them; DataError if one is not finite then."""
        with np.errstate(over="ignore", invalid="ignore"):
            x = ((x - np.array(self.shift)) * np.array(self.scale)).astype(dtype)
        if not np.isfinite(x).all():
            row, column = np.argwhere(~np.isfinite(x))[0]
            found = f"column {column + 1} of the numbers is not finite as {dtype} after scaling, first in row {row}"
            raise DataError(f"Reading {path}: {found}. Leave the column out, or write it in another unit.")
        return x


def load(path: Path, label: str | int, seed: int, dtype: np.dtype) -> tuple[list[np.ndarray], TableFormat]:
    """([x, t, x_test, t_test], the file's format): a fifth of the rows is for the test.

    Each column of x is shifted and scaled to mean 0 and standard deviation 1 over the training rows; t is int64.
    """
    table = csv_reader.read(path, label)
    t, classes = number_classes(table.labels or [], str(path))
    train, test = split_rows(len(t), seed, path)
    shift, scale = _scaling(table.x[train])
    table_format = TableFormat(str(label), table.columns, classes, tuple(shift.tolist()), tuple(scale.tolist()))
    x = table_format.scaled(table.x, dtype, path)
    return [x[train], t[train], x[test], t[test]], table_format


def load_rows(path: Path, table_format: TableFormat, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray | None]:
    """All rows of a file like the training file, with or without labels: (x (N, D), t (N,) int64 or None)."""
    table = csv_reader.read(path, table_format.label, len(table_format.columns))
    for i, (found, expected) in enumerate(zip(table.columns, table_format.columns, strict=True)):
        if found and expected and found != expected:
            names = f"expected {expected!r}, as in the training, found {found!r}"
            raise DataError(f"Reading {path}: column {i + 1} of the numbers: {names}. Put the columns in that order.")
    x = table_format.scaled(table.x, dtype, path)
    return x, None if table.labels is None else number_classes(table.labels, str(path), table_format.classes)[0]


def _scaling(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(shift, scale), (D,) each, that bring the columns of x to mean 0 and deviation 1; constant columns to 0."""
    with np.errstate(over="ignore", invalid="ignore"):
        shift, deviation = x.mean(axis=0), x.std(axis=0)
    varies = deviation > 1e-12 * np.abs(shift)  # less is rounding, which must not be scaled up
    return shift, 1.0 / np.where(varies, deviation, 1.0)


def number_classes(
    labels: Sequence[str], where: str, classes: tuple[str, ...] | None = None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """(t (N,) int64, the names of the classes) for labels as text; ``classes``: those of the training, if known.

    If all labels are numbers they must be whole, "1", "1.0" and "01" are one class, and classes are in numerical order;
    else they are in the order of text. Raises DataError for measurements, for nearly as many classes as rows, and for a
    class that the training did not have.
    """
    names = {label: label for label in labels}
    if all(csv_reader.number(name) is not None for name in classes or names):
        names = {label: _whole_number(label, where) for label in names}
    present = set(names.values())
    if classes is None:
        if len(present) > max(10, len(labels) // 2):
            found = f"{len(present)} different values in {len(labels)} rows, as of an id or a measurement"
            advice = "Choose another column as label."
            raise DataError(f"Reading {where}: the label: expected classes, found {found}. {advice}")
        numeric = all(csv_reader.number(name) is not None for name in present)
        classes = tuple(sorted(present, key=int if numeric else None))
    unknown = sorted(present - set(classes))
    if unknown:
        found = f"the label {unknown[0][:40]!r} is none of the classes of the training: {', '.join(classes[:20])}"
        raise DataError(f"Reading {where}: {found}. Give rows of these classes.")
    number_of = {name: i for i, name in enumerate(classes)}
    return np.array([number_of[names[label]] for label in labels], np.int64), classes


def _whole_number(label: str, where: str) -> str:
    """A whole number in its plain form; text stays as it is. DataError for other numbers."""
    value = csv_reader.number(label)
    if value is None:
        return label
    if value != int(value):
        found = "expected names or whole numbers of classes, found a measurement"
        raise DataError(f"Reading {where}: the label {label[:40]!r}: {found}. Choose another column as label.")
    return str(int(value))
