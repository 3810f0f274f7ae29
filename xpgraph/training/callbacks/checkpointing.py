"""The checkpoints of a training: a fit goes on where the folder's newest one stands, and writes new ones.

A program that is run again goes on by itself: each ``fit`` of a trainer has a number, and the checkpoint says in which
of them it was written, so those before it are passed over.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from ...arrays.cpu import arithmetic
from ...errors import CheckpointError
from ...storage.checkpoints import Checkpoint, Checkpoints
from ...storage.packing import pack, unpack
from ..callback import Callback, keys
from ..environment import differences
from ..history_parts import HistoryParts
from ..losses import check_place
from ..settings import difference
from ..signals import Signals, ended_by
from ..snapshot import restore, snapshot
from ..state import Start, TrainingState
from .report import Report

PAUSE = 60.0  # seconds: how long after one checkpoint the end of an epoch is worth another, where ``every`` is None


class Checkpointing(Callback):
    """The checkpoints of one trainer, fit after fit.

    ``saved_step``: the updates of the newest checkpoint, of those that this trainer has read or written; None: of none.
    While a folder is open, SIGINT, SIGTERM and SIGHUP are noted in ``signals``, which the loop checks after each step.
    """

    def __init__(self, folder: Any = None, every: int | None = None) -> None:
        self.folder, self.every = check_folder(folder), check_every(every)
        self.config: dict[str, Any] = {}
        self.saved_step: int | None = None
        self.saved_fit = 0  # the number of the fit in which it was written
        self.tried_step: int | None = None  # of the last save, which may have been cut off once its file was there
        self.fits = 0  # how many fits are finished
        self.unfinished: dict[str, Any] | None = None  # what the checkpoint says of the fit in which the state stands
        self.skipped = False  # was the last fit finished before that one?
        self.signals = Signals()
        self.files: Checkpoints
        self.parts: HistoryParts

    @contextmanager
    def open(
        self,
        state: TrainingState,
        settings: Callable[[], dict[str, Any]],
        callbacks: Sequence[Callback],
        report: Report,
    ) -> Iterator[Start | None]:
        """Hold the folder while the block runs, and give the state what its checkpoint says.

        Yields where the fit goes on; None for one that starts here. ``settings()``: what the fit must have in common
        with the one that it goes on with; so must ``callbacks``.
        """
        self.signals = Signals()
        self.every, self.report = check_every(self.every), report
        if self.folder is None:
            yield None
            return
        self.settings, self.callbacks = settings(), keys(callbacks)
        self.number, self.began = self.fits + 1, False
        with ExitStack() as stack:
            opened = isinstance(self.folder, Checkpoints)
            self.files = self.folder if opened else stack.enter_context(Checkpoints(self.folder))
            start = self._take_up(state)
            stack.enter_context(self.signals)
            yield start
            if not self.began:
                self.fits = self.number
                if state.last_epoch > self.start:
                    report.note(f"{self.files.folder}: these epochs were finished before; nothing is left to do")
        if self.signals.caught is not None:  # after the last look at it: it is not to be lost
            raise ended_by(self.signals.caught, self._saved_words())

    def begin(self, state: TrainingState) -> None:
        self.began, self.unfinished = True, None
        self.time, self.arithmetic = time.monotonic(), arithmetic()
        if not self.resumed:
            path = self.save(state)
            self.files.check_room(path)

    def next_step(self, state: TrainingState) -> int | None:
        return None if self.every is None else (state.steps // self.every + 1) * self.every

    def step(self, state: TrainingState) -> None:
        if state.batch < state.batches and self.signals.caught is None:  # else the end of the epoch, or of the fit
            self.save(state)

    def epoch(self, state: TrainingState, record: dict[str, Any]) -> None:
        if self.signals.caught is not None or not state.epochs_left:  # saved at the end
            return
        if self.every is None:
            due = time.monotonic() - self.time >= PAUSE
        else:
            due = state.steps // self.every > (self.saved_step or 0) // self.every
        if due:
            self.save(state)

    def end(self, state: TrainingState) -> None:
        self.save(state, ended=True)
        self.fits = self.number

    def interrupt(self, state: TrainingState, error: BaseException) -> None:
        """After a signal, save. The same fit, called again in this process, goes on in any case."""
        arrays: dict[str, np.ndarray] = {}
        about = unpack(pack(self._about(state), "about", arrays), arrays)
        self.unfinished = {**about, "iteration": state.batch, "failed": isinstance(error, Exception)}
        if error is self.signals.raised:
            self.save(state)
            error.add_note(self._saved_words())

    def save(self, state: TrainingState, ended: bool = False) -> Any:
        """Write the checkpoint of this moment, between two steps; its path."""
        self.parts.grow(state, self.files)
        arrays, meta = snapshot(state, self._about(state, ended), self.parts.ends)
        if not np.isfinite(arrays["more.losses"]).all():  # on a device nobody has looked: such weights replace none
            state.losses.read(state.steps)
        self.tried_step, self.saved_fit = state.steps, self.number
        path = self.files.save(state.steps, arrays, meta, self.parts.names)
        self.saved_step, self.time = state.steps, time.monotonic()
        self._tell()
        return path

    def _about(self, state: TrainingState, ended: bool = False) -> dict[str, Any]:
        """What a checkpoint says of this fit."""
        fit = {"number": self.number, "start": self.start, "ended": ended}
        return {
            "fit": {**fit, "stopped": state.stop_reason is not None, "reason": state.stop_reason},
            "settings": self.settings,
            "callbacks": {key: callback.state for key, callback in self.callbacks.items()},
            "arithmetic": self.arithmetic,
            "config": self.config,
        }

    def _take_up(self, state: TrainingState) -> Start | None:
        """Where this fit stands to the checkpoint: before it, in it, or after it."""
        newest = self.files.latest()
        self._tell(loud=newest is not None and bool(newest.notes))
        if self.saved_step is None:
            self._restore_first(state, newest)
        elif newest is None or newest.step not in (self.saved_step, self.tried_step):
            raise CheckpointError(
                f"Trainer.fit: {self.files.folder} has a checkpoint of step {newest and newest.step}, this trainer "
                f"wrote that of step {self.saved_step}: another run has written there. Give each run a folder."
            )
        elif self.skipped or (self.saved_fit == self.number and not state.whole):  # what was set since then is older
            self._restore(state, newest)
        else:
            self.saved_step = newest.step
        known, self.skipped, self.resumed, self.start = self.unfinished, False, False, state.epoch
        if known is None or known["fit"]["number"] < self.number:
            return None
        fit = known["fit"]
        if fit["number"] > self.number:
            self.skipped = True
            return Start(self.start, skipped=True)
        try:
            self._check(known, state.losses.as_data(), state.batches)
        except CheckpointError:
            if not known.get("failed"):
                raise
            return None  # after an error, another try with other settings
        for key, callback in self.callbacks.items():
            callback.load_state(known["callbacks"][key])
        self.resumed, self.start = True, fit["start"]
        reason = fit.get("reason", "stopped") if fit["stopped"] else None
        return Start(self.start, reason, over=fit.get("ended", True))

    def _restore_first(self, state: TrainingState, newest: Checkpoint | None) -> None:
        """Give the state what the folder's checkpoint says, if it has one."""
        self.parts = HistoryParts((), (), state)
        if newest is None or "weights" not in newest.meta:  # or a run that ended before it had a model
            return
        if state.steps:
            raise CheckpointError(
                f"Trainer.fit: the trainer has made {state.steps} steps, and {self.files.folder} has the checkpoint "
                f"of step {newest.step}; which of them shall go on? Give an empty folder, or a new trainer."
            )
        self._restore(state, newest)
        self.report.note(f"going on from {newest.path} at step {newest.step}")
        for line in differences(newest.meta, self.unfinished or {}, state.model):
            self._note(line, loud=True)

    def _restore(self, state: TrainingState, newest: Checkpoint) -> None:
        more = restore(state, newest.arrays, newest.meta, lambda more: self._check(more, more, state.batches))
        self.unfinished = {**more, "iteration": state.batch}
        self.saved_step, self.saved_fit = newest.step, more["fit"]["number"]
        self.parts = HistoryParts(newest.parts, newest.meta.get("ends", ()), state)

    def _check(self, more: Any, place: Mapping[str, Any], batches: int) -> None:
        """Refuse a fit that is not the one the checkpoint stands in; before anything is changed."""
        if (
            not isinstance(more, dict)
            or not {"fit", "settings", "iteration"} <= set(more)
            or "number" not in more["fit"]
        ):
            raise CheckpointError(
                f"Trainer.fit: the checkpoint in {self.files.folder} was not written by a fit; give another folder."
            )
        if more["fit"]["number"] != self.number:
            return
        began = f"Trainer.fit: the run in {self.files.folder} began with"
        advice = "nothing was changed. Give what it began with, or another folder."
        differs = difference(more["settings"], self.settings)
        if differs is not None:
            raise CheckpointError(f"{began} {differs[0]}, this fit has {differs[1]}; {advice}")
        then, now = more.get("callbacks", {}), self.callbacks
        if set(then) != set(now):
            raise CheckpointError(
                f"{began} the callbacks {_names(then)}, this fit has {_names(now)}, of those with a state; {advice}"
            )
        check_place(more["iteration"], place["losses"], place["rows"], batches)

    def _saved_words(self) -> str:
        return f"step {self.saved_step} is saved in {self.files.folder}"

    def _tell(self, loud: bool = False) -> None:
        for note in self.files.notes:
            self._note(note, loud)
        self.files.notes.clear()

    def _note(self, text: str, loud: bool) -> None:
        """A line for the report; what may change numbers, or was lost, is heard where the report is silent."""
        self.report.note(text)
        if loud and type(self.report) is Report:
            warnings.warn(f"Trainer.fit: {text}", RuntimeWarning, stacklevel=2)


def _names(callbacks: Any) -> str:
    return ", ".join(callbacks) or "none"


def check_every(every: Any) -> int | None:
    """``every`` as a number of steps, or None."""
    if every is None:
        return None
    if isinstance(every, bool) or not isinstance(every, Integral) or every < 1:
        raise ValueError(f"Trainer: every is {every!r}; give the number of steps between two checkpoints, from 1 up.")
    return int(every)


def check_folder(checkpoint: Any) -> Any:
    """``checkpoint`` as a folder or as an open ``Checkpoints``."""
    if checkpoint is None or isinstance(checkpoint, Checkpoints):
        return checkpoint
    if not isinstance(checkpoint, str | Path):
        raise TypeError(f"Trainer: checkpoint is a {type(checkpoint).__name__}; give the path of a folder.")
    return Path(checkpoint)
