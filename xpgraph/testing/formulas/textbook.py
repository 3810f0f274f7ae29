"""The textbook formulas once more, in NumPy and written apart from the nodes, to judge them by; and how far is too far.

A formula takes the node (for its options), its parameters and its inputs, and returns lists. ``wide`` is NumPy's
extended precision where the machine has it, so that the truth of a float64 result is better than float64.

How far (u is half the distance from 1 to the next number of the dtype, K the length of the longest sum):

    ulp     |error| <= n spacings of the true value, for elementwise functions
    terms   |error| <= 2 (K + 4) u Σ|terms|, for sums and products: the formula itself on absolute values gives Σ|terms|
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .formula import (
    Arrays,
    Formula,
    elementwise,
    linear,
    stretched,
    unbroadcast,
    unit,
    wide,
)
from .operators import OPERATORS


def _runs(g: np.ndarray, n: int, axis: int) -> np.ndarray:
    starts = np.arange(0, g.shape[axis], n)
    return np.add.reduceat(g, starts, axis=axis) if starts.size else np.zeros_like(g)


def _repeat(node: Any, p: Arrays, x: Arrays) -> Arrays:
    """Without n, x[1] tells how long y is along the axis, or which axes are put in there."""
    if node.n is not None:
        return [np.take(x[0], np.arange(x[0].shape[node.axis] * node.n) // node.n, axis=node.axis)]
    new = x[1].ndim - x[0].ndim
    if not new:
        return [np.repeat(x[0], x[1].shape[node.axis] // x[0].shape[node.axis], axis=node.axis)]
    at = node.axis % x[1].ndim
    shape = (*x[0].shape[:at], *x[1].shape[at : at + new], *x[0].shape[at:])
    return [np.ones(shape) * np.expand_dims(x[0], tuple(range(at, at + new)))]


def _repeat_back(node: Any, p: Arrays, x: Arrays, dy: Arrays) -> tuple[Arrays, Arrays]:
    new = dy[0].ndim - x[0].ndim
    if new:
        at = node.axis % dy[0].ndim
        return [dy[0].sum(axis=tuple(range(at, at + new)))], []
    return [_runs(dy[0], dy[0].shape[node.axis] // max(1, x[0].shape[node.axis]) or 1, node.axis)], []


def _unsum(node: Any, x: np.ndarray, dy: np.ndarray) -> np.ndarray:
    if not node.keepdims and node.axis is not None:
        dy = np.expand_dims(dy, node.axis)
    return np.ones_like(x) * dy


def _flat(a: np.ndarray) -> np.ndarray:
    return a.reshape(math.prod(a.shape[:-1]), a.shape[-1])


def _matmul_back(node: Any, p: Arrays, x: Arrays, dy: Arrays) -> tuple[Arrays, Arrays]:
    grads = [np.einsum("ni,nj->ij", _flat(x[0]), _flat(dy[0])), *([_flat(dy[0]).sum(axis=0)] if p[1:] else [])]
    return [np.einsum("...j,ij->...i", dy[0], p[0])], grads


def _matmul_length(node: Any, p: Arrays, x: Arrays) -> int:
    return max(*p[0].shape, math.prod(x[0].shape[:-1])) + len(p) - 1


def _sigmoid(x: Any) -> Any:
    with np.errstate(over="ignore", invalid="ignore"):
        return np.where(x < 0, np.exp(x) / (1 + np.exp(x)), 1 / (1 + np.exp(-x)))


def _sech2(x: Any) -> Any:
    with np.errstate(over="ignore"):
        return 1 / np.cosh(x) ** 2


def _softmax(x: Any) -> Any:
    x = x.astype(wide)
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def _reach(x: np.ndarray) -> np.ndarray:
    """1 + max|z| of each row, z = x - max x: what a softmax's relative error grows with."""
    return 1 + (x.max(axis=-1, keepdims=True) - x.min(axis=-1, keepdims=True))


def _softmax_back(node: Any, p: Arrays, x: Arrays, dy: Arrays) -> tuple[Arrays, Arrays]:
    y = _softmax(x[0])
    return [y * (dy[0] - (dy[0] * y).sum(axis=-1, keepdims=True))], []


def _softmax_bar(node: Any, p: Arrays, x: Arrays, dtype: str) -> Arrays:
    return [8 * unit(dtype) * _reach(x[0]) * _softmax(x[0])]


def _softmax_back_bar(node: Any, p: Arrays, x: Arrays, dy: Arrays, dtype: str) -> tuple[Arrays, Arrays]:
    y, size = _softmax(x[0]), np.abs(dy[0])
    factor = (2 * (x[0].shape[-1] + 4) + 24 * _reach(x[0])) * unit(dtype)  # y comes in three times, with its own error
    return [factor * y * (size + (size * y).sum(axis=-1, keepdims=True))], []


