"""The formulas of nodes/operators.py, axes.py and reductions.py, which textbook.py takes into its table."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .formula import Arrays, Formula, elementwise, linear, spacings, unit, within_ulps

_TERMS = 8  # roundings of one term of Divide's gradients


def unbroadcast(g: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Sum over the axes along which ``like`` was broadcast."""
    g = g.sum(axis=tuple(range(g.ndim - like.ndim)))
    return g.sum(axis=tuple(i for i, n in enumerate(like.shape) if n == 1), keepdims=True).reshape(like.shape)


def stretched(node: Any, p: Arrays, x: Arrays) -> int:
    """How often an element of an input was used at most, when the inputs were broadcast."""
    size = math.prod(np.broadcast_shapes(*(a.shape for a in x)))
    return max(size // max(1, a.size) for a in x)


def axes_of(node: Any, x: np.ndarray) -> tuple[int, ...]:
    """The axes over which a node reduces x, each from 0 up."""
    axis = range(x.ndim) if node.axis is None else node.axis if isinstance(node.axis, tuple) else (node.axis,)
    return tuple(a % x.ndim for a in axis)


def reduced(node: Any, p: Arrays, x: Arrays) -> int:
    """How many elements of x go into one result."""
    return math.prod(x[0].shape[a] for a in axes_of(node, x[0]))


def spread(node: Any, x: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """A reduction's gradient, copied along the axes over which x was reduced."""
    return np.ones_like(x) * (dy if node.keepdims else np.expand_dims(dy, axes_of(node, x)))


def product_back(x: np.ndarray, W: np.ndarray, dy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """dx and dW of y = x W, for x of any rank."""
    rows, drows = (a.reshape(math.prod(a.shape[:-1]), a.shape[-1]) for a in (x, dy))
    return np.einsum("...j,ij->...i", dy, W), np.einsum("ni,nj->ij", rows, drows)


def _divide_back(node: Any, p: Arrays, x: Arrays, dy: Arrays) -> tuple[Arrays, Arrays]:
    return [unbroadcast(dy[0] / x[1], x[0]), unbroadcast(-dy[0] * x[0] / x[1] ** 2, x[1])], []


def _divide_back_tolerance(node: Any, p: Arrays, x: Arrays, dy: Arrays, dtype: str) -> tuple[Arrays, Arrays]:
    size, factor = [np.abs(a) for a in x], 2 * (stretched(node, p, x) + _TERMS) * unit(dtype)
    (dx, dz), _ = _divide_back(node, p, size, [np.abs(dy[0])])
    return [factor * dx, factor * np.abs(dz)], []


def _max_back(node: Any, p: Arrays, x: Arrays, dy: Arrays) -> tuple[Arrays, Arrays]:
    axes = axes_of(node, x[0])
    largest = x[0] == x[0].max(axis=axes, keepdims=True)
    return [spread(node, x[0], dy[0]) * largest / largest.sum(axis=axes, keepdims=True)], []


ADD = linear(
    lambda node, p, x: [x[0] + x[1]],
    lambda node, p, x, dy: ([unbroadcast(dy[0], x[0]), unbroadcast(dy[0], x[1])], []),
    stretched,
)

OPERATORS: dict[str, Formula] = {
    "Subtract": ADD._replace(  # the terms of a difference add up as those of a sum do
        forward=lambda node, p, x: [x[0] - x[1]],
        backward=lambda node, p, x, dy: ([unbroadcast(dy[0], x[0]), -unbroadcast(dy[0], x[1])], []),
    ),
    "Divide": Formula(
        lambda node, p, x: [x[0] / x[1]],
        _divide_back,
        lambda node, p, x, dtype: [spacings(1, x[0] / x[1], dtype)],
        _divide_back_tolerance,
        at_zero=False,
    ),
    "Exp": elementwise(lambda node, x: np.exp(x), lambda node, x: np.exp(x), (4, 8)),
    "Log": elementwise(lambda node, x: np.log(x), lambda node, x: 1 / x, (4, 2), at_zero=False),
    "Power": elementwise(
        lambda node, x: x**node.p,
        lambda node, x: node.p * x ** (node.p - 1) if node.p else np.zeros_like(x),
        (4, 8),
        at_zero=False,
    ),
    "Dot": linear(
        lambda node, p, x: [np.einsum("...i,ij->...j", *x)],
        lambda node, p, x, dy: ([*product_back(*x, *dy)], []),
        lambda node, p, x: max(*x[1].shape, math.prod(x[0].shape[:-1])),
    ),
    "Max": within_ulps(
        lambda node, p, x: [x[0].max(axis=axes_of(node, x[0]), keepdims=node.keepdims)], _max_back, (0, 1)
    ),
    "Mean": linear(
        lambda node, p, x: [x[0].mean(axis=axes_of(node, x[0]), keepdims=node.keepdims)],
        lambda node, p, x, dy: ([spread(node, x[0], dy[0]) / reduced(node, p, x)], []),
        reduced,
    ),
    "Transpose": linear(
        lambda node, p, x: [np.transpose(x[0], node.axes)],
        lambda node, p, x, dy: ([np.transpose(dy[0], None if node.axes is None else np.argsort(node.axes))], []),
    ),
    "Reshape": linear(
        lambda node, p, x: [x[0].reshape(node.shape)], lambda node, p, x, dy: ([dy[0].reshape(x[0].shape)], [])
    ),
    "Concat": linear(
        lambda node, p, x: [np.concatenate(x, axis=node.axis)],
        lambda node, p, x, dy: (
            np.split(dy[0], np.cumsum([a.shape[node.axis] for a in x])[:-1], axis=node.axis),
            [],
        ),
    ),
    "Split": linear(
        lambda node, p, x: np.split(x[0], node.n, axis=node.axis),
        lambda node, p, x, dy: ([np.concatenate(dy, axis=node.axis)], []),
    ),
}
