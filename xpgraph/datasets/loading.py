"""Data sets by name or from a user's .npz or .csv file, as rows and labels ready for training on the host.

Four names: ``digits`` (shipped), ``spiral`` (drawn), ``mnist`` and ``fashion-mnist`` (downloaded once, or read from a
folder of IDX files). Every row is flat: x has shape (N, D). Integers are scaled, floating values are taken as given.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..arrays import random_numbers
from ..errors import DataError, DTypeError
from . import csv_table as csvdata
from . import idx
from . import npz as npzfile

NAMES = ("digits", "spiral", "mnist", "fashion-mnist")
SOURCES = {
    "digits": "Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, UCI, 1998 (test set); CC BY 4.0",
    "spiral": "three-arm spiral drawn by xpgraph, after K. Saito, Deep Learning from Scratch 2",
    "mnist": "MNIST, Y. LeCun, C. Cortes and C. Burges, from its IDX files",
    "fashion-mnist": "Fashion-MNIST, H. Xiao, K. Rasul and R. Vollgraf, 2017, from its IDX files; MIT",
}
DIGITS_TEST = 360  # rows of digits kept for the test: a fifth of 1,797
ARM = 100  # points in each arm of the spiral


# eq=False: comparing arrays field by field has no truth value
@dataclass(frozen=True, eq=False)
class Dataset:
    """Rows and labels to train and to test on, all NumPy arrays.

    x: (N, D) and x_test: (M, D), of the floating dtype asked of ``load``, finite.
    t: (N,) and t_test: (M,), int64 labels 0..classes-1; or (N, classes) and (M, classes), probabilities of x's dtype.
    scale: what stored values were multiplied by to give x: 1/16 (digits), 1/255 (images), 1.0 (as stored).
    classes: the number of classes. source: where the data came from, in one line.
    csv: of a .csv file, its columns, the names of its classes and the scale of each column.
    """

    name: str
    x: np.ndarray
    t: np.ndarray
    x_test: np.ndarray
    t_test: np.ndarray
    scale: float
    classes: int
    source: str
    csv: csvdata.Kept | None = None


def load(
    name_or_path: str | os.PathLike[str],
    *,
    data_dir: str | os.PathLike[str] | None = None,
    seed: int = 0,
    dtype: npt.DTypeLike = np.float32,
    label: str | int = "",
) -> Dataset:
    """A data set by one of ``NAMES``, or from a ``.npz`` or ``.csv`` file of your own.

    data_dir: a folder of the four IDX files, for mnist and fashion-mnist only; None downloads them into a cache.
    seed: fixes the split of digits and of a .npz without test rows (the last 360, or a fifth, of a permutation), and
    the points of spiral. dtype: a real floating type, that of x.

    A .npz file holds ``x`` (N, ...) and ``t``, and may hold ``x_test`` and ``t_test``. uint8 x is multiplied by 1/255,
    x of another integer type is cast as it is, floating x is cast as it is. ``t`` is integers 0..C-1 of shape (N,), or
    one-hot rows or probabilities of shape (N, C).

    A .csv file has one example a line, numbers but for the column of labels, and perhaps a header of names. label:
    that column's name, or its number from 1; "" is the last. Columns are scaled to mean 0 and standard deviation 1
    over the training rows; a fifth of the rows, drawn by ``seed``, is kept for the test.

    Raises DataError if data is missing, damaged or of the wrong kind; DTypeError if dtype is not floating.
    """
    name, kind = os.fspath(name_or_path), _floating(dtype)
    if _is_csv(name):
        (x, t, x_test, t_test), kept = csvdata.load(Path(name), label, seed, kind)
        return Dataset(Path(name).stem, x, t, x_test, t_test, 1.0, len(kept.classes), name, kept)
    if label != "":
        raise DataError(f"Loading {name!r}: a label is a column of a .csv file, and this is none; leave it out.")
    if name == "digits":
        return _digits(seed, kind)
    if name == "spiral":
        (x, t), (x_test, t_test) = _spiral(seed, 0, kind), _spiral(seed, 1, kind)
        return Dataset(name, x, t, x_test, t_test, 1.0, 3, SOURCES[name])
    if name in idx.SHA256:
        (x, t), (x_test, t_test) = (_images(name, part, data_dir, kind) for part in ("train", "t10k"))
        return Dataset(name, x, t, x_test, t_test, 1 / 255, 10, SOURCES[name])
    return _own(_npz(name), seed, kind)


def load_rows(
    name_or_path: str | os.PathLike[str],
    *,
    data_dir: str | os.PathLike[str] | None = None,
    seed: int = 0,
    dtype: npt.DTypeLike = np.float32,
    scale: float | None = None,
    csv: csvdata.Kept | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Rows to predict, with their labels if there are any: (x of shape (N, D), t as in ``Dataset`` or None).

    A name gives the test rows of ``load`` with the same seed. A .npz file gives all rows of its ``x``, with ``t`` if it
    holds one. scale: what integer x of a .npz is multiplied by, that of the data the model was trained on; None takes
    the rule of ``load``. Floating x counts as scaled already. A .csv file gives all its rows, with labels if it has
    their column, by ``csv``: the ``Dataset.csv`` of the training. Other arguments and errors are those of ``load``.
    """
    name, kind = os.fspath(name_or_path), _floating(dtype)
    if _is_csv(name):
        if csv is None:
            raise DataError(
                f"Reading {name}: expected what the training kept of its csv file, found none. Give rows to a run that "
                "was trained on a .csv file, or a .npz file."
            )
        return csvdata.load_rows(Path(name), csv, kind)
    if name in idx.SHA256:
        return _images(name, "t10k", data_dir, kind)
    if name in NAMES:
        data = load(name, seed=seed, dtype=kind)
        return data.x_test, data.t_test
    path = _npz(name)
    stored = npzfile.read(path, ("x",), ("t",))
    x, _ = _rows(path, "x", stored["x"], kind, scale)
    return x, _labels(path, "t", stored["t"], len(x), kind) if "t" in stored else None


