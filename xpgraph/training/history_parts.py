"""The beginning of a long history, in files of its own, so that checkpoints do not grow with the run.

A checkpoint holds the losses and records that no part holds. Once these take more room than the weights do (and more
than ``LEAST``), they go into a part: a file that is written once and named, by its sha256, by every later checkpoint.
So a checkpoint takes at most twice the room of a short run's, or ``LEAST`` more; the parts take that of the history.
"""

from __future__ import annotations

import math
from typing import Any

from ..storage.checkpoints import Checkpoints
from .snapshot import history_part
from .state import TrainingState

LEAST = 1 << 16  # bytes of losses and records that are worth a file
NUMBER = 8  # bytes


class HistoryParts:
    """The parts that the checkpoints of one folder name. ``names``: their files, in order."""

    def __init__(self, names: tuple[str, ...], state: TrainingState, held: tuple[int, int]) -> None:
        """``held``: how many losses and records of the state stand in them."""
        self.names = list(names)
        self._remember(state, held)

    @property
    def held(self) -> tuple[int, int]:
        """How many losses and records they hold."""
        return len(self.losses), len(self.records)

    def grow(self, state: TrainingState, files: Checkpoints) -> None:
        """Before a checkpoint: put what has become long into a new part."""
        losses, records = self.held
        if state.loss_list[:losses] != self.losses or not _same(state.history[:records], self.records):
            self.names, losses, records = [], 0, 0  # somebody changed what they hold
            self._remember(state, (0, 0))
        values = len(state.loss_list) - losses + sum(len(record) + 1 for record in state.history[records:])
        weights = sum(math.prod(p.shape) for p in state.model.params)
        if values * NUMBER > max(LEAST, weights * NUMBER):
            end = len(state.loss_list), len(state.history)
            self.names.append(files.save_part(*history_part(state, (losses, records), end)))
            self._remember(state, end)

    def _remember(self, state: TrainingState, held: tuple[int, int]) -> None:
        self.losses = state.loss_list[: held[0]]
        self.records = [dict(record) for record in state.history[: held[1]]]


def _same(records: list[dict[str, Any]], others: list[dict[str, Any]]) -> bool:
    """Are they equal? Where values have no plain answer, as arrays, they count as changed."""
    try:
        return records == others
    except ValueError:
        return False
