"""What the training tests compare with: the textbook's formulas (xpgraph/testing/formulas), in float64."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from xpgraph.testing.formulas import update_rules
from xpgraph.testing.formulas.textbook import FORMULAS

Grid = np.ndarray
RULES = {name: (rule, update_rules.HYPER[name]) for name, rule in update_rules.RULES.items()}
RULES["Adam-chapter"] = RULES["Adam"][0], {**RULES["Adam"][1], "eps": 1e-7, "form": "chapter"}


class Reference:
    """A rule with its usual hyper-parameters, or others, applied to a list of parameters."""

    def __init__(self, rule: tuple[update_rules.UpdateRule, dict], params: list[Grid], **hyper: float) -> None:
        (self.rule, usual), self.updates = rule, 0
        self.hyper = {**usual, **hyper}
        self.params = [np.array(p, np.float64) for p in params]
        self.state: list[update_rules.State] = [{} for _ in params]

    def update(self, grads: list[Grid]) -> None:
        self.updates += 1
        hyper = SimpleNamespace(**self.hyper)
        for i, (p, g) in enumerate(zip(self.params, grads, strict=True)):
            g = np.asarray(g, np.float64)
            self.params[i], self.state[i] = self.rule(p, g, self.state[i], self.updates, hyper)


def two_layers(x: Grid, t: Grid, W1: Grid, b1: Grid, W2: Grid, b2: Grid) -> tuple[float, list[Grid]]:
    """Loss and gradients (dW1, db1, dW2, db2) of softmax(sigmoid(x W1 + b1) W2 + b2) with cross-entropy."""
    affine, sigmoid, loss = (FORMULAS[name] for name in ("Affine", "Sigmoid", "SoftmaxWithLoss"))
    z = affine.forward(None, [W1, b1], [x])
    h = sigmoid.forward(None, [], z)
    y = affine.forward(None, [W2, b2], h)
    (value,) = loss.forward(None, [], [*y, t])
    dy, _ = loss.backward(None, [], [*y, t], [np.ones(())])
    dh, second = affine.backward(None, [W2, b2], h, dy)
    dz, _ = sigmoid.backward(None, [], z, dh)
    _, first = affine.backward(None, [W1, b1], [x], dz)
    return float(value), [np.asarray(g, np.float64) for g in (*first, *second)]


def gap(a: Grid, b: Grid) -> float:
    """max |a - b| / max |b|: the measure of every bar for trained weights."""
    return float(np.max(np.abs(np.asarray(a, np.float64) - b)) / np.max(np.abs(b)))


def toy(n: int = 24, d: int = 4, classes: int = 3, seed: int = 0) -> tuple[Grid, Grid]:
    """Separable data: n rows of d numbers (float64) and their classes (int64)."""
    rng = np.random.Generator(np.random.Philox(seed))
    t = np.arange(n) % classes
    centres = 2.0 * np.random.Generator(np.random.Philox(99)).standard_normal((classes, d))
    return centres[t] + 0.5 * rng.standard_normal((n, d)), t
