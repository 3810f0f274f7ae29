"""Floor 6: ``xpgraph predict``: the classes of rows by a trained model, as csv."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import datasets
from ..arrays.libraries import dtype_name, on_device, to_numpy
from ..datasets.csv_table import TableFormat
from ..errors import DataError
from ..graph.saving import load
from ..nodes.layers import softmax
from ..storage.atomic import write_file
from .choices import Choices, choose_backend


def run(
    folder: str, data: str | None, data_dir: str | None, backend: str, out: str | None
) -> tuple[Path, float | None]:
    """Write one csv line for each row; the file's path, and the accuracy where there are labels."""
    where, _ = choose_backend(backend)
    model, config = opened(Path(folder), str(where))
    if "choices" not in config and data is None:
        raise DataError(f"{folder} has no configuration beside it, so its test rows are unknown; give --data.")
    choices = Choices(**config.get("choices", {}))
    dtype = dtype_name(model.params[0])
    stored = config.get("data", {}).get("csv")
    kept = None if stored is None else TableFormat.from_json(stored)
    if data is None:
        held = choices.load(data_dir, dtype)
        rows: tuple[np.ndarray, np.ndarray | None] = held.x_test, held.t_test
    else:
        scale = config.get("data", {}).get("scale")
        rows = datasets.load_rows(data, data_dir=data_dir, seed=choices.seed, dtype=dtype, scale=scale, csv=kept)
    x, t = rows
    wanted = model.params[0].shape[0]
    if x.shape[1] != wanted:
        raise DataError(
            f"the rows have {x.shape[1]} columns but the model of {folder} takes {wanted}; "
            "give rows like those it was trained on."
        )
    _check_labels(t, model.params[-1].shape[-1], folder)
    with on_device(where):
        y = to_numpy(softmax(model.predict(x, batch_size=1024)))
    named = None if t is None else t if t.ndim == 1 else t.argmax(axis=1)
    path = Path(out) if out else (Path(folder) if Path(folder).is_dir() else Path(folder).parent) / "predictions.csv"
    _write(path, y, named, range(y.shape[1]) if kept is None else kept.classes)
    return path, None if named is None else float((y.argmax(axis=1) == named).mean())


def _check_labels(t: np.ndarray | None, classes: int, folder: str) -> None:
    """DataError for labels (N,) or (N, C) that name classes which the model has not."""
    if t is None:
        return
    if t.ndim == 2 and t.shape[1] != classes:
        raise DataError(
            f"t names {t.shape[1]} classes but the model of {folder} has {classes} classes; "
            "give labels like those it was trained on."
        )
    if t.ndim == 1 and t.max() >= classes:
        first = int((t >= classes).argmax())
        raise DataError(
            f"t[{first}] is {t[first]} but the model of {folder} has {classes} classes; "
            "give labels like those it was trained on."
        )


def opened(folder: Path, backend: str) -> tuple[Any, dict[str, Any]]:
    """The model of a run's folder, or of a model file in one, and the run's configuration ({} if there is none)."""
    if not folder.exists():
        raise DataError(f"there is no {folder}; give the folder of a run, such as runs/<date-time>-digits.")
    seeds = sorted(folder.glob("seed-*/model.safetensors"))
    if seeds:
        raise DataError(f"{folder} holds a run for each seed; give one of them, such as {seeds[0].parent}.")
    model, config = load(folder, backend)
    beside = folder.parent / "config.json"
    if folder.is_file() and beside.exists():
        config = json.loads(beside.read_text("utf-8", "surrogateescape"))
    return model, config


def _write(path: Path, y: np.ndarray, named: np.ndarray | None, classes: Sequence[Any]) -> None:
    """row, class, probability, and label where there is one; probabilities y (N, C) of ``classes``."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["row", "class", "probability", *([] if named is None else ["label"])])
    for i, row in enumerate(y):
        best = int(row.argmax())
        label = [] if named is None else [classes[int(named[i])]]
        writer.writerow([i, classes[best], f"{row[best]:.6f}", *label])
    write_file(path, [file.getvalue().encode("utf-8", "surrogatepass")])
