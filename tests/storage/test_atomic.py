"""One run in a folder at a time: the lock of the operating system; files written whole; what cannot be written."""

import os
import shutil
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest
from checkpointing import fork, small

from xpgraph.errors import FolderInUseError, StorageError
from xpgraph.storage import atomic as storage
from xpgraph.storage.checkpoints import Checkpoints, latest


def test_a_second_run_is_refused_and_told_which_process_writes(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, *small())
        with pytest.raises(FolderInUseError, match=rf"process id {os.getpid()} writes into it.*another folder"):
            Checkpoints(tmp_path)
        other = f"from xpgraph.storage.checkpoints import *; Checkpoints({str(tmp_path)!r})"
        told = subprocess.run([sys.executable, "-c", other], capture_output=True, text=True)
        assert f"FolderInUseError: Writing into {tmp_path}: the run with process id {os.getpid()}" in told.stderr
        assert latest(tmp_path).step == 1  # readers need no lock
    with Checkpoints(tmp_path) as again:
        assert again.notes == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_killed_run_leaves_no_lock_and_its_children_have_none(tmp_path):
    ready, told = os.pipe()
    child = fork()
    if not child:
        checkpoints = Checkpoints(tmp_path)
        if not os.fork():  # a helper of the run, which outlives it
            os.write(told, b"%d\n" % os.getpid())
            signal.pause()
        signal.pause()
        checkpoints.close()
    helper = int(os.read(ready, 20))
    try:
        with pytest.raises(FolderInUseError, match=f"process id {child} "):
            Checkpoints(tmp_path)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        Checkpoints(tmp_path).close()
    finally:
        os.kill(helper, signal.SIGKILL)
        os.close(ready), os.close(told)


def test_a_file_system_without_locks_is_told(tmp_path, monkeypatch):
    def no_locks(file):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(storage, "_lock", no_locks)
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.notes == [
            f"the file system of {tmp_path} has no locks: a second run in it would not be noticed"
        ]


def test_a_folder_that_cannot_be_written_is_told_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"Writing into .*file.*Give a folder that can be made"):
        Checkpoints(tmp_path / "file")
    (tmp_path / "shut").mkdir(mode=0o500)
    if os.access(tmp_path / "shut", os.W_OK):
        pytest.skip("this user may write everywhere")
    with pytest.raises(StorageError, match="Permission denied"):
        Checkpoints(tmp_path / "shut")


def test_the_lock_file_names_its_owner_alone_and_stays(tmp_path):
    path = tmp_path / storage.LOCK
    path.write_text("123456789\n" * 9)
    with Checkpoints(tmp_path) as checkpoints:
        assert path.read_text() == f"{os.getpid()}\n" and checkpoints.notes == []
    assert path.exists()


@pytest.mark.parametrize("fails", [True, False], ids=["cannot be read", "is empty"])
def test_an_owner_who_cannot_be_named_is_unknown(tmp_path, monkeypatch, fails):
    def read(*_):
        raise OSError(5, "Input/output error")

    with Checkpoints(tmp_path):
        if fails:
            monkeypatch.setattr(storage.os, "read", read)
        else:
            (tmp_path / storage.LOCK).write_text("")
        with pytest.raises(FolderInUseError, match="the run with process id unknown writes into it"):
            Checkpoints(tmp_path)


def test_a_disk_too_full_for_the_lock_leaves_the_folder_unlocked(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(storage.os, "ftruncate", full)
        with pytest.raises(StorageError, match=r"Writing into .*: No space left on device. Make room"):
            storage.FolderLock(tmp_path)
    storage.FolderLock(tmp_path).close()


@pytest.mark.parametrize(("code", "passes"), [(22, True), (95, True), (5, False)])
def test_a_file_system_that_cannot_sync_folders(tmp_path, monkeypatch, code, passes):
    """EINVAL and EOPNOTSUPP: it cannot be asked for; EIO: it failed."""
    closed, close = [], os.close

    def fsync(file):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(storage.os, "fsync", fsync)
    monkeypatch.setattr(storage.os, "close", lambda file: (closed.append(file), close(file)))
    if passes:
        storage.sync_folder(tmp_path)
    else:
        with pytest.raises(OSError, match="Input/output"):
            storage.sync_folder(tmp_path)
    assert len(closed) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_forked_child_has_closed_the_lock_and_the_parent_has_not(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        child = fork()
        if not child:
            os._exit(0 if checkpoints._lock._file is None else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert checkpoints._lock._file is not None
    assert checkpoints._lock._file is None
    checkpoints._lock.close()  # again: no file of another is closed


def test_a_partial_file_that_cannot_be_removed_is_noted(tmp_path):
    stuck = tmp_path / f".b{storage.PARTIAL}"
    stuck.mkdir()
    (tmp_path / f".a{storage.PARTIAL}").write_text("")
    gone, left = storage.clean(tmp_path)
    assert gone == "removed .a.partial, which a save that was cut off had left"
    assert left.startswith(".b.partial, left by a save that was cut off, cannot be removed: ")
    assert stuck.exists() and not (tmp_path / ".a.partial").exists()


def test_files_have_the_permissions_that_the_user_sets(tmp_path):
    mask = os.umask(0o027)
    try:
        with Checkpoints(tmp_path / "run") as checkpoints:
            path = checkpoints.save(1, *small())
        assert [p.stat().st_mode & 0o777 for p in (path, path.with_name(storage.LOCK))] == [0o640, 0o640]
        os.umask(0)
        with Checkpoints(tmp_path / "open") as checkpoints:
            path = checkpoints.save(1, *small())
        assert [p.stat().st_mode & 0o777 for p in (path, path.with_name(storage.LOCK))] == [0o666, 0o666]
    finally:
        os.umask(mask)


def test_the_folders_above_a_file_are_made(tmp_path):
    path = tmp_path / "a" / "b" / "f"
    for body in (b"one", b"two"):
        storage.write_file(path, [body, b"!"])
        assert path.read_bytes() == body + b"!"
    assert [p.name for p in path.parent.iterdir()] == ["f"]
    with pytest.raises(StorageError, match=r"Saving .*: .*f cannot be made: .*exists. Give a folder that can be made"):
        storage.write_file(path / "g", [b"three"])
    with pytest.raises(StorageError, match="g cannot be made: Not a directory"):
        storage.write_file(path / "g" / "h", [b"three"])


def test_room_for_two_more_checkpoints_and_no_byte_less(tmp_path, monkeypatch):
    path = tmp_path / "f"
    path.write_bytes(bytes(3 << 19))  # 1.5 MiB
    with Checkpoints(tmp_path) as checkpoints:
        monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=free))
        free = 3 << 20
        checkpoints.check_room(path)
        free -= 1
        with pytest.raises(StorageError, match=r"checkpoints need 3\.0 MiB more, 3\.0 MiB are free; make room"):
            checkpoints.check_room(path)
        free = 5 << 18
        with pytest.raises(StorageError, match=r"need 3\.0 MiB more, 1\.2 MiB are free"):
            checkpoints.check_room(path)


def test_a_refused_run_leaves_no_file_open(tmp_path, monkeypatch):
    with Checkpoints(tmp_path):
        closed, close = [], os.close
        monkeypatch.setattr(storage.os, "close", lambda file: (closed.append(file), close(file)))
        monkeypatch.setattr(storage, "sync_folder", lambda folder: None)
        with pytest.raises(FolderInUseError):
            storage.FolderLock(tmp_path)
        assert len(closed) == 1
