"""Floor 5: the checkpoints of a run folder: the newest two, each whole and checked, written by one run at a time.

with Checkpoints(folder) as kept:
    found = kept.latest()                   # None, or a Checkpoint whose every byte has been checked
    kept.save(step, *state_of(trainer))
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

GENERATIONS = 2
_NAME = re.compile(r"checkpoint-(\d{6,12})\.safetensors")


class Checkpoint(NamedTuple):
    """What was read: ``step`` updates had been made. ``damaged``: newer files that are not whole, told in ``notes``."""

    path: Path
    step: int
    arrays: dict[str, np.ndarray]
    meta: dict[str, Any]
    notes: tuple[str, ...] = ()
    damaged: tuple[Path, ...] = ()


def latest(folder: str | Path) -> Checkpoint | None:
    """The newest checkpoint of a folder that is whole; None where there is none at all.

    A damaged one is passed over for the one before it, and ``notes`` says so. Raises CheckpointError where all are
    damaged, NewerFormatError for one that a newer xpgraph wrote (to go on without it would remove it), StorageError for
    a folder that cannot be listed. Takes no lock: a reader beside a run sees whole files.
    """
    notes: list[str] = []
    damaged: list[Path] = []
    for step, path in reversed(_files(Path(folder))):
        try:
            found = read(path)
            if found.step != step:
                raise CheckpointError(
                    f"Reading {path}: step: expected {step} by its name, found {found.step}. Give it its own name back."
                )
        except NewerFormatError:
            raise
        except CheckpointError as error:
            notes.append(str(error))
            damaged.append(path)
            continue
        if notes:
            notes.append(f"going on from {path.name}, the one before")
        return Checkpoint(path, step, found.arrays, found.meta, tuple(notes), tuple(damaged))
    if notes:
        raise CheckpointError(
            f"Reading the checkpoints of {folder}: none is whole. " + " ".join(notes) + " Start the run again."
        )
    return None


def read(path: Path) -> Checkpoint:
    """One checkpoint file, every byte checked before anything is handed out; CheckpointError for anything else."""
    arrays, described = tensor_reader.read(path)
    step = described.get("step") if isinstance(described, dict) else None
    if type(step) is not int or step < 0 or not isinstance(described.get("state"), dict):
        raise CheckpointError(
            f"Reading {path}: its description: expected a step and a state, found {str(described)[:60]!r}. "
            "Give a checkpoint that a run wrote."
        )
    return Checkpoint(path, step, arrays, described["state"])


class Checkpoints:
    """The checkpoints of one folder, held for this run until ``close``.

    ``notes`` are lines for the user: what was cleaned, what is damaged, what could not be removed. Raises
    FolderInUseError where another run holds the folder, StorageError where it cannot be made or written.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._lock = FolderLock(self.folder)
        self.notes = [self._lock.note] if self._lock.note else []
        self.notes += clean(self.folder)
        self._damaged: set[Path] = set()
        self._stuck: set[Path] = set()  # what could not be removed

    def latest(self) -> Checkpoint | None:
        """``latest`` of the folder; what it notes goes to ``notes`` too."""
        found = latest(self.folder)
        if found:
            self.notes += found.notes
            self._damaged = set(found.damaged)
        return found

    def save(self, step: int, arrays: Mapping[str, np.ndarray], meta: dict[str, Any]) -> Path:
        """Write the checkpoint of ``step`` and, once it is durable, remove all but the one before it.

        StorageError where it cannot be written: then the older ones are as they were.
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
        """Is there room for two more checkpoints like ``path``, as there will be for a moment? StorageError if not."""
        needed, free = 2 * path.stat().st_size, shutil.disk_usage(self.folder).free
        if free < needed:
            raise StorageError(
                f"Saving into {self.folder}: checkpoints need {needed / 2**20:.1f} MiB more, {free / 2**20:.1f} MiB "
                "are free; make room or give another folder."
            )

    def _remove_all_but(self, step: int) -> None:
        """Keep this one and the newest whole one before it. What is later belongs to a run that is being made again."""
        try:
            files = _files(self.folder)
        except StorageError as error:  # the new one is safe: not worth the run
            self._note(self.folder, error)
            return
        kept = [path for found, path in files if found <= step and path not in self._damaged][-GENERATIONS:]
        for _, path in files:
            if path not in kept:
                try:
                    os.unlink(path)  # noqa: PTH108
                except OSError as error:  # the others are in the way all the same
                    self._note(path, error)

    def _note(self, path: Path, error: OSError) -> None:
        if path not in self._stuck:  # once
            self._stuck.add(path)
            self.notes.append(f"an old checkpoint of {self.folder} cannot be removed: {error.strerror or error}")

    def close(self) -> None:
        """Let go of the folder."""
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
