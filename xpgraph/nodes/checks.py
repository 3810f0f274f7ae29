"""What nodes check of arrays, shapes and axes: cheap where all is well, an error in three beats where it is not.

``who`` is the first beat, such as ``"Affine.forward: "``; a letter is what the formula calls an array.
"""

from __future__ import annotations

import math
from numbers import Integral
from typing import Any

from ..arrays.libraries import Array, as_array, dtype_name, home, is_known, namespace_of, together
from ..errors import DTypeError, Error, LibraryError, ShapeError

_floating: dict[tuple[type, Any], bool] = {}  # by array type too: dtypes of two libraries may not be comparable


def check_floating(who: str, letter: str, x: Any) -> None:
    """DTypeError unless ``x`` is an array of real floating numbers."""
    try:
        if _floating[type(x), x.dtype]:
            return
    except (KeyError, AttributeError, TypeError):
        if not is_known(x):
            raise DTypeError(f"{who}{letter} is a {type(x).__name__}; {as_array(x, letter, 'float32')}.") from None
        if _floating.setdefault((type(x), x.dtype), _is_floating(x)):
            return
    raise DTypeError(f"{who}{letter} is {_dtype(x)}; convert it to a real floating dtype, such as float32.")


def check_pair(who: str, a_name: str, a: Array, b_name: str, b: Array) -> None:
    """LibraryError or DTypeError for two arrays of different libraries, devices or dtypes; ``a`` is to follow ``b``."""
    if type(a) is type(b) and a.dtype == b.dtype and together(a, b):
        return
    check_floating(who, a_name, a)
    check_floating(who, b_name, b)
    if not together(a, b):
        raise library_error(who, a_name, a, b_name, b)
    if a.dtype != b.dtype:
        found = f"{a_name} is {_dtype(a)} but {b_name} is {_dtype(b)}"
        raise DTypeError(f"{who}{found}; give both one dtype: xp.astype({a_name}, {b_name}.dtype).")


def library_error(who: str, a_name: str, a: Array, b_name: str, b: Array) -> LibraryError:
    """The error for two arrays of different libraries, or of one library on two devices."""
    if home(a).partition(":")[0] != home(b).partition(":")[0]:
        article = "an" if home(a)[0] in "aeiou" else "a"
        found = f"{a_name} is {article} {home(a)} array, {b_name} lives in {home(b)}"
        return LibraryError(f"{who}{found}; make {a_name} with the same library: xp.asarray({a_name}).")
    found = f"{a_name} is on {a.device}, {b_name} on {b.device}"
    return LibraryError(f"{who}{found}; move it: xp.asarray({a_name}, device={b_name}.device).")


def check_gradient(who: str, letter: str, dy: Any, like: Any, shape: tuple[int, ...]) -> None:
    """The gradient ``dy`` must have the ``shape`` of the output, and the library, device and dtype of ``like``.

    ``like`` is an array that forward saved; None, and so an Error, before forward was called. Raises ShapeError,
    DTypeError or LibraryError for another gradient.
    """
    if like is None:
        raise Error(f"{who}forward has not been called; call it before backward.")
    check_pair(who, letter, dy, "the input", like)
    if dy.shape != shape:
        raise ShapeError(f"{who}{letter} is {tuple(dy.shape)} but forward returned {tuple(shape)}; give it that shape.")


def _is_floating(x: Array) -> bool:
    """Real floating numbers in the machine's own byte order."""
    return bool(namespace_of(x).isdtype(x.dtype, "real floating")) and not _has_foreign_byte_order(x)


def _dtype(a: Array) -> str:
    """The dtype as a message names it; for a foreign byte order, str() would give ">f8"."""
    return f"{a.dtype.name} of foreign byte order" if _has_foreign_byte_order(a) else dtype_name(a)


def _has_foreign_byte_order(a: Array) -> bool:
    return getattr(a.dtype, "byteorder", "=") in ("<", ">")


def rows(x: Array) -> Array:
    """x (..., D) as a matrix (N, D); a vector becomes one row."""
    return x if x.ndim == 2 else namespace_of(x).reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))


