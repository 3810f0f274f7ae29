"""``xpgraph draw`` and ``xpgraph explain``: how one test row runs through the model of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..arrays.libraries import dtype_name
from ..errors import DataError, StorageError
from ..pictures import drawing, page
from ..training.optimizers import OPTIMIZERS
from .choices import Choices
from .predict_command import open_run


def draw(folder: str, out: str, sample: int) -> Path:
    """Write the picture of test row ``sample``; returns its path."""
    path, model, row, _ = _prepare(folder, out, sample)
    drawing.draw(model, path, *row, title=_title(folder, sample))
    return path


def explain(folder: str, out: str, sample: int) -> Path:
    """Write the page of test row ``sample``, with one update by the run's optimizer; returns its path."""
    path, model, row, choices = _prepare(folder, out, sample)
    optimizer = OPTIMIZERS[choices.optimizer](lr=choices.lr)  # type: ignore[arg-type]  # never None in a run's config
    page.explain(model, path, *row, optimizer=optimizer, title=_title(folder, sample))
    return path


def _title(folder: str, sample: int) -> str:
    return f"{Path(folder).absolute().name}, row {sample} of the test data"


def _prepare(folder: str, out: str, sample: int) -> tuple[Path, Any, tuple[Any, Any], Choices]:
    """The path to write, the run's model, x (1, D) and t (1,) or (1, C) of the test row, and the run's settings."""
    path = Path(out)
    if path.is_dir():
        raise StorageError(f"--out {out}: it is a folder; name a file in it.")
    model, config = open_run(Path(folder), "numpy")
    if "choices" not in config:
        raise DataError(f"{folder} has no configuration beside it, so its test rows are unknown; give a run's folder.")
    choices = Choices(**config["choices"])
    data = choices.load(dtype=dtype_name(model.params[0]))
    n = data.x_test.shape[0]
    if sample >= n:
        raise DataError(f"--sample is {sample}, and {folder} has {n} test rows; give a row from 0 to {n - 1}.")
    rows = slice(sample, sample + 1)
    return path, model, (data.x_test[rows], data.t_test[rows]), choices
