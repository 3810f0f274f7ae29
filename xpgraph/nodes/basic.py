"""The chapter's nodes: z = x + y, z = x · y, branch, repeat and matrix product (Sum is in reductions.py).

Each is a pair of kernels, forward and backward, and a class. ``dx`` stands for ∂L/∂x; arrays have any rank unless a
shape is given.
"""

from __future__ import annotations

from typing import Any

from ..arrays.kernels import kernel, store
from ..arrays.libraries import Array, namespace_of
from ..errors import ShapeError
from .checks import (
    axes_of,
    check_broadcast,
    check_floating,
    check_gradient,
    check_matrix,
    check_rows,
    is_whole,
    joint_shape,
    like_rows,
    positive_option,
    rows,
)
from .copying import namespace_copy
from .node import Node
from .reductions import spread, sum_over, sum_to, summed
from .wires import Wire


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
def repeat(xp: Any, x: Array, n: int, axis: int) -> Array:
    """Each element n times in a row along an axis."""
    return xp.repeat(x, n, axis=axis)


@kernel
def repeat_grad(xp: Any, dy: Array, n: int, axis: int) -> Array:
    """The sum of each run of n along an axis."""
    runs = (*dy.shape[:axis], dy.shape[axis] // n, n, *dy.shape[axis + 1 :])
    return summed(xp, xp.reshape(dy, runs), (axis + 1,))


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
        check_broadcast("Add.forward: ", x, y)
        self.x, self.y = x, y
        return add(x, y)

    def backward(self, dz: Array) -> tuple[Array, Array]:
        x, y = self.x, self.y
        check_gradient("Add.backward: ", "dz", dz, x, joint_shape(x, y))
        return sum_to(dz, x.shape), sum_to(dz, y.shape)


class Multiply(Node):
    """z = x · y        dx = dz · y, dy = dz · x, each summed back to its input's shape.

    ``forward(x, y)``: shapes that broadcast, one floating dtype. Source: the chapter, eq. node-mult-back-x, -y.
    """

    saved = ("x", "y")
    capturable = True

    def forward(self, x: Array, y: Array) -> Array:
        check_broadcast("Multiply.forward: ", x, y)
        self.x, self.y = x, y
        return multiply(x, y)

    def backward(self, dz: Array) -> tuple[Array, Array]:
        x, y = self.x, self.y
        check_gradient("Multiply.backward: ", "dz", dz, x, joint_shape(x, y))
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
        self.n = positive_option("Branch", n)

    @property
    def n_outputs(self) -> int:  # type: ignore[override]
        return self.n

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

    ``Repeat(like=h)`` is for graphs: when the graph runs, n follows from the wire h, so that y is as long as h on the
    axis; axes that x lacks are inserted there: for h (N, H), b (H,) -> (N, H). It is ``Repeat(None)`` called on the
    wires (b, h); ``backward`` returns the gradient of b alone.
    """

    options = ("n", "axis")
    saved = ("x", "shape", "_like")
    capturable = True

    def __init__(self, n: int | None = None, axis: int = 0, *, like: Wire | None = None) -> None:
        super().__init__()
        if not is_whole(axis):
            raise ValueError(f"Repeat: axis is {axis!r}; give the number of one axis.")
        if like is not None and (n is not None or not isinstance(like, Wire)):
            raise TypeError(f"Repeat: n is {n!r} and like is {like!r}; give a number n, or like=, a wire as long as y.")
        self.n, self.axis, self._like = None if n is None else positive_option("Repeat", n), int(axis), like

    def __call__(self, *wires: Any) -> Any:
        return super().__call__(*wires, *([self._like] if self._like is not None and len(wires) == 1 else []))

    def forward(self, x: Array, like: Array | None = None) -> Array:
        check_floating("Repeat.forward: ", "x", x)
        if (like is None) == (self.n is None):
            raise TypeError(f"Repeat.forward: n is {self.n}; give x alone for a number n, and (x, like) for None.")
        self.x, self.shape = x, self._shape_like(x, like) if self.n is None else self._shape(x, self.n)
        new = self._new_axes()
        if new:
            ones = tuple(1 if i in new else n for i, n in enumerate(self.shape))
            return spread(namespace_of(x).reshape(x, ones), self.shape)
        return repeat(x, self._times(), self.axis % x.ndim)

    def backward(self, dy: Array) -> Array:
        check_gradient("Repeat.backward: ", "dy", dy, self.x, self.shape or ())
        new = self._new_axes()
        if not new and not self._times():  # like has length 0
            return namespace_of(dy).zeros_like(self.x)
        return sum_over(dy, new, False) if new else repeat_grad(dy, self._times(), self.axis % dy.ndim)

    def _shape(self, x: Array, n: int) -> tuple[int, ...]:
        (axis,) = axes_of("Repeat.forward: ", x, self.axis)
        return (*x.shape[:axis], x.shape[axis] * n, *x.shape[axis + 1 :])

    def _shape_like(self, x: Array, other: Any) -> tuple[int, ...]:
        like = tuple(other.shape)
        if -len(like) <= self.axis < len(like):
            at, more = self.axis % len(like), len(like) - x.ndim
            if more > 0 and at <= x.ndim:
                return (*x.shape[:at], *like[at : at + more], *x.shape[at:])
            if more == 0 and x.shape[at] and like[at] % x.shape[at] == 0:
                return (*x.shape[:at], like[at], *x.shape[at + 1 :])
        raise ShapeError(
            f"Repeat.forward: x is {tuple(x.shape)} and like is {like}; along axis {self.axis}, like needs more axes "
            "than x, or a multiple of its length."
        )

    def _new_axes(self) -> tuple[int, ...]:
        """The axes of y that x lacks."""
        at = self.axis % len(self.shape)
        return tuple(range(at, at + len(self.shape) - self.x.ndim))

    def _times(self) -> int:
        return self.n or self.shape[self.axis] // self.x.shape[self.axis]


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
