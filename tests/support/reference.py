"""What the training tests compare with: the textbook formulas in float64 NumPy, written without xpgraph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Grid = np.ndarray
Memory = dict[str, Any]


def sgd(w: Grid, g: Grid, s: Memory, k: int, lr: float = 0.01) -> Grid:
    return w - lr * g


def momentum(w: Grid, g: Grid, s: Memory, k: int, lr: float = 0.01, mu: float = 0.9) -> Grid:
    s["v"] = mu * s.get("v", 0.0) - lr * g
    return w + s["v"]


def adagrad(w: Grid, g: Grid, s: Memory, k: int, lr: float = 0.01) -> Grid:
    s["h"] = s.get("h", 0.0) + g**2
    return w - lr * g / (np.sqrt(s["h"]) + 1e-7)


def rmsprop(w: Grid, g: Grid, s: Memory, k: int, lr: float = 0.01, rho: float = 0.99) -> Grid:
    s["h"] = rho * s.get("h", 0.0) + (1 - rho) * g**2
    return w - lr * g / (np.sqrt(s["h"]) + 1e-7)


def adam(w: Grid, g: Grid, s: Memory, k: int, lr: float = 0.001, b1: float = 0.9, b2: float = 0.999) -> Grid:
    """Algorithm 1 of Kingma & Ba, line by line."""
    s["m"] = b1 * s.get("m", 0.0) + (1 - b1) * g
    s["v"] = b2 * s.get("v", 0.0) + (1 - b2) * g**2
    m_hat, v_hat = s["m"] / (1 - b1**k), s["v"] / (1 - b2**k)
    return w - lr * m_hat / (np.sqrt(v_hat) + 1e-8)


def adam_chapter(w: Grid, g: Grid, s: Memory, k: int, lr: float = 0.001) -> Grid:
    """The chapter's: epsilon is added before the bias correction, and is 1e-7."""
    s["m"] = 0.9 * s.get("m", 0.0) + 0.1 * g
    s["v"] = 0.999 * s.get("v", 0.0) + (1 - 0.999) * g**2
    rate = lr * np.sqrt(1 - 0.999**k) / (1 - 0.9**k)
    return w - rate * s["m"] / (np.sqrt(s["v"]) + 1e-7)


RULES = {
    "SGD": sgd,
    "Momentum": momentum,
    "AdaGrad": adagrad,
    "RMSprop": rmsprop,
    "Adam": adam,
    "Adam-chapter": adam_chapter,
}


class Reference:
    """A rule applied to a list of parameters, each with its own memory; steps are counted from 1."""

    def __init__(self, rule: Callable[..., Grid], params: list[Grid], **hyper: float) -> None:
        self.rule, self.hyper, self.k = rule, hyper, 0
        self.params = [np.array(p, np.float64) for p in params]
        self.memory: list[Memory] = [{} for _ in params]

    def update(self, grads: list[Grid]) -> None:
        self.k += 1
        new = zip(self.params, grads, self.memory, strict=True)
        self.params = [self.rule(p, np.asarray(g, np.float64), s, self.k, **self.hyper) for p, g, s in new]


def two_layers(x: Grid, t: Grid, W1: Grid, b1: Grid, W2: Grid, b2: Grid) -> tuple[float, list[Grid]]:
    """Loss and gradients (dW1, db1, dW2, db2) of softmax(sigmoid(x W1 + b1) W2 + b2) with cross-entropy."""
    h = 1 / (1 + np.exp(-(x @ W1 + b1)))
    z = h @ W2 + b2
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    dz = np.exp(log_p)
    dz[np.arange(len(t)), t] -= 1
    dz /= len(t)
    dh = dz @ W2.T * h * (1 - h)
    return -log_p[np.arange(len(t)), t].mean(), [x.T @ dh, dh.sum(axis=0), h.T @ dz, dz.sum(axis=0)]


def gap(a: Grid, b: Grid) -> float:
    """max |a - b| / max |b|: the measure of every bar for trained weights."""
    return float(np.max(np.abs(np.asarray(a, np.float64) - b)) / np.max(np.abs(b)))


def toy(n: int = 24, d: int = 4, classes: int = 3, seed: int = 0) -> tuple[Grid, Grid]:
    """Separable data: n rows of d numbers (float64) and their classes (int64)."""
    rng = np.random.Generator(np.random.Philox(seed))
    t = np.arange(n) % classes
    centres = 2.0 * np.random.Generator(np.random.Philox(99)).standard_normal((classes, d))
    return centres[t] + 0.5 * rng.standard_normal((n, d)), t
