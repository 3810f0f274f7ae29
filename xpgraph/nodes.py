"""Floor 3: the chapter's nodes. z = x + y, z = x · y, branch, repeat, sum and matrix product, with their gradients.

Each is a kernel pair and a class. ``dx`` stands for ∂L/∂x; arrays have any rank unless a shape is given.
"""

from __future__ import annotations

import math
from numbers import Integral
from typing import Any

from .errors import ShapeError
from .kernel import kernel, store
from .namespace import Array, namespace_of
from .node import Node, check_floating, check_gradient, check_pair, namespace_copy


@kernel
def add(xp: Any, x: Array, y: Array) -> Array:
    """z = x + y, broadcast."""
    return xp.add(x, y)


@kernel
def accumulate(xp: Any, total: Array, term: Array) -> None:
    """total ← total + term, in place; equal shapes."""
    total += term


@kernel
def multiply(xp: Any, x: Array, y: Array) -> Array:
    """z = x · y elementwise, broadcast."""
    return xp.multiply(x, y)


@kernel
def sum_to(xp: Any, dz: Array, shape: tuple[int, ...], out: Array | None = None) -> Array:
    """Undo a broadcast: sum ``dz`` over the axes that ``shape`` had not, or had as length 1. Always a new array."""
    extra = dz.ndim - len(shape)
    axes = tuple(range(extra)) + tuple(i + extra for i, n in enumerate(shape) if n == 1 and dz.shape[i + extra] != 1)
    if not axes:
        return xp.asarray(dz, copy=True) if out is None else store(dz, out)
    return store(xp.reshape(xp.sum(dz, axis=axes), shape), out)


@kernel
def repeat(xp: Any, x: Array, n: int, axis: int) -> Array:
    """Each element n times in a row along an axis."""
    return xp.repeat(x, n, axis=axis)


