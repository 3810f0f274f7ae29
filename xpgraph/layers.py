"""Floor 3: the chapter's layers: Affine, the activations, Softmax, and softmax with cross-entropy loss.

The activations' gradients are written in z = e^-|x|, not in y: y(1-y) is 0 in float32 as soon as y rounds to 1.
"""

from __future__ import annotations

import math
from typing import Any

from .errors import DTypeError, LibraryError, ShapeError
from .kernel import kernel
from .namespace import Array, dtype_name, home, is_array, namespace_of, on_host, place_of, together
from .node import Node, check_floating, check_gradient, check_pair
from .nodes import check_matrix, check_rows, like_rows, matmul, rows, sum_to


@kernel
def affine(xp: Any, x: Array, W: Array, b: Array) -> Array:
    """y = x W + b: (N, D), (D, H), (H,) -> (N, H)."""
    return matmul(x, W) + b


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


@kernel
def softmax_cross_entropy(xp: Any, x: Array, t: Array) -> tuple[Array, Array]:
    """loss = mean over rows of log Σ e^x - x_t, and y = softmax(x).

    x (..., C); t holds class indices (...) or probabilities (..., C). An index outside 0..C-1 gives a NaN loss.
    """
    z = x - xp.max(x, axis=-1, keepdims=True)
    e = xp.exp(z)
    s = xp.sum(e, axis=-1, keepdims=True)
    return xp.mean(_pick(xp, xp.log(s) - z, t)), e / s


@kernel
def softmax_cross_entropy_grad(xp: Any, y: Array, t: Array, dout: Array | float) -> Array:
    """dx = (y - onehot t) · dout / N, or (y Σt - t) · dout / N for probabilities t."""
    n = math.prod(y.shape[:-1])
    if t.ndim == y.ndim:
        return (y * xp.sum(t, axis=-1, keepdims=True) - t) * (dout / n)
    classes = xp.arange(y.shape[-1], dtype=t.dtype, device=t.device)
    return (y - xp.astype(xp.expand_dims(t, axis=-1) == classes, y.dtype)) * (dout / n)


@kernel
def cross_entropy(xp: Any, y: Array, t: Array, eps: float | None) -> Array:
    """loss = -mean over rows of log max(y_t, smallest normal number), or of log(y_t + eps)."""
    if eps is None:
        tiny = float(xp.finfo(y.dtype).smallest_normal)
        return xp.mean(_pick(xp, -xp.log(xp.where(y < tiny, xp.full_like(y, tiny), y)), t))
    return xp.mean(_pick(xp, -xp.log(y + eps), t))


def _pick(xp: Any, a: Array, t: Array) -> Array:
    """a_t of each row: a (..., C) -> (...); for probabilities t, Σ t · a where t is not 0 (so that 0 · ∞ is 0)."""
    if t.ndim == a.ndim:
        return xp.sum(t * xp.where(t == 0, xp.zeros_like(a), a), axis=-1)
    inside = (t >= 0) & (t < a.shape[-1])
    i = xp.where(inside, t, xp.zeros_like(t))
    picked = xp.take_along_axis(a, xp.expand_dims(i, axis=-1), axis=-1)[..., 0]
    return xp.where(inside, picked, xp.full_like(picked, math.nan))


class Affine(Node):
    """y = x W + b        dx = dy Wᵀ, dW = xᵀ dy, db = Σ dy over the rows

    W is (D, H), b is (H,); ``forward(x)``: (..., D) -> (..., H). Source: the chapter, eq. affine-node.
    """

    capturable = True
    names = ("W", "b")
    saved = ("x",)

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
        (W, b), (dW, db), x = self.params, self.grads, self.x
        check_gradient("Affine.backward: ", "dy", dy, x, () if x is None else (*x.shape[:-1], W.shape[1]))
        dy2 = rows(dy)
        matmul(rows(x).T, dy2, dW)
        sum_to(dy2, b.shape, db)
        return like_rows(matmul(dy2, W.T), x) if input_grad else None


class Sigmoid(Node):
    """y = 1 / (1 + e^-x)        dx = dy · z / (1 + z)², z = e^-|x|   (= dy · y(1-y), right in float32 too)

    Any shape. Source: the chapter, eq. sigmoid-layer (where the minus sign and the 1 + are missing in print).
    """

    capturable = True
    saved = ("x",)

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

    capturable = True
    saved = ("x",)

    def forward(self, x: Array) -> Array:
        check_floating("ReLU.forward: ", "x", x)
        self.x = x
        return relu(x)

    def backward(self, dy: Array) -> Array:
        check_gradient("ReLU.backward: ", "dy", dy, self.x, getattr(self.x, "shape", ()))
        return relu_grad(dy, self.x)


class Tanh(Node):
    """y = tanh x        dx = dy · 4z / (1 + z)², z = e^-2|x|   (= dy · (1 - y²), right in float32 too). Any shape."""

    capturable = True
    saved = ("x",)

    def forward(self, x: Array) -> Array:
        check_floating("Tanh.forward: ", "x", x)
        self.x = x
        return tanh(x)

    def backward(self, dy: Array) -> Array:
        check_gradient("Tanh.backward: ", "dy", dy, self.x, getattr(self.x, "shape", ()))
        return tanh_grad(dy, self.x)


class Softmax(Node):
    """y = e^x / Σ e^x        dx = y · (dy - Σ dy · y), both sums over the last axis. (..., C) -> (..., C)"""

    capturable = True
    saved = ("y",)

    def forward(self, x: Array) -> Array:
        y = softmax(x)
        self.y = namespace_of(y).asarray(y, copy=True)  # the caller owns y and may write into it
        return y

    def backward(self, dy: Array) -> Array:
        check_gradient("Softmax.backward: ", "dy", dy, self.y, getattr(self.y, "shape", ()))
        return softmax_grad(dy, self.y)


