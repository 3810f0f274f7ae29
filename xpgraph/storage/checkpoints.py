"""The checkpoints of a run folder: the newest two, each whole and checked, written by one run at a time.

with Checkpoints(folder) as checkpoints:
    newest = checkpoints.latest()           # None, or a Checkpoint whose every byte has been checked
    checkpoints.save(step, *state_of(trainer))
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import CheckpointError, NewerFormatError, StorageError
from . import tensor_reader, tensorfile
from .atomic import FolderLock, clean, write_whole

GENERATIONS = 2  # how many whole checkpoints stay
_NAME = re.compile(r"checkpoint-(\d{6,12})\.safetensors")
_PART = re.compile(r"part-([0-9a-f]{64})\.safetensors")


class Checkpoint(NamedTuple):
    """A checkpoint that was read, made after ``step`` updates. ``damaged``: newer files, skipped; ``notes``: why.

    ``parts``: the files beside it that it names. Their arrays are among ``arrays``, their descriptions in
    ``meta["parts"]``.
    """

    path: Path
    step: int
    arrays: dict[str, np.ndarray]
    meta: dict[str, Any]
    parts: tuple[str, ...] = ()
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
                steps = f"expected {step} by its name, found {checkpoint.step}"
                raise CheckpointError(f"Reading {path}: step: {steps}. Give it its own name back.")
        except NewerFormatError:
            raise
        except CheckpointError as error:
            notes.append(str(error))
            damaged.append(path)
            continue
        if notes:
            notes.append(f"going on from {path.name}, the one before")
        return checkpoint._replace(notes=tuple(notes), damaged=tuple(damaged))
    if notes:
        found = " ".join(["none is whole.", *notes])
        raise CheckpointError(f"Reading the checkpoints of {folder}: {found} Start the run again.")
    return None


def read(path: Path) -> Checkpoint:
    """Read one checkpoint file; nothing is returned before every byte is checked. CheckpointError for anything else."""
    arrays, meta = tensor_reader.read(path)
    step = meta.get("step") if isinstance(meta, dict) else None
    if type(step) is not int or step < 0 or not isinstance(meta.get("state"), dict):
        found = f"its description: expected a step and a state, found {str(meta)[:60]!r}"
        raise CheckpointError(f"Reading {path}: {found}. Give a checkpoint that a run wrote.")
    parts = meta.get("parts", [])
    if not isinstance(parts, list) or not all(isinstance(name, str) and _PART.fullmatch(name) for name in parts):
        raise CheckpointError(f"Reading {path}: parts: expected names of files, found {str(parts)[:60]!r}.")
    state = meta["state"]
    for name in parts:
        more, description = _read_part(path.parent / name)
        arrays |= more
        state.setdefault("parts", []).append(description)
    return Checkpoint(path, step, arrays, state, tuple(parts))


def _read_part(path: Path) -> tuple[dict[str, np.ndarray], Any]:
    """What ``Checkpoints.save_part`` wrote; CheckpointError for anything else."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"Reading {path}: {error.strerror or error}. Take an older checkpoint.") from error
    digest = hashlib.sha256(raw).hexdigest()
    if path.name != _part_name(digest):
        advice = "Take an older checkpoint."
        raise CheckpointError(f"Reading {path}: expected the sha256 of its name, found {digest}. {advice}")
    return tensor_reader.from_bytes(raw, str(path))


def _part_name(digest: str) -> str:
    return f"part-{digest}.safetensors"


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
        self._parts: dict[Path, tuple[str, ...]] = {}  # the parts of each checkpoint that was read or written here

    def latest(self) -> Checkpoint | None:
        """``latest`` of the folder; its notes are added to ``notes``."""
        newest = latest(self.folder)
        if newest:
            self.notes += newest.notes
            self._damaged = set(newest.damaged)
            self._parts[newest.path] = newest.parts
        return newest

    def save_part(self, arrays: Mapping[str, np.ndarray], meta: Any) -> str:
        """Write what no later checkpoint changes into a file of its own; returns its name, for ``save``.

        The name is the sha256 of the file, so no file replaces another. Files that no checkpoint names are removed.
        """
        pieces = [bytes(piece) for piece in tensorfile.pieces(arrays, meta)]
        name = _part_name(hashlib.sha256(b"".join(pieces)).hexdigest())
        write_whole(self.folder / name, pieces)
        return name

    def save(
        self, step: int, arrays: Mapping[str, np.ndarray], meta: dict[str, Any], parts: Sequence[str] = ()
    ) -> Path:
        """Write the checkpoint of ``step``; once it is synced to disk, remove all others but the one before it.

        ``parts``: the files of ``save_part`` that belong to it. Raises StorageError where it cannot be written; then
        the older ones are as they were.
        """
        step = int(step)
        path = self.folder / f"checkpoint-{step:06d}.safetensors"
        if not _NAME.fullmatch(path.name):
            raise ValueError(f"Checkpoints.save: step is {step}; give a whole number from 0 to 10**12 - 1.")
        described = {"step": step, "state": meta, **({"parts": list(parts)} if parts else {})}
        write_whole(path, tensorfile.pieces(arrays, described))
        self._damaged.discard(path)
        self._parts[path] = tuple(parts)
        self._remove_all_but(step)
        return path

    def check_room(self, path: Path) -> None:
        """StorageError unless two more checkpoints as large as ``path`` have room: for a moment there are as many."""
        needed, free = 2 * path.stat().st_size, shutil.disk_usage(self.folder).free
        if free < needed:
            found = f"checkpoints need {needed / 2**20:.1f} MiB more, {free / 2**20:.1f} MiB are free"
            raise StorageError(f"Saving into {self.folder}: {found}; make room or give another folder.")

    def _remove_all_but(self, step: int) -> None:
        """Remove all but this one and the newest whole one before it; later ones belong to a run that is repeated."""
        try:
            files = _files(self.folder)
        except StorageError as error:  # the new one is safe, so the run goes on
            self._note(self.folder, error)
            return
        stay = [path for number, path in files if number <= step and path not in self._damaged][-GENERATIONS:]
        remove = [path for _, path in files if path not in stay]
        if any(self._parts.values()) and all(path in self._parts for path in stay):  # otherwise their parts are unknown
            named = {name for path in stay for name in self._parts[path]}
            remove += [path for path in self.folder.glob("part-*") if path.name not in named]
            self._parts = {path: self._parts[path] for path in stay}
        for path in remove:
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

    def __exit__(self, *error: object) -> None:
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
