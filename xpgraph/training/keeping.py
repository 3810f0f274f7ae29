"""Floor 5: the checkpoints of one ``fit``: it goes on where the folder's newest one stands, and writes new ones.

A program that is run again goes on by itself: each ``fit`` of a trainer has a number, and the checkpoint says in which
of them it was written, so those before it are passed over.
"""

from __future__ import annotations

import hashlib
import math
import time
import warnings
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays.cpu import arithmetic
from ..arrays.libraries import Array, to_numpy
from ..errors import CheckpointError
from ..storage.checkpoints import Checkpoint, Checkpoints
from .progress import progress_of, resume
from .report import Report
from .run import Run
from .saved_state import differences, restore, state_of
from .signals import Signals, ended_by

if TYPE_CHECKING:
    from .trainer import Trainer

PAUSE = 60.0  # seconds: how long after one checkpoint the end of an epoch is worth another, where ``every`` is None
_WORDS = {
    "batch_size": "batches of {} rows", "drop_last": "drop_last={}", "max_grad": "max_grad={}", "rows": "{} rows",
    "seed": "seed {}", "data": "data of sha256 {:.12}",
}  # fmt: skip


class Unkept:
    """The checkpoints of a fit that has none."""

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        pass

    def epochs(self, max_epoch: int) -> int:
        """How many epochs are left of ``max_epoch``."""
        return max_epoch

    def begin(self, run: Run) -> int:
        """The batch of the epoch with which to begin."""
        return 0

    def after_step(self) -> None:
        """An update was made."""

    def after_epoch(self) -> None:
        """An epoch is in the history, and ``on_epoch`` has seen it."""

    def finish(self) -> None:
        """All epochs are made."""


class Keeper(Unkept):
    """The checkpoints of one fit of a trainer with a ``checkpoint`` folder.

    ``settings``: what a fit must have in common with the one that it goes on with. SIGINT, SIGTERM and SIGHUP end
    the fit after the step at which they come: the state is saved, then KeyboardInterrupt or SystemExit is raised.
    """

    def __init__(self, trainer: Trainer, settings: dict[str, Any], report: Report) -> None:
        self.trainer, self.report = trainer, report
        self.settings = {**settings, "seed": int(trainer.seed)}
        self.every = check_every(trainer.every)
        self.resumed: dict[str, Any] | None = None  # what the checkpoint says that stands inside this fit
        self.saved: tuple[int, int]  # steps and epoch of the last checkpoint
        self.past = False  # was this fit finished before the checkpoint?

    def __enter__(self) -> None:
        trainer = self.trainer
        with ExitStack() as stack:
            given = trainer.checkpoint
            self.kept = given if isinstance(given, Checkpoints) else stack.enter_context(Checkpoints(given))
            self.number = trainer._fits + 1
            found = self.kept.latest()
            self._tell(loud=found is not None and bool(found.notes))
            if trainer._kept is None:
                self._restore(found)
            elif trainer._kept != (None if found is None else found.step):
                raise CheckpointError(
                    f"Trainer.fit: {self.kept.folder} has a checkpoint of step {found and found.step}, this trainer "
                    f"wrote that of step {trainer._kept}: another run has written there. Give each run a folder."
                )
            elif trainer._passed and found is not None:  # what the program has set since then is older than this
                trainer._later = restore(trainer, found.arrays, found.meta, self._check)
            self._place(trainer._later)
            self.signals = stack.enter_context(Signals())
            self.stack = stack.pop_all()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.stack.close()
        if kind is None and self.signals.caught is not None:  # after the last look at it: it is not to be lost
            raise ended_by(self.signals.caught, self._saved_words())

    def _restore(self, found: Checkpoint | None) -> None:
        """Give the trainer the state of the folder's checkpoint, if it has one."""
        trainer = self.trainer
        if found is None or "weights" not in found.meta:  # or a run that ended before it had a model
            return
        if trainer.steps:
            raise CheckpointError(
                f"Trainer.fit: the trainer has made {trainer.steps} steps, and {self.kept.folder} has the checkpoint "
                f"of step {found.step}; which of them shall go on? Give an empty folder, or a new trainer."
            )
        trainer._later = restore(trainer, found.arrays, found.meta, self._check)
        trainer._kept = found.step
        lines = differences(found.meta, trainer.model) + _other_arithmetic(trainer._later)
        self.report.note(f"going on from {found.path} at step {found.step}")
        for line in lines:
            self._note(line, loud=True)

    def _check(self, more: Any) -> None:
        """Refuse a fit that is not the one the checkpoint stands in; before anything is changed."""
        if not isinstance(more, dict) or not {"fit", "settings", "iteration"} <= set(more):
            raise CheckpointError(
                f"Trainer.fit: the checkpoint in {self.kept.folder} was not written by a fit; give another folder."
            )
        if more["fit"]["number"] != self.number:
            return
        for name, words in _WORDS.items():
            then, now = more["settings"].get(name), self.settings[name]
            if then != now:
                raise CheckpointError(
                    f"Trainer.fit: the run in {self.kept.folder} began with {words.format(then)}, this fit has "
                    f"{words.format(now)}; nothing was changed. Give what it began with, or another folder."
                )

    def _place(self, later: dict[str, Any] | None) -> None:
        """Where this fit stands to the checkpoint: before it, in it, or after it."""
        trainer = self.trainer
        self.start, trainer._passed = trainer.current_epoch, False
        if later is None:
            return
        self._check(later)
        if later["fit"]["number"] == self.number:
            self.resumed, trainer._later = later, None
            self.start = later["fit"]["start"]
        self.past = trainer._passed = later["fit"]["number"] > self.number

    def epochs(self, max_epoch: int) -> int:
        resumed = self.resumed
        if self.past or (resumed is not None and resumed["fit"]["stopped"] and not resumed["iteration"]):
            left = 0
        else:
            left = max(0, self.start + max_epoch - self.trainer.current_epoch)
        if left == 0 and max_epoch:
            self.trainer._fits = self.number
            self.report.note(f"{self.kept.folder}: these epochs were finished before; nothing is left to do")
        return left

    def begin(self, run: Run) -> int:
        self.run, self.time = run, time.monotonic()
        self.arithmetic = arithmetic()
        if self.resumed is not None:
            self.saved = (self.trainer.steps, self.trainer.current_epoch)
            self.trainer._stop = self.resumed["fit"]["stopped"]
            return resume(run, self.resumed)
        if not self.past:
            self.save()
            self.kept.check_room(self.path)
        return 0

    def after_step(self) -> None:
        if self.signals.caught is not None:
            self._end()
        elif self.every and self.trainer.steps % self.every == 0 and self.run.iteration < self.run.iterations:
            self.save()

    def after_epoch(self) -> None:
        if self.signals.caught is not None:
            self._end()
        elif self.every is None:
            if time.monotonic() - self.time >= PAUSE:
                self.save()
        elif self.trainer.steps // self.every > self.saved[0] // self.every:
            self.save()

    def finish(self) -> None:
        if not self.past and self.saved != (self.trainer.steps, self.trainer.current_epoch):
            self.save()
        self.trainer._fits = self.number

    def save(self) -> dict[str, Any]:
        """Write the checkpoint of this moment, between two steps; what it says of this fit."""
        trainer = self.trainer
        progress = progress_of(self.run)
        if not np.isfinite(progress["losses"]).all():  # on a device nobody has looked: such weights replace none
            self.run._read()
        more = {
            **progress,
            "fit": {"number": self.number, "start": self.start, "stopped": bool(trainer._stop)},
            "settings": self.settings,
            "arithmetic": self.arithmetic,
            "config": trainer.config,
        }
        self.path = self.kept.save(trainer.steps, *state_of(trainer, more))
        self._tell()
        self.saved, self.time = (trainer.steps, trainer.current_epoch), time.monotonic()
        trainer._kept = trainer.steps
        return more

    def _end(self) -> None:
        """A signal came: save, and raise what it means. The same fit, called again in this process, goes on."""
        assert self.signals.caught is not None
        self.trainer._later = self.save()
        raise ended_by(self.signals.caught, self._saved_words())

    def _saved_words(self) -> str:
        return f"step {self.trainer.steps} is saved in {self.kept.folder}"

    def _tell(self, loud: bool = False) -> None:
        for note in self.kept.notes:
            self._note(note, loud)
        self.kept.notes.clear()

    def _note(self, text: str, loud: bool) -> None:
        """A line for the report; what may change numbers, or was lost, is heard where the report is silent."""
        self.report.note(text)
        if loud and type(self.report) is Report:
            warnings.warn(f"Trainer.fit: {text}", RuntimeWarning, stacklevel=2)


