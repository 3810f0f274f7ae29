"""The Trainer of a student: what it does with the data, the model and the optimizer, watched by stand-ins."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np

from .findings import Finding
from .grading_file import Source

ROWS, BATCH, EPOCHS = 12, 4, 2


class _Model:
    """Writes down what it is given; its loss is 1."""

    def __init__(self) -> None:
        self.params, self.grads = [np.zeros((2, 2)), np.zeros(2)], [np.zeros((2, 2)), np.zeros(2)]
        self.batches: list[tuple[np.ndarray, np.ndarray]] = []
        self.calls: list[str] = []

    def forward(self, x: Any, t: Any) -> Any:
        self.calls.append("forward")
        self.batches.append((np.array(x), np.array(t)))
        return np.float64(1.0)

    def backward(self, dout: Any = 1) -> None:
        self.calls.append("backward")
        for g in self.grads:
            g[...] = 1.0


class _Optimizer:
    def __init__(self, model: _Model) -> None:
        self.model = model

    def update(self, params: Any, grads: Any) -> None:
        self.model.calls.append("update")


def check_trainer(name: str, cls: Any, source: Source) -> Iterator[Finding]:
    """Every finding about a class with ``fit(x, t, max_epoch, batch_size)``."""
    try:
        model, x, t, trainer = _fit(cls, ROWS, BATCH)
    except Exception as error:
        hint = "Trainer(model, optimizer).fit(x, t, max_epoch=2, batch_size=4) must run."
        yield Finding(name, "fit", "no exception", source.words(error), hint)
        return
    if not np.array_equal(x, _data(ROWS)[0]) or not np.array_equal(t, _data(ROWS)[1]):
        hint = "x = x[idx] makes a new array; np.random.shuffle(x) writes into the caller's."
        yield Finding(name, "inputs untouched", "x and t as they were", "another order", hint)
    yield from _order(name, model)
    if not getattr(trainer, "loss_list", None):
        hint = "Append the mean loss of the last iterations to self.loss_list."
        yield Finding(name, "loss_list", "losses of the run", "none", hint)
    yield from _short(name, cls, source)


def _order(name: str, model: _Model) -> Iterator[Finding]:
    steps = EPOCHS * ROWS // BATCH
    if model.calls != ["forward", "backward", "update"] * steps:
        hint = "Each iteration is forward, backward, update; an epoch has data_size // batch_size of them."
        words = ", ".join(f"{model.calls.count(c)} {c}" for c in ("forward", "backward", "update"))
        yield Finding(name, "iterations", f"{steps} of each, in turn", words, hint)
        return
    if any(not np.array_equal(x[:, 0], t) for x, t in model.batches):
        hint = "Put x and t in the same order: one idx for both."
        yield Finding(name, "order", "each row with its own label", "labels of other rows", hint)
    per_epoch = steps // EPOCHS
    for epoch in range(EPOCHS):
        rows = np.concatenate([x[:, 0] for x, _ in model.batches[epoch * per_epoch : (epoch + 1) * per_epoch]])
        if sorted(rows) != list(range(ROWS)):
            hint = "Slice rows i * batch_size to (i + 1) * batch_size of one permutation."
            yield Finding(name, "order", f"each of {ROWS} rows once an epoch", f"{len(set(rows))} different rows", hint)
            return


def _short(name: str, cls: Any, source: Source) -> Iterator[Finding]:
    """Fewer rows than a batch: train on them, or say so; a last short batch may be left out."""
    try:
        model, *_ = _fit(cls, 3, BATCH)
    except Exception:
        return  # it said so
    if not model.calls:
        yield Finding(
            name, "few rows", f"an update, or an error, for 3 rows and batch_size={BATCH}", "no update and no word",
            "Use the last, shorter batch too, or raise an error when there is no full one.",
        )  # fmt: skip


def _fit(cls: Any, rows: int, batch: int) -> tuple[_Model, np.ndarray, np.ndarray, Any]:
    model = _Model()
    x, t = _data(rows)
    trainer = cls(model, _Optimizer(model))
    options = {"max_epoch": EPOCHS, "batch_size": batch}
    if "eval_interval" in inspect.signature(trainer.fit).parameters:
        options["eval_interval"] = 1
    trainer.fit(x, t, **options)
    return model, x, t, trainer


def _data(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Row i holds i, and so does its label."""
    t = np.arange(rows)
    return np.stack([t, t], axis=1).astype(np.float64), t
