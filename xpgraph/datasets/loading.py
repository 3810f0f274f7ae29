"""Data sets by name or from a user's .npz or .csv file, as rows and labels ready for training on the host.

``digits`` is shipped, ``spiral`` generated, ``mnist`` and ``fashion-mnist`` are downloaded once or read from a folder.
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
from . import csv_table, idx, npz_table
from .npz_table import flat_rows

NAMES = ("digits", "spiral", "mnist", "fashion-mnist")
SOURCES = {
    "digits": "Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, UCI, 1998 (test set); CC BY 4.0",
    "spiral": "three-arm spiral drawn by xpgraph, after K. Saito, Deep Learning from Scratch 2",
    "mnist": "MNIST, Y. LeCun, C. Cortes and C. Burges, from its IDX files",
    "fashion-mnist": "Fashion-MNIST, H. Xiao, K. Rasul and R. Vollgraf, 2017, from its IDX files; MIT",
}
Folder = str | os.PathLike[str] | None
_DIGITS_TEST = 360  # test rows of digits: a fifth of 1,797
_ARM = 100  # points in each arm of the spiral


# eq=False: comparing arrays field by field has no truth value
@dataclass(frozen=True, eq=False)
class Dataset:
    """Rows and labels for training and for a test, all NumPy arrays.

    x: (N, D) and x_test: (M, D), finite, of the floating dtype that ``load`` was asked for.
    t: (N,) and t_test: (M,), int64 labels 0..classes-1; or (N, classes) and (M, classes), probabilities of x's dtype.
    scale: the factor that x was multiplied by: 1/16 (digits), 1/255 (images), 1.0 (unchanged).
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
    csv: csv_table.TableFormat | None = None


def load(
    name_or_path: str | os.PathLike[str],
    *,
    data_dir: Folder = None,
    seed: int = 0,
    dtype: npt.DTypeLike = np.float32,
    label: str | int = "",
) -> Dataset:
    """A data set by one of ``NAMES``, or from a ``.npz`` or ``.csv`` file of your own.

    data_dir: a folder of the four IDX files, for mnist and fashion-mnist only; None downloads them into a cache.
    seed: fixes the points of spiral, and the split of digits (360 test rows) and of your own rows (a fifth for the
    test). dtype: a real floating type, that of x.

    A .npz file holds ``x`` (N, ...) and ``t``, and may hold ``x_test`` and ``t_test``; without these it is split. uint8
    x is multiplied by 1/255; x of other types is only cast. ``t`` is integers 0..C-1 of shape (N,), or one-hot rows or
    probabilities of shape (N, C).

    A .csv file has one example on each line: numbers, and a column of labels. It may have a header of names. label:
    that column's name, or its number from 1; "" is the last. Columns are scaled to mean 0 and standard deviation 1
    over the training rows.

    Raises DataError if data is missing, damaged or of the wrong kind; DTypeError if dtype is not floating.
    """
    name, floating = os.fspath(name_or_path), _floating(dtype)
    if _is_csv(name):
        (x, t, x_test, t_test), table = csv_table.load(Path(name), label, seed, floating)
        return Dataset(Path(name).stem, x, t, x_test, t_test, 1.0, len(table.classes), name, table)
    if label != "":
        raise DataError(f"Loading {name!r}: a label is a column of a .csv file, and this is none; leave it out.")
    if name == "digits":
        return _digits(seed, floating)
    if name == "spiral":
        (x, t), (x_test, t_test) = _spiral(seed, 0, floating), _spiral(seed, 1, floating)
        return Dataset(name, x, t, x_test, t_test, 1.0, 3, SOURCES[name])
    if name in idx.SHA256:
        (x, t), (x_test, t_test) = (_images(name, part, data_dir, floating) for part in ("train", "t10k"))
        return Dataset(name, x, t, x_test, t_test, 1 / 255, 10, SOURCES[name])
    path = _npz_path(name)
    (x, t, x_test, t_test), scale, classes = npz_table.load(path, seed, floating)
    return Dataset(path.stem, x, t, x_test, t_test, scale, classes, str(path))