def _chances(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Labels as probabilities: one-hot for class indices."""
    return t.astype(np.float64) if t.shape == x.shape else np.eye(x.shape[-1])[t.reshape(x.shape[:-1])]


def _loss_rows(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    wide_x = x.astype(wide)
    top = wide_x.max(axis=-1, keepdims=True)
    log_sum = top + np.log(np.exp(wide_x - top).sum(axis=-1, keepdims=True))
    return (_chances(x, t) * (log_sum - wide_x)).sum(axis=-1)


def _loss_back(node: Any, p: Arrays, x: Arrays, dy: Arrays) -> tuple[Arrays, Arrays]:
    chances = _chances(x[0], x[1])
    count = math.prod(x[0].shape[:-1])
    return [(_softmax(x[0]) * chances.sum(axis=-1, keepdims=True) - chances) * dy[0] / count], []


def _loss_bar(node: Any, p: Arrays, x: Arrays, dtype: str) -> Arrays:
    rows = _loss_rows(x[0], x[1])
    mean = 2 * (rows.size + x[0].shape[-1] + 4) * np.abs(rows).mean()
    return [unit(dtype) * (8 * _reach(x[0]).max() + mean)]


def _loss_back_bar(node: Any, p: Arrays, x: Arrays, dy: Arrays, dtype: str) -> tuple[Arrays, Arrays]:
    chances = _chances(x[0], x[1])
    factor = (2 * (x[0].shape[-1] + 4) + 8 * _reach(x[0])) * unit(dtype)
    total = _softmax(x[0]) * chances.sum(axis=-1, keepdims=True) + chances
    return [factor * total * np.abs(dy[0]) / math.prod(x[0].shape[:-1])], []


FORMULAS: dict[str, Formula] = {
    "Add": linear(
        lambda node, p, x: [x[0] + x[1]],
        lambda node, p, x, dy: ([unbroadcast(dy[0], x[0]), unbroadcast(dy[0], x[1])], []),
        lambda node, p, x: stretched(x),
    ),
    "Multiply": linear(
        lambda node, p, x: [x[0] * x[1]],
        lambda node, p, x, dy: ([unbroadcast(dy[0] * x[1], x[0]), unbroadcast(dy[0] * x[0], x[1])], []),
        lambda node, p, x: stretched(x),
    ),
    "Branch": linear(
        lambda node, p, x: [x[0]] * node.n,
        lambda node, p, x, dy: ([np.sum(dy, axis=0)], []),
        lambda node, p, x: node.n,
    ),
    "Repeat": linear(_repeat, _repeat_back, lambda node, p, x: node.n or x[1].size // max(1, x[0].size)),
    "Sum": linear(
        lambda node, p, x: [np.add.reduce(x[0], axis=node.axis, keepdims=node.keepdims)],
        lambda node, p, x, dy: ([_unsum(node, x[0], dy[0])], []),
        lambda node, p, x: x[0].size // max(1, np.add.reduce(x[0], axis=node.axis).size),
    ),
    "MatMul": linear(lambda node, p, x: [np.einsum("...i,ij->...j", x[0], p[0])], _matmul_back, _matmul_length),
    "Affine": linear(lambda node, p, x: [np.einsum("...i,ij->...j", x[0], p[0]) + p[1]], _matmul_back, _matmul_length),
    "Sigmoid": elementwise(_sigmoid, lambda x: _sech2(x / 2) / 4, (4, 8)),
    "Tanh": elementwise(np.tanh, _sech2, (4, 8)),
    "ReLU": elementwise(lambda x: np.maximum(x, 0), lambda x: (x > 0).astype(wide), (0, 0)),
    "Softmax": Formula(lambda node, p, x: [_softmax(x[0])], _softmax_back, _softmax_bar, _softmax_back_bar),
    "SoftmaxWithLoss": Formula(
        lambda node, p, x: [_loss_rows(x[0], x[1]).mean()], _loss_back, _loss_bar, _loss_back_bar
    ),
    **OPERATORS,
}


# --- optimizers: (params, grads, state, k) -> new params and state, for one array; k counts updates from 1 -------

State = dict[str, Any]


def _sgd(w: Any, g: Any, s: State, k: int, h: Any) -> tuple[Any, State]:
    return w - h.lr * g, {}


def _momentum(w: Any, g: Any, s: State, k: int, h: Any) -> tuple[Any, State]:
    v = h.momentum * s["v"] - h.lr * g
    return w + v, {"v": v}


def _adagrad(w: Any, g: Any, s: State, k: int, h: Any) -> tuple[Any, State]:
    total = s["h"] + g**2
    return w - h.lr * g / (np.sqrt(total) + h.eps), {"h": total}


def _rmsprop(w: Any, g: Any, s: State, k: int, h: Any) -> tuple[Any, State]:
    mean = h.decay_rate * s["h"] + (1 - h.decay_rate) * g**2
    return w - h.lr * g / (np.sqrt(mean) + h.eps), {"h": mean}


def _adam(w: Any, g: Any, s: State, k: int, h: Any) -> tuple[Any, State]:
    m = h.beta1 * s["m"] + (1 - h.beta1) * g
    v = h.beta2 * s["v"] + (1 - h.beta2) * g**2
    first, second = m / (1 - h.beta1**k), v / (1 - h.beta2**k)
    if h.form == "chapter":
        rate = h.lr * math.sqrt(1 - h.beta2**k) / (1 - h.beta1**k)
        return w - rate * m / (np.sqrt(v) + h.eps), {"m": m, "v": v}
    return w - h.lr * first / (np.sqrt(second) + h.eps), {"m": m, "v": v}


RULES: dict[str, Callable[[Any, Any, State, int, Any], tuple[Any, State]]] = {
    "SGD": _sgd,
    "Momentum": _momentum,
    "AdaGrad": _adagrad,
    "RMSprop": _rmsprop,
    "Adam": _adam,
}
