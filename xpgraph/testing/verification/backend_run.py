"""The training on one backend, each node once more on the oracle's inputs, and the checks beside the nodes."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from ...arrays.installed import usable
from ...arrays.libraries import Array, Place, is_array, place, place_of, to_numpy
from ...graph.gradient_check import host
from ...nodes.copying import move
from ...nodes.losses import cross_entropy_loss
from ...nodes.sharing import merge, plan
from ...training.clipping import clip_grads, clip_rate
from ...training.steps import update
from ..formulas.formula import Arrays, unit
from ..formulas.textbook import cross_entropies, mean_tolerance, one_hot, softmax
from ..formulas.update_rules import clipped, norm
from ..tape import NodeError, Use, as_list, leaves, recording
from .oracle import NodeCase, Oracle, OracleStep, fresh
from .tolerances import error_ratio, errors

Errors = dict[str, tuple[float, float]]  # of what: (absolute, relative)


class BackendRun:
    """A training on one backend. ``beside`` is a second copy of the model, set to the oracle's numbers at each step."""

    def __init__(self, model: Any, optimizer: Any, backend: str | Place, dtype: str, max_grad: float | None) -> None:
        self.place = backend if isinstance(backend, Place) else place(backend)
        self.name, self.dtype = str(self.place), dtype
        self.max_grad, self.alive = max_grad, True  # not alive: a node has raised
        self.model, self.beside = move(model, self.place, dtype), move(model, self.place, dtype)
        self.optimizer = fresh(optimizer)
        self.slots = plan(list(self.model.params))
        self.distinct = [i for i, slot in enumerate(self.slots) if slot.first == i]
        self.nodes = dict(leaves(self.beside))
        library = usable(self.place.library.name)
        self.about = {"version": library.version, "device": library.device, "tf32": _tf32(self.place)}

    def put(self, a: Any) -> Array:
        """A fresh array on the backend."""
        return self.place.asarray(np.asarray(a), copy=True)

    def ratios(self, found: list[Any], truth: list[Any], allowed: list[Any], dtype: str | None = None) -> list[float]:
        """Error over tolerance of each array; ∞ for another number, shape, dtype, library or device."""
        if len(found) != len(truth) or any(is_array(a) and str(place_of(a)) != self.name for a in found):
            return [math.inf]
        return [
            error_ratio(host(a), np.asarray(b), np.asarray(r), dtype or self.dtype)
            for a, b, r in zip(found, truth, allowed, strict=True)
        ]

    def params(self) -> list[np.ndarray]:
        """The parameters, each once, on the host."""
        return [to_numpy(self.model.params[i]) for i in self.distinct]

    def step(self, x: np.ndarray, t: np.ndarray, truth: list[Use]) -> dict[str, Errors]:
        """One step of the training: the largest errors of each node's outputs and gradients."""
        with recording(self.model) as uses:
            self.model.forward(self.put(x), self.put(t))
            self.model.backward()
        inside: dict[str, Errors] = {}
        for use, true in zip(uses, truth, strict=True):
            worst = inside.setdefault(use.path, {"outputs": (0.0, 0.0), "gradients": (0.0, 0.0)})
            pairs = [("outputs", *pair) for pair in zip(use.outputs, true.outputs, strict=True)]
            pairs += [("gradients", *pair) for pair in zip(use.grads, true.grads, strict=True)]
            pairs += [("gradients", *pair) for pair in zip(use.dins, true.dins, strict=False)]
            for what, a, b in pairs:
                worst[what] = max(worst[what], errors(host(a), np.asarray(b)))
        params, grads = merge(self.slots, list(self.model.params), list(self.model.grads))
        clip = clip_rate(grads, self.max_grad)[0] if self.max_grad is not None and grads else None
        update(self.optimizer, params, grads, clip)
        return inside

    def state_errors(self, oracle: Oracle) -> Errors:
        """The largest errors of the weights, and of the optimizer's state by slot."""
        pairs = {"weights": list(zip(self.params(), oracle.params(), strict=True))}
        for slot in self.optimizer.slots if oracle.rule is not None else ():
            arrays = map(host, getattr(self.optimizer, slot))
            pairs[slot] = list(zip(arrays, (state[slot] for state in oracle.state), strict=True))
        return {what: max((errors(a, b) for a, b in each), default=(0.0, 0.0)) for what, each in pairs.items()}

    def check_nodes(self, params: list[np.ndarray], cases: list[NodeCase]) -> Iterator[tuple[str, float]]:
        """Each node on the oracle's inputs: its path, and the largest error over tolerance of all its results."""
        for i, value in zip(self.distinct, params, strict=True):
            self.beside.params[i][...] = self.put(value.astype(self.dtype))
        for case in cases:
            node = self.nodes[case.path]
            try:
                outputs = as_list(node.forward(*(self.put(a) for a in case.inputs)))
                dins = node.backward(*(self.put(d) for d in case.douts))
            except Exception as error:
                raise NodeError(case.path, error) from error
            results = outputs, [] if dins is None else as_list(dins), list(getattr(node, "grads", ()))
            ratios = (self.ratios(*each) for each in zip(results, case.truth, case.allowed, strict=True))
            yield case.path, max((ratio for each in ratios for ratio in each), default=0.0)


def _tf32(where: Place) -> bool | None:
    """May the backend round float32 products to TF32? None where there is no such thing."""
    if where.library.name == "torch":
        return bool(where.xp.backends.cuda.matmul.allow_tf32) if hasattr(where.xp, "backends") else False
    if where.library.name == "cupy":
        return os.environ.get("CUPY_TF32", "0") not in ("", "0")
    return None


