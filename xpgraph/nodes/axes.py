"""Nodes that arrange elements along axes: transpose, reshape, concatenate and split, each into a new array."""

from __future__ import annotations

import math
from numbers import Integral
from typing import Any

from ..arrays.kernels import kernel
from ..arrays.libraries import Array
from ..errors import ShapeError
from .checks import (
    axes_of,
    check_floating,
    check_gradient,
    check_pair,
    is_whole,
    keepdims_shape,
    positive_option,
)
from .node import Node


@kernel
def permute(xp: Any, x: Array, axes: tuple[int, ...]) -> Array:
    """Axis i of y is axis axes[i] of x."""
    return xp.asarray(xp.permute_dims(x, axes), copy=True)


@kernel
def reshape(xp: Any, x: Array, shape: tuple[int, ...]) -> Array:
    """The elements of x in order, in another shape."""
    return xp.asarray(xp.reshape(x, shape), copy=True)


@kernel
def concat(xp: Any, xs: list[Array], axis: int) -> Array:
    """Arrays one after the other along an axis."""
    return xp.concat(xs, axis=axis)


@kernel
def split_at(xp: Any, x: Array, sizes: tuple[int, ...], axis: int) -> tuple[Array, ...]:
    """Slices of the given lengths along an axis."""
    pieces, start = [], 0
    for n in sizes:
        pieces.append(xp.asarray(x[(*(slice(None),) * axis, slice(start, start + n), ...)], copy=True))
        start = start + n
    return tuple(pieces)


class Transpose(Node):
    """y = xᵀ, or x with its axes in the order ``axes``        dx = dy with its axes in their old order.

    ``Transpose((1, 0, 2))``: axis i of y is axis axes[i] of x. Without axes, their order is reversed.
    """

    options = ("axes",)
    saved = ("x",)
    capturable = True

    def __init__(self, axes: tuple[int, ...] | None = None) -> None:
        super().__init__()
        self.axes = None if axes is None else _whole_numbers("Transpose", "axes", axes)

    def forward(self, x: Array) -> Array:
        check_floating("Transpose.forward: ", "x", x)
        axes = self._order(x)
        self.x = x
        return permute(x, axes)

    def backward(self, dy: Array) -> Array:
        axes = () if self.x is None else self._order(self.x)
        check_gradient("Transpose.backward: ", "dy", dy, self.x, tuple(self.x.shape[a] for a in axes))
        return permute(dy, tuple(sorted(range(len(axes)), key=axes.__getitem__)))

    def _order(self, x: Array) -> tuple[int, ...]:
        if self.axes is None:
            return tuple(range(x.ndim))[::-1]
        axes = axes_of("Transpose.forward: ", x, self.axes)
        if len(axes) != x.ndim:
            raise ShapeError(f"Transpose.forward: x is {tuple(x.shape)} but axes is {self.axes}; name every axis once.")
        return axes


