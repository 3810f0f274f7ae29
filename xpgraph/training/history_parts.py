"""History parts: files for the beginning of a long history, so that checkpoints do not grow with the run.

A checkpoint stores the losses and records that are in no part. Once these take more bytes than the weights (and more
than ``MIN_BYTES``), they go into a part: a file that is written once, and that all later checkpoints name by its
sha256. So a checkpoint has at most twice the size of a short run's, or ``MIN_BYTES`` more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..storage.checkpoints import Checkpoints
from .snapshot import history_part
from .state import TrainingState

MIN_BYTES = 1 << 16  # of losses and records in a part
NUMBER_BYTES = 8


class HistoryParts:
    """The parts of the checkpoints in one folder.

    ``names``: their files, in order. ``ends``: for each part, how many losses and records it and those before it have.
    """

    def __init__(self, names: Sequence[str], ends: Sequence[Sequence[int]], state: TrainingState) -> None:
        self.names, self.ends = list(names), [(losses, records) for losses, records in ends]
        self._remember(state)

    def update(self, state: TrainingState, files: Checkpoints) -> None:
        """Before a checkpoint is written: write a new part if the rest of the history has become too long.

        The new part takes in the parts before it that are not longer than what follows them, so that there are few
        parts, and a record is written only a few times.
        """
        if state.loss_list[: len(self.losses)] != self.losses or not _same(state.history, self.records):
            self.names, self.ends = [], []  # the user changed losses or records that are in parts
            self._remember(state)
        end = len(state.loss_list), len(state.history)
        weights = sum(math.prod(p.shape) for p in state.model.params)
        if _size(state, self._begin(), end) <= max(MIN_BYTES, NUMBER_BYTES * weights):
            return
        while self.ends and _size(state, self._begin(-1), self.ends[-1]) <= _size(state, self.ends[-1], end):
            self.names.pop(), self.ends.pop()
        self.names.append(files.save_part(*history_part(state, self._begin(), end)))
        self.ends.append(end)
        self._remember(state)

    def _begin(self, part: int = 0) -> tuple[int, int]:
        """(losses, records) before the next part, 0; or before the last one, -1."""
        return (0, 0) if len(self.ends) + part < 1 else self.ends[part - 1]

    def _remember(self, state: TrainingState) -> None:
        """Copy what is in parts, to see later whether the user changed it."""
        losses, records = self._begin()
        self.losses, self.records = state.loss_list[:losses], [dict(record) for record in state.history[:records]]


def _size(state: TrainingState, begin: tuple[int, int], end: tuple[int, int]) -> int:
    """Roughly the bytes of the losses and records from ``begin`` to ``end``."""
    return NUMBER_BYTES * (end[0] - begin[0] + sum(len(record) for record in state.history[begin[1] : end[1]]))


def _same(records: list[dict[str, Any]], before: list[dict[str, Any]]) -> bool:
    """Are the first records equal to those ``before``? No if they hold arrays, which ``==`` does not compare."""
    try:
        return records[: len(before)] == before
    except ValueError:
        return False
