"""The folder of a training run: how it is named, its config.json and history.csv. Each file is written whole or not."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import stat
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..errors import CheckpointError, DataError, Error, StorageError
from ..storage.atomic import LOCK, PARTIAL, write_whole
from .choices import Choices

CONFIG = "config.json"
MAX_CONFIG_BYTES = 1 << 26  # for a config.json, which names the classes and columns of a .csv file
CHANGEABLE = ("backend", "data_dir", "graph", "profile", "checkpoint_every")  # settings that a user may edit


def new_folder(out: str | None, data: str) -> Path:
    """Make the run's folder: ``--out``, or runs/<date-time>-<data>. A folder that holds files is refused."""
    if out is not None:
        folder = Path(out)
        if folder.exists() and not folder.is_dir():
            raise StorageError(f"--out {out}: it is a file; choose a folder, nothing is overwritten.")
        if folder.exists() and _is_used(folder):
            raise Error(f"--out {out}: it exists and is not an empty folder; choose another, nothing is overwritten.")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"--out {out}: {error.strerror or error}; choose a folder that can be made.") from error
        return folder
    stem = f"{time.strftime('%Y-%m-%d_%H-%M-%S')}-{Path(data).stem}"
    for number in range(1, 1000):
        folder = Path("runs") / (stem if number == 1 else f"{stem}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:  # another run started in the same second
            if Path("runs").is_dir():
                continue
            raise StorageError("runs is a file here, and no folder can be made in it; give --out.") from None
        except OSError as error:
            raise StorageError(
                f"{folder} cannot be made: {error.strerror or error}; give --out, a folder that can be made."
            ) from error
        return folder
    raise Error(f"runs/{stem}: a thousand runs started in one second; give --out.")


def _is_used(folder: Path) -> bool:
    """Does it hold more than a run leaves that was killed before it wrote its config.json?"""
    try:
        return not all(path.name == LOCK or path.match(f".*{PARTIAL}") for path in folder.iterdir())
    except OSError as error:
        raise StorageError(f"--out {folder}: {error.strerror or error}; choose a folder that can be read.") from error


def remove_unstarted(folder: Path) -> None:
    """Remove the folder of a run that could not start, if it holds only the first files of a run."""
    names = {path.name for path in folder.iterdir()}
    if names <= {CONFIG, LOCK, "checkpoint-000000.safetensors"}:
        for name in names:
            (folder / name).unlink()
        with contextlib.suppress(OSError):  # the current folder, or a link: report why the run could not start instead
            folder.rmdir()
        if folder.parent == Path("runs"):
            with contextlib.suppress(OSError):  # it holds other runs
                folder.parent.rmdir()


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON."""
    write_whole(path, [(json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "surrogateescape")])


def write_history(path: Path, history: list[dict[str, Any]], evaluated: str) -> None:
    """Write one csv line for each epoch; ``evaluated``: "test" or "val", the rows that were evaluated after it."""
    head = [[key.replace("val_", f"{evaluated}_") for key in record] for record in history[:1]]
    write_whole(path, [csv_text([*head, *(record.values() for record in history)]).encode()])


def csv_text(rows: Iterable[Iterable[Any]]) -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(rows)
    return file.getvalue()


def read_config(folder: Path) -> dict[str, Any]:
    """The config.json of a run; DataError if there is none, or if it cannot be read."""
    path = folder / CONFIG
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # reading a pipe would wait for ever
            raise DataError(f"Reading {path}: expected a file, found something else. Give a run's folder.")
        if status.st_size > MAX_CONFIG_BYTES:
            raise DataError(
                f"Reading {path}: expected at most {MAX_CONFIG_BYTES} bytes, found {status.st_size}. "
                "Give a run's folder."
            )
        config = json.loads(path.read_text("utf-8", "surrogateescape"))
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        why = error.strerror or error if isinstance(error, OSError) else error
        raise DataError(f"Reading {path}: {why}. Give the folder of a run, such as runs/<date-time>-digits.") from error
    if not isinstance(config, dict):
        raise DataError(f"Reading {path}: expected a JSON object, found {type(config).__name__}. Give a run's folder.")
    return config


def result_of(config: dict[str, Any], folder: Path, name: str) -> float | None:
    """The number ``name`` in the result of a finished run; None for a run that is not finished."""
    result = config.get("result")
    if result is None:
        return None
    if not isinstance(result, dict) or not isinstance(result.get(name), int | float):
        raise DataError(f"Reading {folder / CONFIG}: result: expected its {name}, found {str(result)[:60]!r}.")
    return float(result[name])


def changeable_on_resume(choices: Choices) -> tuple[str, ...]:
    """Settings, beside CHANGEABLE, that a user may edit before one training is resumed."""
    path = ("data",)  # the data in the file is compared by its sha256
    return path if choices.schedule == "cosine" else ("epochs", *path)  # a cosine depends on the number of epochs


def check_settings(
    choices: Choices, original: dict[str, Any], folder: Path, source: str, changeable: tuple[str, ...] = ()
) -> None:
    """CheckpointError if ``choices``, from an edited config.json, are not those that a run started with.

    ``original``: the settings in ``source``, which the message names. Only those in CHANGEABLE, which do not change a
    run's numbers, and in ``changeable`` may differ. An empty ``original`` is not compared; an option that did not exist
    when it was written had its default.
    """
    if not original:
        return
    original = {**asdict(Choices()), **original}
    for name, value in asdict(choices).items():
        if name not in (*CHANGEABLE, *changeable) and original[name] != value:
            raise CheckpointError(
                f"Resuming {folder}: {CONFIG} has {name} {value}, {source} was made with {original[name]}; nothing was "
                "changed. Put back what the run began with, or start a new one."
            )