def load_rows(
    name_or_path: str | os.PathLike[str],
    *,
    data_dir: Folder = None,
    seed: int = 0,
    dtype: npt.DTypeLike = np.float32,
    scale: float | None = None,
    csv: csv_table.TableFormat | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Rows to predict, with their labels if there are any: (x of shape (N, D), t as in ``Dataset`` or None).

    A name gives the test rows of ``load`` with the same seed. A .npz file gives all rows of its ``x``, with ``t`` if it
    holds one. scale: the factor for x of integers, ``Dataset.scale`` of the training data; None takes the rule of
    ``load``. x of floating numbers counts as scaled already. A .csv file gives all its rows, with labels if it has
    their column; csv: ``Dataset.csv`` of the training data, with which a .npz file is refused. Other arguments and
    errors are those of ``load``.
    """
    name, floating = os.fspath(name_or_path), _floating(dtype)
    if _is_csv(name):
        if csv is None:
            advice = "Give csv=data.csv, or predict with a run that was trained on a .csv file."
            raise DataError(f"Reading {name}: expected the format of the training's .csv file, found none. {advice}")
        return csv_table.load_rows(Path(name), csv, floating)
    if csv is not None and name not in NAMES:  # rows that are not scaled as the training's were give wrong classes
        advice = "Save the rows as a .csv file with the columns of the training's."
        raise DataError(f"Reading {name}: expected a .csv file, whose columns are scaled as in training. {advice}")
    if name in idx.SHA256:
        return _images(name, "t10k", data_dir, floating)
    if name in NAMES:
        data = load(name, seed=seed, dtype=floating)
        return data.x_test, data.t_test
    return npz_table.load_rows(_npz_path(name), floating, scale)


def _floating(dtype: npt.DTypeLike) -> np.dtype:
    floating = np.dtype(dtype)
    if floating.kind != "f":
        raise DTypeError(f"Loading data as {floating}: x has a real floating type. Ask for float32 or float64.")
    return floating


def _is_csv(name: str) -> bool:
    return Path(name).suffix.lower() == ".csv"


def _npz_path(name: str) -> Path:
    path = Path(name)
    if path.suffix.lower() != ".npz":
        advice = f"Choose one of {', '.join(NAMES)}, or give the path of a .npz or .csv file."
        raise DataError(f"Loading {name!r}: there is no data set of that name. {advice}")
    return path


def _digits(seed: int, dtype: np.dtype) -> Dataset:
    with (resources.files(__package__) / "digits.npz").open("rb") as file, np.load(file) as stored:
        x, t = flat_rows(stored["x"], 1 / 16, dtype), stored["t"].astype(np.int64)
    order = random_numbers.permutation(len(x), seed, "split")
    train, test = order[:-_DIGITS_TEST], order[-_DIGITS_TEST:]
    return Dataset("digits", x[train], t[train], x[test], t[test], 1 / 16, 10, SOURCES["digits"])


def _spiral(seed: int, index: int, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    t = np.repeat(np.arange(3), _ARM)
    radius = np.tile(np.arange(_ARM) / _ARM, 3)
    angle = 4 * t + 4 * radius + 0.2 * random_numbers.normal((3 * _ARM,), seed, "data", index)
    x = np.stack((radius * np.sin(angle), radius * np.cos(angle)), axis=1)
    return x.astype(dtype), t.astype(np.int64)


def _images(name: str, part: str, data_dir: Folder, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    x = idx.read(name, f"{part}-images-idx3-ubyte", data_dir)
    t = idx.read(name, f"{part}-labels-idx1-ubyte", data_dir)
    return flat_rows(x, 1 / 255, dtype), t.astype(np.int64)
