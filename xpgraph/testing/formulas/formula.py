"""What a textbook formula is, and how far from it a result may lie. oracle.py has the formulas themselves."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Arrays = list[np.ndarray]
wide = np.longdouble


class Formula(NamedTuple):
    """``forward(node, params, inputs)``, ``backward(node, params, inputs, douts)``, and what each may err by."""

    forward: Callable[[Any, Arrays, Arrays], Arrays]
    backward: Callable[[Any, Arrays, Arrays, Arrays], tuple[Arrays, Arrays]]
    forward_bar: Callable[[Any, Arrays, Arrays, str], Arrays]
    backward_bar: Callable[[Any, Arrays, Arrays, Arrays, str], tuple[Arrays, Arrays]]
    at_zero: bool = True  # is it finite there?


def unit(dtype: str) -> float:
    """u of a dtype: 2^-24 for float32, 2^-53 for float64."""
    return float(np.finfo(dtype).eps) / 2


def spacings(n: float, truth: np.ndarray, dtype: str) -> np.ndarray:
    """n distances from each true value to its neighbour in the dtype."""
    return n * np.spacing(np.abs(truth).astype(dtype)).astype(np.float64)


def linear(forward: Any, backward: Any, length: Callable[[Any, Arrays, Arrays], int]) -> Formula:
    """Sums of products: the bar is the formula itself on absolute values."""

    def size(arrays: Arrays) -> Arrays:
        return [np.abs(a) for a in arrays]

    def forward_bar(node: Any, p: Arrays, x: Arrays, dtype: str) -> Arrays:
        factor = 2 * (length(node, p, x) + 4) * unit(dtype)
        return [factor * y for y in forward(node, size(p), size(x))]

    def backward_bar(node: Any, p: Arrays, x: Arrays, dy: Arrays, dtype: str) -> tuple[Arrays, Arrays]:
        factor = 2 * (length(node, p, x) + 4) * unit(dtype)
        dx, dp = backward(node, size(p), size(x), size(dy))
        return [factor * a for a in dx], [factor * a for a in dp]

    return Formula(forward, backward, forward_bar, backward_bar)


def elementwise(f: Callable[[Any], Any], slope: Callable[[Any], Any], ulps: tuple[float, float]) -> Formula:
    """y = f(x) and dx = dy · slope(x), each within so many ulps."""

    def forward(node: Any, p: Arrays, x: Arrays) -> Arrays:
        return [f(x[0].astype(wide))]

    def backward(node: Any, p: Arrays, x: Arrays, dy: Arrays) -> tuple[Arrays, Arrays]:
        return [dy[0] * slope(x[0].astype(wide))], []

    return Formula(
        forward,
        backward,
        lambda node, p, x, dtype: [spacings(ulps[0], forward(node, p, x)[0], dtype)],
        lambda node, p, x, dy, dtype: ([spacings(ulps[1], backward(node, p, x, dy)[0][0], dtype)], []),
    )


def unbroadcast(g: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Sum over the axes along which ``like`` was broadcast."""
    g = g.sum(axis=tuple(range(g.ndim - like.ndim)))
    return g.sum(axis=tuple(i for i, n in enumerate(like.shape) if n == 1), keepdims=True).reshape(like.shape)


def stretched(x: Arrays) -> int:
    """How often an element of an input was used at most, when the two were broadcast."""
    size = math.prod(np.broadcast_shapes(*(a.shape for a in x)))
    return max(size // max(1, a.size) for a in x)