def settings_of(x: Array, t: Array, batch_size: int, drop_last: bool, max_grad: float | None) -> dict[str, Any]:
    """What makes the steps of a fit, besides the trainer: they must be the same where it is taken up again."""
    return {
        "batch_size": batch_size,
        "drop_last": bool(drop_last),
        "max_grad": None if max_grad is None else float(max_grad),
        "rows": int(x.shape[0]),
        "data": fingerprint(x, t),
    }


def fingerprint(*arrays: Array) -> str:
    """The sha256 of arrays, with their shapes and dtypes, wherever they live."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(f"{tuple(array.shape)}".encode())
        rows = max(1, (1 << 22) // max(1, 8 * math.prod(array.shape[1:])))
        for i in range(0, array.shape[0], rows):  # a piece at a time: data may be a file, or on a device
            piece = to_numpy(array[i : min(i + rows, array.shape[0]), ...])
            if i == 0:
                found.update(piece.dtype.str.encode())
            found.update(np.ascontiguousarray(piece).reshape(-1).view(np.uint8).data)
    return found.hexdigest()


def _other_arithmetic(more: Mapping[str, Any]) -> list[str]:
    """A line for each of BLAS, threads and bodies that is not as it was."""
    then, now = more.get("arithmetic", {}), arithmetic()
    return [
        f"the checkpoint was made with {name} {then.get(name)}, this is {now[name]}: the last bits may differ"
        for name in now
        if then.get(name) != now[name]
    ]


def check_every(every: Any) -> int | None:
    """``every`` as a number of steps, or None."""
    if every is None:
        return None
    if isinstance(every, bool) or not isinstance(every, int | np.integer) or every < 1:
        raise ValueError(f"Trainer: every is {every!r}; give the number of steps between two checkpoints, from 1 up.")
    return int(every)


def check_folder(checkpoint: Any) -> Any:
    """``checkpoint`` as a folder or as an open ``Checkpoints``."""
    if checkpoint is None or isinstance(checkpoint, Checkpoints):
        return checkpoint
    if not isinstance(checkpoint, str | Path):
        raise TypeError(f"Trainer: checkpoint is a {type(checkpoint).__name__}; give the path of a folder.")
    return Path(checkpoint)
