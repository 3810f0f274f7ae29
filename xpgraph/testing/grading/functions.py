"""The functions of a student: softmax, cross_entropy_loss, remove_duplicates and clip_grads."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ...nodes.sharing import remove_duplicates
from ...training.clipping import clip_grads
from ..findings import Finding
from ..formulas.textbook import FORMULAS
from ..node_checks.checks import check_node
from .compare import close, compare
from .losses import close_loss, explain_loss, scores_and_labels
from .mistakes import Letters, mistakes
from .source_file import Source

LENIENT = ("aliasing", "dtype", "device", "3-D inputs refused")


def _softmax(name: str, function: Any, source: Source) -> Iterator[Finding]:
    x, _ = scores_and_labels()
    for given in (x, x[0]):
        truth = np.asarray(FORMULAS["Softmax"].forward(None, [], [given])[0], np.float64)
        try:
            y = function(given.copy())
        except Exception as error:
            if given.ndim == 2:  # the book's rank; others may be refused
                yield Finding(name, "values", "no exception", source.words(error), "Run it on an array (5, 3).")
                return
            continue
        finding = compare(name, f"{given.ndim}-D values", y, truth,
                          mistakes("Softmax", "y", Letters([given], [], [truth], [])))  # fmt: skip
        if finding is not None:
            yield finding
            return
    yield from (f for f in check_node(function, x[:4], name=name) if not f.check.startswith(LENIENT))


def _cross_entropy(name: str, function: Any, source: Source) -> Iterator[Finding]:
    x, t = scores_and_labels()
    y = np.asarray(FORMULAS["Softmax"].forward(None, [], [x])[0], np.float64)
    truth = np.asarray(FORMULAS["SoftmaxWithLoss"].forward(None, [], [x, t])[0], np.float64)
    for labels, words in ((t, "class indices"), (np.eye(3)[t], "one-hot labels")):
        hint = "" if labels.ndim == 1 else "Take t as one-hot rows too: if t.ndim == 2, t = t.argmax(axis=1)."
        try:
            given_y, given_t = y.copy(), labels.copy()
            loss = function(given_y, given_t)
        except Exception as error:
            yield Finding(name, f"values, {words}", f"{float(truth):.6g}", source.words(error), hint or "Try it.")
            return
        if np.size(loss) != 1 or not close_loss(loss, truth):
            finding = compare(name, f"values, {words}", loss, truth, explain_loss(truth, len(y)))
            if finding is not None:
                yield finding._replace(hint=hint or finding.hint)
                return
        if not (np.array_equal(given_y, y) and np.array_equal(given_t, labels)):
            yield Finding(name, "inputs untouched", "y and t as they were", "other numbers", "Work on a copy.")
    try:
        worst = float(np.asarray(function(np.array([[0.0, 1.0, 0.0]]), np.array([0]))).reshape(()))
    except Exception as error:
        yield Finding(name, "extreme values", "a finite loss", source.words(error), "Try y = [0, 1, 0], t = 0.")
        return
    if not np.isfinite(worst):
        hint = "log(0) is -∞: take the logarithm of max(y, a tiny number)."
        yield Finding(name, "extreme values", "a finite loss for a probability of 0", str(worst), hint)


def _remove_duplicates(name: str, function: Any, source: Source) -> Iterator[Finding]:
    W, V, b = np.arange(12.0).reshape(4, 3), np.ones((2, 2)), np.ones(3)
    cases: list[tuple[str, list[np.ndarray], list[np.ndarray], int, list[Any], str]] = [
        ("different parameters", [W, V, b], _ones(W, V, b), 3, [1, 1, 1], "Keep parameters that are not shared."),
        ("a shared parameter", [W, b, W], _ones(W, b, W), 2, [2, 1],
         "params[i] is params[j]: drop one, add its gradient to the other's."),
        ("a parameter shared three times", [W, W, W], _ones(W, W, W), 1, [3], "Look again after one was dropped."),
        ("a transposed parameter", [W, b, W.T], _ones(W, b, W.T), 2, [2, 1],
         "Tied weights: add the transposed gradient, grads[i] += grads[j].T."),
        ("two that are equal by chance", [np.zeros((4, 3)), np.zeros((3, 4))], _ones(W, W.T), 2, [1, 1],
         "Equal values are no sign of sharing: compare memory, np.shares_memory(p, q.T), not np.all(p == q.T)."),
    ]  # fmt: skip
    for check, params, grads, count, totals, hint in cases:
        before = len(params)
        try:
            new_params, new_grads = function(params, grads)
        except Exception as error:
            yield Finding(name, check, f"{count} parameters", source.words(error), hint)
            continue
        sums = [float(np.max(g)) for g in new_grads] if len(new_grads) == count else []
        if len(new_params) != count or sums != totals:
            words = f"{len(new_params)}, with gradients {[float(np.max(g)) for g in new_grads]}"
            yield Finding(name, check, f"{count} parameters, with gradients {totals}", words, hint)
        elif len(params) != before:
            yield Finding(name, check, "the caller's lists as they were", "shorter ones", "Work on params[:].")


def _ones(*params: np.ndarray) -> list[np.ndarray]:
    return [np.ones(p.shape) for p in params]


def _clip_grads(name: str, function: Any, source: Source) -> Iterator[Finding]:
    start = [np.array([[3.0, 0.0], [0.0, 4.0]]), np.array([7.2, 9.6])]  # joint norm 13, their own 5 and 12
    for max_norm, rate, check in ((20.0, 1.0, "a short gradient"), (6.5, 0.5, "a long gradient")):
        grads = [g.copy() for g in start]
        try:
            function(grads, max_norm)
        except Exception as error:
            yield Finding(name, check, "no exception", source.words(error), "clip_grads(grads, max_norm)")
            return
        arrays = [g.copy() for g in start]
        held = list(arrays)
        function(arrays, max_norm)
        in_list = all(np.allclose(a, rate * s, rtol=1e-5) for a, s in zip(arrays, start, strict=True))
        if not all(close(h, a) for h, a in zip(held, arrays, strict=True)) and in_list:
            hint = "Write grad *= rate or grad[...] = ...: the layers hold these arrays."
            yield Finding(name, "in place", "the arrays themselves scaled", "new arrays in the list", hint)
        elif not in_list:
            truth, found = np.concatenate([g.ravel() * rate for g in start]), np.concatenate([g.ravel() for g in grads])
            own = [s * min(1.0, max_norm / np.linalg.norm(s)) for s in start]
            each = np.concatenate([np.clip(s, -max_norm, max_norm).ravel() for s in start])
            still = np.concatenate([s.ravel() for s in start])
            wrong = [
                (np.concatenate([s.ravel() for s in own]), "One norm for all gradients together, not one for each."),
                (each, "Scale all by one rate; do not cut single numbers off."),
                (still, "Nothing changed: write grad *= rate, in place."),
                (still * 6.5 / 13**2, "The norm is the root of the sum of squares: the root is missing."),
            ]
            finding = compare(name, check, found, truth, wrong, f"rate = min(1, {max_norm:g} / norm), norm = 13.")
            if finding is not None:
                yield finding


def _right_softmax(x: Any, *_: Any, **__: Any) -> Any:
    e = np.exp(x - np.max(x, axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def _right_cross_entropy(y: Any, t: Any, *_: Any, **__: Any) -> Any:
    y = np.atleast_2d(y)
    labels = np.reshape(t, y.shape) if np.size(t) == y.size else np.eye(y.shape[1])[np.ravel(t)]
    return -np.sum(labels * np.log(np.maximum(y, 1e-300))) / len(y)


_RIGHT: dict[str, Any] = {
    "softmax": _right_softmax,
    "cross_entropy_loss": _right_cross_entropy,
    "remove_duplicates": remove_duplicates,
    "clip_grads": clip_grads,
}


@contextlib.contextmanager
def mended(source: Source, wrong: dict[str, str]) -> Iterator[None]:
    """Right functions in place of the wrong ones (name -> kind), so that who calls them is judged by itself."""
    names = vars(source.module)
    kept = {name: names[name] for name in wrong}
    names.update({name: _RIGHT[kind] for name, kind in wrong.items()})
    try:
        yield
    finally:
        names.update(kept)


FUNCTIONS: dict[str, Callable[[str, Any, Source], Iterator[Finding]]] = {
    "softmax": _softmax,
    "cross_entropy_loss": _cross_entropy,
    "remove_duplicates": _remove_duplicates,
    "clip_grads": _clip_grads,
}
