"""The picture of the loss. Only this file imports matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...errors import Error
from ..callback import Callback
from ..state import TrainingState


class LossPlot(Callback):
    """Draws the reported losses into the file ``path`` at the end of a fit, also if an error or Ctrl-C ends it."""

    def __init__(self, path: str | Path) -> None:
        self.path = path

    def end(self, state: TrainingState) -> None:
        if state.loss_list:
            plot_loss(state.loss_list, state.eval_interval, None, self.path, None)

    def interrupt(self, state: TrainingState, error: BaseException) -> None:
        self.end(state)


def plot_loss(losses: list[float], interval: int | None, ylim: Any, path: str | Path | None, ax: Any) -> Any:
    """Draw losses with the chapter's labels: into ``ax``, into the file ``path``, or on screen; returns the Axes."""
    if not losses:
        raise Error("Trainer.plot: there is no loss yet; call fit with eval_interval=20, say, and plot again.")
    show = path is None and ax is None
    if show:
        ax = _screen_axes()
    elif ax is None:
        from matplotlib.figure import Figure

        ax = Figure(figsize=(6.4, 4.0), layout="constrained").add_subplot()
    if ylim is not None:
        ax.set_ylim(*ylim)
    ax.plot(range(len(losses)), losses, label="train")
    ax.set_xlabel(f"iterations (x{interval})")
    ax.set_ylabel("loss")
    if path is not None:
        ax.figure.savefig(path, dpi=150)
    if show:
        from matplotlib import pyplot

        pyplot.show()
    return ax


def _screen_axes() -> Any:
    import matplotlib
    from matplotlib import pyplot

    if matplotlib.get_backend().lower() in ("agg", "cairo", "pdf", "pgf", "ps", "svg", "template"):
        raise Error(
            "Trainer.plot: there is no display to show a picture on; write it to a file: plot(path='loss.png')."
        )
    return pyplot.subplots(layout="constrained")[1]
