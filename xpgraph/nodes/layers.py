"""The chapter's layers: Affine, the activations and Softmax; the losses are in losses.py.

The activations' gradients are written in z = e^-|x|, not in y: y(1-y) is 0 in float32 as soon as y rounds to 1.
"""

from __future__ import annotations

from typing import Any

from ..arrays.kernels import kernel
from ..arrays.libraries import Array, namespace_of
from ..errors import ShapeError
from .basic import matmul
from .checks import check_floating, check_gradient, check_matrix, check_rows, like_rows, rows
from .node import Node
from .reductions import sum_to


@kernel
def affine(xp: Any, x: Array, W: Array, b: Array) -> Array:
    """y = x W + b: (N, D), (D, H), (H,) -> (N, H)."""
    return matmul(x, W) + b


@kernel
def affine_grad(xp: Any, x: Array, dy: Array, dW: Array, db: Array) -> None:
    """dW ← xᵀ dy, db ← Σ dy over the rows: (N, D), (N, H), (D, H), (H,)."""
    matmul(xp.matrix_transpose(x), dy, dW)
    sum_to(dy, db.shape, db)


@kernel
def sigmoid(xp: Any, x: Array) -> Array:
    """y = 1 / (1 + e^-x), without overflow for any x."""
    z = xp.exp(-xp.abs(x))
    return xp.where(x >= 0, xp.ones_like(z), z) / (1.0 + z)


@kernel
def sigmoid_grad(xp: Any, dy: Array, x: Array) -> Array:
    """dx = dy · z / (1 + z)², z = e^-|x|"""
    z = xp.exp(-xp.abs(x))
    s = 1.0 + z
    return dy * (z / (s * s))


@kernel
def relu(xp: Any, x: Array) -> Array:
    """y = max(x, 0); NaN stays NaN."""
    return xp.where(x <= 0, xp.zeros_like(x), x)


@kernel
def relu_grad(xp: Any, dy: Array, x: Array) -> Array:
    """dx = dy where x > 0, else 0."""
    return xp.where(x <= 0, xp.zeros_like(dy), dy)


@kernel
def tanh(xp: Any, x: Array) -> Array:
    """y = tanh x"""
    return xp.tanh(x)


@kernel
def tanh_grad(xp: Any, dy: Array, x: Array) -> Array:
    """dx = dy / cosh² x = dy · 4z / (1 + z)², z = e^-2|x|"""
    z = xp.exp(-2.0 * xp.abs(x))
    s = 1.0 + z
    return dy * (4.0 * z / (s * s))


@kernel
def stable_softmax(xp: Any, x: Array) -> Array:
    """y = e^x / Σ e^x over the last axis, shifted by the largest x."""
    e = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
    return e / xp.sum(e, axis=-1, keepdims=True)


@kernel
def softmax_grad(xp: Any, dy: Array, y: Array) -> Array:
    """dx = y · (dy - Σ dy · y)"""
    return y * (dy - xp.sum(dy * y, axis=-1, keepdims=True))


class Affine(Node):
    """y = x W + b        dx = dy Wᵀ, dW = xᵀ dy, db = Σ dy over the rows

    W is (D, H), b is (H,); ``forward(x)``: (..., D) -> (..., H). Source: the chapter, eq. affine-node.
    """

    names = ("W", "b")
    saved = ("x",)
    capturable = True

    def __init__(self, W: Array, b: Array) -> None:
        super().__init__(W, b)
        check_matrix("Affine", W)
        if b.shape != (W.shape[1],):
            raise ShapeError(f"Affine: W is {tuple(W.shape)} but b is {tuple(b.shape)}; b needs ({W.shape[1]},).")

    @property
    def W(self) -> Array:
        return self.params[0]

    @property
    def b(self) -> Array:
        return self.params[1]

    def forward(self, x: Array) -> Array:
        W, b = self.params
        check_rows("Affine.forward: ", x, W)
        self.x = x
        return like_rows(affine(rows(x), W, b), x)

    def backward(self, dy: Array, input_grad: bool = True) -> Array | None:
        (W, _), (dW, db), x = self.params, self.grads, self.x
        check_gradient("Affine.backward: ", "dy", dy, x, () if x is None else (*x.shape[:-1], W.shape[1]))
        dy2 = rows(dy)
        affine_grad(rows(x), dy2, dW, db)
        return like_rows(matmul(dy2, W.T), x) if input_grad else None


class Sigmoid(Node):
    """y = 1 / (1 + e^-x)        dx = dy · z / (1 + z)², z = e^-|x|   (= dy · y(1-y), right in float32 too)

    Any shape. Source: the chapter, eq. sigmoid-layer (where the minus sign and the 1 + are missing in print).
    """

    saved = ("x",)
    capturable = True

    def forward(self, x: Array) -> Array:
        check_floating("Sigmoid.forward: ", "x", x)
        self.x = x
        return sigmoid(x)

    def backward(self, dy: Array) -> Array:
        check_gradient("Sigmoid.backward: ", "dy", dy, self.x, getattr(self.x, "shape", ()))
        return sigmoid_grad(dy, self.x)


class ReLU(Node):
    """y = max(x, 0)        dx = dy where x > 0, else 0. Any shape.

    Source: Nair & Hinton, "Rectified linear units improve restricted Boltzmann machines", ICML 2010.
    """

    saved = ("x",)
    capturable = True

    def forward(self, x: Array) -> Array:
        check_floating("ReLU.forward: ", "x", x)
        self.x = x
        return relu(x)

    def backward(self, dy: Array) -> Array:
        check_gradient("ReLU.backward: ", "dy", dy, self.x, getattr(self.x, "shape", ()))
        return relu_grad(dy, self.x)


class Tanh(Node):
    """y = tanh x        dx = dy · 4z / (1 + z)², z = e^-2|x|   (= dy · (1 - y²), right in float32 too). Any shape."""

    saved = ("x",)
    capturable = True

    def forward(self, x: Array) -> Array:
        check_floating("Tanh.forward: ", "x", x)
        self.x = x
        return tanh(x)

    def backward(self, dy: Array) -> Array:
        check_gradient("Tanh.backward: ", "dy", dy, self.x, getattr(self.x, "shape", ()))
        return tanh_grad(dy, self.x)


class Softmax(Node):
    """y = e^x / Σ e^x        dx = y · (dy - Σ dy · y), both sums over the last axis. (..., C) -> (..., C)"""

    saved = ("y",)
    capturable = True

    def forward(self, x: Array) -> Array:
        y = softmax(x)
        self.y = namespace_of(y).asarray(y, copy=True)  # the caller owns y and may write into it
        return y

    def backward(self, dy: Array) -> Array:
        check_gradient("Softmax.backward: ", "dy", dy, self.y, getattr(self.y, "shape", ()))
        return softmax_grad(dy, self.y)


def softmax(x: Array) -> Array:
    """y = e^x / Σ e^x over the last axis; any rank, the shape and dtype of x, which stays as it is."""
    check_floating("softmax: ", "x", x)
    if x.ndim == 0 or x.shape[-1] == 0:
        raise ShapeError(f"softmax: x is {tuple(x.shape)}; it needs a last axis with at least one class.")
    return stable_softmax(x)
