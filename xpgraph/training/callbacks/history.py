"""The history of a training: the mean loss at each look, and a record for each epoch."""

from __future__ import annotations

from typing import Any

from ..callback import Callback
from ..state import TrainingState


class History(Callback):
    """Looks at the losses each ``interval`` batches of an epoch, from the first on, and writes down what it sees.

    ``state.loss_list`` gets the mean loss over the rows since the last look; ``state.history`` the epoch's record.
    """

    def __init__(self, interval: int | None) -> None:
        self.interval = interval

    def next_step(self, state: TrainingState) -> int | None:
        return next_look(state, self.interval)

    def step(self, state: TrainingState) -> None:
        total, rows = state.losses.read(state.steps)
        state.loss_list.append(total / rows)

    def epoch(self, state: TrainingState, record: dict[str, Any]) -> None:
        state.history.append(record)


def next_look(state: TrainingState, interval: int | None) -> int | None:
    """The step after the next batch 1, 1 + interval, 1 + 2 interval, ... of this epoch; None if there is none left."""
    if interval is None:
        return None
    batch = -(-state.batch // interval) * interval + 1
    return state.steps + batch - state.batch if batch <= state.batches else None
