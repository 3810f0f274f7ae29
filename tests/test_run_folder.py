"""One run in a folder at a time: a lock that the kernel keeps, and folders that cannot be written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import warnings

import pytest
from checkpointing import small

from xpgraph import storage
from xpgraph.checkpoints import Checkpoints, latest
from xpgraph.errors import FolderInUseError, StorageError


def test_a_second_run_is_refused_and_told_who_holds_the_folder(tmp_path):
    with Checkpoints(tmp_path) as kept:
        kept.save(1, *small())
        with pytest.raises(FolderInUseError, match=rf"process id {os.getpid()} writes into it.*another folder"):
            Checkpoints(tmp_path)
        other = f"from xpgraph.checkpoints import *; Checkpoints({str(tmp_path)!r})"
        told = subprocess.run([sys.executable, "-c", other], capture_output=True, text=True)
        assert f"FolderInUseError: Writing into {tmp_path}: the run with process id {os.getpid()}" in told.stderr
        assert latest(tmp_path).step == 1  # readers need no lock
    with Checkpoints(tmp_path) as again:
        assert again.notes == []


def fork():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads in the parent; the child uses none
        return os.fork()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_killed_run_leaves_no_lock_and_its_children_hold_none(tmp_path):
    ready, told = os.pipe()
    child = fork()
    if not child:
        kept = Checkpoints(tmp_path)
        if not os.fork():  # a helper of the run, which outlives it
            os.write(told, b"%d\n" % os.getpid())
            signal.pause()
        signal.pause()
        kept.close()
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
    with Checkpoints(tmp_path) as kept:
        assert kept.notes == [f"the file system of {tmp_path} has no locks: a second run in it would not be noticed"]


def test_a_folder_that_cannot_be_written_is_told_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"Writing into .*file.*Give a folder that can be made"):
        Checkpoints(tmp_path / "file")
    (tmp_path / "shut").mkdir(mode=0o500)
    if os.access(tmp_path / "shut", os.W_OK):
        pytest.skip("this user may write everywhere")
    with pytest.raises(StorageError, match="Permission denied"):
        Checkpoints(tmp_path / "shut")
