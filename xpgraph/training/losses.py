"""The losses of the current epoch: the sum of those that were read, and those that are still pending.

On a GPU, a loss stays on the device until its value is needed, so that the host does not wait for every step. Until
then it is whatever the step that made it has given: an array, or an index. ``source.read`` turns these into numbers.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence, Sized
from typing import Any, Protocol

import numpy as np

from ..errors import CheckpointError, NonFiniteError

Pending = tuple[Any, int]  # the loss of a batch, as a number or as ``LossSource.read`` takes it; the rows of the batch


class LossSource(Protocol):
    """The steps that made the losses, and can read them."""

    def read(self, losses: Sequence[Any]) -> list[float]: ...


class EpochLosses:
    """Losses and time of one epoch. Once all losses are read, the mean over its rows is ``total / rows``.

    ``total``: the sum of the losses that were read, each times the rows of its batch; ``rows``: the sum of these rows.
    ``pending``: the losses that were not read yet. ``source``: what can read them, while a fit runs.
    """

    def __init__(self) -> None:
        self.source: LossSource | None = None
        self.begin_epoch()

    def begin_epoch(self) -> None:
        """Start with no losses, and start the clock."""
        self.total, self.rows = 0.0, 0
        self.pending: list[Pending] = []
        self.seconds_before, self.started = 0.0, time.perf_counter()  # in earlier fits; when the clock was started

    def attach(self, source: LossSource) -> None:
        """When a fit starts or continues: read losses through ``source`` from now on, and start the clock."""
        self.source, self.started = source, time.perf_counter()

    def detach(self) -> None:
        """When a fit ends: stop the clock, and turn the pending losses into numbers, because the source goes away."""
        self.seconds_before = self.seconds()
        try:
            losses = self.values()
        finally:
            self.source = None
        self.pending = [(loss, rows) for loss, (_, rows) in zip(losses, self.pending, strict=True)]

    def seconds(self) -> float:
        """How long the epoch has taken so far, without the time between two fits."""
        running = 0.0 if self.source is None else time.perf_counter() - self.started
        return self.seconds_before + running

    def values(self) -> list[float]:
        """The pending losses as numbers; they stay pending."""
        losses = [loss for loss, _ in self.pending]
        return losses if self.source is None else self.source.read(losses)

    def read(self, steps: int) -> tuple[float, int]:
        """Read all pending losses and add them up: (sum of loss times rows, sum of rows) of what was pending.

        ``steps``: the updates made so far. Raises NonFiniteError with the first step whose loss is not finite.
        """
        losses = self.values()
        for i, loss in enumerate(losses):
            if not math.isfinite(loss):
                step = steps - len(losses) + i + 1
                raise NonFiniteError(
                    f"Trainer.fit: the loss of step {step} was {loss}, and later updates used it, so the parameters "
                    "are not finite; look for NaN in the data, and start again with a smaller lr, or with max_grad.",
                    step,
                )
        rows = sum(n for _, n in self.pending)
        total = math.fsum(loss * n for loss, (_, n) in zip(losses, self.pending, strict=True))
        self.pending.clear()
        self.total += total
        self.rows += rows
        return total, rows

    def as_data(self) -> dict[str, Any]:
        """What a checkpoint stores. Pending losses are stored one by one, because their sum is rounded only once."""
        return {
            "epoch_total": float(self.total),
            "epoch_samples": int(self.rows),
            "epoch_seconds": self.seconds(),
            "losses": np.array(self.values(), np.float64),
            "rows": np.array([rows for _, rows in self.pending], np.int64),
        }

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> EpochLosses:
        """Make losses from the entries that ``as_data`` gave, and remove these from ``data``."""
        new = cls()
        new.total, new.rows, new.seconds_before = (
            data.pop(f"epoch_{name}") for name in ("total", "samples", "seconds")
        )
        new.pending = list(zip(data.pop("losses").tolist(), data.pop("rows").tolist(), strict=True))
        return new


def check_position(batch: int, losses: Sized, rows: Sized, batches: int) -> None:
    """CheckpointError unless a fit with ``batches`` an epoch can continue after ``batch`` with these pending losses."""
    if len(losses) != len(rows) or not len(rows) <= batch <= batches:
        raise CheckpointError(
            f"Restoring: the checkpoint was written after batch {batch} of an epoch, but an epoch of this fit has "
            f"{batches}; nothing was changed. Give the data and the batch size that the run began with."
        )