@kernel
def repeat_grad(xp: Any, dy: Array, n: int, axis: int) -> Array:
    """The sum of each run of n along an axis."""
    runs = (*dy.shape[:axis], dy.shape[axis] // n, n, *dy.shape[axis + 1 :])
    return xp.sum(xp.reshape(dy, runs), axis=axis + 1)


@kernel
def sum_over(xp: Any, x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    """y = Σ x over the axes."""
    return xp.sum(x, axis=axes, keepdims=keepdims)


@kernel
def spread(xp: Any, dy: Array, shape: tuple[int, ...]) -> Array:
    """Copy ``dy`` along every axis on which it has length 1 and ``shape`` has not. Always a new array."""
    return xp.asarray(xp.broadcast_to(dy, shape), copy=True)


@kernel
def matmul(xp: Any, a: Array, b: Array, out: Array | None = None) -> Array:
    """The product of two matrices, (m, k) @ (k, n) -> (m, n). Every product of the library goes through here."""
    return store(xp.matmul(a, b), out)


class Add(Node):
    """z = x + y        dx = dz, dy = dz, each summed back to its input's shape.

    ``forward(x, y)``: shapes that broadcast, one floating dtype. Source: the chapter, eq. node-add.
    """

    saved = ("x", "y")
    capturable = True

    def forward(self, x: Array, y: Array) -> Array:
        _check_broadcast("Add.forward: ", x, y)
        self.x, self.y = x, y
        return add(x, y)

    def backward(self, dz: Array) -> tuple[Array, Array]:
        x, y = self.x, self.y
        check_gradient("Add.backward: ", "dz", dz, x, _joint(x, y))
        return sum_to(dz, x.shape), sum_to(dz, y.shape)


class Multiply(Node):
    """z = x · y        dx = dz · y, dy = dz · x, each summed back to its input's shape.

    ``forward(x, y)``: shapes that broadcast, one floating dtype. Source: the chapter, eq. node-mult-back-x, -y.
    """

    saved = ("x", "y")
    capturable = True

    def forward(self, x: Array, y: Array) -> Array:
        _check_broadcast("Multiply.forward: ", x, y)
        self.x, self.y = x, y
        return multiply(x, y)

    def backward(self, dz: Array) -> tuple[Array, Array]:
        x, y = self.x, self.y
        check_gradient("Multiply.backward: ", "dz", dz, x, _joint(x, y))
        return sum_to(multiply(dz, y), x.shape), sum_to(multiply(dz, x), y.shape)


class Branch(Node):
    """y₁ = ... = yₙ = x        dx = Σ dyᵢ

    ``forward(x)`` returns a tuple of n copies; ``backward(dy1, ..., dyn)``. Source: the chapter, "分支节点".
    """

    options = ("n",)
    saved = ("x",)
    capturable = True

    def __init__(self, n: int = 2) -> None:
        super().__init__()
        self.n = _count("Branch", n)

    def forward(self, x: Array) -> tuple[Array, ...]:
        check_floating("Branch.forward: ", "x", x)
        self.x = x
        return tuple(namespace_copy(x) for _ in range(self.n))

    def backward(self, *dys: Array) -> Array:
        if len(dys) != self.n:
            raise ShapeError(f"Branch.backward: {len(dys)} gradients came for n={self.n} branches; give one for each.")
        for i, dy in enumerate(dys):
            check_gradient("Branch.backward: ", f"dy{i + 1}", dy, self.x, getattr(self.x, "shape", ()))
        dx = namespace_copy(dys[0])
        for dy in dys[1:]:
            dx = add(dx, dy)
        return dx


class Repeat(Node):
    """y = each slice of x n times in a row along an axis (``numpy.repeat``)        dx = the sum of each run of n dy.

    ``forward(x)``: (..., D, ...) -> (..., n·D, ...). Source: the chapter, "重复节点".
    """

    options = ("n", "axis")
    saved = ("x",)
    capturable = True

    def __init__(self, n: int, axis: int = 0) -> None:
        super().__init__()
        if isinstance(axis, bool) or not isinstance(axis, int):
            raise ValueError(f"Repeat: axis is {axis!r}; give the number of one axis.")
        self.n, self.axis = _count("Repeat", n), axis

    def forward(self, x: Array) -> Array:
        check_floating("Repeat.forward: ", "x", x)
        axis = _axes("Repeat.forward: ", x, self.axis)[0]
        self.x = x
        return repeat(x, self.n, axis)

    def backward(self, dy: Array) -> Array:
        shape = list(getattr(self.x, "shape", ()))
        if self.x is not None:
            shape[self.axis] *= self.n
        check_gradient("Repeat.backward: ", "dy", dy, self.x, tuple(shape))
        return repeat_grad(dy, self.n, self.axis % len(shape))


class Sum(Node):
    """y = Σ x over ``axis`` (an int, a tuple, or None for all)        dx = dy, copied along the summed axes.

    ``forward(x)`` keeps the summed axes as length 1 unless ``keepdims=False``. Source: the chapter, "sum节点".
    """

    options = ("axis", "keepdims")
    saved = ("x",)
    capturable = True

    def __init__(self, axis: int | tuple[int, ...] | None = 0, keepdims: bool = True) -> None:
        super().__init__()
        self.axis, self.keepdims = tuple(axis) if isinstance(axis, list) else axis, bool(keepdims)
        if not all(isinstance(a, Integral) for a in (self.axis if isinstance(self.axis, tuple) else [self.axis or 0])):
            raise ValueError(f"Sum: axis is {axis!r}; give a whole number, a tuple of them, or None.")

    def forward(self, x: Array) -> Array:
        check_floating("Sum.forward: ", "x", x)
        axes = _axes("Sum.forward: ", x, self.axis)
        self.x = x
        return sum_over(x, axes, self.keepdims)

    def backward(self, dy: Array) -> Array:
        x = self.x
        axes = () if x is None else _axes("Sum.backward: ", x, self.axis)
        kept = () if x is None else tuple(1 if i in axes else n for i, n in enumerate(x.shape))
        shape = kept if self.keepdims else tuple(n for i, n in enumerate(getattr(x, "shape", ())) if i not in axes)
        check_gradient("Sum.backward: ", "dy", dy, x, shape)
        return spread(dy if self.keepdims else namespace_of(dy).reshape(dy, kept), x.shape)


class MatMul(Node):
    """y = x W        dx = dy Wᵀ, dW = xᵀ dy

    W is (D, H); ``forward(x)``: (..., D) -> (..., H). Source: the chapter, eq. node-matmul-back.
    """

    names = ("W",)
    saved = ("x",)
    capturable = True

    def __init__(self, W: Array) -> None:
        super().__init__(W)
        check_matrix("MatMul", W)

    @property
    def W(self) -> Array:
        return self.params[0]

    def forward(self, x: Array) -> Array:
        check_rows("MatMul.forward: ", x, self.params[0])
        self.x = x
        return like_rows(matmul(rows(x), self.params[0]), x)

    def backward(self, dy: Array, input_grad: bool = True) -> Array | None:
        (W,), (dW,), x = self.params, self.grads, self.x
        check_gradient("MatMul.backward: ", "dy", dy, x, () if x is None else (*x.shape[:-1], W.shape[1]))
        dy2 = rows(dy)
        matmul(rows(x).T, dy2, dW)
        return like_rows(matmul(dy2, W.T), x) if input_grad else None


# --- what the nodes share -------------------------------------------------------------------------------------


def rows(x: Array) -> Array:
    """(..., D) seen as a matrix (N, D); a vector is one row."""
    return x if x.ndim == 2 else namespace_of(x).reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))


