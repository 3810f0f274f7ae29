"""The oracle: the training as it should be, in float64 on NumPy, with the textbook's formulas in place of the nodes.

A node or an optimizer of the user's own class has no formula: it runs itself, in float64 on NumPy.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ...arrays.libraries import place
from ...nodes.copying import move
from ...training.optimizers import Optimizer
from ..formulas.formula import Arrays, Formula, Results, unit
from ..formulas.textbook import FORMULAS
from ..formulas.update_rules import RULES, clipped
from ..tape import Use, as_list, as_result, recording

OWN = 64  # a node without a formula may be wrong by 64 u of its largest result: nothing is known of its sums


def float64(arrays: list[Any]) -> Arrays:
    """Each as float64; class indices stay integers."""
    return [a if a.dtype.kind in "iu" else np.asarray(a, np.float64) for a in map(np.asarray, arrays)]


def rounded(a: Any, dtype: str) -> np.ndarray:
    """A copy of a floating array in the dtype; class indices as they are."""
    a = np.asarray(a)
    return np.array(a) if a.dtype.kind in "iu" else np.array(a, dtype, order="C")


def formula_of(node: Any) -> Formula | None:
    """The textbook's formula of a node of the library."""
    return FORMULAS.get(type(node).__name__) if type(node).__module__.startswith("xpgraph.") else None


def by_formula(node: Any) -> tuple[Callable[..., Any], Callable[..., Any]] | None:
    """The formula as the node's ``forward`` and ``backward``, which keeps the inputs between the two."""
    formula = formula_of(node)
    if formula is None:
        return None
    kept: Arrays = []

    def forward(*inputs: Any) -> Any:
        kept[:] = float64(list(inputs))
        return as_result(float64(formula.forward(node, float64(node.params), kept)))

    def backward(*douts: Any, input_grad: bool = True) -> Any:
        dins, grads = formula.backward(node, float64(node.params), kept, float64(list(douts or (1.0,))))
        for g, new in zip(node.grads, grads, strict=True):
            g[...] = new
        return as_result(float64(dins))

    return forward, backward


class NodeCase:
    """One use of a node, to be repeated on a backend: inputs rounded to the dtype, true results, and tolerances."""

    def __init__(self, use: Use, dtype: str) -> None:
        self.path, self.kind = use.path, type(use.node).__name__
        params = float64([np.asarray(p).astype(dtype) for p in getattr(use.node, "params", ())])
        self.inputs = [rounded(a, dtype) for a in use.inputs]
        self.douts = [rounded(np.asarray(a, np.float64), dtype) for a in use.douts or [1.0] * len(use.outputs)]
        formula = formula_of(use.node)
        for a in self.inputs if formula and formula.at_zero else ():
            a.reshape(-1)[:1] *= a.dtype.kind != "f"  # one exact zero, where a comparison may go either way
        given = params, float64(self.inputs), float64(self.douts)
        if formula is not None:
            self.truth = formula.results(use.node, *given)
            self.allowed = formula.tolerances(use.node, *given, dtype)
        else:
            self.truth = _own_results(use.node, *given)
            sizes = [[np.abs(a).max(initial=0.0) for a in each] for each in self.truth]
            self.allowed = Results(*([OWN * unit(dtype) * size for size in each] for each in sizes))


def _own_results(node: Any, params: Arrays, inputs: Arrays, douts: Arrays) -> Results:
    node = move(node, place("numpy"), "float64")
    for p, value in zip(getattr(node, "params", ()), params, strict=True):
        p[...] = value
    outputs = float64(as_list(node.forward(*inputs)))
    dins = node.backward(*douts)
    return Results(outputs, [] if dins is None else float64(as_list(dins)), float64(list(getattr(node, "grads", ()))))


class OracleStep(NamedTuple):
    """One step of the oracle: what it started from, what its nodes did, and the gradients on the way to the update."""

    params: Arrays  # each parameter once, before the update
    state: list[dict[str, Any]]  # of the optimizer, before the update
    uses: list[Use]
    cases: list[NodeCase]
    slot_grads: Arrays  # of each place in model.params
    grads: Arrays  # of each parameter once
    clipped: Arrays


