"""Inputs that are bad, or look so, each made from a good one: what test_bad_inputs.py hands to every entry point.

A condition changes the numbers (``values``: x and t on the host), the form in which they are handed over (``form``: an
array as a user may have it) or the size of the batches. Where a library has no such arrays, NumPy's are given.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from layouts import lay

from xpgraph.arrays.libraries import HOST, LIBRARIES, Place

N, D, CLASSES = 24, 4, 3  # rows, columns and classes of the good data: no two lengths are one


@dataclass(frozen=True)
class Condition:
    """``words`` are for the page. ``native``: has a library such arrays of its own?"""

    words: str
    x: Callable[[np.ndarray], np.ndarray] | None = None
    t: Callable[[np.ndarray], np.ndarray] | None = None
    form: Callable[[Any, np.ndarray], Any] | None = None
    clean: Callable[[np.ndarray], np.ndarray] = np.asarray  # the same numbers in a good form
    native: Callable[[Any], bool] = lambda lib: True
    batch: tuple[Any, ...] = ()


def numpy_alone(lib: Any) -> bool:
    return lib.place.library is HOST


def put(value: float, *places: tuple[int, int]) -> Callable[[np.ndarray], np.ndarray]:
    """x with some numbers replaced; the places are of x (N, D), and of what else comes, modulo its shape."""

    def change(a: np.ndarray) -> np.ndarray:
        a = np.array(a)
        for sign, place in zip((1, -1), places, strict=False):
            a[tuple(i % n for i, n in zip(place, a.shape, strict=False))] = sign * value
        return a

    return change


def last(value: Any) -> Callable[[np.ndarray], np.ndarray]:
    """t with another last label."""

    def change(t: np.ndarray) -> np.ndarray:
        return np.concatenate([t[:-1], np.array([value], t.dtype)])

    return change


def chances(row: list[float]) -> Callable[[np.ndarray], np.ndarray]:
    """t as probabilities, the last row replaced."""

    def change(t: np.ndarray) -> np.ndarray:
        return np.concatenate([np.eye(CLASSES)[t[:-1]], [row]])

    return change


# --- forms ---


def memmap(lib: Any, a: np.ndarray) -> np.ndarray:
    with tempfile.TemporaryFile() as file:
        file.write(a.tobytes())
        file.flush()
        return np.memmap(file, a.dtype, "r", shape=a.shape)


def masked(lib: Any, a: np.ndarray) -> Any:
    mask = np.zeros(a.shape, bool)
    mask[(0,) * a.ndim] = True
    return np.ma.array(a, mask=mask)


def matrix(lib: Any, a: np.ndarray) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that NumPy would rather have no matrices
        return np.matrix(a)


def in_another_library(lib: Any, a: np.ndarray) -> Any:
    if lib.place.library.name == "array_api_strict":
        return pytest.importorskip("torch", reason="a third library is needed").asarray(np.array(a))
    return pytest.importorskip("array_api_strict", reason="a second library is needed").asarray(np.array(a))


def has_another_device(lib: Any) -> bool:
    return lib.place.library is not HOST


def on_another_device(lib: Any, a: np.ndarray) -> Any:
    name, xp = lib.place.library.name, lib.xp
    if name == "array_api_strict":
        return xp.asarray(np.array(a), device=xp.Device("device2"))
    if name == "torch":
        return xp.asarray(np.array(a), device="meta")
    import cupy

    if cupy.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("a second GPU is needed for an array on another device")
    return Place(LIBRARIES["cupy"], cupy.cuda.Device(1)).asarray(np.array(a))


def typed(dtype: str, native: Callable[[Any], bool] | None = None) -> dict[str, Any]:
    """The form and the clean values of another dtype."""

    def clean(a: np.ndarray) -> np.ndarray:
        return np.array((np.rint(2 * a) if dtype == "int64" else a > 0 if dtype == "bool" else a), dtype)

    def has(lib: Any) -> bool:
        return hasattr(lib.xp, dtype)

    return {"form": lambda lib, a: lib.array(clean(a)) if has(lib) else clean(a), "clean": clean, "native": has}


def foreign(lib: Any, a: np.ndarray) -> np.ndarray:
    return np.array(a, a.dtype.newbyteorder())


CONDITIONS: dict[str, Condition] = {
    "nan": Condition("NaN in x", x=put(np.nan, (3, 2))),
    "inf": Condition("±∞ in x", x=put(np.inf, (3, 2), (2, 0))),
    "shape": Condition("wrong shape: a column too few, or lengths that do not fit", x=lambda x: x[:, :-1]),
    "no rows": Condition("no rows: an empty batch, empty data", x=lambda x: x[:0], t=lambda t: t[:0]),
    "no columns": Condition("no columns: x is (N, 0)", x=lambda x: x[..., :0]),
    "label too large": Condition("a label that is no class: 3, with 3 classes", t=last(CLASSES)),
    "label below 0": Condition("a label of -1", t=last(-1)),
    "float labels": Condition("labels as floating numbers (N,)", t=lambda t: t.astype(np.float32)),
    "column of labels": Condition("labels as a column (N, 1)", t=lambda t: t[:, None]),
    "labels missing": Condition("fewer labels than rows", t=lambda t: t[:-1]),
    "sum is not 1": Condition("a row of probabilities with a sum of 0.5", t=chances([0.25, 0.0, 0.25])),
    "all zero": Condition("a one-hot row without a 1", t=chances([0.0, 0.0, 0.0])),
    "negative": Condition("a row of probabilities with a negative number", t=chances([1.5, -0.5, 0.0])),
    "batch too large": Condition("batch_size larger than the data", batch=(N + 1, 10**9)),
    "batch of 0": Condition("batch_size 0, negative, or not a whole number", batch=(0, -1, 2.5)),
    "strided": Condition("not contiguous: every second number", form=lambda lib, a: lay(lib, a, "strided")),
    "fortran": Condition("not contiguous: in Fortran order", form=lambda lib, a: lay(lib, a, "fortran")),
    "reversed": Condition("reversed: negative strides", form=lambda lib, a: lay(lib, a, "reversed")),
    "memmap": Condition("read-only numpy.memmap", form=memmap, native=numpy_alone),
    "float16": Condition("float16", **typed("float16")),
    "float64": Condition("float64 beside float32", **typed("float64")),
    "big endian": Condition("foreign byte order", form=foreign, native=numpy_alone),
    "integer": Condition("x of integers", **typed("int64")),
    "bool": Condition("x of bool", **typed("bool")),
    "complex": Condition("complex numbers", **typed("complex64")),
    "object": Condition("dtype object", form=lambda lib, a: a.astype(object), native=numpy_alone),
    "masked": Condition("numpy.ma.MaskedArray", form=masked, native=numpy_alone),
    "matrix": Condition("numpy.matrix", form=matrix, native=numpy_alone),
    "list": Condition("a list", form=lambda lib, a: a.tolist()),
    "other library": Condition("an array of another library", form=in_another_library),
    "other device": Condition("an array on another device", form=on_another_device, native=has_another_device),
    "one class": Condition("all labels are of one class, and the model has one class", t=np.zeros_like),
    "one sample": Condition("one row", x=lambda x: x[:1], t=lambda t: t[:1]),
    "1e4": Condition("numbers of ±1e4, also as scores", x=lambda x: np.where(x > 0, 1e4, -1e4).astype(x.dtype)),
}
