"""What a fit says while it runs. ``Reporting`` tells a report; the report prints, draws a bar, or is silent."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from ..callback import Callback
from ..state import TrainingState
from .history import next_look


@dataclass(frozen=True)
class Progress:
    """One look at a run: where it is, and the mean loss since the last look."""

    epoch: int  # from 1
    epochs: int  # the last one of this fit
    iteration: int  # from 1, within the epoch
    iterations: int
    seconds: float  # since fit began
    loss: float
    samples: int  # seen since fit began


class Report:
    """The silent report, and what every report can be told. Derive from it to show a run in your own way."""

    def begin(self, epochs: int, samples: int) -> None:
        """``epochs`` more epochs of ``samples`` rows begin."""

    def note(self, text: str) -> None:
        """A line worth saying once, such as that data was moved."""

    def step(self, progress: Progress) -> None:
        """A look at the run, every ``eval_interval`` iterations."""

    def epoch(self, record: dict[str, Any]) -> None:
        """An epoch ended; ``record`` is the line of the history."""

    def end(self) -> None:
        """The run ended, in whatever way."""


class Lines(Report):
    """The chapter's plain lines, and one line for each epoch; ``held_out`` names the validation data in them."""

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
    """An epoch's line in words: mean loss over the whole epoch and, where there is validation data, its results."""
    words = [f"epoch {record['epoch']} done", f"time {record['seconds']:.1f}[s]", f"mean loss {record['loss']:.4f}"]
    if record["val_loss"] is not None:
        words.append(f"{held_out} loss {record['val_loss']:.4f}")
    if record["val_accuracy"] is not None:
        words.append(f"{held_out} accuracy {record['val_accuracy']:.4f}")
    return words


class Reporting(Callback):
    """Tells a report about the fit, each ``interval`` batches after ``History`` has looked at the losses."""

    def __init__(self, report: Report, interval: int | None) -> None:
        self.report, self.interval = report, interval

    def begin(self, state: TrainingState) -> None:
        self.started, self.samples = time.perf_counter(), _samples(state)
        self.report.begin(state.last_epoch - state.epoch, state.rows)

    def next_step(self, state: TrainingState) -> int | None:
        return next_look(state, self.interval)

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
    """Rows that were trained on so far, had all epochs been like this one."""
    return state.epoch * state.rows + min(state.batch * state.batch_size, state.rows)
