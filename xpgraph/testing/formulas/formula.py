"""What a textbook formula is, and how far a result may lie from it.

u is half the distance from 1 to the next number of a dtype, K the length of the longest sum. Two kinds of tolerance:

    ulp     |error| <= n spacings of the true value, for elementwise functions
    terms   |error| <= 2 (K + 4) u Σ|terms|, for sums and products: the formula itself on absolute values gives Σ|terms|

Truth is computed in NumPy's extended precision (``wide``) where the machine has it, so that it is better than float64.
"""

from __future__ import annotations

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

    return within_ulps(
        lambda node, p, x: [f(node, x[0].astype(wide))],
        lambda node, p, x, dy: ([dy[0] * slope(node, x[0].astype(wide))], []),
        ulps,
        at_zero,
    )


def within_ulps(forward: Any, backward: Any, ulps: tuple[float, float], at_zero: bool = True) -> Formula:
    """A formula of one input and one output, whose two results are within so many ulps."""
    return Formula(
        forward,
        backward,
        lambda node, p, x, dtype: [spacings(ulps[0], forward(node, p, x)[0], dtype)],
        lambda node, p, x, dy, dtype: ([spacings(ulps[1], backward(node, p, x, dy)[0][0], dtype)], []),
        at_zero,
    )
