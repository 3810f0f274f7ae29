"""The Trainer of a student: what it does with the data, a model and an optimizer that note their calls."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..findings import Finding
from .construction import meaning
from .source_file import Entry

ROWS, BATCH, EPOCHS = 12, 4, 2


class _Model:
    """Notes what it is given; its loss is 1."""

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


def check_trainer(entry: Entry) -> Iterator[Finding]:
    """Every finding about a class with ``fit(x, t, max_epoch, batch_size)``."""
    try:
        model, x, t, trainer, result = _fit(entry.thing, ROWS, BATCH)
    except Exception as error:
        yield entry.raised("fit", error, "Trainer(model, optimizer).fit(x, t, max_epoch=2, batch_size=4) must run.")
        return
    if not np.array_equal(x, _data(ROWS)[0]) or not np.array_equal(t, _data(ROWS)[1]):
        hint = "x = x[idx] makes a new array; np.random.shuffle(x) writes into the caller's."
        yield entry.finding("inputs untouched", "x and t as they were", "another order", hint)
    yield from _order(entry, model)
    if not _losses(trainer, result):
        hint = "Append the mean loss of the last iterations to self.loss_list."
        yield entry.finding("loss_list", "losses of the run", "none", hint)
    yield from _short(entry)


def _order(entry: Entry, model: _Model) -> Iterator[Finding]:
    steps = EPOCHS * ROWS // BATCH
    if model.calls != ["forward", "backward", "update"] * steps:
        hint = "Each iteration is forward, backward, update; an epoch has data_size // batch_size of them."
        words = ", ".join(f"{model.calls.count(c)} {c}" for c in ("forward", "backward", "update"))
        yield entry.finding("iterations", f"{steps} of each, in turn", words, hint)
        return
    rows, labels = (_column([pair[i] for pair in model.batches]) for i in (0, 1))
    if rows and labels and any(not np.array_equal(x, t) for x, t in zip(rows, labels, strict=True)):
        hint = "Put x and t in the same order: one idx for both."
        yield entry.finding("order", "each row with its own label", "labels of other rows", hint)
    if not rows and labels and len(np.unique(np.concatenate(labels))) < ROWS:
        return  # classes, which many rows share
    yield from _epochs(entry, rows or labels, steps // EPOCHS)


def _epochs(entry: Entry, batches: list[np.ndarray], per_epoch: int) -> Iterator[Finding]:
    """Each row once an epoch, and in another order in the next; nothing where the rows cannot be told apart."""
    if not batches:
        return
    orders = [np.concatenate(batches[e * per_epoch : (e + 1) * per_epoch]) for e in range(EPOCHS)]
    for rows in orders:
        if sorted(rows) != list(range(ROWS)):
            hint = "Slice rows i * batch_size to (i + 1) * batch_size of one permutation."
            yield entry.finding("order", f"each of {ROWS} rows once an epoch", f"{len(set(rows))} different rows", hint)
            return
    if np.array_equal(orders[0], orders[1]):
        given = np.array_equal(orders[0], np.arange(ROWS))
        words = "that of the data in both" if given else "the same in both"
        hint = "Draw idx = np.random.permutation(len(x)) at the start of each epoch."
        yield entry.finding("shuffling", "another order of the rows in each epoch", words, hint)


def _column(batches: list[np.ndarray]) -> list[np.ndarray]:
    """The numbers of the rows in each batch; [] if one does not tell them, as scaled data does not."""
    seen = [n for batch in batches if (n := _numbers(batch)) is not None]
    return seen if len(seen) == len(batches) else []


def _numbers(batch: np.ndarray) -> np.ndarray | None:
    """The numbers of the rows in a batch of x, of labels or of one-hot labels; None if it does not tell them."""
    if batch.dtype.kind not in "fiu" or batch.ndim not in (1, 2):
        return None
    one_hot = batch.ndim == 2 and batch.shape[1] == ROWS and bool(np.all(batch.sum(axis=1) == 1))
    rows = batch.argmax(axis=1) if one_hot else batch.reshape(len(batch), -1)[:, 0]
    return rows if np.all(np.isin(rows, np.arange(ROWS))) else None


def _short(entry: Entry) -> Iterator[Finding]:
    """Fewer rows than a batch: train on them, or raise an error; a last short batch may be left out."""
    try:
        model, *_ = _fit(entry.thing, 3, BATCH)
    except Exception:
        return  # an error is right too
    if not model.calls:
        expected = f"an update, or an error, for 3 rows and batch_size={BATCH}"
        hint = "Use the last, shorter batch too, or raise an error when there is no full one."
        yield entry.finding("few rows", expected, "no update and no word", hint)


def _losses(trainer: Any, result: Any) -> bool:
    """Are there losses: in ``loss_list``, in another attribute with such a name, or in what ``fit`` returns?"""
    own = getattr(trainer, "__dict__", {}).items()
    named = [value for name, value in own if any(word in name.lower() for word in ("loss", "hist"))]
    lists = (list, tuple, dict, np.ndarray)
    return any(isinstance(v, lists) and len(v) > 0 for v in (*named, getattr(trainer, "loss_list", None), result))


def _fit(cls: Any, rows: int, batch: int) -> tuple[_Model, np.ndarray, np.ndarray, Any, Any]:
    model = _Model()
    x, t = _data(rows)
    trainer = cls(model, SimpleNamespace(update=lambda params, grads: model.calls.append("update")))
    values = {"max_epoch": EPOCHS, "batch_size": batch, "eval_interval": 1, "shuffle": True}
    own = {meaning(name, values): name for name in reversed(inspect.signature(trainer.fit).parameters)}
    needed = ("max_epoch", "batch_size")  # under the book's names if fit has no usual ones: fit then says what it wants
    options = {own.get(key, key): value for key, value in values.items() if key in own or key in needed}
    result = trainer.fit(x, t, **options)
    return model, x, t, trainer, result


def _data(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Row i holds i, and so does its label."""
    t = np.arange(rows)
    return np.stack([t, t], axis=1).astype(np.float64), t
