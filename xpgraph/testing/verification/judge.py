"""Held on the oracle's own numbers, beside the nodes: merging, clipping, cross-entropy, and the optimizer's update."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np

from ...arrays.libraries import Array, Place, is_array, place_of, to_numpy
from ...nodes.losses import cross_entropy_loss
from ...nodes.sharing import Slot, merge
from ...training.clipping import clip_grads
from ...training.steps import update as step
from ..formulas.formula import unit
from .bars import strain
from .reference import Oracle

Arrays = list[np.ndarray]


class Judge:
    """What is put on a backend and brought back from it, and how far it is from the truth."""

    def __init__(self, where: Place, dtype: str) -> None:
        self.place, self.name, self.dtype = where, str(where), dtype

    def put(self, a: Any) -> Array:
        return self.place.asarray(np.asarray(a), copy=True)

    def host(self, a: Any) -> np.ndarray:
        return np.asarray(a) if isinstance(a, int | float | np.generic) else to_numpy(a)

    def strains(self, found: list[Any], truth: list[Any], room: list[Any], dtype: str | None = None) -> list[float]:
        """Error over room of each array; ∞ for another number, shape, dtype or library."""
        if len(found) != len(truth):
            return [math.inf]
        if any(is_array(a) and str(place_of(a)) != self.name for a in found):
            return [math.inf]  # of another library: a node that was written for NumPy, say
        return [
            strain(self.host(a), np.asarray(b), np.asarray(r), dtype or self.dtype)
            for a, b, r in zip(found, truth, room, strict=True)
        ]


def merging(judge: Judge, plan: list[Slot], params: list[Array], slots: Arrays, truth: Arrays) -> float:
    """Summing the gradients of shared slots."""
    given = [judge.put(g.astype(judge.dtype)) for g in slots]
    _, merged = merge(plan, params, given)
    kept = [i for i, slot in enumerate(plan) if slot.first == i]
    sizes = [np.zeros(a.shape) for a in truth]
    for (first, turned), g in zip(plan, slots, strict=True):
        sizes[kept.index(first)] += np.abs(g.T if turned else g)
    room = [2 * (len(slots) + 4) * unit(judge.dtype) * a for a in sizes]
    return max(judge.strains(merged, truth, room), default=0.0)


def clipping(judge: Judge, grads: Arrays, max_grad: float | None) -> float:
    """Clipping to the bound that is asked for, and to half the norm; in float16 too, where the library has it."""
    norm = math.sqrt(math.fsum(float(np.square(g).sum()) for g in grads))
    half = norm / 2 or 1.0
    trials = [(judge.dtype, half)] + ([] if max_grad is None else [(judge.dtype, max_grad)])
    if hasattr(judge.place.xp, "float16") and 1e-3 < norm < 1e3:
        trials.append(("float16", half))
    return max(_clipped(judge, grads, dtype, bound) for dtype, bound in trials)


def _clipped(judge: Judge, grads: Arrays, dtype: str, bound: float) -> float:
    wide = "float32" if dtype == "float16" else dtype  # what the norm is accumulated in
    sent = [g.astype(dtype) for g in grads]
    exact = [a.astype(np.float64) for a in sent]
    norm = math.sqrt(math.fsum(float(np.square(a).sum()) for a in exact))
    truth = [a * min(1.0, bound / (norm + 1e-6)) for a in exact]
    given = [judge.put(a) for a in sent]
    found = clip_grads(given, bound)
    factor = 2 * (sum(a.size for a in sent) ** 0.5 + 8) * unit(wide)  # the errors of many sums partly cancel
    last = 0.0 if dtype == wide else 1.01 * unit(dtype)  # the product is rounded once more
    tiny = float(np.finfo(dtype).smallest_subnormal)
    room = [(factor + last) * np.abs(a) + tiny for a in truth]
    norms = judge.strains([found], [np.asarray(norm)], [np.asarray(factor * norm)], wide)
    return max([*norms, *judge.strains(given, truth, room, dtype)])


def cross_entropy(judge: Judge, x: np.ndarray, t: np.ndarray) -> float:
    """The function cross_entropy_loss on the probabilities of scores x, both its forms, for both forms of labels."""
    y = np.exp(x - x.max(axis=-1, keepdims=True))
    y = (y / y.sum(axis=-1, keepdims=True)).astype(judge.dtype)
    y[: len(y) - 1][:1] = 0  # of several rows, one that the smallest normal number is for
    few = min(2, x.shape[-1] - 1) or 1  # fewer rows than classes: a mix-up of the two shows
    soft = t if t.ndim == x.ndim else np.eye(x.shape[-1])[t]
    worst = 0.0
    for rows in (slice(None), slice(-few, None)):
        for labels in (t[rows], (0.75 * soft[rows]).astype(judge.dtype)):
            for eps in (None, 1e-7):
                found = cross_entropy_loss(judge.put(y[rows]), judge.put(labels), eps)
                worst = max(worst, _entropy_strain(judge, found, y[rows], labels, eps))
    return worst


def _entropy_strain(judge: Judge, found: Any, y: np.ndarray, t: np.ndarray, eps: float | None) -> float:
    wide = y.astype(np.longdouble)
    each = -np.log(np.maximum(wide, np.finfo(judge.dtype).smallest_normal) if eps is None else wide + eps)
    rows = (t * each).sum(axis=-1) if t.ndim == y.ndim else np.take_along_axis(each, t[:, None], axis=-1)[:, 0]
    room = unit(judge.dtype) * (8 + 2 * (rows.size + y.shape[-1] + 4) * np.abs(rows).mean())
    return judge.strains([found], [rows.mean()], [room])[0]


def update(judge: Judge, params: Arrays, grads: Arrays, state: list[dict[str, Any]], oracle: Oracle) -> float:
    """One update from the oracle's own parameters, gradients and state; the gradients doubled, and clipped to half."""
    if oracle.rule is None:
        return 0.0
    p, g = ([a.astype(judge.dtype) for a in arrays] for arrays in (params, grads))
    s = [{slot: a.astype(judge.dtype) for slot, a in each.items()} for each in state]
    optimizer = copy.copy(oracle.optimizer)
    lists = {slot: [judge.put(each[slot]) for each in s] for slot in optimizer.slots}
    optimizer.load_state({"iter": oracle.k - 1, **lists})
    found = [judge.put(a) for a in p]
    step(optimizer, found, [judge.put(2 * a) for a in g], judge.put(np.array(0.5, judge.dtype)))
    worst = [0.0]
    for i in range(len(p)):
        before = {slot: a.astype(np.float64) for slot, a in s[i].items()}
        gradient = g[i].astype(np.float64)
        new, after = oracle.rule(p[i].astype(np.float64), gradient, before, oracle.k, optimizer)
        room = 8 * unit(judge.dtype) * (np.abs(p[i]) + _terms(optimizer, before, after, gradient, np.abs(new - p[i])))
        worst += judge.strains([found[i]], [new], [room])
        for slot in optimizer.slots:
            size = np.abs(before[slot]) + np.abs(after[slot] - before[slot]) + np.abs(after[slot])
            room = 8 * unit(judge.dtype) * size + 4 * float(np.finfo(judge.dtype).smallest_subnormal)
            worst += judge.strains([getattr(optimizer, slot)[i]], [after[slot]], [room])
    return max(worst)


def _terms(optimizer: Any, before: Any, after: Any, g: np.ndarray, far: np.ndarray) -> np.ndarray:
    """The size of what a step is made of, which is more than the step where its terms cancel."""
    if "m" in before:
        terms = np.abs(optimizer.beta1 * before["m"]) + np.abs((1 - optimizer.beta1) * g)
        return 2 * far * np.divide(terms, np.abs(after["m"]), out=np.ones_like(far), where=after["m"] != 0)
    return 2 * far + (np.abs(before["v"]) if "v" in before else 0)
