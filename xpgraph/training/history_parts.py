"""The beginning of a long history, in files of its own, so that checkpoints do not grow with the run.

A checkpoint holds the losses and records that no part holds. Once these take more room than the weights do (and more
than ``LEAST``), they go into a part: a file that is written once and named, by its sha256, by every later checkpoint.
So a checkpoint takes at most twice the room of a short run's, or ``LEAST`` more; the parts take that of the history.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..storage.checkpoints import Checkpoints
from .snapshot import history_part
from .state import TrainingState

LEAST = 1 << 16  # bytes of losses and records that are worth a file
NUMBER = 8  # bytes


class HistoryParts:
    """The parts that the checkpoints of one folder name.

    ``names``: their files, in order. ``ends``: of each, how many losses and records stand in it and those before it.
    """

    def __init__(self, names: Sequence[str], ends: Sequence[Sequence[int]], state: TrainingState) -> None:
        self.names, self.ends = list(names), [(losses, records) for losses, records in ends]
        self._remember(state)

    def grow(self, state: TrainingState, files: Checkpoints) -> None:
        """Before a checkpoint: put what has become long into a new part, with those before it that are no longer."""
        if state.loss_list[: len(self.losses)] != self.losses or not _same(state.history, self.records):
            self.names, self.ends = [], []  # somebody changed what they hold
            self._remember(state)
        end = len(state.loss_list), len(state.history)
        weights = sum(math.prod(p.shape) for p in state.model.params)
        if _size(state, self._begin(), end) <= max(LEAST, NUMBER * weights):
            return
        while self.ends and _size(state, self._begin(-1), self.ends[-1]) <= _size(state, self.ends[-1], end):
            self.names.pop(), self.ends.pop()  # so a record is written again a few times, and parts stay few
        self.names.append(files.save_part(*history_part(state, self._begin(), end)))
        self.ends.append(end)
        self._remember(state)

    def _begin(self, part: int = 0) -> tuple[int, int]:
        """Where the next part begins; or the last one, of -1."""
        return (0, 0) if len(self.ends) + part < 1 else self.ends[part - 1]

    def _remember(self, state: TrainingState) -> None:
        losses, records = self._begin()
        self.losses, self.records = state.loss_list[:losses], [dict(record) for record in state.history[:records]]


def _size(state: TrainingState, begin: tuple[int, int], end: tuple[int, int]) -> int:
    """Bytes of the losses and records between two places, about."""
    return NUMBER * (end[0] - begin[0] + sum(len(record) for record in state.history[begin[1] : end[1]]))


def _same(records: list[dict[str, Any]], before: list[dict[str, Any]]) -> bool:
    """Do the records begin as before? Where values have no plain answer, as arrays, they count as changed."""
    try:
        return records[: len(before)] == before
    except ValueError:
        return False
