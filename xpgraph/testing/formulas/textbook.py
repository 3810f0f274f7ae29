"""The formulas of all nodes, by the name of the class, and the functions softmax and cross-entropy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .formula import Arrays, Formula, elementwise, linear, unit, wide
from .operators import ADD, OPERATORS, product_back, reduced, spread, stretched, unbroadcast


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
    g, axis, new = dy[0], node.axis, dy[0].ndim - x[0].ndim
    if new:
        at = axis % g.ndim
        return [g.sum(axis=tuple(range(at, at + new)))], []
    n = g.shape[axis] // max(1, x[0].shape[axis]) or 1
    starts = np.arange(0, g.shape[axis], n)
    return [np.add.reduceat(g, starts, axis=axis) if starts.size else np.zeros_like(g)], []


def _matmul_back(node: Any, p: Arrays, x: Arrays, dy: Arrays) -> tuple[Arrays, Arrays]:
    dx, dW = product_back(x[0], p[0], dy[0])
    return [dx], [dW, *([dy[0].sum(axis=tuple(range(dy[0].ndim - 1)))] if p[1:] else [])]


def _matmul_length(node: Any, p: Arrays, x: Arrays) -> int:
    return max(*p[0].shape, math.prod(x[0].shape[:-1])) + len(p) - 1


def _sigmoid(node: Any, x: Any) -> Any:
    with np.errstate(over="ignore", invalid="ignore"):
        return np.where(x < 0, np.exp(x) / (1 + np.exp(x)), 1 / (1 + np.exp(-x)))


def _sech2(x: Any) -> Any:
    with np.errstate(over="ignore"):
        return 1 / np.cosh(x) ** 2


# --- softmax and cross-entropy ---


def softmax(x: np.ndarray) -> np.ndarray:
    """y = e^x / Σ e^x over the last axis."""
    x = x.astype(wide)
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def one_hot(t: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Labels as probabilities of the shape of ``like``: class indices as rows of 0 and 1, probabilities as they are."""
    return t.astype(np.float64) if t.shape == like.shape else np.eye(like.shape[-1])[t.reshape(like.shape[:-1])]


def reach(x: np.ndarray) -> np.ndarray:
    """1 + max|z| of each row, z = x - max x: what the relative error of a softmax grows with."""
    return 1 + (x.max(axis=-1, keepdims=True) - x.min(axis=-1, keepdims=True))


def cross_entropies(y: np.ndarray, t: np.ndarray, least: float = 0.0, eps: float = 0.0) -> np.ndarray:
    """-Σ t log max(y + eps, least) of each row, for probabilities y."""
    return (one_hot(t, y) * -np.log(np.maximum(y.astype(wide) + eps, least))).sum(axis=-1)


def _loss_rows(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    """The same from scores: Σ t (log Σ e^x - x)."""
    wide_x = x.astype(wide)
    top = wide_x.max(axis=-1, keepdims=True)
    log_sum = top + np.log(np.exp(wide_x - top).sum(axis=-1, keepdims=True))
    return (one_hot(t, x) * (log_sum - wide_x)).sum(axis=-1)


def mean_tolerance(rows: np.ndarray, classes: int, dtype: str, each: float = 8.0) -> Any:
    """Of a mean of losses: ``each`` u from its terms, and the roundings of the sums over classes and rows."""
    return unit(dtype) * (each + 2 * (rows.size + classes + 4) * np.abs(rows).mean())


def _softmax_back(node: Any, p: Arrays, x: Arrays, dy: Arrays) -> tuple[Arrays, Arrays]:
    y = softmax(x[0])
    return [y * (dy[0] - (dy[0] * y).sum(axis=-1, keepdims=True))], []


def _softmax_back_tolerance(node: Any, p: Arrays, x: Arrays, dy: Arrays, dtype: str) -> tuple[Arrays, Arrays]:
    y, size = softmax(x[0]), np.abs(dy[0])
    factor = (2 * (x[0].shape[-1] + 4) + 24 * reach(x[0])) * unit(dtype)  # y stands there three times
    return [factor * y * (size + (size * y).sum(axis=-1, keepdims=True))], []


def _loss_back(node: Any, p: Arrays, x: Arrays, dy: Arrays) -> tuple[Arrays, Arrays]:
    t = one_hot(x[1], x[0])
    return [(softmax(x[0]) * t.sum(axis=-1, keepdims=True) - t) * dy[0] / math.prod(x[0].shape[:-1])], []


def _loss_back_tolerance(node: Any, p: Arrays, x: Arrays, dy: Arrays, dtype: str) -> tuple[Arrays, Arrays]:
    t = one_hot(x[1], x[0])
    factor = (2 * (x[0].shape[-1] + 4) + 8 * reach(x[0])) * unit(dtype)
    total = softmax(x[0]) * t.sum(axis=-1, keepdims=True) + t
    return [factor * total * np.abs(dy[0]) / math.prod(x[0].shape[:-1])], []


FORMULAS: dict[str, Formula] = {
    "Add": ADD,
    "Multiply": linear(
        lambda node, p, x: [x[0] * x[1]],
        lambda node, p, x, dy: ([unbroadcast(dy[0] * x[1], x[0]), unbroadcast(dy[0] * x[0], x[1])], []),
        stretched,
    ),
    "Branch": linear(
        lambda node, p, x: [x[0]] * node.n,
        lambda node, p, x, dy: ([np.sum(dy, axis=0)], []),
        lambda node, p, x: node.n,
    ),
    "Repeat": linear(_repeat, _repeat_back, lambda node, p, x: node.n or x[1].size // max(1, x[0].size)),
    "Sum": linear(
        lambda node, p, x: [np.add.reduce(x[0], axis=node.axis, keepdims=node.keepdims)],
        lambda node, p, x, dy: ([spread(node, x[0], dy[0])], []),
        reduced,
    ),
    "MatMul": linear(lambda node, p, x: [np.einsum("...i,ij->...j", x[0], p[0])], _matmul_back, _matmul_length),
    "Affine": linear(lambda node, p, x: [np.einsum("...i,ij->...j", x[0], p[0]) + p[1]], _matmul_back, _matmul_length),
    "Sigmoid": elementwise(_sigmoid, lambda node, x: _sech2(x / 2) / 4, (4, 8)),
    "Tanh": elementwise(lambda node, x: np.tanh(x), lambda node, x: _sech2(x), (4, 8)),
    "ReLU": elementwise(lambda node, x: np.maximum(x, 0), lambda node, x: (x > 0).astype(wide), (0, 0)),
    "Softmax": Formula(
        lambda node, p, x: [softmax(x[0])],
        _softmax_back,
        lambda node, p, x, dtype: [8 * unit(dtype) * reach(x[0]) * softmax(x[0])],
        _softmax_back_tolerance,
    ),
    "SoftmaxWithLoss": Formula(
        lambda node, p, x: [_loss_rows(*x).mean()],
        _loss_back,
        lambda node, p, x, dtype: [mean_tolerance(_loss_rows(*x), x[0].shape[-1], dtype, 8 * float(reach(x[0]).max()))],
        _loss_back_tolerance,
    ),
    **OPERATORS,
}
