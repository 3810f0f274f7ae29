"""Update rules: the textbook's, and what usual mistakes make of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..formulas.textbook import RULES

Step = Callable[[Any, Any, dict[str, Any], int, Any], tuple[Any, dict[str, Any]]]

_FORGETS = "The state is made anew at each update: make it once, if self.{} is None."
_UPHILL = "This goes uphill: the step is subtracted."


@dataclass(frozen=True)
class Rule:
    """One update of one array; ``count(k, i, n)`` is the number that the rule takes for update k of array i of n."""

    step: Step
    hint: str = ""
    slots: tuple[str, ...] = ("v", "h", "m")
    remembers: bool = True
    count: Callable[[int, int, int], int] = lambda k, i, n: k

    def zeros(self, like: np.ndarray) -> dict[str, Any]:
        return {slot: np.zeros(like.shape) for slot in self.slots}


def textbook(kind: str) -> list[Rule]:
    """The forms that are right: for Adam, those of the paper and of the book."""
    rule = Rule(RULES[kind])
    return [rule, Rule(_with(RULES[kind], form="chapter"))] if kind == "Adam" else [rule]


def _with(step: Step, **values: Any) -> Step:
    """The same rule with other hyper-parameters, given as numbers or as functions of those of the object."""

    def changed(w: Any, g: Any, s: dict[str, Any], k: int, h: Any) -> tuple[Any, dict[str, Any]]:
        new = {key: value(h) if callable(value) else value for key, value in values.items()}
        return step(w, g, s, k, SimpleNamespace(**{**vars(h), **new}))

    return changed


def _adaptive(collect: Callable[[Any, Any, Any], Any], root: Callable[[Any], Any] = np.sqrt, slot: str = "h") -> Step:
    """h ← collect(h, g, hyper);  θ ← θ - η g / (root(h) + ε)"""

    def step(w: Any, g: Any, s: dict[str, Any], k: int, h: Any) -> tuple[Any, dict[str, Any]]:
        total = collect(s[slot], g, h)
        return w - h.lr * g / (root(total) + h.eps), {slot: total}

    return step


def _momentum(velocity: Callable[[Any, Any, Any], Any], move: Callable[[Any, Any, Any], Any]) -> Step:
    def step(w: Any, g: Any, s: dict[str, Any], k: int, h: Any) -> tuple[Any, dict[str, Any]]:
        v = velocity(s["v"], g, h)
        return w + move(v, g, h), {"v": v}

    return step


def _adam(first: bool = True, second: bool = True, root: Callable[[Any], Any] = np.sqrt, power: int = 2) -> Step:
    def step(w: Any, g: Any, s: dict[str, Any], k: int, h: Any) -> tuple[Any, dict[str, Any]]:
        m = h.beta1 * s["m"] + (1 - h.beta1) * g
        v = h.beta2 * s["v"] + (1 - h.beta2) * g**power
        m_hat = m / (1 - h.beta1**k) if first else m
        v_hat = v / (1 - h.beta2**k) if second else v
        return w - h.lr * m_hat / (root(v_hat) + h.eps), {"m": m, "v": v}

    return step


def _swapped(w: Any, g: Any, s: dict[str, Any], k: int, h: Any) -> tuple[Any, dict[str, Any]]:
    return RULES["Adam"](w, g, s, k, SimpleNamespace(**{**vars(h), "beta1": h.beta2, "beta2": h.beta1}))


def _sum(total: Any, g: Any, h: Any) -> Any:
    return total + g**2


def _average(total: Any, g: Any, h: Any) -> Any:
    return h.decay_rate * total + (1 - h.decay_rate) * g**2


_WRONG: dict[str, list[Rule]] = {
    "SGD": [
        Rule(lambda w, g, s, k, h: (w - g, s), "The learning rate is missing: params[i] -= lr * grads[i]."),
        Rule(lambda w, g, s, k, h: (w - h.lr * np.sign(g), s), "The step is lr * g, not lr * sign(g)."),
    ],
    "Momentum": [
        Rule(
            _momentum(lambda v, g, h: h.momentum * v + h.lr * g, lambda v, g, h: v),
            "This goes uphill: v ← μ v - η g, with a minus sign, and then θ ← θ + v.",
        ),
        Rule(
            _momentum(lambda v, g, h: h.momentum * v - h.lr * g, lambda v, g, h: -v),
            "This goes uphill: v holds -η g already, so it is added, θ ← θ + v.",
        ),
        Rule(
            _momentum(lambda v, g, h: -h.momentum * v - h.lr * g, lambda v, g, h: v),
            "The old velocity has the wrong sign: v ← μ v - η g.",
        ),
        Rule(
            _momentum(lambda v, g, h: h.momentum * v - (1 - h.momentum) * h.lr * g, lambda v, g, h: v),
            "The factor 1 - μ does not belong here: v ← μ v - η g.",
        ),
        Rule(
            _momentum(lambda v, g, h: h.momentum * v - h.lr * g, lambda v, g, h: h.momentum * v - h.lr * g),
            "This is Nesterov's momentum; the book's adds v itself.",
        ),
        Rule(_momentum(lambda v, g, h: v - h.lr * g, lambda v, g, h: v), "μ is missing: v ← μ v - η g."),
        Rule(RULES["Momentum"], _FORGETS.format("v"), remembers=False),
    ],
    "AdaGrad": [
        Rule(_adaptive(_sum, root=lambda h: h), "The root is missing: η g / (√h + ε)."),
        Rule(_adaptive(lambda total, g, h: total + g), "h sums the squares g²."),
        Rule(_adaptive(lambda total, g, h: 0.99 * total + 0.01 * g**2), "This is RMSprop: AdaGrad forgets nothing."),
        Rule(RULES["AdaGrad"], _FORGETS.format("h"), remembers=False),
    ],
    "RMSprop": [
        Rule(_adaptive(_sum), "This is AdaGrad: h ← ρ h + (1-ρ) g²."),
        Rule(_adaptive(lambda total, g, h: h.decay_rate * total + g**2), "The factor 1-ρ is missing before g²."),
        Rule(_adaptive(_average, root=lambda h: h), "The root is missing: η g / (√h + ε)."),
        Rule(
            _adaptive(lambda total, g, h: (1 - h.decay_rate) * total + h.decay_rate * g**2),
            "ρ and 1-ρ are exchanged: h ← ρ h + (1-ρ) g².",
        ),
        Rule(_adaptive(lambda total, g, h: h.decay_rate * total + (1 - h.decay_rate) * g), "h averages squares, g²."),
        Rule(RULES["RMSprop"], _FORGETS.format("h"), remembers=False),
    ],
    "Adam": [
        Rule(_adam(False, False), "The bias correction is missing: divide m by 1 - β₁ᵗ and v by 1 - β₂ᵗ."),
        Rule(_adam(True, False), "The bias correction of v is missing: divide it by 1 - β₂ᵗ."),
        Rule(_adam(False, True), "The bias correction of m is missing: divide it by 1 - β₁ᵗ."),
        Rule(_adam(root=lambda v: v), "The root is missing: m̂ / (√v̂ + ε)."),
        Rule(_adam(power=1), "v averages the squares g²."),
        Rule(_swapped, "β₁ and β₂ are exchanged: β₁ belongs to m."),
        Rule(
            RULES["Adam"], "Count once for each update, not once for each parameter.",
            count=lambda k, i, n: (k - 1) * n + i + 1,
        ),
        Rule(RULES["Adam"], "The count t stays 1: add 1 to it at each update.", count=lambda k, i, n: 1),
        Rule(RULES["Adam"], "The count starts at 2: it is 1 in the first update.", count=lambda k, i, n: k + 1),
        Rule(RULES["Adam"], _FORGETS.format("m"), remembers=False),
    ],
}  # fmt: skip


def wrong_rules(kind: str) -> list[Rule]:
    """What usual mistakes make of a rule, each with its hint."""
    right = RULES[kind]
    rules = [*_WRONG[kind], Rule(_with(right, lr=lambda h: -h.lr), _UPHILL)]
    if kind != "SGD":
        rules.append(Rule(RULES["SGD"], "This is SGD: nothing is remembered from update to update."))
    if kind in ("AdaGrad", "RMSprop", "Adam"):
        rules += [
            Rule(_with(right, eps=10.0**-n), f"Epsilon is about 1e-{n}, too large beside the root; the book's is 1e-7.")
            for n in range(7)
        ]
    return rules
