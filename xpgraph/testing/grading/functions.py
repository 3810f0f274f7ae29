"""The functions of a student: softmax, cross_entropy_loss, remove_duplicates and clip_grads."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ...nodes.sharing import remove_duplicates
from ...training.clipping import clip_grads
from ..findings import Finding
from ..formulas.textbook import cross_entropies, softmax
from ..formulas.update_rules import clipped
from ..node_checks.checks import check_node
from .losses import close_loss, explain_loss, scores_and_labels
from .mistakes import Letters, node_mistakes
from .source_file import LENIENT, Entry, Source, close


def _softmax(entry: Entry) -> Iterator[Finding]:
    x, _ = scores_and_labels()
    for given in (x, x[0]):
        truth = _right_softmax(given)
        try:
            y = entry.thing(given.copy())
        except Exception as error:
            if given.ndim == 2:  # the book's rank; others may be refused
                yield entry.raised("values", error, "Run it on an array (5, 3).")
                return
            continue
        mistakes = node_mistakes("Softmax", "y", Letters([given], [], [truth], []))
        finding = entry.compare(f"{given.ndim}-D values", y, truth, mistakes)
        if finding is not None:
            yield finding
            return
    yield from (f for f in check_node(entry.thing, x[:4], name=entry.name) if not f.check.startswith(LENIENT))


def _cross_entropy(entry: Entry) -> Iterator[Finding]:
    x, t = scores_and_labels()
    y = _right_softmax(x)
    truth = np.asarray(_right_cross_entropy(y, t))
    for labels, words in ((t, "class indices"), (np.eye(3)[t], "one-hot labels")):
        hint = "" if labels.ndim == 1 else "Take t as one-hot rows too: if t.ndim == 2, t = t.argmax(axis=1)."
        given_y, given_t = y.copy(), labels.copy()
        try:
            loss = entry.thing(given_y, given_t)
        except Exception as error:
            yield entry.raised(f"values, {words}", error, hint or "Try it.", f"{float(truth):.6g}")
            return
        if np.size(loss) != 1 or not close_loss(loss, truth):
            finding = entry.compare(f"values, {words}", loss, truth, explain_loss(truth, len(y)))
            if finding is not None:
                yield finding._replace(hint=hint or finding.hint)
                return
        if not (np.array_equal(given_y, y) and np.array_equal(given_t, labels)):
            yield entry.finding("inputs untouched", "y and t as they were", "other numbers", "Work on a copy.")
    try:
        worst = float(np.asarray(entry.thing(np.array([[0.0, 1.0, 0.0]]), np.array([0]))).reshape(()))
    except Exception as error:
        yield entry.raised("extreme values", error, "Try y = [0, 1, 0], t = 0.", "a finite loss")
        return
    if not np.isfinite(worst):
        hint = "log(0) is -∞: take the logarithm of max(y, a tiny number)."
        yield entry.finding("extreme values", "a finite loss for a probability of 0", str(worst), hint)


def _remove_duplicates(entry: Entry) -> Iterator[Finding]:
    W, V, b = np.arange(12.0).reshape(4, 3), np.ones((2, 2)), np.ones(3)
    cases: list[tuple[str, list[np.ndarray], list[Any], str]] = [  # check, params, what the gradients of 1 add up to
        ("different parameters", [W, V, b], [1, 1, 1], "Keep parameters that are not shared."),
        ("a shared parameter", [W, b, W], [2, 1], "params[i] is params[j]: drop one, add its gradient to the other's."),
        ("a parameter shared three times", [W, W, W], [3], "Look again after one was dropped."),
        ("a transposed parameter", [W, b, W.T], [2, 1],
         "Tied weights: add the transposed gradient, grads[i] += grads[j].T."),
        ("two that are equal by chance", [np.zeros((4, 3)), np.zeros((3, 4))], [1, 1],
         "Equal values are no sign of sharing: compare memory, np.shares_memory(p, q.T), not np.all(p == q.T)."),
    ]  # fmt: skip
    for check, params, totals, hint in cases:
        count, before = len(totals), len(params)
        try:
            new_params, new_grads = entry.thing(params, [np.ones(p.shape) for p in params])
        except Exception as error:
            yield entry.raised(check, error, hint, f"{count} parameters")
            continue
        sums = [float(np.max(g)) for g in new_grads]
        if len(new_params) != count or sums != totals:
            words = f"{len(new_params)}, with gradients {sums}"
            yield entry.finding(check, f"{count} parameters, with gradients {totals}", words, hint)
        elif len(params) != before:
            yield entry.finding(check, "the caller's lists as they were", "shorter ones", "Work on params[:].")


def _clip_grads(entry: Entry) -> Iterator[Finding]:
    start = [np.array([[3.0, 0.0], [0.0, 4.0]]), np.array([7.2, 9.6])]  # joint norm 13, their own 5 and 12
    still = _flat(start)
    for max_norm, check in ((20.0, "a short gradient"), (6.5, "a long gradient")):
        listed = [g.copy() for g in start]
        arrays = list(listed)
        try:
            entry.thing(listed, max_norm)
        except Exception as error:
            yield entry.raised(check, error, "clip_grads(grads, max_norm)")
            return
        found, truth = _flat(listed), _flat(clipped(start, max_norm))
        wrong = [
            (_flat([clipped([g], max_norm)[0] for g in start]),
             "One norm for all gradients together, not one for each."),
            (np.clip(still, -max_norm, max_norm), "Scale all by one rate; do not cut single numbers off."),
            (still, "Nothing changed: write grad *= rate, in place."),
            (still * 6.5 / 13**2, "The norm is the root of the sum of squares: the root is missing."),
        ]  # fmt: skip
        hint = f"rate = min(1, {max_norm:g} / norm), norm = 13."
        finding = None if np.allclose(found, truth, rtol=1e-5) else entry.compare(check, found, truth, wrong, hint)
        if finding is not None:
            yield finding
        elif not close(_flat(arrays), found):
            hint = "Write grad *= rate or grad[...] = ...: the layers hold these arrays."
            yield entry.finding("in place", "the arrays themselves scaled", "new arrays in the list", hint)


def _flat(arrays: list[Any]) -> np.ndarray:
    return np.concatenate([np.ravel(a) for a in arrays])


def _right_softmax(x: Any, *_: Any, **__: Any) -> np.ndarray:
    return np.asarray(softmax(np.asarray(x)), np.float64)


def _right_cross_entropy(y: Any, t: Any, *_: Any, **__: Any) -> float:
    y, t = np.atleast_2d(y), np.asarray(t)
    return float(cross_entropies(y, t.reshape(y.shape) if t.size == y.size else t, 1e-300).mean())


_RIGHT: dict[str, Any] = {
    "softmax": _right_softmax,
    "cross_entropy_loss": _right_cross_entropy,
    "remove_duplicates": remove_duplicates,
    "clip_grads": clip_grads,
}


@contextlib.contextmanager
def mended(source: Source, wrong: dict[str, str]) -> Iterator[None]:
    """Put right functions in place of the wrong ones (name -> kind), so that classes that call them are not blamed."""
    names = vars(source.module)
    before = {name: names[name] for name in wrong}
    names.update({name: _RIGHT[kind] for name, kind in wrong.items()})
    try:
        yield
    finally:
        names.update(before)


FUNCTIONS: dict[str, Callable[[Entry], Iterator[Finding]]] = {
    "softmax": _softmax,
    "cross_entropy_loss": _cross_entropy,
    "remove_duplicates": _remove_duplicates,
    "clip_grads": _clip_grads,
}