class SoftmaxWithLoss(Node):
    """loss = mean over rows of log Σ e^x - x_t        dx = (softmax(x) - onehot t) · dout / N

    ``forward(x, t)``: scores x (..., C), a single row (C,) too; t holds class indices (...), or probabilities
    (..., C), one-hot or soft. Returns the 0-d mean loss and keeps the probabilities in ``.y``;
    ``backward(dout=1)`` returns dx. The loss is exact for any scores: no epsilon, no cap (compare the chapter's
    log(y + 1e-7)). Raises ShapeError and DTypeError for labels of another form, ValueError for an index outside
    0..C-1 (on a GPU, where looking would stop the device, such an index makes the loss NaN).
    """

    capturable = True
    saved = ("y", "t")

    def forward(self, x: Array, t: Array) -> Array:
        check_floating("SoftmaxWithLoss.forward: ", "x", x)
        t = as_labels("SoftmaxWithLoss.forward: ", x, t)
        loss, self.y = softmax_cross_entropy(x, t)
        self.t = t
        if on_host(loss) and math.isnan(loss):
            check_range("SoftmaxWithLoss.forward: ", t, x.shape[-1])
        return loss

    def backward(self, dout: Array | float = 1) -> Array:
        check_gradient("SoftmaxWithLoss.backward: ", "y", self.y, self.y, getattr(self.y, "shape", ()))
        if is_array(dout):
            check_pair("SoftmaxWithLoss.backward: ", "dout", dout, "x", self.y)
        return softmax_cross_entropy_grad(self.y, self.t, dout if is_array(dout) else float(dout))


def softmax(x: Array) -> Array:
    """y = e^x / Σ e^x over the last axis; any rank, the shape and dtype of x, which stays as it is."""
    check_floating("softmax: ", "x", x)
    if x.ndim == 0 or x.shape[-1] == 0:
        raise ShapeError(f"softmax: x is {tuple(x.shape)}; it needs a last axis with at least one class.")
    return stable_softmax(x)


def cross_entropy_loss(y: Array, t: Array, eps: float | None = None) -> Array:
    """loss = -mean over rows of log max(y_t, the smallest normal number of the dtype); 0-d.

    y (..., C) are probabilities; t holds class indices (...) or probabilities (..., C). ``eps=1e-7`` gives the
    chapter's -mean log(y_t + eps), which is capped at 16.1. From scores, use SoftmaxWithLoss: it is exact.
    """
    check_floating("cross_entropy_loss: ", "y", y)
    if y.ndim == 0:
        raise ShapeError(
            "cross_entropy_loss: y is 0-d, a loss and not probabilities (SoftmaxWithLoss.forward returns the loss); "
            "the probabilities are in its .y: cross_entropy_loss(layer.y, t)."
        )
    t = as_labels("cross_entropy_loss: ", y, t)
    loss = cross_entropy(y, t, None if eps is None else float(eps))
    if on_host(loss) and math.isnan(loss):
        check_range("cross_entropy_loss: ", t, y.shape[-1])
    return loss


def as_labels(who: str, x: Array, t: Any) -> Array:
    """Labels as a kernel takes them: int64 indices (...) or probabilities (..., C) of x's dtype; refused otherwise."""
    if isinstance(t, int) and x.ndim == 1:
        t = place_of(x).asarray(t, "int64")
    if not hasattr(t, "dtype"):
        raise DTypeError(f"{who}t is a {type(t).__name__}; make it an array of class indices or of probabilities.")
    if not together(t, x):
        raise LibraryError(
            f"{who}t is a {home(t)} array, x lives in {home(x)}; make t with the same library: xp.asarray(t)."
        )
    xp = namespace_of(x)
    classes, rows_ = x.shape[-1] if x.ndim else 0, x.shape[:-1]
    if 0 in x.shape or x.ndim == 0:
        raise ShapeError(f"{who}x is {tuple(x.shape)}; it needs at least one row and one class.")
    integral = xp.isdtype(t.dtype, "integral")
    if t.shape == x.shape and (integral or xp.isdtype(t.dtype, "real floating")):
        return t if t.dtype == x.dtype else xp.astype(t, x.dtype)
    if integral and (t.shape == rows_ or (x.ndim == 1 and t.shape == (1,))):
        return xp.reshape(t if t.dtype == xp.int64 else xp.astype(t, xp.int64), rows_)
    if t.shape == rows_:
        raise DTypeError(f"{who}t is {dtype_name(t)}; class indices are integers: xp.astype(t, xp.int64).")
    raise ShapeError(
        f"{who}t is {tuple(t.shape)} for x {tuple(x.shape)}; give class indices {tuple(rows_)} "
        f"or probabilities {tuple(x.shape)}"
        + (": xp.reshape(t, (-1,))." if t.shape == (*rows_, 1) else f", C={classes}.")
    )


def check_range(who: str, t: Array, classes: int) -> None:
    """ValueError if indices t leave 0..classes-1, with the first that does. Reads from the device."""
    xp = namespace_of(t)
    if xp.isdtype(t.dtype, "integral"):
        flat = xp.reshape(t, (-1,))
        outside = (flat < 0) | (flat >= classes)
        if bool(xp.any(outside)):  # sync
            first = int(xp.argmax(xp.astype(outside, xp.int8)))  # sync
            raise ValueError(
                f"{who}t[{first}] is {int(flat[first])} but there are {classes} classes; "  # sync
                f"indices run from 0 to {classes - 1}."
            )