def like_rows(y: Array, x: Array) -> Array:
    """The matrix y (N, H) with the leading axes of x again: (..., H)."""
    return y if x.ndim == 2 else namespace_of(y).reshape(y, (*x.shape[:-1], y.shape[1]))


def check_matrix(who: str, W: Array) -> None:
    """ShapeError unless W has two axes."""
    if W.ndim != 2:
        raise ShapeError(f"{who}: W is {tuple(W.shape)}; give a matrix (inputs, outputs).")


def check_rows(who: str, x: Array, W: Array, letter: str = "W") -> None:
    """x must be (..., D) for W (D, H), in one library, on one device, of one dtype."""
    check_pair(who, "x", x, letter, W)
    if x.ndim == 0 or x.shape[-1] != W.shape[0]:
        raise ShapeError(f"{who}x is {tuple(x.shape)} but {letter} is {tuple(W.shape)}; x needs {W.shape[0]} columns.")


def check_broadcast(who: str, x: Array, y: Array) -> None:
    """x and y must be floating arrays of one library, device and dtype, whose shapes broadcast."""
    check_floating(who, "x", x)
    check_pair(who, "y", y, "x", x)
    if x.shape != y.shape and broadcast_shape(x.shape, y.shape) is None:
        raise ShapeError(
            f"{who}x is {tuple(x.shape)} and y is {tuple(y.shape)}; from the last axis on, lengths must be equal or 1."
        )


def broadcast_shape(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...] | None:
    """The shape of two arrays broadcast together; None if they do not broadcast."""
    if a == b:
        return a
    a, b = (1,) * (len(b) - len(a)) + tuple(a), (1,) * (len(a) - len(b)) + tuple(b)
    if any(m != n and 1 not in (m, n) for m, n in zip(a, b, strict=True)):
        return None
    return tuple(n if m == 1 else m for m, n in zip(a, b, strict=True))


def joint_shape(x: Array, y: Array) -> tuple[int, ...]:
    """The shape of what forward made of x and y; () before it was called."""
    return () if x is None else broadcast_shape(x.shape, y.shape) or ()


def axes_of(who: str, x: Array, axis: int | tuple[int, ...] | None) -> tuple[int, ...]:
    """The axes of x that ``axis`` names (None: all), counted from 0; ShapeError if x lacks one or one is twice."""
    axes = tuple(range(x.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    if any(not -x.ndim <= a < x.ndim for a in axes) or len({a % x.ndim for a in axes}) < len(axes):
        raise ShapeError(f"{who}x is {tuple(x.shape)} but axis is {axis}; name axes that x has, each once.")
    return tuple(a % x.ndim for a in axes)


def axis_option(who: str, axis: int | list[int] | tuple[int, ...] | None) -> int | tuple[int, ...] | None:
    """A node's option ``axis``: a number, a tuple of them, or None for all; ValueError for anything else."""
    if axis is None:
        return None
    if not all(is_whole(a) for a in (axis if isinstance(axis, list | tuple) else [axis])):
        raise ValueError(f"{who}: axis is {axis!r}; give a whole number, a tuple of them, or None.")
    return tuple(int(a) for a in axis) if isinstance(axis, list | tuple) else int(axis)


def is_whole(n: Any) -> bool:
    """Is it a whole number, of Python or of NumPy? True and False are not."""
    return isinstance(n, Integral) and not isinstance(n, bool)


def keepdims_shape(x: Array, axes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of x with length 1 along the axes."""
    return tuple(1 if i in axes else n for i, n in enumerate(x.shape))


def reduced_shape(x: Array, axes: tuple[int, ...], keepdims: bool) -> tuple[int, ...]:
    """The shape of x reduced over the axes."""
    return keepdims_shape(x, axes) if keepdims else tuple(n for i, n in enumerate(x.shape) if i not in axes)


def positive_option(who: str, n: int) -> int:
    """A node's option n, as an int, which a file can hold; ValueError unless it is a whole number from 1 up."""
    if not is_whole(n) or n < 1:
        raise ValueError(f"{who}: n is {n!r}; give a whole number from 1 up.")
    return int(n)
