"""What a fit shows while it runs: reports, which print or are silent, and the callback that calls them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from ..callback import Callback
from ..state import TrainingState
from .history import next_report_step


@dataclass(frozen=True)
class Progress:
    """Where a fit stands when a loss is reported.

    Attributes
    ----------
    epoch, epochs : int
        The current epoch, from 1, and the last one of this fit.
    iteration, iterations : int
        The current batch of the epoch, from 1, and how many it has.
    seconds : float
        Since ``fit`` was called.
    loss : float
        The mean loss since the last report.
    samples : int
        The rows that were trained on since ``fit`` was called.
    """

    epoch: int
    epochs: int
    iteration: int
    iterations: int
    seconds: float
    loss: float
    samples: int


class Report:
    """The silent report, and the base class of all reports. Override its methods to show a fit in your own way."""

    def begin(self, epochs: int, samples: int) -> None:
        """Called at the start of a fit of ``epochs`` epochs with ``samples`` rows each."""

    def note(self, text: str) -> None:
        """Called with a line to show once, such as that data was moved; also before ``begin``."""

    def step(self, progress: Progress) -> None:
        """Called when a loss is reported, every ``eval_interval`` iterations."""

    def epoch(self, record: dict[str, Any]) -> None:
        """Called after each epoch with its record in the history."""

    def end(self) -> None:
        """Called at the end of the fit, also if an error or Ctrl-C ends it."""


class Lines(Report):
    """Plain lines: the chapter's for each reported loss, and one for each epoch.

    Parameters
    ----------
    write : function(str)
        Where the lines go.
    held_out : str
        The name of the validation data in the lines.
    """

    def __init__(self, write: Any = print, held_out: str = "val") -> None:
        self.write, self.held_out = write, held_out

    def note(self, text: str) -> None:
        self.write(text)

    def step(self, progress: Progress) -> None:
        p = progress
        self.write(
            f"| epoch {p.epoch} |  iter {p.iteration} / {p.iterations} | time {int(p.seconds)}[s] | loss {p.loss:.2f}"
        )

    def epoch(self, record: dict[str, Any]) -> None:
        self.write("| " + " | ".join(epoch_words(record, self.held_out)))


def epoch_words(record: dict[str, Any], held_out: str) -> list[str]:
    """The parts of an epoch's line: its mean loss and, with validation data, the loss and accuracy on that."""
    words = [f"epoch {record['epoch']} done", f"time {record['seconds']:.1f}[s]", f"mean loss {record['loss']:.4f}"]
    if record["val_loss"] is not None:
        words.append(f"{held_out} loss {record['val_loss']:.4f}")
    if record["val_accuracy"] is not None:
        words.append(f"{held_out} accuracy {record['val_accuracy']:.4f}")
    return words


class Reporting(Callback):
    """Calls a report, every ``interval`` batches; it comes after ``History``, which reads the losses."""

    def __init__(self, report: Report, interval: int | None) -> None:
        self.report, self.interval = report, interval

    def begin(self, state: TrainingState) -> None:
        self.started, self.samples = time.perf_counter(), _samples(state)
        self.report.begin(state.last_epoch - state.epoch, state.rows)

    def next_step(self, state: TrainingState) -> int | None:
        return next_report_step(state, self.interval)

    def step(self, state: TrainingState) -> None:
        self.report.step(
            Progress(
                epoch=state.epoch + 1,
                epochs=state.last_epoch,
                iteration=state.batch,
                iterations=state.batches,
                seconds=time.perf_counter() - self.started,
                loss=state.loss_list[-1],
                samples=_samples(state) - self.samples,
            )
        )

    def epoch(self, state: TrainingState, record: dict[str, Any]) -> None:
        self.report.epoch(record)
        self._tell_notes(state)

    def end(self, state: TrainingState) -> None:
        self.report.end()
        if state.stop_reason is not None and state.epoch < state.last_epoch:
            self.report.note(f"stopped after epoch {state.epoch}: {state.stop_reason}")
        self._tell_notes(state)

    def interrupt(self, state: TrainingState, error: BaseException) -> None:
        self.report.end()
        self._tell_notes(state)

    def _tell_notes(self, state: TrainingState) -> None:
        """What callbacks have to say."""
        for note in state.notes:
            self.report.note(note)
        state.notes.clear()


def _samples(state: TrainingState) -> int:
    """The rows that were trained on so far, if all epochs had as many as this one."""
    return state.epoch * state.rows + min(state.batch * state.batch_size, state.rows)
