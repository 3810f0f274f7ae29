"""Floor 4: what a run says while it runs. The Trainer tells a report; the report prints, draws a bar, or is silent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


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
    """The chapter's plain lines, and one line for each epoch."""

    def __init__(self, write: Any = print) -> None:
        self.write = write

    def note(self, text: str) -> None:
        self.write(text)

    def step(self, progress: Progress) -> None:
        p = progress
        self.write(
            f"| epoch {p.epoch} |  iter {p.iteration} / {p.iterations} | time {p.seconds:.0f}[s] | loss {p.loss:.2f}"
        )

    def epoch(self, record: dict[str, Any]) -> None:
        self.write("| " + " | ".join(epoch_words(record)))


def epoch_words(record: dict[str, Any]) -> list[str]:
    """An epoch's line in words: mean loss over the whole epoch and, where there is validation data, its results."""
    words = [f"epoch {record['epoch']} done", f"time {record['seconds']:.1f}[s]", f"mean loss {record['loss']:.4f}"]
    if record["val_loss"] is not None:
        words.append(f"val loss {record['val_loss']:.4f}")
    if record["val_accuracy"] is not None:
        words.append(f"val accuracy {record['val_accuracy']:.4f}")
    return words


class Live(Report):
    """A live bar with epoch, loss, accuracy, samples per second and the time left; plain lines where no terminal is."""

    def __init__(self) -> None:
        self.bar: Any = None
        self.per_epoch, self.first, self.accuracy = 0, 0, ""

    def begin(self, epochs: int, samples: int) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self.per_epoch, self.seen = samples, 0
        columns = "epoch {task.fields[epoch]}", "loss {task.fields[loss]}", "{task.fields[accuracy]}"
        self.bar = Progress(
            TextColumn(columns[0]),
            BarColumn(bar_width=24),
            *(TextColumn(words) for words in columns[1:]),
            TextColumn("{task.fields[rate]} samples/s"),
            TimeRemainingColumn(),
        )
        self.bar.start()
        self.task = self.bar.add_task("", total=epochs * samples, epoch="-", loss="-", accuracy="", rate="-")

    def note(self, text: str) -> None:
        self.bar.console.print(text, highlight=False)

    def step(self, progress: Any) -> None:
        p = progress
        rate = f"{p.samples / p.seconds:,.0f}" if p.seconds else "-"
        self.bar.update(self.task, completed=p.samples, epoch=f"{p.epoch}/{p.epochs}", loss=f"{p.loss:.4f}", rate=rate)

    def epoch(self, record: dict[str, Any]) -> None:
        self.seen += self.per_epoch
        accuracy = "" if record["val_accuracy"] is None else f"accuracy {record['val_accuracy']:.4f}"
        self.bar.update(self.task, completed=self.seen, loss=f"{record['loss']:.4f}", accuracy=accuracy)

    def end(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None
