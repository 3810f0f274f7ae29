"""The history of a training: mean losses within an epoch, and a record for each epoch."""

from __future__ import annotations

from typing import Any

from ..callback import Callback
from ..state import TrainingState


class History(Callback):
    """Fills ``state.history``, and ``state.loss_list`` every ``interval`` batches, from the first of an epoch on.

    An entry of ``loss_list`` is the mean loss over the rows since the entry before it, or since the epoch began.
    """

    def __init__(self, interval: int | None) -> None:
        self.interval = interval

    def next_step(self, state: TrainingState) -> int | None:
        return next_report_step(state, self.interval)

    def step(self, state: TrainingState) -> None:
        total, rows = state.losses.read(state.steps)
        state.loss_list.append(total / rows)

    def epoch(self, state: TrainingState, record: dict[str, Any]) -> None:
        state.history.append(record)


def next_report_step(state: TrainingState, interval: int | None) -> int | None:
    """The next step at which a loss is reported: at batches 1, 1 + interval, ... of an epoch; None: not in this one."""
    if interval is None:
        return None
    batch = -(-state.batch // interval) * interval + 1
    return state.steps + batch - state.batch if batch <= state.batches else None