class Oracle:
    """A training of a copy of the model, from the same start."""

    def __init__(self, model: Any, optimizer: Any, max_grad: float | None) -> None:
        self.model = move(model, place("numpy"), "float64")
        self.optimizer, self.max_grad = fresh(optimizer), max_grad
        params = self.model.params
        self.slots = [_first(params, i) for i in range(len(params))]
        self.distinct = [i for i, (first, _) in enumerate(self.slots) if i == first]
        own = not type(optimizer).__module__.startswith("xpgraph.")  # a user's Adam is not ours
        self.rule = None if own else RULES.get(type(optimizer).__name__)
        self.state: list[dict[str, Any]] = [
            {slot: np.zeros(params[i].shape) for slot in getattr(optimizer, "slots", ())} for i in self.distinct
        ]
        self.updates = 0

    def params(self) -> Arrays:
        """Copies of the parameters, each once."""
        return [np.array(self.model.params[i]) for i in self.distinct]

    def step(self, x: np.ndarray, t: np.ndarray, dtype: str) -> OracleStep | None:
        """One step; None, without an update, if it leaves the range of numbers of the dtype."""
        params, state = self.params(), list(self.state)
        uses, slot_grads = self.run(x, t)
        grads = self.merged(slot_grads)
        if not _within(dtype, [*params, *grads, *(a for use in uses for a in use.outputs)]):
            return None
        cases = [NodeCase(use, dtype) for use in uses]  # before the update, which changes the parameters
        scaled = self.clipped(grads)
        self.update(scaled)
        return OracleStep(params, state, uses, cases, slot_grads, grads, scaled)

    def run(self, x: np.ndarray, t: np.ndarray) -> tuple[list[Use], Arrays]:
        """Forward and backward: the uses of all nodes, and copies of the gradients of all slots."""
        with recording(self.model, by_formula) as uses:
            self.model.forward(x.astype(np.float64) if x.dtype.kind == "f" else x, t)
            self.model.backward()
        for use in uses:
            use.grads = [np.array(g) for g in use.grads]
        return uses, [np.array(g) for g in self.model.grads]

    def merged(self, grads: Arrays) -> Arrays:
        """The gradients of the slots of each parameter, summed."""
        totals = {i: np.zeros(self.model.params[i].shape) for i in self.distinct}
        for (first, transposed), g in zip(self.slots, grads, strict=True):
            totals[first] = totals[first] + (g.T if transposed else g)
        return list(totals.values())

    def clipped(self, grads: Arrays) -> Arrays:
        """The gradients with a norm of at most ``max_grad``."""
        return grads if self.max_grad is None else clipped(grads, self.max_grad)

    def update(self, grads: Arrays) -> None:
        """Update each parameter in place, by the rule."""
        self.updates += 1
        params = [self.model.params[i] for i in self.distinct]
        if self.rule is None:
            self.optimizer.update(params, grads)
            return
        for i, (p, g) in enumerate(zip(params, grads, strict=True)):
            p[...], self.state[i] = self.rule(np.array(p), g, self.state[i], self.updates, self.optimizer)


class PerturbedOracle(Oracle):
    """The same training with every weight off by one rounding of the dtype at each step: what roundings alone do."""

    def __init__(self, model: Any, optimizer: Any, max_grad: float | None, dtype: str) -> None:
        super().__init__(model, optimizer, max_grad)
        self.rounding, self.rng = unit(dtype), np.random.Generator(np.random.Philox(0))
        self.perturb()

    def follow(self, x: np.ndarray, t: np.ndarray) -> None:
        """One whole step."""
        _, grads = self.run(x, t)
        self.update(self.clipped(self.merged(grads)))
        self.perturb()

    def perturb(self) -> None:
        for i in self.distinct:
            p = self.model.params[i]
            p *= 1 + self.rounding * self.rng.uniform(-1, 1, p.shape)


def fresh(optimizer: Any) -> Any:
    """A copy of an optimizer, before its first step; of a user's own class, as it is."""
    new = copy.deepcopy(optimizer)
    if isinstance(new, Optimizer):
        new.load_state({"iter": 0, **dict.fromkeys(new.slots)})
    return new


def _within(dtype: str, arrays: list[Any]) -> bool:
    """Are all of them finite, and so small that their squares are finite in the dtype?"""
    most = math.sqrt(float(np.finfo(dtype).max))
    return all(bool(np.all(np.abs(a) < most)) for a in map(np.asarray, arrays))


def _first(params: list[Any], i: int) -> tuple[int, bool]:
    """(first slot with the memory of slot i, is it transposed?), as NumPy alone can tell."""
    for j in range(i):
        a, b = params[j], params[i]
        if a.size and a.__array_interface__["data"] == b.__array_interface__["data"]:
            if _same_layout(a, b):
                return j, False
            if a.ndim == 2 and _same_layout(a.T, b):
                return j, True
    return i, False


def _same_layout(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and all(n == 1 or s == r for n, s, r in zip(a.shape, a.strides, b.strides, strict=True))
