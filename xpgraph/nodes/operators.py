"""Operators for formulas written as graphs: z = x - y, x / y, e^x, ln x, x^p, and the product of two wires."""

from __future__ import annotations

from numbers import Real
from typing import Any

from ..arrays.kernels import kernel
from ..arrays.libraries import Array
from ..errors import ShapeError
from .basic import matmul
from .checks import check_broadcast, check_floating, check_gradient, check_rows, joint_shape, like_rows, rows
from .node import Node
from .reductions import sum_to


@kernel
def subtract(xp: Any, x: Array, y: Array) -> Array:
    """z = x - y, broadcast."""
    return xp.subtract(x, y)


@kernel
def negative(xp: Any, x: Array) -> Array:
    """y = -x"""
    return xp.negative(x)


@kernel
def divide(xp: Any, x: Array, y: Array) -> Array:
    """z = x / y elementwise, broadcast."""
    return xp.divide(x, y)


@kernel
def divide_grad(xp: Any, dz: Array, x: Array, y: Array) -> Array:
    """-dz · x / y², in the shape of z; two divisions, as y² may be out of range where x / y is not."""
    return xp.negative(dz * (x / y / y))


@kernel
def exp(xp: Any, x: Array) -> Array:
    """y = e^x"""
    return xp.exp(x)


@kernel
def exp_grad(xp: Any, dy: Array, x: Array) -> Array:
    """dx = dy · e^x"""
    return dy * xp.exp(x)


@kernel
def log(xp: Any, x: Array) -> Array:
    """y = ln x"""
    return xp.log(x)


@kernel
def power(xp: Any, x: Array, p: float) -> Array:
    """y = x^p"""
    return x**p


@kernel
def power_grad(xp: Any, dy: Array, x: Array, p: float) -> Array:
    """dx = dy · p x^(p-1); 0 for p = 0, at x = 0 too."""
    return dy * (p * x ** (p - 1 if p else 0))


class Subtract(Node):
    """z = x - y        dx = dz, dy = -dz, each summed back to its input's shape.

    ``forward(x, y)``: shapes that broadcast, one floating dtype. Source: the chapter, eq. node-add, with -y.
    """

    saved = ("x", "y")
    capturable = True

    def forward(self, x: Array, y: Array) -> Array:
        check_broadcast("Subtract.forward: ", x, y)
        self.x, self.y = x, y
        return subtract(x, y)

    def backward(self, dz: Array) -> tuple[Array, Array]:
        x, y = self.x, self.y
        check_gradient("Subtract.backward: ", "dz", dz, x, joint_shape(x, y))
        return sum_to(dz, x.shape), negative(sum_to(dz, y.shape))


class Divide(Node):
    """z = x / y        dx = dz / y, dy = -dz · x / y², each summed back to its input's shape.

    ``forward(x, y)``: shapes that broadcast, one floating dtype. At y = 0, z and the gradients are what the library's
    division gives: infinite or NaN, and NumPy warns. Source: the quotient rule.
    """

    saved = ("x", "y")
    capturable = True

    def forward(self, x: Array, y: Array) -> Array:
        check_broadcast("Divide.forward: ", x, y)
        self.x, self.y = x, y
        return divide(x, y)

    def backward(self, dz: Array) -> tuple[Array, Array]:
        x, y = self.x, self.y
        check_gradient("Divide.backward: ", "dz", dz, x, joint_shape(x, y))
        return sum_to(divide(dz, y), x.shape), sum_to(divide_grad(dz, x, y), y.shape)


class Exp(Node):
    """y = e^x        dx = dy · e^x. Any shape; from x = 89 on (float32; 710 in float64), y is infinite."""

    saved = ("x",)
    capturable = True

    def forward(self, x: Array) -> Array:
        check_floating("Exp.forward: ", "x", x)
        self.x = x
        return exp(x)

    def backward(self, dy: Array) -> Array:
        check_gradient("Exp.backward: ", "dy", dy, self.x, getattr(self.x, "shape", ()))
        return exp_grad(dy, self.x)


class Log(Node):
    """y = ln x        dx = dy / x. Any shape; ln 0 is -∞ and that of a negative number NaN, and NumPy warns."""

    saved = ("x",)
    capturable = True

    def forward(self, x: Array) -> Array:
        check_floating("Log.forward: ", "x", x)
        self.x = x
        return log(x)

    def backward(self, dy: Array) -> Array:
        check_gradient("Log.backward: ", "dy", dy, self.x, getattr(self.x, "shape", ()))
        return divide(dy, self.x)


class Power(Node):
    """y = x^p        dx = dy · p x^(p-1). Any shape; p is a constant number.

    A negative x needs a whole p, else y is NaN; for p < 1, the gradient at x = 0 is infinite (for p = 0 it is 0).
    """

    options = ("p",)
    saved = ("x",)
    capturable = True

    def __init__(self, p: float) -> None:
        super().__init__()
        if isinstance(p, bool) or not isinstance(p, Real):
            raise ValueError(f"Power: p is {p!r}; give a number, such as Power(2).")
        self.p: int | float = int(p) if float(p).is_integer() else float(p)

    def forward(self, x: Array) -> Array:
        check_floating("Power.forward: ", "x", x)
        self.x = x
        return power(x, self.p)

    def backward(self, dy: Array) -> Array:
        check_gradient("Power.backward: ", "dy", dy, self.x, getattr(self.x, "shape", ()))
        return power_grad(dy, self.x, self.p)


class Dot(Node):
    """z = x y        dx = dz yᵀ, dy = xᵀ dz: MatMul of two wires, where neither is a layer's own weight.

    ``forward(x, y)``: (..., D), (D, H) -> (..., H). Source: the chapter, eq. node-matmul-back.
    """

    saved = ("x", "y")
    capturable = True

    def forward(self, x: Array, y: Array) -> Array:
        check_floating("Dot.forward: ", "y", y)
        if y.ndim != 2:
            raise ShapeError(f"Dot.forward: y is {tuple(y.shape)}; give a matrix.")
        check_rows("Dot.forward: ", x, y, "y")
        self.x, self.y = x, y
        return like_rows(matmul(rows(x), y), x)

    def backward(self, dz: Array) -> tuple[Array, Array]:
        x, y = self.x, self.y
        check_gradient("Dot.backward: ", "dz", dz, x, () if x is None else (*x.shape[:-1], y.shape[1]))
        dz2 = rows(dz)
        return like_rows(matmul(dz2, y.T), x), matmul(rows(x).T, dz2)
