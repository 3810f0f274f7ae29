"""What a textbook formula is, and how far a result may lie from it.

u is half the distance from 1 to the next number of a dtype, K the length of the longest sum. Two kinds of tolerance:

    ulp     |error| <= n spacings of the true value, for elementwise functions
    terms   |error| <= 2 (K + 4) u Σ|terms|, for sums and products: the formula itself on absolute values gives Σ|terms|

Truth is computed in NumPy's extended precision (``wide``) where the machine has it, so that it is better than float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Arrays = list[np.ndarray]
wide = np.longdouble


class Formula(NamedTuple):
    """A node's forward and backward, and the tolerance of each result.

    ``node`` gives the options (an axis, a count), ``p`` are its parameters, ``x`` its inputs, ``dy`` the gradients of
    its outputs; all results are lists, and backward returns those of the inputs and of the parameters.
    """

    forward: Callable[[Any, Arrays, Arrays], Arrays]
    backward: Callable[[Any, Arrays, Arrays, Arrays], tuple[Arrays, Arrays]]
    forward_tolerance: Callable[[Any, Arrays, Arrays, str], Arrays]
    backward_tolerance: Callable[[Any, Arrays, Arrays, Arrays, str], tuple[Arrays, Arrays]]
    at_zero: bool = True  # is it finite where an input is 0?

    def results(self, node: Any, p: Arrays, x: Arrays, dy: Arrays) -> Results:
        return Results(self.forward(node, p, x), *self.backward(node, p, x, dy))

    def tolerances(self, node: Any, p: Arrays, x: Arrays, dy: Arrays, dtype: str) -> Results:
        return Results(self.forward_tolerance(node, p, x, dtype), *self.backward_tolerance(node, p, x, dy, dtype))


class Results(NamedTuple):
    """What a node returns, or the tolerance of each: outputs, gradients of the inputs, gradients of the parameters."""

    outputs: Arrays
    dins: Arrays
    grads: Arrays


def unit(dtype: str) -> float:
    """u of a dtype: 2^-24 for float32, 2^-53 for float64."""
    return float(np.finfo(dtype).eps) / 2


def spacings(n: float, truth: np.ndarray, dtype: str) -> np.ndarray:
    """n distances from each true value to its neighbour in the dtype."""
    return n * np.spacing(np.abs(truth).astype(dtype)).astype(np.float64)


def linear(forward: Any, backward: Any, length: Callable[[Any, Arrays, Arrays], int] = lambda node, p, x: 0) -> Formula:
    """Sums of products, of at most ``length`` terms: the tolerance is the formula itself on absolute values."""

    def size(arrays: Arrays) -> Arrays:
        return [np.abs(a) for a in arrays]

    def forward_tolerance(node: Any, p: Arrays, x: Arrays, dtype: str) -> Arrays:
        factor = 2 * (length(node, p, x) + 4) * unit(dtype)
        return [factor * y for y in forward(node, size(p), size(x))]

    def backward_tolerance(node: Any, p: Arrays, x: Arrays, dy: Arrays, dtype: str) -> tuple[Arrays, Arrays]:
        factor = 2 * (length(node, p, x) + 4) * unit(dtype)
        dx, dp = backward(node, size(p), size(x), size(dy))
        return [factor * a for a in dx], [factor * a for a in dp]

    return Formula(forward, backward, forward_tolerance, backward_tolerance)


def elementwise(f: Any, slope: Any, ulps: tuple[float, float], at_zero: bool = True) -> Formula:
    """y = f(node, x) and dx = dy · slope(node, x), each within so many ulps."""

    def forward(node: Any, p: Arrays, x: Arrays) -> Arrays:
        return [f(node, x[0].astype(wide))]

    def backward(node: Any, p: Arrays, x: Arrays, dy: Arrays) -> tuple[Arrays, Arrays]:
        return [dy[0] * slope(node, x[0].astype(wide))], []

    return within_ulps(forward, backward, ulps, at_zero)


def within_ulps(forward: Any, backward: Any, ulps: tuple[float, float], at_zero: bool = True) -> Formula:
    """A formula of one input and one output, whose two results are within so many ulps."""
    return Formula(
        forward,
        backward,
        lambda node, p, x, dtype: [spacings(ulps[0], forward(node, p, x)[0], dtype)],
        lambda node, p, x, dy, dtype: ([spacings(ulps[1], backward(node, p, x, dy)[0][0], dtype)], []),
        at_zero,
    )


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
