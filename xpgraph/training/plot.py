"""Floor 4: the picture of the loss. matplotlib is imported here and nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import Error


def plot_loss(losses: list[float], interval: int | None, ylim: Any, path: str | Path | None, ax: Any) -> Any:
    """Draw losses over ``iterations (x interval)``, the chapter's labels: into ``ax``, to ``path``, or on screen."""
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
