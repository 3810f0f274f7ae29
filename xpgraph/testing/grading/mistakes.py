"""What usual mistakes compute: a node's wrong result that equals one of these has its explanation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Wrong = Callable[[Any], Any]


class Letters(NamedTuple):
    """The letters of the formulas: inputs, parameters, true outputs, gradients that came in."""

    inputs: list[np.ndarray]
    params: list[np.ndarray]
    outputs: list[np.ndarray]
    douts: list[np.ndarray]

    @property
    def x(self) -> np.ndarray:
        return self.inputs[0]

    @property
    def z(self) -> np.ndarray:
        return self.inputs[1]

    @property
    def y(self) -> np.ndarray:
        return np.asarray(self.outputs[0], np.float64)

    @property
    def dy(self) -> np.ndarray:
        return self.douts[0]

    @property
    def W(self) -> np.ndarray:
        return self.params[0]


_NOT_SWAPPED = "The gradient of one factor is dout times the other: swap x and y in backward."
_NO_DOUT = "Multiply by dout: this is the local derivative alone."
_ONLY_DOUT = "backward passes dout on; multiply it by the local derivative, {}."
_MEAN = "This is the mean over the rows; the gradient is their sum."


def _shifted(x: np.ndarray) -> np.ndarray:
    return np.exp(x - x.max(axis=-1, keepdims=True))


TABLE: dict[tuple[str, str], list[tuple[Wrong, str]]] = {
    ("Add", "y"): [(lambda s: s.x * s.z, "This is the product; Add is x + y.")],
    ("Add", "dx"): [(lambda s: s.dy * s.x, "The local derivative of a sum is 1: pass dout on.")],
    ("Add", "dy"): [(lambda s: s.dy * s.z, "The local derivative of a sum is 1: pass dout on.")],
    ("Multiply", "y"): [(lambda s: s.x + s.z, "This is the sum; Multiply is x * y.")],
    ("Multiply", "dx"): [
        (lambda s: s.dy * s.x, _NOT_SWAPPED),
        (lambda s: s.z, _NO_DOUT),
        (lambda s: s.dy, _ONLY_DOUT.format("the other factor")),
    ],
    ("Multiply", "dy"): [
        (lambda s: s.dy * s.z, _NOT_SWAPPED),
        (lambda s: s.x, _NO_DOUT),
        (lambda s: s.dy, _ONLY_DOUT.format("the other factor")),
    ],
    ("Branch", "dx"): [
        (lambda s: s.douts[0], "Only one branch comes back; the gradient is the sum over all branches."),
        (lambda s: s.douts[-1], "Only one branch comes back; the gradient is the sum over all branches."),
        (lambda s: np.mean(s.douts, axis=0), "This is the mean over the branches; the gradient is their sum."),
        (lambda s: np.prod(s.douts, axis=0), "This is the product of the branches; the gradient is their sum."),
    ],
    ("Repeat", "dx"): [
        (lambda s: s.dy.mean(axis=0, keepdims=True), "This is the mean of the copies; the gradient is their sum."),
        (lambda s: s.dy, "The gradient is summed over the copies; here it is passed on."),
        (lambda s: s.dy[:1], "Only the first copy comes back; the gradient is the sum over all copies."),
        (lambda s: s.dy.sum(axis=0), "Keep the axis: np.sum(dout, axis=0, keepdims=True)."),
    ],
    ("Sum", "y"): [(lambda s: s.x.mean(axis=0, keepdims=True), "This is the mean; Sum is the sum.")],
    ("Sum", "dx"): [
        (lambda s: s.dy / s.x.shape[0] + 0 * s.x, "Each row gets the whole gradient, not its share of it."),
        (lambda s: s.dy, "The gradient is copied to every row of x; here it keeps the shape of the sum."),
    ],
    ("MatMul", "dx"): [(lambda s: s.dy, _ONLY_DOUT.format("Wᵀ: dx = dout Wᵀ"))],
    ("MatMul", "dW"): [(lambda s: s.x.T @ s.dy / len(s.x), _MEAN)],
    ("Affine", "y"): [(lambda s: s.x @ s.W, "The bias is missing: x W + b.")],
    ("Affine", "dx"): [(lambda s: s.dy, _ONLY_DOUT.format("Wᵀ: dx = dout Wᵀ"))],
    ("Affine", "dW"): [(lambda s: s.x.T @ s.dy / len(s.x), _MEAN)],
    ("Affine", "db"): [
        (lambda s: s.dy.mean(axis=0), _MEAN),
        (lambda s: s.dy, "b was added to every row: sum dout over axis 0."),
        (lambda s: np.full(s.dy.shape[1], s.dy.sum()), "Sum over axis 0 alone: every column has its own bias."),
        (lambda s: s.dy[0], "Only one row comes back: sum dout over axis 0."),
    ],
    ("Sigmoid", "y"): [
        (lambda s: 1 / np.exp(-s.x), "The denominator is 1 + e^-x (the book's equation has a misprint)."),
        (lambda s: 1 / (1 + np.exp(s.x)), "The sign of the exponent: 1 / (1 + e^-x)."),
    ],
    ("Sigmoid", "dx"): [
        (lambda s: s.dy * (1 - s.y), "The local derivative is y(1 - y): the factor y is missing."),
        (lambda s: s.dy * s.y, "The local derivative is y(1 - y): the factor 1 - y is missing."),
        (lambda s: s.y * (1 - s.y), _NO_DOUT),
        (lambda s: s.dy * s.x * (1 - s.x), "The local derivative is y(1 - y), y the output: keep it in forward."),
        (lambda s: s.dy, _ONLY_DOUT.format("y(1 - y)")),
    ],
    ("Tanh", "dx"): [
        (lambda s: s.dy * (1 - s.y), "The local derivative is 1 - y²: the square is missing."),
        (lambda s: s.dy * s.y * (1 - s.y), "That is the derivative of the sigmoid; that of tanh is 1 - y²."),
        (lambda s: s.dy * (1 - s.x**2), "The local derivative is 1 - y², in the output: keep what forward returns."),
        (lambda s: 1 - s.y**2, _NO_DOUT),
        (lambda s: s.dy, _ONLY_DOUT.format("1 - y²")),
    ],
    ("ReLU", "y"): [(lambda s: np.abs(s.x), "Negative numbers become 0; they do not lose their sign.")],
    ("ReLU", "dx"): [
        (lambda s: s.dy, _ONLY_DOUT.format("0 where x <= 0")),
        (lambda s: np.where(s.x > 0, 0, s.dy), "The mask is the wrong way round: dout passes where x > 0."),
        (lambda s: np.maximum(s.dy, 0), "The mask belongs to x, not to dout: dout passes where x was > 0."),
        (lambda s: np.where(s.x > 0, 1, 0), _NO_DOUT),
        (lambda s: s.dy * s.x * (s.x > 0), "The slope of max(x, 0) is 1 for x > 0, not x."),
    ],
    ("Softmax", "y"): [
        (lambda s: np.exp(s.x) / np.exp(s.x).sum(axis=0), "Sum over the classes, axis -1, not over the rows."),
        (lambda s: _shifted(s.x) / _shifted(s.x).sum(axis=0), "Sum over the classes, axis -1, not over the rows."),
        (lambda s: _shifted(s.x) / _shifted(s.x).sum(), "Each row has its own sum: axis=-1, keepdims=True."),
        (lambda s: np.exp(s.x) / np.exp(s.x).sum(), "Each row has its own sum: axis=-1, keepdims=True."),
        (lambda s: _shifted(s.x), "Divide by the sum of each row."),
    ],
    ("Softmax", "dx"): [
        (lambda s: s.dy * s.y * (1 - s.y), "Every score moves every probability: y (dout - Σ dout y)."),
        (lambda s: s.dy * s.y, "The sum is missing: y (dout - Σ dout y)."),
        (lambda s: s.dy, _ONLY_DOUT.format("y (dout - Σ dout y)")),
    ],
}  # fmt: skip


def mistakes(kind: str, letter: str, letters: Letters) -> list[tuple[Any, str]]:
    """(what the mistake gives here, its hint) of every known mistake in one result of one node."""
    with np.errstate(all="ignore"):
        return [(wrong(letters), hint) for wrong, hint in TABLE.get((kind, letter), [])]
