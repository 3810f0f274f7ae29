"""The optimizers' rules, for one array at a time, and gradient clipping.

A rule is (w, g, state, k, hyper) -> (new w, new state): the parameter, its gradient, its state (empty before the first
update), the number of the update from 1, and an object with the hyper-parameters. The arguments of ``momentum``,
``adaptive`` and ``adam`` are the places where students go wrong: ``grading/`` puts mistakes there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

State = dict[str, Any]
UpdateRule = Callable[[Any, Any, State, int, Any], tuple[Any, State]]


def sgd(w: Any, g: Any, s: State, k: int, h: Any) -> tuple[Any, State]:
    """θ ← θ - η g"""
    return w - h.lr * g, {}


def momentum(
    velocity: Callable[[Any, Any, Any], Any] = lambda v, g, h: h.momentum * v - h.lr * g,
    move: Callable[[Any, Any, Any], Any] = lambda v, g, h: v,
) -> UpdateRule:
    """v ← μ v - η g;  θ ← θ + v"""

    def rule(w: Any, g: Any, s: State, k: int, h: Any) -> tuple[Any, State]:
        v = velocity(s.get("v", 0.0), g, h)
        return w + move(v, g, h), {"v": v}

    return rule


def sum_of_squares(total: Any, g: Any, h: Any) -> Any:
    """AdaGrad: h ← h + g²"""
    return total + g**2


def mean_of_squares(total: Any, g: Any, h: Any) -> Any:
    """RMSprop: h ← ρ h + (1-ρ) g²"""
    return h.decay_rate * total + (1 - h.decay_rate) * g**2


def adaptive(collect: Callable[[Any, Any, Any], Any], root: Callable[[Any], Any] = np.sqrt) -> UpdateRule:
    """h ← collect(h, g);  θ ← θ - η g / (√h + ε)"""

    def rule(w: Any, g: Any, s: State, k: int, h: Any) -> tuple[Any, State]:
        total = collect(s.get("h", 0.0), g, h)
        return w - h.lr * g / (root(total) + h.eps), {"h": total}

    return rule


def adam(first: bool = True, second: bool = True, root: Callable[[Any], Any] = np.sqrt, power: int = 2) -> UpdateRule:
    """Algorithm 1 of Kingma & Ba: m ← β₁ m + (1-β₁) g;  v ← β₂ v + (1-β₂) g²;  θ ← θ - η m̂ / (√v̂ + ε)

    In the chapter's form ε is added before the bias correction. ``first``, ``second``: is m corrected, is v?
    """

    def rule(w: Any, g: Any, s: State, k: int, h: Any) -> tuple[Any, State]:
        m = h.beta1 * s.get("m", 0.0) + (1 - h.beta1) * g
        v = h.beta2 * s.get("v", 0.0) + (1 - h.beta2) * g**power
        if h.form == "chapter":
            rate = h.lr * math.sqrt(1 - h.beta2**k) / (1 - h.beta1**k)
            return w - rate * m / (root(v) + h.eps), {"m": m, "v": v}
        m_hat = m / (1 - h.beta1**k) if first else m
        v_hat = v / (1 - h.beta2**k) if second else v
        return w - h.lr * m_hat / (root(v_hat) + h.eps), {"m": m, "v": v}

    return rule


RULES: dict[str, UpdateRule] = {
    "SGD": sgd,
    "Momentum": momentum(),
    "AdaGrad": adaptive(sum_of_squares),
    "RMSprop": adaptive(mean_of_squares),
    "Adam": adam(),
}
# The usual values of the hyper-parameters; Adam's ε is the paper's, the chapter's is 1e-7.
HYPER: dict[str, dict[str, Any]] = {
    "SGD": {"lr": 0.01},
    "Momentum": {"lr": 0.01, "momentum": 0.9},
    "AdaGrad": {"lr": 0.01, "eps": 1e-7},
    "RMSprop": {"lr": 0.01, "decay_rate": 0.99, "eps": 1e-7},
    "Adam": {"lr": 0.001, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "form": "paper"},
}


def norm(grads: Sequence[np.ndarray]) -> float:
    """The norm of all gradients together."""
    return math.sqrt(math.fsum(float(np.square(g).sum()) for g in grads))


def clipped(grads: Sequence[np.ndarray], max_norm: float) -> list[np.ndarray]:
    """The gradients, scaled by one factor so that their common norm is at most ``max_norm``."""
    rate = min(1.0, max_norm / (norm(grads) + 1e-6))
    return [g * rate for g in grads]
