"""Cross-entropy: of softmax from scores (SoftmaxWithLoss), and from probabilities (cross_entropy_loss)."""

from __future__ import annotations

import math
from typing import Any

from ..arrays.kernels import kernel
from ..arrays.libraries import (
    Array,
    as_array,
    dtype_name,
    is_array,
    is_known,
    namespace_of,
    on_host,
    place_of,
    to_numpy,
    together,
)
from ..errors import DTypeError, ShapeError
from .checks import check_floating, check_gradient, library_error
from .node import Node


@kernel
def softmax_cross_entropy(xp: Any, x: Array, t: Array) -> tuple[Array, Array, Array]:
    """loss = mean over rows of log Σ e^x - x_t, y = softmax(x), and dx = (y - onehot t) / N: one pass over x.

    x (..., C); t holds class indices (...) or probabilities (..., C). An index outside 0..C-1 gives a NaN loss.
    """
    z = x - xp.max(x, axis=-1, keepdims=True)
    e = xp.exp(z)
    s = xp.sum(e, axis=-1, keepdims=True)
    y = e / s
    return xp.mean(_pick(xp, xp.log(s) - z, t)), y, softmax_cross_entropy_grad(y, t, 1.0)


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
    """a_t of each row: a (..., C) -> (...); for probabilities t, Σ t · a over t that are not 0 (so that 0 · ∞ is 0)."""
    if t.ndim == a.ndim:
        return xp.sum(t * xp.where(t == 0, xp.zeros_like(a), a), axis=-1)
    inside = (t >= 0) & (t < a.shape[-1])
    i = xp.where(inside, t, xp.zeros_like(t))
    picked = xp.take_along_axis(a, xp.expand_dims(i, axis=-1), axis=-1)[..., 0]
    return xp.where(inside, picked, xp.full_like(picked, math.nan))


class SoftmaxWithLoss(Node):
    """loss = mean over rows of log Σ e^x - x_t        dx = (softmax(x) - onehot t) · dout / N

    ``forward(x, t)``: scores x (..., C), a single row (C,) too; t holds class indices (...), or probabilities
    (..., C), one-hot or soft; a row whose sum is not 1 is weighted by it. Returns the 0-d mean loss and stores the
    probabilities in ``.y``; ``backward(dout=1)`` returns dx. The loss is exact for any scores: no epsilon, no cap
    (compare the chapter's log(y + 1e-7)). Raises ShapeError and DTypeError for labels of another form, ValueError for
    an index outside 0..C-1 (on a GPU, where the check would stop the device, such an index makes the loss NaN).
    """

    saved = ("y", "t", "dx")
    capturable = True
    is_loss = True

    def forward(self, x: Array, t: Array) -> Array:
        check_floating("SoftmaxWithLoss.forward: ", "x", x)
        t = as_labels("SoftmaxWithLoss.forward: ", x, t)
        loss, self.y, self.dx = softmax_cross_entropy(x, t)
        self.t = t
        if on_host(loss) and math.isnan(loss):
            check_range("SoftmaxWithLoss.forward: ", t, x.shape[-1])
        return loss

    def backward(self, dout: Array | float = 1) -> Array:
        check_gradient("SoftmaxWithLoss.backward: ", "y", self.y, self.y, getattr(self.y, "shape", ()))
        if is_array(dout):
            check_gradient("SoftmaxWithLoss.backward: ", "dout", dout, self.y, ())
        elif dout == 1 and self.dx is not None:
            dx, self.dx = self.dx, None  # from now on it belongs to the caller
            return dx
        return softmax_cross_entropy_grad(self.y, self.t, dout if is_array(dout) else float(dout))


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
    """Labels as a kernel takes them: int64 indices (...), or probabilities (..., C) of x's dtype.

    Raises DTypeError, LibraryError or ShapeError for others.
    """
    if isinstance(t, int) and x.ndim == 1:
        t = place_of(x).asarray(t, "int64")
    if type(t) is not type(x) and not is_known(t):
        raise DTypeError(f"{who}t is a {type(t).__name__}; {as_array(t, 't')}, of class indices or of probabilities.")
    if not together(t, x):
        raise library_error(who, "t", t, "x", x)
    xp = namespace_of(x)
    rows_ = x.shape[:-1]
    if t.shape == rows_ and x.ndim and 0 not in x.shape and t.dtype == xp.int64:
        return t
    if 0 in x.shape or x.ndim == 0:
        raise ShapeError(f"{who}x is {tuple(x.shape)}; it needs at least one row and one class.")
    integral = xp.isdtype(t.dtype, "integral")
    if t.shape == x.shape and (integral or xp.isdtype(t.dtype, ("real floating", "bool"))):
        return t if t.dtype == x.dtype else xp.astype(t, x.dtype)
    if integral and (t.shape == rows_ or (x.ndim == 1 and t.shape == (1,))):
        return xp.reshape(t if t.dtype == xp.int64 else xp.astype(t, xp.int64), rows_)
    if t.shape in (rows_, x.shape):
        raise DTypeError(f"{who}t is {dtype_name(t)}; class indices are integers: xp.astype(t, xp.int64).")
    raise ShapeError(
        f"{who}t is {tuple(t.shape)} for x {tuple(x.shape)}; give class indices {tuple(rows_)} "
        f"or probabilities {tuple(x.shape)}"
        + (": xp.reshape(t, (-1,))." if t.shape == (*rows_, 1) else f", C={x.shape[-1]}.")
    )


def check_range(who: str, t: Array, classes: int) -> None:
    """ValueError if an index in t is outside 0..classes-1. Reads from the device."""
    if namespace_of(t).isdtype(t.dtype, "integral"):
        flat = to_numpy(t).reshape(-1)  # sync
        outside = (flat < 0) | (flat >= classes)
        if outside.any():
            i = int(outside.argmax())
            raise ValueError(
                f"{who}t[{i}] is {int(flat[i])} but there are {classes} classes; indices run from 0 to {classes - 1}."
            )


def check_probabilities(who: str, t: Array) -> None:
    """ValueError unless every row of t (..., C) is of probabilities: none negative, sum 1. Reads from the device."""
    rows = to_numpy(t).reshape(-1, t.shape[-1])  # sync
    total, least = rows.sum(axis=1, dtype="float64"), rows.min(axis=1)
    wrong = ~((abs(total - 1) <= 1e-3) & (least >= 0))
    if wrong.any():
        i = int(wrong.argmax())
        fault = f"holds {least[i]}" if least[i] < 0 else f"has the sum {total[i]:.4g}"
        raise ValueError(f"{who}t[{i}] {fault}; give probabilities that sum to 1 in each row, or class indices.")