def _floating(dtype: npt.DTypeLike) -> np.dtype:
    kind = np.dtype(dtype)
    if kind.kind != "f":
        raise DTypeError(f"Loading data as {kind}: x is of a real floating type. Ask for float32 or float64.")
    return kind


def _digits(seed: int, dtype: np.dtype) -> Dataset:
    with (resources.files(__package__) / "digits.npz").open("rb") as file, np.load(file) as stored:
        x, t = _scaled(stored["x"], 1 / 16, dtype), stored["t"].astype(np.int64)
    order = random_numbers.permutation(len(x), seed, "split")
    train, test = order[:-DIGITS_TEST], order[-DIGITS_TEST:]
    return Dataset("digits", x[train], t[train], x[test], t[test], 1 / 16, 10, SOURCES["digits"])


def _spiral(seed: int, index: int, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    t = np.repeat(np.arange(3), ARM)
    radius = np.tile(np.arange(ARM) / ARM, 3)
    angle = 4 * t + 4 * radius + 0.2 * random_numbers.normal((3 * ARM,), seed, "data", index)
    x = np.stack((radius * np.sin(angle), radius * np.cos(angle)), axis=1)
    return x.astype(dtype), t.astype(np.int64)


def _images(
    name: str, part: str, data_dir: str | os.PathLike[str] | None, dtype: np.dtype
) -> tuple[np.ndarray, np.ndarray]:
    x = idx.read(name, f"{part}-images-idx3-ubyte", data_dir)
    t = idx.read(name, f"{part}-labels-idx1-ubyte", data_dir)
    return _scaled(x, 1 / 255, dtype), t.astype(np.int64)


def _scaled(stored: np.ndarray, scale: float, dtype: np.dtype) -> np.ndarray:
    """(N, D) rows of dtype; what dtype cannot hold becomes infinite, for the caller to find."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.multiply(stored.reshape(len(stored), -1), dtype.type(scale), dtype=dtype, order="C")


def _is_csv(name: str) -> bool:
    return Path(name).suffix.lower() == ".csv"


def _npz(name: str) -> Path:
    path = Path(name)
    if path.suffix.lower() != ".npz":
        raise DataError(
            f"Loading {name!r}: there is no data set of that name. "
            f"Choose one of {', '.join(NAMES)}, or give the path of a .npz or .csv file."
        )
    return path


def _own(path: Path, seed: int, dtype: np.dtype) -> Dataset:
    stored = npzfile.read(path, ("x", "t"), ("x_test", "t_test"))
    x, scale = _rows(path, "x", stored["x"], dtype)
    t = _labels(path, "t", stored["t"], len(x), dtype)
    if len(stored) == 2:
        if len(x) < 2:
            raise DataError(f"Splitting {path}: found one row, of which a test cannot be kept. Give more rows.")
        order = random_numbers.permutation(len(x), seed, "split")
        train, test = np.split(order, [len(x) - max(1, len(x) // 5)])
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
    if classes > max(1000, len(x)):  # an id or a measurement, and a model with as many outputs
        raise DataError(f"Reading {path}: t runs to {classes - 1} for {len(x)} rows. Number the classes from 0.")
    return Dataset(path.stem, x, t, x_test, t_test, scale, classes, str(path))


def _rows(
    path: Path, key: str, stored: np.ndarray, dtype: np.dtype, scale: float | None = None
) -> tuple[np.ndarray, float]:
    if stored.dtype.kind not in "biuf" or stored.ndim < 2 or stored.size == 0:
        raise DataError(
            f"Reading {path}: {key} is {stored.dtype} of shape {stored.shape}, expected at least one row of numbers, "
            "shape (N, D). Save real numbers, one row an example."
        )
    factor = 1.0 if stored.dtype.kind == "f" else scale
    if factor is None:
        factor = 1 / 255 if stored.dtype == np.uint8 else 1.0
    x = _scaled(stored, factor, dtype)
    finite = np.isfinite(x).all(axis=1)
    if not finite.all():
        raise DataError(
            f"Reading {path}: {key} is not finite as {dtype} in {len(x) - finite.sum()} of {len(x)} rows, "
            f"first in row {finite.argmin()}. Drop or repair these rows."
        )
    return x, factor


def _labels(path: Path, key: str, stored: np.ndarray, rows: int, dtype: np.dtype) -> np.ndarray:
    found = f"Reading {path}: {key} is {stored.dtype} of shape {stored.shape}"
    integers = stored.dtype.kind in "biu" and stored.ndim == 1
    if not integers and not (stored.dtype.kind in "biuf" and stored.ndim == 2 and stored.shape[1] > 1):
        advice = (
            f"For class numbers save {key}.astype('int64').ravel()." if stored.size == rows else "Save one of these."
        )
        raise DataError(
            f"{found}, expected integers 0..C-1 of shape (N,), or one-hot or probability rows of shape (N, C), C > 1. "
            f"{advice}"
        )
    if len(stored) != rows:
        raise DataError(f"{found}, expected one label for each of {rows} rows of x. Save as many labels as rows.")
    with np.errstate(over="ignore"):
        t = stored.astype(np.int64 if integers else dtype)
    if not np.isfinite(t).all() or t.min() < 0:
        raise DataError(f"{found} with negative or non-finite values. Number the classes from 0; use 0 or more.")
    off = np.abs(t.sum(axis=-1, dtype=np.float64) - 1) > 1e-3 if t.ndim == 2 else np.zeros(1, bool)
    if off.any():
        raise DataError(f"{found}, and row {off.argmax()} has not the sum 1. Save one-hot or probability rows.")
    return t
