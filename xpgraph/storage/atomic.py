"""Files that are there whole or not at all, and folders into which one run writes.

A file is written under a temporary name in the same folder, synced to disk and renamed; then the folder is synced.
After a crash at any moment the old file is there, or the new one.
"""

from __future__ import annotations

import contextlib
import errno
import os
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import FolderInUseError, StorageError

PIECE = 1 << 20  # bytes read or written at a time
PARTIAL = ".partial"  # the end of the temporary name
LOCK = ".lock"
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
_locks: weakref.WeakSet[FolderLock] = weakref.WeakSet()


def write_whole(path: Path, pieces: Iterable[Any]) -> None:
    """Write the bytes of ``pieces`` to ``path``, durably, or leave what was there; StorageError says what failed."""
    partial = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
    doing = "made"
    try:
        file = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o666)
        try:
            doing = "written"
            for piece in pieces:
                _write(file, memoryview(piece).cast("B"))
            doing = "synced to disk"
            os.fsync(file)
        finally:
            os.close(file)
        doing = "renamed"
        os.replace(partial, path)  # noqa: PTH105  # a test counts the calls of this module's os
        doing = "synced to disk with its folder"
        sync_folder(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(partial)  # noqa: PTH108
        if isinstance(error, OSError):
            found = f"it cannot be {doing}: {error.strerror or error}; older files are as they were"
            raise StorageError(f"Saving {path}: {found}. Make room or give another folder.") from error
        raise


def write_file(path: Path, pieces: Iterable[Any]) -> None:
    """``write_whole``, after making the folders above it; StorageError where that fails."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        what = f"{path.parent} cannot be made: {error.strerror or error}"
        raise StorageError(f"Saving {path}: {what}. Give a folder that can be made.") from error
    write_whole(path, pieces)


def write_text(path: Path, text: str) -> None:
    """``write_file`` for text in UTF-8; what UTF-8 cannot encode (half a surrogate pair) becomes "?"."""
    write_file(path, [text.encode("utf-8", "replace")])


def _write(file: int, view: memoryview) -> None:
    while view:  # a write may take less than it is given
        view = view[os.write(file, view[:PIECE]) :]


def sync_folder(folder: Path) -> None:
    """Sync the names in a folder to disk, where the system can."""
    if os.name == "nt":  # Windows opens no folders
        return
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):  # some network file systems cannot, and need not
            raise
    finally:
        os.close(file)


def clean(folder: Path) -> list[str]:
    """Remove the partial files that a killed run left; a line of text for each. Call it under the folder's lock."""
    lines = []
    for path in sorted(folder.glob(f".*{PARTIAL}")):
        try:
            path.unlink()
            lines.append(f"removed {path.name}, which a save that was cut off had left")
        except OSError as error:
            lines.append(f"{path.name}, left by a save that was cut off, cannot be removed: {error.strerror}")
    return lines


class FolderLock:
    """One run's lock of a folder, until ``close`` or until the process ends in any way: the operating system has it.

    ``note`` is a line for the user where the file system has no locks, else "". Raises FolderInUseError where another
    run has locked the folder, StorageError where the folder cannot be made or written.
    """

    def __init__(self, folder: Path) -> None:
        self.note = ""
        path = folder / LOCK
        try:
            _make(folder)
            file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
        except OSError as error:
            advice = "Give a folder that can be made and written."
            raise StorageError(f"Writing into {folder}: {error.strerror or error}. {advice}") from error
        try:
            _lock(file)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                owner = _owner(file)
                os.close(file)
                found = f"the run with process id {owner} writes into it"
                advice = "Wait for it or end it, or give another folder."
                raise FolderInUseError(f"Writing into {folder}: {found}. {advice}") from error
            self.note = f"the file system of {folder} has no locks: a second run in it would not be noticed"
        self._file: int | None = file
        _locks.add(self)
        try:
            os.ftruncate(file, 0)
            os.write(file, f"{os.getpid()}\n".encode())
        except OSError as error:
            self.close()
            advice = "Make room or give another folder."
            raise StorageError(f"Writing into {folder}: {error.strerror or error}. {advice}") from error

    def close(self) -> None:
        """Unlock the folder. The lock file stays: if it were removed, two runs could lock one each."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _make(folder: Path) -> None:
    """Make a folder and sync its name to disk: without it the files inside are lost."""
    new = [each for each in (folder, *folder.absolute().parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in {folder.absolute(), *new}:
        with contextlib.suppress(OSError):  # a parent that may not be listed cannot be synced
            sync_folder(each.parent)


def _lock(file: int) -> None:
    if os.name == "nt":
        import msvcrt

        os.lseek(file, 1 << 30, os.SEEK_SET)  # a byte that nobody writes: Windows lets nobody read what is locked
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        finally:
            os.lseek(file, 0, os.SEEK_SET)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _owner(file: int) -> str:
    """The process id that the run wrote into its lock file."""
    try:
        return os.read(file, 20).decode("ascii", "replace").strip() or "unknown"
    except OSError:
        return "unknown"


def _close_in_child() -> None:
    """In a forked child, close the locks: they are the parent's, and would outlive it."""
    for lock in list(_locks):
        with contextlib.suppress(OSError):
            lock.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)
