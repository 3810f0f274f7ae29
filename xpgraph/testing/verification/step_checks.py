"""What is checked beside the nodes, on the oracle's own numbers: merging, clipping, cross-entropy and the update.

Each check runs the library's function on the backend and returns the largest error over tolerance.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from ...nodes.losses import cross_entropy_loss
from ...nodes.sharing import merge
from ...training.clipping import clip_grads
from ...training.steps import update as library_update
from ..formulas.formula import Arrays, unit
from ..formulas.textbook import cross_entropies, mean_tolerance, one_hot, softmax
from ..formulas.update_rules import clipped, norm
from .backend_run import BackendRun
from .oracle import Oracle, OracleStep


def sharing(run: BackendRun, step: OracleStep, oracle: Oracle) -> float:
    """Sum the gradients of shared parameters."""
    given = [run.put(g.astype(run.dtype)) for g in step.slot_grads]
    _, merged = merge(run.slots, list(run.beside.params), given)
    sizes = oracle.merged([np.abs(g) for g in step.slot_grads])
    allowed = [2 * (len(given) + 4) * unit(run.dtype) * a for a in sizes]
    return max(run.ratios(merged, step.grads, allowed), default=0.0)


def clipping(run: BackendRun, grads: Arrays) -> float:
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


def cross_entropy(run: BackendRun, x: np.ndarray, t: np.ndarray) -> float:
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


def update(run: BackendRun, step: OracleStep, oracle: Oracle) -> float:
    """One update from the oracle's parameters, gradients and state; the gradients doubled, and clipped to half."""
    if oracle.rule is None:
        return 0.0
    p, g = ([a.astype(run.dtype) for a in arrays] for arrays in (step.params, step.clipped))
    state = [{slot: a.astype(run.dtype) for slot, a in each.items()} for each in step.state]
    optimizer = copy.copy(oracle.optimizer)
    lists = {slot: [run.put(each[slot]) for each in state] for slot in optimizer.slots}
    optimizer.load_state({"iter": oracle.updates - 1, **lists})
    found = [run.put(a) for a in p]
    library_update(optimizer, found, [run.put(2 * a) for a in g], run.put(np.array(0.5, run.dtype)))
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
