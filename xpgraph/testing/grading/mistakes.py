"""What usual mistakes compute, in nodes and in update rules: a wrong result that equals one of these is explained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..formulas.formula import Arrays
from ..formulas.update_rules import RULES, State, UpdateRule, adam, adaptive, mean_of_squares, momentum, sum_of_squares


class Letters:
    """The letters of a node's formula: inputs x and z, parameter W, true output y, gradients that came in."""

    def __init__(self, inputs: Arrays, params: Arrays, outputs: Arrays, douts: Arrays) -> None:
        self.inputs, self.douts = inputs, douts
        self.x, self.z = (*inputs, inputs[0])[:2]
        self.W, self.dy = (arrays[0] if arrays else inputs[0] for arrays in (params, douts))
        self.y = np.asarray(outputs[0], np.float64)


_NOT_SWAPPED = "The gradient of one factor is dout times the other: swap x and y in backward."
_NO_DOUT = "Multiply by dout: this is the local derivative alone."
_ONLY_DOUT = "backward passes dout on; multiply it by the local derivative, {}."
_MEAN = "This is the mean over the rows; the gradient is their sum."


def _shifted(x: np.ndarray) -> np.ndarray:
    return np.exp(x - x.max(axis=-1, keepdims=True))


_NODES: dict[tuple[str, str], list[tuple[Callable[[Letters], Any], str]]] = {
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


def node_mistakes(kind: str, letter: str, letters: Letters) -> list[tuple[Any, str]]:
    """(what the mistake computes here, its hint) of every known mistake in one result of one node."""
    with np.errstate(all="ignore"):
        return [(wrong(letters), hint) for wrong, hint in _NODES.get((kind, letter), [])]


# --- update rules ---

_FORGETS = "The state is made anew at each update: make it once, if self.{} is None."
_UPHILL = "This goes uphill: the step is subtracted."


@dataclass(frozen=True)
class Rule:
    """A rule, right or wrong; ``count(k, i, n)`` is the number that it takes for update k of array i of n."""

    step: UpdateRule
    hint: str = ""
    remembers: bool = True  # the state of the update before
    count: Callable[[int, int, int], int] = lambda k, i, n: k


def right_rules(kind: str) -> list[Rule]:
    """The forms that are right: for Adam, those of the paper and of the book."""
    rule = Rule(RULES[kind])
    return [rule, Rule(_with(RULES[kind], lambda h: {"form": "chapter"}))] if kind == "Adam" else [rule]


def _with(step: UpdateRule, change: Callable[[Any], dict[str, Any]]) -> UpdateRule:
    """The same rule with some hyper-parameters changed."""

    def changed(w: Any, g: Any, s: State, k: int, h: Any) -> tuple[Any, State]:
        return step(w, g, s, k, SimpleNamespace(**{**vars(h), **change(h)}))

    return changed


_WRONG: dict[str, list[Rule]] = {
    "SGD": [
        Rule(lambda w, g, s, k, h: (w - g, s), "The learning rate is missing: params[i] -= lr * grads[i]."),
        Rule(lambda w, g, s, k, h: (w - h.lr * np.sign(g), s), "The step is lr * g, not lr * sign(g)."),
    ],
    "Momentum": [
        Rule(momentum(lambda v, g, h: h.momentum * v + h.lr * g),
             "This goes uphill: v ← μ v - η g, with a minus sign, and then θ ← θ + v."),
        Rule(momentum(move=lambda v, g, h: -v), "This goes uphill: v holds -η g already, so it is added, θ ← θ + v."),
        Rule(momentum(lambda v, g, h: -h.momentum * v - h.lr * g),
             "The old velocity has the wrong sign: v ← μ v - η g."),
        Rule(momentum(lambda v, g, h: h.momentum * v - (1 - h.momentum) * h.lr * g),
             "The factor 1 - μ does not belong here: v ← μ v - η g."),
        Rule(momentum(move=lambda v, g, h: h.momentum * v - h.lr * g),
             "This is Nesterov's momentum; the book's adds v itself."),
        Rule(momentum(lambda v, g, h: v - h.lr * g), "μ is missing: v ← μ v - η g."),
        Rule(RULES["Momentum"], _FORGETS.format("v"), remembers=False),
    ],
    "AdaGrad": [
        Rule(adaptive(sum_of_squares, root=lambda h: h), "The root is missing: η g / (√h + ε)."),
        Rule(adaptive(lambda total, g, h: total + g), "h sums the squares g²."),
        Rule(adaptive(lambda total, g, h: 0.99 * total + 0.01 * g**2), "This is RMSprop: AdaGrad forgets nothing."),
        Rule(RULES["AdaGrad"], _FORGETS.format("h"), remembers=False),
    ],
    "RMSprop": [
        Rule(adaptive(sum_of_squares), "This is AdaGrad: h ← ρ h + (1-ρ) g²."),
        Rule(adaptive(lambda total, g, h: h.decay_rate * total + g**2), "The factor 1-ρ is missing before g²."),
        Rule(adaptive(mean_of_squares, root=lambda h: h), "The root is missing: η g / (√h + ε)."),
        Rule(adaptive(lambda total, g, h: (1 - h.decay_rate) * total + h.decay_rate * g**2),
             "ρ and 1-ρ are exchanged: h ← ρ h + (1-ρ) g²."),
        Rule(adaptive(lambda total, g, h: h.decay_rate * total + (1 - h.decay_rate) * g), "h averages squares, g²."),
        Rule(RULES["RMSprop"], _FORGETS.format("h"), remembers=False),
    ],
    "Adam": [
        Rule(adam(False, False), "The bias correction is missing: divide m by 1 - β₁ᵗ and v by 1 - β₂ᵗ."),
        Rule(adam(True, False), "The bias correction of v is missing: divide it by 1 - β₂ᵗ."),
        Rule(adam(False, True), "The bias correction of m is missing: divide it by 1 - β₁ᵗ."),
        Rule(adam(root=lambda v: v), "The root is missing: m̂ / (√v̂ + ε)."),
        Rule(adam(power=1), "v averages the squares g²."),
        Rule(_with(RULES["Adam"], lambda h: {"beta1": h.beta2, "beta2": h.beta1}),
             "β₁ and β₂ are exchanged: β₁ belongs to m."),
        Rule(RULES["Adam"], "Count once for each update, not once for each parameter.",
             count=lambda k, i, n: (k - 1) * n + i + 1),
        Rule(RULES["Adam"], "The count t stays 1: add 1 to it at each update.", count=lambda k, i, n: 1),
        Rule(RULES["Adam"], "The count starts at 2: it is 1 in the first update.", count=lambda k, i, n: k + 1),
        Rule(RULES["Adam"], _FORGETS.format("m"), remembers=False),
    ],
}  # fmt: skip


def _epsilon(n: int, h: Any) -> dict[str, Any]:
    return {"eps": 10.0**-n}


def wrong_rules(kind: str) -> list[Rule]:
    """What usual mistakes make of a rule, each with its hint."""
    right = RULES[kind]
    rules = [*_WRONG[kind], Rule(_with(right, lambda h: {"lr": -h.lr}), _UPHILL)]
    if kind != "SGD":
        rules.append(Rule(RULES["SGD"], "This is SGD: nothing is remembered from update to update."))
    if kind in ("AdaGrad", "RMSprop", "Adam"):
        hint = "Epsilon is about 1e-{}, too large beside the root; the book's is 1e-7."
        rules += [Rule(_with(right, partial(_epsilon, n)), hint.format(n)) for n in range(7)]
    return rules
