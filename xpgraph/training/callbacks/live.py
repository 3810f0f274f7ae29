"""A live progress bar on a terminal or in a notebook. Only this file imports rich."""

from __future__ import annotations

import sys
import time
from typing import Any, Protocol

from .report import Lines, Progress, Report


class Bar(Protocol):
    """Something that draws a progress bar."""

    def draw(self, done: int, total: int, epoch: str, words: str) -> None: ...

    def close(self) -> None: ...


class TerminalBar:
    """A bar in one line of a terminal, drawn by rich at most ten times a second."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as RichProgress

        columns = TextColumn("{task.fields[epoch]}"), BarColumn(bar_width=24), TextColumn("{task.fields[words]}")
        self.progress = RichProgress(*columns)
        self.task = self.progress.add_task("", epoch="", words="")
        self.progress.start()

    def draw(self, done: int, total: int, epoch: str, words: str) -> None:
        self.progress.update(self.task, completed=done, total=total, epoch=epoch, words=words)

    def close(self) -> None:
        self.progress.stop()


class NotebookBar:
    """A bar in the output of a notebook's cell, updated at most ten times a second. Needs no widgets."""

    def __init__(self) -> None:
        from IPython.display import HTML, display

        self.html, self.shown = HTML, 0.0
        self.handle = display(HTML(""), display_id=True)
        self.last = HTML("")

    def draw(self, done: int, total: int, epoch: str, words: str) -> None:
        self.last = self.html(f'{epoch} <progress value="{done}" max="{total}"></progress> {words}')
        if time.monotonic() - self.shown > 0.1:
            self.handle.update(self.last)
            self.shown = time.monotonic()

    def close(self) -> None:
        self.handle.update(self.last)


def make_bar() -> Bar | None:
    """The bar for the place that output goes to; None if that is neither a terminal nor a notebook."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None and hasattr(shell, "kernel"):
        return NotebookBar()
    return TerminalBar() if sys.stdout is not None and sys.stdout.isatty() else None


class Live(Report):
    """A live bar with epoch, loss, accuracy, samples per second and the time left; ``Lines`` if none can be drawn.

    Parameters
    ----------
    held_out : str
        The name of the validation data, whose accuracy is shown after each epoch.
    """

    def __init__(self, held_out: str = "val") -> None:
        self.held_out = held_out
        self.lines = Lines(held_out=held_out)
        self.bar: Bar | None = None
        self.accuracy = ""
        self.per_epoch = self.total = self.done = self.epochs = 0

    def begin(self, epochs: int, samples: int) -> None:
        self.bar, self.per_epoch, self.total, self.done = make_bar(), samples, epochs * samples, 0

    def note(self, text: str) -> None:
        self.lines.note(text)  # notes come before the bar

    def step(self, progress: Progress) -> None:
        if self.bar is None:
            self.lines.step(progress)
            return
        p, self.epochs = progress, progress.epochs
        rate = p.samples / max(p.seconds, 1e-9)
        minutes, seconds = divmod(round((self.total - p.samples) / rate), 60)
        words = [f"loss {p.loss:.4f}", self.accuracy, f"{rate:,.0f} samples/s", f"{minutes}:{seconds:02} left"]
        self.bar.draw(p.samples, self.total, f"epoch {p.epoch}/{p.epochs}", "  ".join(w for w in words if w))

    def epoch(self, record: dict[str, Any]) -> None:
        if self.bar is None:
            self.lines.epoch(record)
            return
        if record["val_accuracy"] is not None:
            self.accuracy = f"{self.held_out} accuracy {record['val_accuracy']:.4f}"
        self.done += self.per_epoch
        rate = record["samples"] / max(record["seconds"], 1e-9)
        words = f"loss {record['loss']:.4f}  {self.accuracy}  {rate:,.0f} samples/s"
        self.bar.draw(self.done, self.total, f"epoch {record['epoch']}/{self.epochs or record['epoch']}", words)

    def end(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None
