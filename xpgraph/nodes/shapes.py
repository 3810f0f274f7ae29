"""What nodes ask of shapes and axes: rows of a matrix, broadcasting, options that name axes; and the errors."""

from __future__ import annotations

import math
from numbers import Integral
from typing import Any

from ..arrays.libraries import Array, namespace_of
from ..errors import ShapeError
from .checks import check_floating, check_pair


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
