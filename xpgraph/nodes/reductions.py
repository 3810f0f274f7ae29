"""Nodes that reduce axes: sum, largest element, mean; and the sums by which gradients undo a broadcast.

Sums of numbers narrower than float32 are made in float32: in float16, 2048 + 1 is 2048.
"""

from __future__ import annotations

import math
from typing import Any

from ..arrays.kernels import kernel, store
from ..arrays.libraries import Array, namespace_of
from ..errors import ShapeError
from .checks import axes_of, axis_option, check_floating, check_gradient, keepdims_shape, reduced_shape
from .node import Node


def widened(xp: Any, x: Array) -> Array:
    """x in float32 if its dtype is narrower, else x itself."""
    return xp.astype(x, xp.float32) if getattr(x.dtype, "itemsize", 4) < 4 else x


def summed(xp: Any, x: Array, axes: tuple[int, ...], keepdims: bool = False) -> Array:
    """Σ x over the axes, in x's dtype."""
    wide = widened(xp, x)
    y = xp.sum(wide, axis=axes, keepdims=keepdims)
    return y if wide is x else xp.astype(y, x.dtype)


@kernel
def sum_to(xp: Any, dz: Array, shape: tuple[int, ...], out: Array | None = None) -> Array:
    """Undo a broadcast: sum ``dz`` over the axes that ``shape`` lacks, or has with length 1. Always a new array."""
    extra = dz.ndim - len(shape)
    axes = tuple(range(extra)) + tuple(i + extra for i, n in enumerate(shape) if n == 1 and dz.shape[i + extra] != 1)
    if not axes:
        return xp.asarray(dz, copy=True) if out is None else store(dz, out)
    return store(xp.reshape(summed(xp, dz, axes), shape), out)


@kernel
def sum_over(xp: Any, x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    """y = Σ x over the axes."""
    return summed(xp, x, axes, keepdims)


@kernel
def spread(xp: Any, dy: Array, shape: tuple[int, ...]) -> Array:
    """Copy ``dy`` along each axis on which it has length 1 and ``shape`` is longer. Always a new array."""
    return xp.asarray(xp.broadcast_to(dy, shape), copy=True)


@kernel
def max_over(xp: Any, x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    """y = max x over the axes; NaN if there is one."""
    return xp.max(x, axis=axes, keepdims=keepdims) if axes else xp.asarray(x, copy=True)


@kernel
def max_grad(xp: Any, dy: Array, x: Array, axes: tuple[int, ...]) -> Array:
    """dx = dy / k at the k largest elements, else 0; NaN where the maximum is NaN. ``dy`` has the axes, of length 1."""
    is_largest = xp.astype(x == (xp.max(x, axis=axes, keepdims=True) if axes else x), x.dtype)
    k = xp.sum(is_largest, axis=axes, keepdims=True)
    return is_largest * (dy / xp.where(k == 0, xp.full_like(k, math.nan), k))


@kernel
def mean_over(xp: Any, x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    """y = Σ x / n over the n elements along the axes."""
    wide = widened(xp, x)
    y = xp.sum(wide, axis=axes, keepdims=keepdims) / math.prod(x.shape[a] for a in axes)
    return y if wide is x else xp.astype(y, x.dtype)


class Reduction(Node):
    """A node that reduces the axes ``axis``: an int, a tuple, or None for all.

    In y they have length 1; with ``keepdims=False`` they are gone.
    """

    options = ("axis", "keepdims")
    saved = ("x",)
    x: Any

    def __init__(self, axis: int | tuple[int, ...] | None = 0, keepdims: bool = True) -> None:
        super().__init__()
        self.axis, self.keepdims = axis_option(type(self).__name__, axis), bool(keepdims)

    def _checked(self, dy: Array) -> tuple[Array, tuple[int, ...]]:
        """The gradient of y with all axes of x, and the axes that were reduced; an error if it does not fit."""
        who, x = f"{type(self).__name__}.backward: ", self.x
        axes = () if x is None else axes_of(who, x, self.axis)
        check_gradient(who, "dy", dy, x, () if x is None else reduced_shape(x, axes, self.keepdims))
        return dy if self.keepdims else namespace_of(dy).reshape(dy, keepdims_shape(x, axes)), axes


class Sum(Reduction):
    """y = Σ x over ``axis``        dx = dy, copied along the summed axes.

    See Reduction for ``axis`` and ``keepdims``. Source: the chapter, "sum节点".
    """

    capturable = True

    def forward(self, x: Array) -> Array:
        check_floating("Sum.forward: ", "x", x)
        axes = axes_of("Sum.forward: ", x, self.axis)
        self.x = x
        return sum_over(x, axes, self.keepdims)

    def backward(self, dy: Array) -> Array:
        return spread(self._checked(dy)[0], self.x.shape)


class Max(Reduction):
    """y = max x over ``axis``        dx = dy at the largest element, else 0.

    Where k elements are largest, each gets dy / k: the middle of the possible slopes. See Reduction for ``axis``, which
    needs at least one element, and ``keepdims``.
    """

    capturable = True

    def forward(self, x: Array) -> Array:
        axes = _nonempty_axes("Max.forward: ", x, self.axis)
        self.x = x
        return max_over(x, axes, self.keepdims)

    def backward(self, dy: Array) -> Array:
        dy, axes = self._checked(dy)
        return max_grad(dy, self.x, axes)


class Mean(Reduction):
    """y = Σ x / n over ``axis``        dx = dy / n, copied along the axes.

    See Reduction for ``axis``, which needs at least one element, and ``keepdims``.
    """

    capturable = True

    def forward(self, x: Array) -> Array:
        axes = _nonempty_axes("Mean.forward: ", x, self.axis)
        self.x = x
        return mean_over(x, axes, self.keepdims)

    def backward(self, dy: Array) -> Array:
        (dy, axes), x = self._checked(dy), self.x
        wide = widened(namespace_of(x), dy)  # n may be too large for a float16
        each = wide / math.prod(x.shape[a] for a in axes)
        return spread(each if wide is dy else namespace_of(x).astype(each, x.dtype), x.shape)


def _nonempty_axes(who: str, x: Array, axis: int | tuple[int, ...] | None) -> tuple[int, ...]:
    """The axes of x that ``axis`` names; ShapeError where one has no element."""
    check_floating(who, "x", x)
    axes = axes_of(who, x, axis)
    if any(x.shape[a] == 0 for a in axes):
        raise ShapeError(f"{who}x is {tuple(x.shape)}; over axis {axis} it needs at least one element.")
    return axes
