"""The losses of the epoch under way: those that were read, as a sum, and those that nobody has looked at yet.

On a device a loss stays where it was computed until somebody looks, so that nothing waits for it. What stands for it
until then is the business of the step that made it; ``source.read`` turns such losses into numbers.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence, Sized
from typing import Any, Protocol

import numpy as np

from ..errors import CheckpointError, NonFiniteError

Pending = tuple[Any, int]  # the loss of a batch that nobody has looked at, a number or what ``read`` takes; its rows


class LossSource(Protocol):
    """Whoever makes losses, and can read them."""

    def read(self, losses: Sequence[Any]) -> list[float]: ...


class EpochLosses:
    """Losses and time of one epoch. The mean over its rows is ``total / rows`` once everything has been read."""

    def __init__(self) -> None:
        self.source: LossSource | None = None  # of the fit under way
        self.begin_epoch()

    def begin_epoch(self) -> None:
        """Nothing has been seen; the clock starts."""
        self.total, self.rows = 0.0, 0
        self.pending: list[Pending] = []
        self.earlier, self.started = 0.0, time.perf_counter()  # seconds before the clock was started; when it was

    def attach(self, source: LossSource) -> None:
        """A fit begins, or goes on: its losses come from ``source``, and the clock runs."""
        self.source, self.started = source, time.perf_counter()

    def detach(self) -> None:
        """The fit ends: the clock stops, and what is pending becomes numbers, as its source goes away."""
        self.earlier = self.seconds()
        try:
            losses = self.values()
        finally:
            self.source = None
        self.pending = [(loss, rows) for loss, (_, rows) in zip(losses, self.pending, strict=True)]

    def seconds(self) -> float:
        """How long the epoch has taken so far; between two fits, the clock stands."""
        return self.earlier if self.source is None else self.earlier + time.perf_counter() - self.started

    def values(self) -> list[float]:
        """The pending losses as numbers; they stay pending."""
        losses = [loss for loss, _ in self.pending]
        return losses if self.source is None else self.source.read(losses)

    def read(self, steps: int) -> tuple[float, int]:
        """Look at all pending losses after update ``steps``: their sum weighted by rows, and the rows.

        Raises NonFiniteError with the first step whose loss is not finite.
        """
        losses = self.values()
        for i, loss in enumerate(losses):
            if not math.isfinite(loss):
                step = steps - len(losses) + i + 1
                raise NonFiniteError(
                    f"Trainer.fit: the loss of step {step} was {loss}, and later updates used it; start again with "
                    "a smaller lr, or clip gradients with max_grad=1.0.",
                    step,
                )
        rows = sum(n for _, n in self.pending)
        total = math.fsum(loss * n for loss, (_, n) in zip(losses, self.pending, strict=True))
        self.pending.clear()
        self.total += total
        self.rows += rows
        return total, rows

    def as_data(self) -> dict[str, Any]:
        """What a checkpoint holds of the epoch. Pending losses are kept one by one: their sum is rounded once."""
        return {
            "epoch_total": float(self.total),
            "epoch_samples": int(self.rows),
            "epoch_seconds": self.seconds(),
            "losses": np.array(self.values(), np.float64),
            "rows": np.array([rows for _, rows in self.pending], np.int64),
        }

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> EpochLosses:
        """What ``as_data`` has put into ``data``, taken out of it; the time between does not count."""
        new = cls()
        new.total, new.rows, new.earlier = (data.pop(f"epoch_{name}") for name in ("total", "samples", "seconds"))
        new.pending = list(zip(data.pop("losses").tolist(), data.pop("rows").tolist(), strict=True))
        return new


def check_place(batch: int, losses: Sized, rows: Sized, batches: int) -> None:
    """CheckpointError unless a fit of ``batches`` batches an epoch can go on after ``batch`` with these losses."""
    if len(losses) != len(rows) or not len(rows) <= batch <= batches:
        raise CheckpointError(
            f"Restoring: the checkpoint stands at batch {batch} of an epoch, in which this fit makes "
            f"{batches}; nothing was changed. Give the data and the batch size that the run began with."
        )
