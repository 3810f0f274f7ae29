"""Floor 6: ``xpgraph draw`` and ``xpgraph explain``: one row's way through the model of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..arrays.libraries import dtype_name
from ..errors import DataError, StorageError
from ..pictures import drawing
from ..pictures import page as explaining
from ..training.optimizers import OPTIMIZERS
from .choices import Choices
from .predict_command import opened


def draw(folder: str, out: str, sample: int) -> Path:
    """Write the picture; its path."""
    path, model, inputs, _ = _row(folder, out, sample)
    drawing.draw(model, path, *inputs, title=_title(folder, sample))
    return path


def explain(folder: str, out: str, sample: int) -> Path:
    """Write the page, with one update by the run's kind of optimizer; its path."""
    path, model, inputs, choices = _row(folder, out, sample)
    optimizer = OPTIMIZERS[choices.optimizer](lr=choices.lr)  # type: ignore[arg-type]  # a run's choices are settled
    explaining.explain(model, path, *inputs, optimizer=optimizer, title=_title(folder, sample))
    return path


def _title(folder: str, sample: int) -> str:
    return f"{Path(folder).absolute().name}, row {sample} of the test data"


def _row(folder: str, out: str, sample: int) -> tuple[Path, Any, tuple[Any, Any], Choices]:
    """The path to write, the run's model, and x and t of one of its test rows."""
    path = Path(out)
    if path.is_dir():
        raise StorageError(f"--out {out}: it is a folder; name a file in it.")
    model, config = opened(Path(folder), "numpy")
    if "choices" not in config:
        raise DataError(f"{folder} has no configuration beside it, so its test rows are unknown; give a run's folder.")
    choices = Choices(**config["choices"])
    dtype = dtype_name(model.params[0])
    held = choices.load(dtype=dtype)
    n = held.x_test.shape[0]
    if sample >= n:
        raise DataError(f"--sample is {sample}, and {folder} has {n} test rows; give a row from 0 to {n - 1}.")
    rows = slice(sample, sample + 1)
    return path, model, (held.x_test[rows], held.t_test[rows]), choices
