"""SoftmaxWithLoss of a student: the loss, its gradient, both forms of labels, and scores far apart."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..findings import Finding
from ..formulas.textbook import FORMULAS
from ..node_checks.checks import check_node
from .construction import construct
from .source_file import Entry, Explanations, close

RETURNS_Y = "forward returns the loss"
CAPPED = "capped loss"  # advice only: the book itself adds 1e-7 to the probabilities
LOSS_CLOSE = 1e-4  # the book adds 1e-7 to probabilities that are 0.01 or more here


def check_loss(entry: Entry) -> Iterator[Finding]:
    """Every finding about a class with ``forward(x, t)`` and ``backward(dout=1)``."""
    x, t = scores_and_labels()
    found = list(_values(entry, x, t, "class indices"))
    found = found or list(_values(entry, x, np.eye(x.shape[1])[t], "one-hot labels")) or list(_far(entry))
    yield from found
    if any(f.check in ("forward", "backward") and f.expected == "no exception" for f in found):
        return
    seen = {f.check for f in found}
    drop = ["aliasing", "dtype", "device", *seen]
    if "large scores" in seen:
        drop.append("extreme values")  # the same flaw once more
    if seen - {"large scores"}:
        drop += ["gradient of", "shape of gradient", "number of gradients", "backward(2g)"]
    more = check_node(construct(entry.thing, {}), (x, t), name=entry.name)
    yield from (f for f in more if not f.check.startswith(tuple(drop)))


def scores_and_labels() -> tuple[np.ndarray, np.ndarray]:
    """Scores (5, 3) and class indices (5,)."""
    rng = np.random.Generator(np.random.Philox(13))
    return rng.standard_normal((5, 3)), np.array([2, 0, 1, 1, 0])


def _values(entry: Entry, x: np.ndarray, t: np.ndarray, labels: str) -> Iterator[Finding]:
    node = construct(entry.thing, {})
    one_hot = "Take t both as class indices (N,) and as one-hot rows (N, C): if t.ndim == 2, t = t.argmax(axis=1)."
    one_hot = one_hot if t.ndim == 2 else ""
    try:
        loss = node.forward(x.copy(), t.copy())
    except Exception as error:
        hint = one_hot or "Run forward on scores (N, C) and class indices (N,)."
        yield entry.raised("forward", error, hint, at=f"{labels}: ")
        return
    formula = FORMULAS["SoftmaxWithLoss"]
    truth = np.asarray(formula.forward(None, [], [x, t])[0], np.float64)
    if np.ndim(loss) and np.size(loss) > 1:
        rows = " whose rows sum to 1: the probabilities" if np.allclose(np.sum(loss, axis=-1), 1) else ""
        hint = "Return loss: a Trainer adds up what forward returns. Keep the probabilities in self.y."
        yield entry.finding(RETURNS_Y, f"one number, {float(truth):.6g}", f"an array {np.shape(loss)}{rows}", hint)
    elif not close_loss(loss, truth):
        wrong = entry.compare(f"forward, {labels}", _number(loss), truth, explain_loss(truth, len(x)))
        if wrong is not None:
            yield wrong._replace(hint=one_hot or wrong.hint)
    try:
        dx = node.backward()
    except Exception as error:
        hint = "backward(dout=1) needs no argument at the end of a network."
        yield entry.raised("backward", error, hint, at=f"{labels}: ")
        return
    true = np.asarray(formula.backward(None, [], [x, t], [np.ones(())])[0][0], np.float64)
    wrong = entry.compare(f"gradient dx, {labels}", dx, true, _explain_dx(x, t, true))
    if wrong is not None:
        yield wrong._replace(hint=one_hot or wrong.hint)
    elif not one_hot and _takes_dout(node) and not close(np.asarray(node.backward(2.0), np.float64), 2 * true):
        yield entry.finding("backward(dout)", "backward(2) = 2 backward(1)", "something else", "Multiply dx by dout.")


def _far(entry: Entry) -> Iterator[Finding]:
    try:
        with np.errstate(all="ignore"):
            loss = _number(construct(entry.thing, {}).forward(np.array([[0.0, 100.0, 0.0]]), np.array([0])))
    except Exception as error:
        yield entry.raised("large scores", error, "Try scores [0, 100].")
        return
    if not close_loss(loss, np.asarray(100.0)):
        check = CAPPED if 10 < loss < 100 else "large scores"
        hint = "take the loss from the scores: log Σ e^(x - m) - (x_t - m), m = max x."
        hint = "log(y + 1e-7) never exceeds 16.1; " * (16 < loss < 17) + hint
        yield entry.finding(check, "100 for scores [0, 100, 0] and class 0", f"{loss:.6g}", hint)


def close_loss(loss: Any, truth: np.ndarray) -> bool:
    return bool(abs(_number(loss) - truth) <= LOSS_CLOSE * max(1.0, float(abs(truth))))


def explain_loss(truth: np.ndarray, n: int) -> Explanations:
    """What a mean over n rows becomes by usual mistakes."""
    return [
        (truth * n, "This is the sum over the rows: divide by the batch size."),
        (truth / n, "This was divided by the batch size twice."),
        (-truth, "The minus sign is missing: loss = -Σ t log y (the book's equation leaves it out)."),
        (-truth * n, "The minus sign and the division by the batch size are missing."),
    ]


def _explain_dx(x: np.ndarray, t: np.ndarray, true: np.ndarray) -> Explanations:
    n = len(x)
    labels = np.eye(x.shape[1])[t] if t.ndim == 1 else t
    return [
        (true * n, "Divide by the batch size: the loss is a mean over the rows."),
        (true / n, "This was divided by the batch size twice."),
        (true + labels / n, "Subtract 1 at the right class: dx = (y - t) / N."),
        (true * n + labels, "Subtract 1 at the right class and divide by the batch size: dx = (y - t) / N."),
    ]


def _number(loss: Any) -> float:
    try:
        return float(np.asarray(loss).reshape(()))
    except (TypeError, ValueError):
        return float("nan")


def _takes_dout(node: Any) -> bool:
    try:
        inspect.signature(node.backward).bind(2.0)
    except (TypeError, ValueError):
        return False
    return True
