"""The textbook formulas of operators.py and axes.py, for oracle.py."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .formula import (
    Arrays,
    Formula,
    elementwise,
    linear,
    spacings,
    stretched,
    unbroadcast,
    unit,
    wide,
)

_TERMS = 8  # roundings of one term of Divide's gradients


def _subtract() -> Formula:
    """The terms of a difference add up as those of a sum do."""
    total = linear(
        lambda node, p, x: [x[0] + x[1]],
        lambda node, p, x, dy: ([unbroadcast(dy[0], x[0]), unbroadcast(dy[0], x[1])], []),
        lambda node, p, x: stretched(x),
    )
    return Formula(
        lambda node, p, x: [x[0] - x[1]],
        lambda node, p, x, dy: ([unbroadcast(dy[0], x[0]), -unbroadcast(dy[0], x[1])], []),
        total.forward_bar,
        total.backward_bar,
    )


def _divide_back(node: Any, p: Arrays, x: Arrays, dy: Arrays) -> tuple[Arrays, Arrays]:
    return [unbroadcast(dy[0] / x[1], x[0]), unbroadcast(-dy[0] * x[0] / x[1] ** 2, x[1])], []


def _divide_back_bar(node: Any, p: Arrays, x: Arrays, dy: Arrays, dtype: str) -> tuple[Arrays, Arrays]:
    size, factor = [np.abs(a) for a in x], 2 * (stretched(x) + _TERMS) * unit(dtype)
    (dx, dz), _ = _divide_back(node, p, size, [np.abs(dy[0])])
    return [factor * dx, factor * np.abs(dz)], []


def _power(node: Any, p: Arrays, x: Arrays) -> Arrays:
    return [x[0].astype(wide) ** node.p]


def _power_back(node: Any, p: Arrays, x: Arrays, dy: Arrays) -> tuple[Arrays, Arrays]:
    return [dy[0] * node.p * x[0].astype(wide) ** (node.p - 1)] if node.p else [np.zeros_like(dy[0])], []


def _axis(node: Any, x: np.ndarray) -> tuple[int, ...]:
    axis = range(x.ndim) if node.axis is None else node.axis if isinstance(node.axis, tuple) else (node.axis,)
    return tuple(a % x.ndim for a in axis)


def _spread(node: Any, x: np.ndarray, dy: np.ndarray) -> np.ndarray:
    return np.ones_like(x) * (dy if node.keepdims else np.expand_dims(dy, _axis(node, x)))


def _max(node: Any, p: Arrays, x: Arrays) -> Arrays:
    return [x[0].max(axis=_axis(node, x[0]), keepdims=node.keepdims)]


def _max_back(node: Any, p: Arrays, x: Arrays, dy: Arrays) -> tuple[Arrays, Arrays]:
    largest = x[0] == x[0].max(axis=_axis(node, x[0]), keepdims=True)
    return [_spread(node, x[0], dy[0]) * largest / largest.sum(axis=_axis(node, x[0]), keepdims=True)], []


def _mean_back(node: Any, p: Arrays, x: Arrays, dy: Arrays) -> tuple[Arrays, Arrays]:
    return [_spread(node, x[0], dy[0]) / math.prod(x[0].shape[a] for a in _axis(node, x[0]))], []


def _concat_back(node: Any, p: Arrays, x: Arrays, dy: Arrays) -> tuple[Arrays, Arrays]:
    return np.split(dy[0], np.cumsum([a.shape[node.axis] for a in x])[:-1], axis=node.axis), []


def _dot_back(node: Any, p: Arrays, x: Arrays, dy: Arrays) -> tuple[Arrays, Arrays]:
    rows = [a.reshape(math.prod(a.shape[:-1]), a.shape[-1]) for a in (x[0], dy[0])]
    return [np.einsum("...j,ij->...i", dy[0], x[1]), np.einsum("ni,nj->ij", *rows)], []


def _none(node: Any, p: Arrays, x: Arrays) -> int:
    return 0


OPERATORS: dict[str, Formula] = {
    "Subtract": _subtract(),
    "Divide": Formula(
        lambda node, p, x: [x[0] / x[1]],
        _divide_back,
        lambda node, p, x, dtype: [spacings(1, x[0] / x[1], dtype)],
        _divide_back_bar,
        at_zero=False,
    ),
    "Exp": elementwise(np.exp, np.exp, (4, 8)),
    "Log": elementwise(np.log, lambda x: 1 / x, (4, 2))._replace(at_zero=False),
    "Power": Formula(
        _power,
        _power_back,
        lambda node, p, x, dtype: [spacings(4, _power(node, p, x)[0], dtype)],
        lambda node, p, x, dy, dtype: ([spacings(8, _power_back(node, p, x, dy)[0][0], dtype)], []),
        at_zero=False,
    ),
    "Dot": linear(
        lambda node, p, x: [np.einsum("...i,ij->...j", *x)],
        _dot_back,
        lambda node, p, x: max(*x[1].shape, math.prod(x[0].shape[:-1])),
    ),
    "Max": Formula(
        _max,
        _max_back,
        lambda node, p, x, dtype: [spacings(0, _max(node, p, x)[0], dtype)],
        lambda node, p, x, dy, dtype: ([spacings(1, _max_back(node, p, x, dy)[0][0], dtype)], []),
    ),
    "Mean": linear(
        lambda node, p, x: [x[0].mean(axis=_axis(node, x[0]), keepdims=node.keepdims)],
        _mean_back,
        lambda node, p, x: math.prod(x[0].shape[a] for a in _axis(node, x[0])),
    ),
    "Transpose": linear(
        lambda node, p, x: [np.transpose(x[0], node.axes)],
        lambda node, p, x, dy: ([np.transpose(dy[0], None if node.axes is None else np.argsort(node.axes))], []),
        _none,
    ),
    "Reshape": linear(
        lambda node, p, x: [x[0].reshape(node.shape)],
        lambda node, p, x, dy: ([dy[0].reshape(x[0].shape)], []),
        _none,
    ),
    "Concat": linear(lambda node, p, x: [np.concatenate(x, axis=node.axis)], _concat_back, _none),
    "Split": linear(
        lambda node, p, x: np.split(x[0], node.n, axis=node.axis),
        lambda node, p, x, dy: ([np.concatenate(dy, axis=node.axis)], []),
        _none,
    ),
}
