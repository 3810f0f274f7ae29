"""Checkpoint files and their folder: which checkpoints stay, which are skipped, what the user is told."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
from checkpointing import file_bytes, small, value_of

from xpgraph.errors import CheckpointError, NewerFormatError, StorageError
from xpgraph.storage import atomic as storage
from xpgraph.storage import tensorfile
from xpgraph.storage.checkpoints import Checkpoints, latest, read

GOLDEN = Path(__file__).with_name("checkpoints")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def spoil(path, at=-1):
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1
    path.write_bytes(raw)


# --- the file ---


@pytest.mark.parametrize(
    ("arrays", "meta", "words"),
    [
        ({"a": np.array([None])}, {}, "a is object"),
        ({"a": np.array([1j])}, {}, "a is complex128"),
        ({"a": np.array(["x"])}, {}, "a is <U1"),
        ({"__metadata__": np.zeros(1)}, {}, "no name for an array"),
        ({}, {"long": list(range(300_000))}, r"takes .* values; .* Put long lists of numbers into arrays"),
        ({}, {"long": "x" * (9 << 20)}, r"takes .* bytes"),
    ],
)
def test_what_a_file_cannot_hold_is_refused_before_it_is_written(tmp_path, arrays, meta, words):
    with Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(ValueError, match=words):
            checkpoints.save(1, arrays, meta)
        assert checkpoints.latest() is None
    assert names(tmp_path) == [".lock"]


def test_a_checkpoint_of_each_format_is_read():
    """Files that were written when their format was new: a later xpgraph reads them still."""
    found = {path.name: read(path) for path in sorted(GOLDEN.glob("*.safetensors"))}
    assert set(found) == {f"format-{n}.safetensors" for n in range(1, tensorfile.FORMAT + 1)}
    for checkpoint in found.values():
        assert checkpoint.step == 7 and checkpoint.meta == {"value": 0.1}
        assert checkpoint.arrays["weights.0.W"].tolist() == [[0.1] * 3] * 2


def test_the_golden_file_is_what_is_written_today():
    arrays, meta = {"weights.0.W": np.full((2, 3), 0.1)}, {"value": 0.1}
    assert (GOLDEN / f"format-{tensorfile.FORMAT}.safetensors").read_bytes() == file_bytes(arrays, meta, 7)


def test_a_checkpoint_of_a_newer_version_is_not_skipped(monkeypatch, tmp_path):
    """A run that went on from the older one would remove it, and with it work that a newer version can resume."""
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, *small()[:2])
        monkeypatch.setattr(tensorfile, "FORMAT", 99)
        checkpoints.save(2, *small()[:2])
        monkeypatch.undo()
        with pytest.raises(NewerFormatError, match=r"checkpoint-000002.*found format 99\. Update xpgraph\.$"):
            checkpoints.latest()
    assert len(list(tmp_path.glob("*.safetensors"))) == 2


@pytest.mark.parametrize("meta", [[], {}, {"step": -1, "state": {}}, {"step": True, "state": {}}, {"step": 1}])
def test_a_file_without_a_step_is_refused(tmp_path, meta):
    (tmp_path / "f").write_bytes(b"".join(map(bytes, tensorfile.pieces({}, meta))))
    with pytest.raises(CheckpointError, match="expected a step and a state"):
        read(tmp_path / "f")


def test_what_is_not_a_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "absent", Path("/dev/zero"), tmp_path / ("x" * 300)):
        with pytest.raises(CheckpointError, match=re.escape(str(path))):
            read(path)


# --- the folder ---


def test_two_checkpoints_stay(tmp_path):
    with Checkpoints(tmp_path / "a" / "运 行") as checkpoints:
        assert checkpoints.latest() is None
        for step in (0, 5, 10, 10, 15):
            path = checkpoints.save(step, *small(step))
            assert (
                path == checkpoints.folder / f"checkpoint-{step:06d}.safetensors" and checkpoints.latest().step == step
            )
        assert names(checkpoints.folder) == [".lock", "checkpoint-000010.safetensors", "checkpoint-000015.safetensors"]
        found = checkpoints.latest()
        assert value_of(found) == 15 and found.notes == found.damaged == () and checkpoints.notes == []
        assert latest(str(checkpoints.folder)).step == 15


def test_steps_are_ordered_as_numbers(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        for step in (999_999, 1_000_000, 1_000_001):
            checkpoints.save(np.int64(step), *small(step))  # NumPy's whole numbers are steps too
        assert [name for name in names(tmp_path) if "check" in name] == [
            "checkpoint-1000000.safetensors", "checkpoint-1000001.safetensors",
        ]  # fmt: skip
        assert checkpoints.latest().step == 1_000_001
        for step in (-1, 10**12):
            with pytest.raises(ValueError, match="whole number from 0"):
                checkpoints.save(step, *small())


def test_a_damaged_newest_is_skipped_and_a_note_says_so(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(10, *small(10.0)), checkpoints.save(20, *small(20.0))
        bad = tmp_path / "checkpoint-000020.safetensors"
        spoil(bad)
        found = checkpoints.latest()
        assert value_of(found) == 10.0 and found.damaged == (bad,)
        assert f"Reading {bad}: array" in checkpoints.notes[0] and "sha256" in checkpoints.notes[0]
        assert checkpoints.notes[1] == "going on from checkpoint-000010.safetensors, the one before"
        # the damaged one does not count as a generation, whatever is saved next
        checkpoints.save(25, *small(25.0))
        assert [read(path).step for path in sorted(tmp_path.glob("*.safetensors"))] == [10, 25]


def test_a_damaged_one_of_a_later_step_is_removed_once_another_is_safe(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(10, *small(10.0)), checkpoints.save(20, *small(20.0))
        spoil(tmp_path / "checkpoint-000020.safetensors")
        checkpoints.latest(), checkpoints.save(12, *small(12.0))
        assert [read(path).step for path in sorted(tmp_path.glob("*.safetensors"))] == [10, 12]
        checkpoints.save(20, *small(21.0))
        assert value_of(checkpoints.latest()) == 21.0


def test_a_run_that_starts_again_from_an_earlier_step_removes_the_later_ones(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(10, *small(10.0)), checkpoints.save(20, *small(20.0)), checkpoints.save(15, *small(15.0))
        assert [read(path).step for path in sorted(tmp_path.glob("*.safetensors"))] == [10, 15]


def test_the_names_of_new_folders_are_synced_to_disk(tmp_path, monkeypatch):
    """A checkpoint is lost with the folder that holds it."""
    synced, real = [], storage.sync_folder
    monkeypatch.setattr(storage, "sync_folder", lambda folder: (synced.append(folder), real(folder)))
    Checkpoints(tmp_path / "a" / "b").close()
    assert set(synced) == {tmp_path, tmp_path / "a"}


def test_where_all_are_damaged_the_error_names_each(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, *small()), checkpoints.save(2, *small())
        for path in tmp_path.glob("*.safetensors"):
            spoil(path, 20)
        with pytest.raises(CheckpointError, match=r"none is whole.*-000002\.safetensors.*-000001\.safe.*Start the run"):
            checkpoints.latest()


def test_a_checkpoint_under_the_name_of_another_is_skipped(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        path = checkpoints.save(1, *small(1.0))
        (tmp_path / "checkpoint-000009.safetensors").write_bytes(path.read_bytes())
        (tmp_path / "checkpoint-000010.safetensors").mkdir()
        found = checkpoints.latest()
        assert (
            found.step == 1
            and "expected 9 by its name, found 1" in checkpoints.notes[1]
            and "found something" in checkpoints.notes[0]
        )


def test_partial_files_are_removed_with_a_note_each(tmp_path):
    stale = tmp_path / ".checkpoint-000003.safetensors.123.partial"
    stale.write_bytes(b"half")
    (tmp_path / "mine.partial").write_bytes(b"not ours")
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.notes == [f"removed {stale.name}, which a save that was cut off had left"]
    assert names(tmp_path) == [".lock", "mine.partial"]


def test_latest_of_no_folder_and_of_an_empty_one(tmp_path):
    assert latest(tmp_path / "absent") is None and latest(tmp_path) is None
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="Give the folder of a run"):
        latest(tmp_path / "file")
