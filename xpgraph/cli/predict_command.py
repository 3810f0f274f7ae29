"""``xpgraph predict``: the classes that a trained model gives rows, as csv."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import datasets
from ..arrays.libraries import dtype_name, on_device, to_numpy
from ..datasets.csv_table import TableFormat
from ..errors import DataError
from ..graph.loading import load
from ..nodes.layers import softmax
from ..storage.atomic import write_file
from .choices import Choices, choose_backend
from .run_folder import CONFIG, csv_text


def predict(
    folder: str, data: str | None, data_dir: str | None, backend: str, out: str | None
) -> tuple[Path, float | None]:
    """Write one csv line for each row; returns the path, and the accuracy if the rows have labels.

    ``folder``: of a run, or the path of its model. ``data``: None for the run's test rows. Raises DataError for a
    model or rows that cannot be read, or that do not fit each other.
    """
    where, _ = choose_backend(backend)
    model, config = open_run(Path(folder), str(where))
    if "choices" not in config and data is None:
        raise DataError(f"{folder} has no configuration beside it, so its test rows are unknown; give --data.")
    stored = config.get("data", {}).get("csv")
    table = None if stored is None else TableFormat.from_json(stored)
    x, t = _rows(config, data, data_dir, dtype_name(model.params[0]), table)
    columns = model.params[0].shape[0]
    if x.shape[1] != columns:
        raise DataError(
            f"the rows have {x.shape[1]} columns but the model of {folder} takes {columns}; "
            "give rows like those it was trained on."
        )
    _check_labels(t, model.params[-1].shape[-1], folder)
    with on_device(where):
        y = to_numpy(softmax(model.predict(x, batch_size=1024)))
    labels = None if t is None else t if t.ndim == 1 else t.argmax(axis=1)
    path = Path(out) if out else (Path(folder) if Path(folder).is_dir() else Path(folder).parent) / "predictions.csv"
    _write(path, y, labels, range(y.shape[1]) if table is None else table.classes)
    return path, None if labels is None else float((y.argmax(axis=1) == labels).mean())


def _rows(
    config: dict[str, Any], data: str | None, data_dir: str | None, dtype: str, table: TableFormat | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """x (N, D) and t, (N,) or (N, C) or None: of ``data``, scaled as the run's data was, or the run's test rows."""
    choices = Choices(**config.get("choices", {}))
    if data is None:
        own = choices.load(data_dir, dtype)
        return own.x_test, own.t_test
    scale = config.get("data", {}).get("scale")
    return datasets.load_rows(data, data_dir=data_dir, seed=choices.seed, dtype=dtype, scale=scale, csv=table)


def _check_labels(t: np.ndarray | None, classes: int, folder: str) -> None:
    """DataError for labels (N,) or (N, C) of classes that the model does not have."""
    found = ""
    if t is not None and t.ndim == 2 and t.shape[1] != classes:
        found = f"t names {t.shape[1]} classes"
    if t is not None and t.ndim == 1 and t.max() >= classes:
        row = int((t >= classes).argmax())
        found = f"t[{row}] is {t[row]}"
    if found:
        trained = f"the model of {folder} has {classes} classes"
        raise DataError(f"{found} but {trained}; give labels like those it was trained on.")


def open_run(folder: Path, backend: str) -> tuple[Any, dict[str, Any]]:
    """The model of a run, and its config.json ({} if there is none); ``folder`` may also be the model's file.

    Raises DataError if it does not exist or holds a run for each seed, ModelFileError if it holds no model.
    """
    if not folder.exists():
        raise DataError(f"there is no {folder}; give the folder of a run, such as runs/<date-time>-digits.")
    models = sorted(folder.glob("seed-*/model.safetensors"))
    if models:
        raise DataError(f"{folder} holds a run for each seed; give one of them, such as {models[0].parent}.")
    model, config = load(folder, backend)
    path = folder.parent / CONFIG
    if folder.is_file() and path.exists():
        config = json.loads(path.read_text("utf-8", "surrogateescape"))
    return model, config


def _write(path: Path, y: np.ndarray, labels: np.ndarray | None, classes: Sequence[Any]) -> None:
    """Write row, class, probability and, with ``labels`` (N,), label; y (N, C): the probability of each class."""
    rows: list[list[Any]] = [["row", "class", "probability", *([] if labels is None else ["label"])]]
    for i, row in enumerate(y):
        best = int(row.argmax())
        label = [] if labels is None else [classes[int(labels[i])]]
        rows.append([i, classes[best], f"{row[best]:.6f}", *label])
    write_file(path, [csv_text(rows).encode("utf-8", "surrogatepass")])
