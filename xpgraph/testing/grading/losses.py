"""SoftmaxWithLoss of a student: the loss, its gradient, both forms of labels, and scores far apart."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..findings import Finding
from ..formulas.textbook import FORMULAS
from ..node_checks.checks import check_node
from .compare import close, compare, construct
from .source_file import Source

RETURNS_Y = "forward returns the loss"
FAR = np.array([[0.0, 100.0, 0.0], [0.0, 0.0, 0.0]])  # the loss of the first row, for class 0, is 100
CAPPED = "capped loss"  # an advice: the book itself adds 1e-7 to the probabilities
LOSS_CLOSE = 1e-4  # the book adds 1e-7 to probabilities that are 0.01 and more here


def check_loss(name: str, cls: Any, source: Source) -> Iterator[Finding]:
    """Every finding about a class with ``forward(x, t)`` and ``backward(dout=1)``."""
    x, t = scores_and_labels()
    found = list(_values(name, cls, source, x, t, "class indices"))
    if not found:
        found += _values(name, cls, source, x, np.eye(x.shape[1])[t], "one-hot labels")
    if not found:
        found += _far(name, cls, source)
    yield from found
    if any(f.check in ("forward", "backward") and f.expected == "no exception" for f in found):
        return
    seen = {f.check for f in found}
    drop = ["aliasing", "dtype", "device", *seen]
    if "large scores" in seen:
        drop.append("extreme values")  # the same flaw once more
    if seen - {"large scores"}:
        drop += ["gradient of", "shape of gradient", "number of gradients", "backward(2g)"]
    yield from (f for f in check_node(construct(cls, {}), (x, t), name=name) if not f.check.startswith(tuple(drop)))


def scores_and_labels() -> tuple[np.ndarray, np.ndarray]:
    """Scores (5, 3) and class indices (5,)."""
    rng = np.random.Generator(np.random.Philox(13))
    return rng.standard_normal((5, 3)), np.array([2, 0, 1, 1, 0])


def _values(name: str, cls: Any, source: Source, x: np.ndarray, t: np.ndarray, labels: str) -> Iterator[Finding]:
    node = construct(cls, {})
    hint = "Take t both as class indices (N,) and as one-hot rows (N, C): if t.ndim == 2, t = t.argmax(axis=1)."
    try:
        loss = node.forward(x.copy(), t.copy())
    except Exception as error:
        hint = hint if t.ndim == 2 else "Run forward on scores (N, C) and class indices (N,)."
        yield Finding(name, "forward", "no exception", f"{labels}: {source.words(error)}", hint)
        return
    formula = FORMULAS["SoftmaxWithLoss"]
    truth = np.asarray(formula.forward(None, [], [x, t])[0], np.float64)
    if np.ndim(loss) and np.size(loss) > 1:
        rows = " whose rows sum to 1: the probabilities" if np.allclose(np.sum(loss, axis=-1), 1) else ""
        yield Finding(
            name, RETURNS_Y, f"one number, {float(truth):.6g}", f"an array {np.shape(loss)}{rows}",
            "Return loss: a Trainer adds up what forward returns. Keep the probabilities in self.y.",
        )  # fmt: skip
    elif not close_loss(loss, truth):
        wrong = compare(name, f"forward, {labels}", _number(loss), truth, explain_loss(truth, len(x)))
        if wrong is not None:
            yield wrong._replace(hint=hint) if t.ndim == 2 else wrong
    try:
        dx = node.backward()
    except Exception as error:
        yield Finding(name, "backward", "no exception", f"{labels}: {source.words(error)}",
                      "backward(dout=1) needs no argument at the end of a network.")  # fmt: skip
        return
    true = np.asarray(formula.backward(None, [], [x, t], [np.ones(())])[0][0], np.float64)
    finding = compare(name, f"gradient dx, {labels}", dx, true, _explain_dx(x, t, true))
    if finding is not None:
        yield finding._replace(hint=hint) if t.ndim == 2 else finding
    elif t.ndim == 1 and _takes_dout(node) and not close(np.asarray(node.backward(2.0), np.float64), 2 * true):
        yield Finding(name, "backward(dout)", "backward(2) = 2 backward(1)", "something else", "Multiply dx by dout.")


def _far(name: str, cls: Any, source: Source) -> Iterator[Finding]:
    try:
        with np.errstate(all="ignore"):
            loss = _number(construct(cls, {}).forward(FAR[:1].copy(), np.array([0])))
    except Exception as error:
        yield Finding(name, "large scores", "no exception", source.words(error), "Try scores [0, 100].")
        return
    if not close_loss(loss, np.asarray(100.0)):
        at_book = 16 < loss < 17
        check = CAPPED if 10 < loss < 100 else "large scores"
        yield Finding(
            name, check, "100 for scores [0, 100, 0] and class 0", f"{loss:.6g}",
            "log(y + 1e-7) never exceeds 16.1; " * at_book
            + "take the loss from the scores: log Σ e^(x - m) - (x_t - m), m = max x.",
        )  # fmt: skip


def close_loss(loss: Any, truth: np.ndarray) -> bool:
    return bool(abs(_number(loss) - truth) <= LOSS_CLOSE * max(1.0, float(abs(truth))))


def explain_loss(truth: np.ndarray, n: int) -> list[tuple[Any, str]]:
    """What a mean over n rows becomes when it is none."""
    return [
        (truth * n, "This is the sum over the rows: divide by the batch size."),
        (truth / n, "This was divided by the batch size twice."),
        (-truth, "The minus sign is missing: loss = -Σ t log y (the book's equation leaves it out)."),
        (-truth * n, "The minus sign and the division by the batch size are missing."),
    ]


def _explain_dx(x: np.ndarray, t: np.ndarray, true: np.ndarray) -> list[tuple[Any, str]]:
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