def like_rows(y: Array, x: Array) -> Array:
    """A matrix (N, H) given back the leading axes of x."""
    return y if x.ndim == 2 else namespace_of(y).reshape(y, (*x.shape[:-1], y.shape[1]))


def check_matrix(who: str, W: Array) -> None:
    """ShapeError unless W has two axes."""
    if W.ndim != 2:
        raise ShapeError(f"{who}: W is {tuple(W.shape)}; give a matrix (inputs, outputs).")


def check_rows(who: str, x: Array, W: Array) -> None:
    """x must be (..., D) for W (D, H), in the same library, on the same device, of the same dtype."""
    check_pair(who, "x", x, "W", W)
    if x.ndim == 0 or x.shape[-1] != W.shape[0]:
        raise ShapeError(f"{who}x is {tuple(x.shape)} but W is {tuple(W.shape)}; x needs {W.shape[0]} columns.")


def _check_broadcast(who: str, x: Array, y: Array) -> None:
    check_floating(who, "x", x)
    check_pair(who, "y", y, "x", x)
    if x.shape != y.shape and _broadcast(x.shape, y.shape) is None:
        raise ShapeError(
            f"{who}x is {tuple(x.shape)} and y is {tuple(y.shape)}; from the last axis on, lengths must be equal or 1."
        )


def _broadcast(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...] | None:
    if a == b:
        return a
    a, b = (1,) * (len(b) - len(a)) + tuple(a), (1,) * (len(a) - len(b)) + tuple(b)
    if any(m != n and 1 not in (m, n) for m, n in zip(a, b, strict=True)):
        return None
    return tuple(n if m == 1 else m for m, n in zip(a, b, strict=True))


def _joint(x: Array, y: Array) -> tuple[int, ...]:
    """The shape that forward returned; () before it was called."""
    return () if x is None else _broadcast(x.shape, y.shape) or ()


def _axes(who: str, x: Array, axis: int | tuple[int, ...] | None) -> tuple[int, ...]:
    axes = tuple(range(x.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    if any(not -x.ndim <= a < x.ndim for a in axes) or len({a % x.ndim for a in axes}) < len(axes):
        raise ShapeError(f"{who}x is {tuple(x.shape)} but axis is {axis}; name axes that x has, each once.")
    return tuple(a % x.ndim for a in axes)


def _count(who: str, n: int) -> int:
    if isinstance(n, bool) or not isinstance(n, Integral) or n < 1:
        raise ValueError(f"{who}: n is {n!r}; give a whole number from 1 up.")
    return int(n)
