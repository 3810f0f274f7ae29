"""The checkpoints of a run folder: the newest two, each whole and checked, written by one run at a time.

with Checkpoints(folder) as checkpoints:
    newest = checkpoints.latest()           # None, or a Checkpoint whose every byte has been checked
    checkpoints.save(step, *state_of(trainer))
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np

from ..errors import CheckpointError, NewerFormatError, StorageError
from . import tensor_reader, tensorfile
from .atomic import FolderLock, clean, write_whole

GENERATIONS = 2  # how many whole checkpoints stay
_NAME = re.compile(r"checkpoint-(\d{6,12})\.safetensors")


class Checkpoint(NamedTuple):
    """A checkpoint that was read, made after ``step`` updates. ``damaged``: newer files, skipped; ``notes``: why."""

    path: Path
    step: int
    arrays: dict[str, np.ndarray]
    meta: dict[str, Any]
    notes: tuple[str, ...] = ()
    damaged: tuple[Path, ...] = ()


def latest(folder: str | Path) -> Checkpoint | None:
    """The newest whole checkpoint of a folder; None where there are no checkpoints.

    A damaged one is skipped, and ``notes`` says so. Raises CheckpointError where all are damaged, NewerFormatError for
    one that a newer xpgraph wrote (a run that went on without it would remove it), StorageError for a folder that
    cannot be listed. Takes no lock: while a run writes, a reader sees whole files.
    """
    notes: list[str] = []
    damaged: list[Path] = []
    for step, path in reversed(_files(Path(folder))):
        try:
            checkpoint = read(path)
            if checkpoint.step != step:
                raise CheckpointError(
                    f"Reading {path}: step: expected {step} by its name, found {checkpoint.step}. Give it its own "
                    "name back."
                )
        except NewerFormatError:
            raise
        except CheckpointError as error:
            notes.append(str(error))
            damaged.append(path)
            continue
        if notes:
            notes.append(f"going on from {path.name}, the one before")
        return Checkpoint(path, step, checkpoint.arrays, checkpoint.meta, tuple(notes), tuple(damaged))
    if notes:
        raise CheckpointError(
            f"Reading the checkpoints of {folder}: none is whole. " + " ".join(notes) + " Start the run again."
        )
    return None


def read(path: Path) -> Checkpoint:
    """Read one checkpoint file; nothing is returned before every byte is checked. CheckpointError for anything else."""
    arrays, meta = tensor_reader.read(path)
    step = meta.get("step") if isinstance(meta, dict) else None
    if type(step) is not int or step < 0 or not isinstance(meta.get("state"), dict):
        raise CheckpointError(
            f"Reading {path}: its description: expected a step and a state, found {str(meta)[:60]!r}. "
            "Give a checkpoint that a run wrote."
        )
    return Checkpoint(path, step, arrays, meta["state"])


class Checkpoints:
    """The checkpoints of one folder, which is locked for this run until ``close``.

    ``notes`` are lines for the user: what was cleaned, what is damaged, what could not be removed. Raises
    FolderInUseError where another run has locked the folder, StorageError where it cannot be made or written.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._lock = FolderLock(self.folder)
        self.notes = [self._lock.note] if self._lock.note else []
        self.notes += clean(self.folder)
        self._damaged: set[Path] = set()
        self._stuck: set[Path] = set()  # files that could not be removed

    def latest(self) -> Checkpoint | None:
        """``latest`` of the folder; its notes are added to ``notes``."""
        newest = latest(self.folder)
        if newest:
            self.notes += newest.notes
            self._damaged = set(newest.damaged)
        return newest

    def save(self, step: int, arrays: Mapping[str, np.ndarray], meta: dict[str, Any]) -> Path:
        """Write the checkpoint of ``step``; once it is synced to disk, remove all others but the one before it.

        Raises StorageError where it cannot be written; then the older ones are as they were.
        """
        step = int(step)
        path = self.folder / f"checkpoint-{step:06d}.safetensors"
        if not _NAME.fullmatch(path.name):
            raise ValueError(f"Checkpoints.save: step is {step}; give a whole number from 0 to 10**12 - 1.")
        write_whole(path, tensorfile.pieces(arrays, {"step": step, "state": meta}))
        self._damaged.discard(path)
        self._remove_all_but(step)
        return path

    def check_room(self, path: Path) -> None:
        """StorageError unless two more checkpoints as large as ``path`` have room: for a moment there are as many."""
        needed, free = 2 * path.stat().st_size, shutil.disk_usage(self.folder).free
        if free < needed:
            raise StorageError(
                f"Saving into {self.folder}: checkpoints need {needed / 2**20:.1f} MiB more, {free / 2**20:.1f} MiB "
                "are free; make room or give another folder."
            )

    def _remove_all_but(self, step: int) -> None:
        """Remove all but this one and the newest whole one before it; later ones belong to a run that is repeated."""
        try:
            files = _files(self.folder)
        except StorageError as error:  # the new one is safe, so the run goes on
            self._note(self.folder, error)
            return
        stay = [path for number, path in files if number <= step and path not in self._damaged][-GENERATIONS:]
        for _, path in files:
            if path not in stay:
                try:
                    os.unlink(path)  # noqa: PTH108
                except OSError as error:  # try the others all the same
                    self._note(path, error)

    def _note(self, path: Path, error: OSError) -> None:
        if path not in self._stuck:  # one note for each file
            self._stuck.add(path)
            self.notes.append(f"an old checkpoint of {self.folder} cannot be removed: {error.strerror or error}")

    def close(self) -> None:
        """Unlock the folder."""
        self._lock.close()

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()


def _files(folder: Path) -> list[tuple[int, Path]]:
    """(step, path) of each checkpoint by its name, the oldest first."""
    try:
        names = [name for name in os.listdir(folder) if _NAME.fullmatch(name)]  # noqa: PTH208
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StorageError(f"Reading {folder}: {error.strerror or error}. Give the folder of a run.") from error
    return sorted((int(name.split("-")[1].split(".")[0]), folder / name) for name in names)
