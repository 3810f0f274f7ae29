"""Checkpointing: a fit continues from the newest checkpoint of the folder, and writes new ones.

A program may call ``fit`` several times. Each call has a number, and a checkpoint says in which call it was written. So
if the program is run again, the calls before that one do nothing, that one continues, and those after it run as usual.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from ...arrays.cpu import arithmetic
from ...errors import CheckpointError
from ...storage.checkpoints import Checkpoint, Checkpoints
from ...storage.packing import pack, unpack
from ..arguments import check_every, check_folder
from ..callback import Callback, with_state
from ..environment import differences
from ..history_parts import HistoryParts
from ..losses import check_position
from ..settings import changed_setting
from ..signals import Signals, ended_by
from ..snapshot import restore, snapshot
from ..state import Resumed, TrainingState
from .report import Report

INTERVAL = 60.0  # seconds from one checkpoint to the next one at the end of an epoch, if ``every`` is None


class Checkpointing(Callback):
    """Writes and reads the checkpoints of one trainer, in all its calls of ``fit``.

    ``folder``, ``every``, ``config``: as in Trainer. ``signals``: catches SIGINT, SIGTERM and SIGHUP while the folder
    is open; the loop checks it after each step.
    """

    def __init__(self, folder: Any = None, every: int | None = None) -> None:
        self.folder, self.every = check_folder(folder), check_every(every)
        self.config: dict[str, Any] = {}
        self.saved_step: int | None = None  # the newest checkpoint that this trainer has read or written
        self.saved_fit = 0  # the number of the fit that wrote it
        self.tried_step: int | None = None  # the last save: if an interrupt came, its file may be there all the same
        self.finished_fits = 0
        self.unfinished: dict[str, Any] | None = None  # what is stored of the fit that the state is in the middle of
        self.skipped = False  # did the last fit do nothing, because the checkpoint is from a later one?
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
    ) -> Iterator[Resumed | None]:
        """Lock the folder while the block runs, and restore the state from its newest checkpoint.

        Yields how the fit continues; None if it starts anew. CheckpointError if ``settings()``, or the ``callbacks``
        with a state, are not those that the fit began with.
        """
        self.signals = Signals()
        self.every, self.report = check_every(self.every), report
        if self.folder is None:
            yield None
            return
        self.settings, self.callbacks = settings(), with_state(callbacks)
        self.number, self.began = self.finished_fits + 1, False
        with ExitStack() as stack:
            opened = isinstance(self.folder, Checkpoints)
            self.files = self.folder if opened else stack.enter_context(Checkpoints(self.folder))
            resumed = self._resume(state)
            stack.enter_context(self.signals)
            yield resumed
            if not self.began:
                self.finished_fits = self.number
                if state.last_epoch > self.start_epoch:
                    report.note(f"{self.files.folder}: these epochs were finished before; nothing is left to do")
        if self.signals.caught is not None:  # since the loop checked it last
            raise ended_by(self.signals.caught, self._what_is_saved())

    def begin(self, state: TrainingState) -> None:
        self.began, self.unfinished = True, None
        self.saved_at, self.arithmetic = time.monotonic(), arithmetic()
        if not state.resumed:
            self.files.check_room(self.save(state))

    def next_step(self, state: TrainingState) -> int | None:
        return None if self.every is None else (state.steps // self.every + 1) * self.every

    def step(self, state: TrainingState) -> None:
        if state.batch < state.batches and self.signals.caught is None:  # if not, it is saved later
            self.save(state)

    def epoch(self, state: TrainingState, record: dict[str, Any]) -> None:
        if self.signals.caught is not None or not state.epochs_left:  # end or interrupt saves it
            return
        if self.every is None:
            due = time.monotonic() - self.saved_at >= INTERVAL
        else:
            due = state.steps // self.every > (self.saved_step or 0) // self.every
        if due:
            self.save(state)

    def end(self, state: TrainingState) -> None:
        self.save(state, ended=True)
        self.finished_fits = self.number

    def interrupt(self, state: TrainingState, error: BaseException) -> None:
        """Save if a signal ends the fit; and remember the fit, to continue it if it is called again in this process."""
        arrays: dict[str, np.ndarray] = {}
        fit = unpack(pack(self._describe(state), "fit", arrays), arrays)  # a copy
        self.unfinished = {**fit, "iteration": state.batch, "failed": isinstance(error, Exception)}
        if error is self.signals.raised:
            self.save(state)
            error.add_note(self._what_is_saved())

    def save(self, state: TrainingState, ended: bool = False) -> Any:
        """Write a checkpoint; returns its path. ``ended``: the fit has run to its end."""
        self.parts.update(state, self.files)
        arrays, meta = snapshot(state, self._describe(state, ended), self.parts.ends)
        if not np.isfinite(arrays["more.losses"]).all():  # pending losses of a GPU: do not replace good checkpoints
            state.losses.read(state.steps)  # raises NonFiniteError
        self.tried_step, self.saved_fit = state.steps, self.number
        path = self.files.save(state.steps, arrays, meta, self.parts.names)
        self.saved_step, self.saved_at = state.steps, time.monotonic()
        self._report_notes()
        return path

    def _describe(self, state: TrainingState, ended: bool = False) -> dict[str, Any]:
        """What a checkpoint stores of this fit."""
        fit = {"number": self.number, "start": self.start_epoch, "ended": ended}
        return {
            "fit": {**fit, "stopped": state.stop_reason is not None, "reason": state.stop_reason},
            "settings": self.settings,
            "callbacks": {key: callback.state for key, callback in self.callbacks.items()},
            "arithmetic": self.arithmetic,
            "config": self.config,
        }

    def _resume(self, state: TrainingState) -> Resumed | None:
        """Restore the state if it is older than the checkpoint, or damaged; how this fit continues, or None."""
        newest = self.files.latest()
        self._report_notes(loud=newest is not None and bool(newest.notes))
        if self.saved_step is None:
            self._restore_first(state, newest)
        elif newest is None or newest.step not in (self.saved_step, self.tried_step):
            raise CheckpointError(
                f"Trainer.fit: {self.files.folder} has a checkpoint of step {newest and newest.step}, but this "
                f"trainer wrote that of step {self.saved_step}: another run has written there. Give each run a folder."
            )
        elif self.skipped or (self.saved_fit == self.number and not state.consistent):
            self._restore(state, newest)
        else:
            self.saved_step = newest.step
        unfinished, self.skipped, self.start_epoch = self.unfinished, False, state.epoch
        if unfinished is None or unfinished["fit"]["number"] < self.number:
            return None
        fit = unfinished["fit"]
        if fit["number"] > self.number:
            self.skipped = True
            return Resumed(self.start_epoch, earlier=True)
        try:
            self._check(unfinished, state.losses.as_data(), state.batches)
        except CheckpointError:
            if not unfinished.get("failed"):
                raise
            return None  # after an error, a fit with other settings is a new one
        for name, callback in self.callbacks.items():
            callback.load_state(unfinished["callbacks"][name])
        self.start_epoch = fit["start"]
        reason = fit.get("reason", "stopped") if fit["stopped"] else None
        return Resumed(self.start_epoch, reason, ended=fit.get("ended", True))

    def _restore_first(self, state: TrainingState, newest: Checkpoint | None) -> None:
        """Restore the state from the folder's checkpoint, if there is one, the first time that this trainer uses it."""
        self.parts = HistoryParts((), (), state)
        if newest is None or "weights" not in newest.meta:  # no weights: a run that ended before it had a model
            return
        if state.steps:
            raise CheckpointError(
                f"Trainer.fit: the trainer has made {state.steps} steps, and {self.files.folder} has the checkpoint "
                f"of step {newest.step}; which of them should continue? Give an empty folder, or a new trainer."
            )
        self._restore(state, newest)
        self.report.note(f"going on from {newest.path} at step {newest.step}")
        for line in differences(newest.meta, self.unfinished or {}, state.model):
            self._note(line, loud=True)

    def _restore(self, state: TrainingState, newest: Checkpoint) -> None:
        fit = restore(state, newest.arrays, newest.meta, lambda fit: self._check(fit, fit, state.batches))
        self.unfinished = {**fit, "iteration": state.batch}
        self.saved_step, self.saved_fit = newest.step, fit["fit"]["number"]
        self.parts = HistoryParts(newest.parts, newest.meta.get("ends", ()), state)

    def _check(self, stored: Any, losses: Mapping[str, Any], batches: int) -> None:
        """CheckpointError unless this fit can continue the ``stored`` one; raised before anything is changed.

        ``losses``: what ``EpochLosses.as_data`` gave. A fit with another number than the stored one always passes.
        """
        needed = {"fit", "settings", "iteration"}
        if not isinstance(stored, dict) or not needed <= set(stored) or "number" not in stored["fit"]:
            raise CheckpointError(
                f"Trainer.fit: the checkpoint in {self.files.folder} was not written by a fit; give another folder."
            )
        if stored["fit"]["number"] != self.number:
            return
        began = f"Trainer.fit: the run in {self.files.folder} began with"
        advice = "nothing was changed. Give what it began with, or another folder."
        changed = changed_setting(stored["settings"], self.settings)
        if changed is not None:
            raise CheckpointError(f"{began} {changed[0]}, this fit has {changed[1]}; {advice}")
        then, now = stored.get("callbacks", {}), self.callbacks
        if set(then) != set(now):
            raise CheckpointError(
                f"{began} the callbacks {_names(then)}, this fit has {_names(now)}, of those with a state; {advice}"
            )
        check_position(stored["iteration"], losses["losses"], losses["rows"], batches)

    def _what_is_saved(self) -> str:
        return f"step {self.saved_step} is saved in {self.files.folder}"

    def _report_notes(self, loud: bool = False) -> None:
        """Show the notes that the folder has collected, once."""
        for note in self.files.notes:
            self._note(note, loud)
        self.files.notes.clear()

    def _note(self, text: str, loud: bool) -> None:
        """Show a line in the report. ``loud``: numbers may change or were lost, so warn if the report is silent."""
        self.report.note(text)
        if loud and type(self.report) is Report:
            warnings.warn(f"Trainer.fit: {text}", RuntimeWarning, stacklevel=2)


def _names(callbacks: Any) -> str:
    return ", ".join(callbacks) or "none"