# --- the checks beside the nodes, on the oracle's numbers: each returns the largest error over tolerance ---


def check_sharing(run: BackendRun, step: OracleStep, oracle: Oracle) -> float:
    """Sum the gradients of shared parameters."""
    given = [run.put(g.astype(run.dtype)) for g in step.slot_grads]
    _, merged = merge(run.slots, list(run.beside.params), given)
    sizes = oracle.merged([np.abs(g) for g in step.slot_grads])
    allowed = [2 * (len(given) + 4) * unit(run.dtype) * a for a in sizes]
    return max(run.ratios(merged, step.grads, allowed), default=0.0)


def check_clipping(run: BackendRun, grads: Arrays) -> float:
    """Clip to the run's bound and to half the norm; in float16 too, where the library has it."""
    size = norm(grads)
    half = size / 2 or 1.0
    bounds = [(run.dtype, half)] + ([] if run.max_grad is None else [(run.dtype, run.max_grad)])
    if hasattr(run.place.xp, "float16") and 1e-3 < size < 1e3:
        bounds.append(("float16", half))
    return max(_clip(run, grads, dtype, bound) for dtype, bound in bounds)


def _clip(run: BackendRun, grads: Arrays, dtype: str, bound: float) -> float:
    wide = "float32" if dtype == "float16" else dtype  # what the norm is accumulated in
    sent = [g.astype(dtype) for g in grads]
    exact = [a.astype(np.float64) for a in sent]
    truth = clipped(exact, bound)
    given = [run.put(a) for a in sent]
    found = clip_grads(given, bound)
    factor = 2 * (sum(a.size for a in sent) ** 0.5 + 8) * unit(wide)  # the errors of many sums partly cancel
    last = 0.0 if dtype == wide else 1.01 * unit(dtype)  # the product is rounded once more
    tiny = float(np.finfo(dtype).smallest_subnormal)
    allowed = [(factor + last) * np.abs(a) + tiny for a in truth]
    size = np.asarray(norm(exact))
    return max([*run.ratios([found], [size], [factor * size], wide), *run.ratios(given, truth, allowed, dtype)])


def check_cross_entropy(run: BackendRun, x: np.ndarray, t: np.ndarray) -> float:
    """cross_entropy_loss on the probabilities of scores x, with and without eps, for all forms of labels."""
    y = softmax(x).astype(run.dtype)
    y[: len(y) - 1][:1] = 0  # of several rows, one whose probabilities are replaced by the smallest normal number
    few = min(2, x.shape[-1] - 1) or 1  # fewer rows than classes: a mix-up of the two shows
    soft = (0.75 * one_hot(t, x)).astype(run.dtype)
    worst = 0.0
    for rows in (slice(None), slice(-few, None)):
        for labels in (t[rows], soft[rows]):
            for eps in (None, 1e-7):
                found = cross_entropy_loss(run.put(y[rows]), run.put(labels), eps)
                least = float(np.finfo(run.dtype).smallest_normal) if eps is None else 0.0
                losses = cross_entropies(y[rows], labels, least, eps or 0.0)
                allowed = mean_tolerance(losses, y.shape[-1], run.dtype)
                worst = max(worst, *run.ratios([found], [losses.mean()], [allowed]))
    return worst


def check_update(run: BackendRun, step: OracleStep, oracle: Oracle) -> float:
    """One update from the oracle's parameters, gradients and state; the gradients doubled, and clipped to half."""
    if oracle.rule is None:
        return 0.0
    p, g = ([a.astype(run.dtype) for a in arrays] for arrays in (step.params, step.clipped))
    state = [{slot: a.astype(run.dtype) for slot, a in each.items()} for each in step.state]
    optimizer = copy.copy(oracle.optimizer)
    lists = {slot: [run.put(each[slot]) for each in state] for slot in optimizer.slots}
    optimizer.load_state({"iter": oracle.updates - 1, **lists})
    found = [run.put(a) for a in p]
    update(optimizer, found, [run.put(2 * a) for a in g], run.put(np.array(0.5, run.dtype)))
    worst = [0.0]
    for i in range(len(p)):
        before = {slot: a.astype(np.float64) for slot, a in state[i].items()}
        gradient = g[i].astype(np.float64)
        new, after = oracle.rule(p[i].astype(np.float64), gradient, before, oracle.updates, optimizer)
        sizes = np.abs(p[i]) + _terms(optimizer, before, after, gradient, np.abs(new - p[i]))
        worst += run.ratios([found[i]], [new], [8 * unit(run.dtype) * sizes])
        for slot in optimizer.slots:
            sizes = np.abs(before[slot]) + np.abs(after[slot] - before[slot]) + np.abs(after[slot])
            allowed = 8 * unit(run.dtype) * sizes + 4 * float(np.finfo(run.dtype).smallest_subnormal)
            worst += run.ratios([getattr(optimizer, slot)[i]], [after[slot]], [allowed])
    return max(worst)


def _terms(optimizer: Any, before: Any, after: Any, g: np.ndarray, far: np.ndarray) -> np.ndarray:
    """The size of the terms of a step, which is more than the step where they cancel."""
    if "m" in before:
        terms = np.abs(optimizer.beta1 * before["m"]) + np.abs((1 - optimizer.beta1) * g)
        return 2 * far * np.divide(terms, np.abs(after["m"]), out=np.ones_like(far), where=after["m"] != 0)
    return 2 * far + (np.abs(before["v"]) if "v" in before else 0)
