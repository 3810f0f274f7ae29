"""Floor 5: the folder of a training run: its name, its config.json, and the other files, each there whole or not."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import stat
import time
from pathlib import Path
from typing import Any

from ..errors import DataError, Error, StorageError
from ..storage.atomic import LOCK, PARTIAL, write_whole

CONFIG = "config.json"
LARGEST = 1 << 26  # bytes of a config.json; the classes and columns of a .csv file stand in it


def new_folder(out: str | None, data: str) -> Path:
    """Make the run's folder: ``--out``, or runs/<date-time>-<data>; one that holds something is never used."""
    if out is not None:
        folder = Path(out)
        if folder.exists() and not folder.is_dir():
            raise StorageError(f"--out {out}: it is a file; choose a folder, nothing is overwritten.")
        if folder.exists() and _holds_something(folder):
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
        except FileExistsError:  # a run that began in the same second
            if Path("runs").is_dir():
                continue
            raise StorageError("runs is a file here, and no folder can be made in it; give --out.") from None
        except OSError as error:
            raise StorageError(
                f"{folder} cannot be made: {error.strerror or error}; give --out, a folder that can be made."
            ) from error
        return folder
    raise Error(f"runs/{stem}: a thousand runs began in one second; give --out.")


def _holds_something(folder: Path) -> bool:
    """More than a run leaves that is killed before it has a config.json?"""
    try:
        return not all(path.name == LOCK or path.match(f".*{PARTIAL}") for path in folder.iterdir())
    except OSError as error:
        raise StorageError(f"--out {folder}: {error.strerror or error}; choose a folder that can be read.") from error


def remove_begun(folder: Path) -> None:
    """Take away the folder of a run that could not begin, if it holds nothing but what its begin has left there."""
    names = {path.name for path in folder.iterdir()}
    if names <= {CONFIG, LOCK, "checkpoint-000000.safetensors"}:
        for name in names:
            (folder / name).unlink()
        with contextlib.suppress(OSError):  # the working folder, or a link: what could not begin is the error to tell
            folder.rmdir()
        if folder.parent == Path("runs"):
            with contextlib.suppress(OSError):  # others are in it
                folder.parent.rmdir()


def write_json(path: Path, value: Any) -> None:
    """``value`` as JSON, for people to read."""
    write_whole(path, [(json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "surrogateescape")])


def write_history(path: Path, history: list[dict[str, Any]]) -> None:
    """One csv line for each epoch."""
    names = {"val_loss": "test_loss", "val_accuracy": "test_accuracy"}
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    for i, record in enumerate(history):
        if i == 0:
            writer.writerow([names.get(key, key) for key in record])
        writer.writerow(list(record.values()))
    write_whole(path, [file.getvalue().encode()])


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration of a run; DataError where there is none, or none that can be read."""
    path = folder / CONFIG
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):  # a pipe would wait for ever
            raise DataError(f"Reading {path}: expected a file, found something else. Give a run's folder.")
        if about.st_size > LARGEST:
            raise DataError(
                f"Reading {path}: expected at most {LARGEST} bytes, found {about.st_size}. Give a run's folder."
            )
        found = json.loads(path.read_text("utf-8", "surrogateescape"))
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        why = error.strerror or error if isinstance(error, OSError) else error
        raise DataError(f"Reading {path}: {why}. Give the folder of a run, such as runs/<date-time>-digits.") from error
    if not isinstance(found, dict):
        raise DataError(f"Reading {path}: expected a JSON object, found {type(found).__name__}. Give a run's folder.")
    return found
