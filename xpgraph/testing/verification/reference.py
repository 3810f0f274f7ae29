"""The oracle's training step: the model in float64 on NumPy, its nodes replaced by the textbook's formulas.

A node of the user's own class has no formula here; it is its own oracle, in float64 on NumPy.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np

from ...arrays.libraries import place
from ...nodes.copying import move
from ...training.optimizers import Optimizer
from ..formulas.formula import unit
from ..formulas.textbook import FORMULAS, RULES
from ..tape import Use, as_result, recording

Arrays = list[np.ndarray]


def float64(arrays: list[Any]) -> Arrays:
    """Each as float64; class indices stay integers."""
    return [a if a.dtype.kind in "iu" else np.asarray(a, np.float64) for a in map(np.asarray, arrays)]


def formulas(node: Any, kind: str) -> Any:
    """The textbook's ``forward`` or ``backward`` for a node, or None where there is no formula."""
    formula = FORMULAS.get(type(node).__name__) if type(node).__module__.startswith("xpgraph.") else None
    if formula is None:
        return None

    def forward(*inputs: Any) -> Any:
        node._oracle_inputs = float64(list(inputs))
        return as_result(float64(formula.forward(node, float64(node.params), node._oracle_inputs)))

    def backward(*douts: Any, input_grad: bool = True) -> Any:
        dins, grads = formula.backward(node, float64(node.params), node._oracle_inputs, float64(list(douts or (1.0,))))
        for g, new in zip(node.grads, grads, strict=True):
            g[...] = new
        return as_result(float64(dins))

    return forward if kind == "forward" else backward


class Oracle:
    """A float64 run of a model: ``step`` records its nodes, merges, clips and updates by the textbook."""

    def __init__(self, model: Any, optimizer: Any, max_grad: float | None) -> None:
        self.model = move(model, place("numpy"), "float64")
        self.optimizer, self.max_grad = fresh(optimizer), max_grad
        params = self.model.params
        self.first = [_first(params, i) for i in range(len(params))]
        self.kept = [i for i, (j, _) in enumerate(self.first) if i == j]
        own = not type(optimizer).__module__.startswith("xpgraph.")  # a user's Adam is not ours
        self.rule = None if own else RULES.get(type(optimizer).__name__)
        self.state: list[dict[str, Any]] = [
            {slot: np.zeros(params[i].shape) for slot in getattr(optimizer, "slots", ())} for i in self.kept
        ]
        self.k = 0

    def params(self) -> Arrays:
        """Each parameter once: copies."""
        return [np.array(self.model.params[i]) for i in self.kept]

    def run(self, x: np.ndarray, t: np.ndarray) -> tuple[list[Use], Arrays]:
        """Forward and backward: the uses of all nodes, and the gradient of every slot (copies)."""
        with recording(self.model, formulas) as uses:
            self.model.forward(x.astype(np.float64) if x.dtype.kind == "f" else x, t)
            self.model.backward()
        for use in uses:
            use.grads = [np.array(g) for g in use.grads]
        return uses, [np.array(g) for g in self.model.grads]

    def merged(self, grads: Arrays) -> Arrays:
        """The gradients of the slots of each parameter, summed."""
        totals = {i: np.zeros(self.model.params[i].shape) for i in self.kept}
        for (first, turned), g in zip(self.first, grads, strict=True):
            totals[first] = totals[first] + (g.T if turned else g)
        return list(totals.values())

    def clipped(self, grads: Arrays) -> Arrays:
        """The gradients scaled so that their norm is at most max_grad."""
        norm = math.sqrt(math.fsum(float(np.square(g).sum()) for g in grads))
        rate = 1.0 if self.max_grad is None else min(1.0, self.max_grad / (norm + 1e-6))
        return [g * rate for g in grads]

    def update(self, grads: Arrays) -> None:
        """One update of each parameter by the rule; a user's own optimizer runs itself, in float64."""
        self.k += 1
        params = [self.model.params[i] for i in self.kept]
        if self.rule is None:
            self.optimizer.update(params, grads)
            return
        for i, (p, g) in enumerate(zip(params, grads, strict=True)):
            new, self.state[i] = self.rule(np.array(p), g, self.state[i], self.k, self.optimizer)
            p[...] = new


class Disturbed(Oracle):
    """The oracle's run once more, with every weight off by one rounding of the dtype at each step."""

    def __init__(self, model: Any, optimizer: Any, max_grad: float | None, dtype: str) -> None:
        super().__init__(model, optimizer, max_grad)
        self.rounding, self.rng = unit(dtype), np.random.Generator(np.random.Philox(0))
        self.disturb()

    def follow(self, x: np.ndarray, t: np.ndarray) -> None:
        """One whole step."""
        _, grads = self.run(x, t)
        self.update(self.clipped(self.merged(grads)))
        self.disturb()

    def disturb(self) -> None:
        for i in self.kept:
            p = self.model.params[i]
            p *= 1 + self.rounding * self.rng.uniform(-1, 1, p.shape)


def fresh(optimizer: Any) -> Any:
    """A copy of an optimizer that has made no step; of a user's own class, as it is."""
    new = copy.deepcopy(optimizer)
    if isinstance(new, Optimizer):
        new.load_state({"iter": 0, **dict.fromkeys(new.slots)})
    return new


def _first(params: list[Any], i: int) -> tuple[int, bool]:
    """(first slot that holds the memory of slot i, whether transposed), by NumPy's own account of memory."""
    for j in range(i):
        a, b = params[j], params[i]
        if a.size and a.__array_interface__["data"] == b.__array_interface__["data"]:
            if a.shape == b.shape and np.shares_memory(a, b) and _same(a, b):
                return j, False
            if a.ndim == 2 and a.T.shape == b.shape and _same(a.T, b):
                return j, True
    return i, False


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return all(n == 1 or s == r for n, s, r in zip(a.shape, a.strides, b.strides, strict=True))