class Reshape(Node):
    """y = x in another shape, the elements in order        dx = dy in the shape of x.

    ``Reshape((-1, 784))``: one length may be -1: it follows from the others.
    """

    options = ("shape",)
    saved = ("x", "y_shape")
    capturable = True

    def __init__(self, shape: int | tuple[int, ...]) -> None:
        super().__init__()
        self.shape = _whole_numbers("Reshape", "shape", (shape,) if isinstance(shape, Integral) else shape)
        if any(n < -1 for n in self.shape) or self.shape.count(-1) > 1:
            raise ValueError(f"Reshape: shape is {shape!r}; give lengths from 0 up, and -1 once at most.")

    def forward(self, x: Array) -> Array:
        check_floating("Reshape.forward: ", "x", x)
        size, given = math.prod(x.shape), math.prod(n for n in self.shape if n != -1)
        if (given == 0 or size % given) if -1 in self.shape else size != given:
            found = f"x is {tuple(x.shape)}, {size} elements, which do not fill {self.shape}"
            raise ShapeError(f"Reshape.forward: {found}; give a shape of as many.")
        self.x, self.y_shape = x, tuple(size // given if n == -1 else n for n in self.shape)
        return reshape(x, self.y_shape)

    def backward(self, dy: Array) -> Array:
        check_gradient("Reshape.backward: ", "dy", dy, self.x, self.y_shape or ())
        return reshape(dy, tuple(self.x.shape))


class Concat(Node):
    """y = x₁, x₂, ... one after the other along an axis        dx₁, dx₂, ... = the parts of dy.

    ``forward(x1, x2, ...)``: shapes that are equal except on that axis; ``backward(dy)`` returns one gradient each.
    """

    options = ("axis",)
    saved = ("xs",)
    capturable = True

    def __init__(self, axis: int = 0) -> None:
        super().__init__()
        self.axis = _whole_numbers("Concat", "axis", (axis,))[0]

    def forward(self, *xs: Array) -> Array:
        if not xs:
            raise ShapeError("Concat.forward: there are no arrays; give at least one.")
        check_floating("Concat.forward: ", "x1", xs[0])
        (axis,) = axes_of("Concat.forward: ", xs[0], self.axis)
        for i, x in enumerate(xs[1:], 2):
            check_pair("Concat.forward: ", f"x{i}", x, "x1", xs[0])
            if x.ndim != xs[0].ndim or keepdims_shape(x, (axis,)) != keepdims_shape(xs[0], (axis,)):
                found = f"x{i} is {tuple(x.shape)} and x1 is {tuple(xs[0].shape)}"
                raise ShapeError(f"Concat.forward: {found}; give shapes that are equal except on axis {axis}.")
        self.xs = xs
        return concat(list(xs), axis)

    def backward(self, dy: Array) -> Any:
        xs = self.xs
        x1 = None if xs is None else xs[0]
        axis = 0 if x1 is None else self.axis % x1.ndim
        sizes = () if xs is None else tuple(x.shape[axis] for x in xs)
        shape = () if x1 is None else (*x1.shape[:axis], sum(sizes), *x1.shape[axis + 1 :])
        check_gradient("Concat.backward: ", "dy", dy, x1, shape)
        dxs = split_at(dy, sizes, axis)
        return dxs if len(dxs) > 1 else dxs[0]


class Split(Node):
    """y₁, ..., yₙ = n equal parts of x along an axis        dx = dy₁, ..., dyₙ one after the other.

    ``forward(x)`` returns a tuple of n arrays; ``backward(dy1, ..., dyn)``.
    """

    options = ("n", "axis")
    saved = ("x",)
    capturable = True

    def __init__(self, n: int = 2, axis: int = 0) -> None:
        super().__init__()
        self.n, self.axis = positive_option("Split", n), _whole_numbers("Split", "axis", (axis,))[0]

    @property
    def n_outputs(self) -> int:  # type: ignore[override]
        return self.n

    def forward(self, x: Array) -> tuple[Array, ...]:
        check_floating("Split.forward: ", "x", x)
        (axis,) = axes_of("Split.forward: ", x, self.axis)
        if x.shape[axis] % self.n:
            raise ShapeError(
                f"Split.forward: x is {tuple(x.shape)} but n is {self.n}; axis {axis} needs a multiple of {self.n}."
            )
        self.x = x
        return split_at(x, (x.shape[axis] // self.n,) * self.n, axis)

    def backward(self, *dys: Array) -> Array:
        if len(dys) != self.n:
            raise ShapeError(f"Split.backward: {len(dys)} gradients came for n={self.n} parts; give one for each.")
        shape = getattr(self.x, "shape", ())
        axis = self.axis % max(1, len(shape))
        part = (*shape[:axis], shape[axis] // self.n, *shape[axis + 1 :]) if shape else ()
        for i, dy in enumerate(dys):
            check_gradient("Split.backward: ", f"dy{i + 1}", dy, self.x, part)
        return concat(list(dys), axis)


def _whole_numbers(who: str, name: str, numbers: Any) -> tuple[int, ...]:
    """A node's option of whole numbers, as a tuple of int; ValueError for anything else."""
    if not isinstance(numbers, tuple | list) or not all(is_whole(n) for n in numbers):
        raise ValueError(f"{who}: {name} is {numbers!r}; give whole numbers.")
    return tuple(int(n) for n in numbers)
