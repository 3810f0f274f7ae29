"""Checkpoint files and their folder: what is kept, what any reader can open, who may write."""

from __future__ import annotations

import os
import re
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest
from checkpointing import file_bytes, small, value_of

from xpgraph.errors import CheckpointError, NewerFormatError, StorageError
from xpgraph.storage import atomic as storage
from xpgraph.storage import tensor_reader, tensorfile
from xpgraph.storage.checkpoints import Checkpoints, latest, read

GOLDEN = Path(__file__).with_name("checkpoints")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def spoil(path, at=-1):
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1
    path.write_bytes(raw)


# --- the file ---


KINDS = ["f2", "f4", "f8", ">f4", "i1", "i2", "i4", "i8", ">i8", "u1", "u2", "u4", "u8"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (1,), (2, 3, 4)])
def test_arrays_come_back_to_the_bit(tmp_path, kind, shape):
    a = np.arange(24)[: int(np.prod(shape))].reshape(shape).astype(kind)
    path = tmp_path / "f"
    path.write_bytes(file_bytes({"a": a, "turned": a.T, "weights/θ": a[..., ::-1] if shape else a}, {}))
    found = read(path).arrays
    assert found["a"].shape == shape and found["a"].dtype == a.dtype.newbyteorder("=") and np.array_equal(found["a"], a)
    assert np.array_equal(found["turned"], a.T) and np.array_equal(found["weights/θ"], a[..., ::-1] if shape else a)


def test_every_reader_of_safetensors_opens_it(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy", reason="another reader to compare with")
    arrays = {"b": np.arange(5, dtype=np.int8), "a": np.ones((2, 3)).T, "none": np.zeros((0, 2), np.float32)}
    path = tmp_path / "checkpoint-000001.safetensors"
    path.write_bytes(file_bytes(arrays, {}))
    found = safetensors.load_file(path)
    assert set(found) == set(arrays) and all(np.array_equal(found[name], arrays[name]) for name in arrays)


def test_meta_comes_back_to_the_bit():
    meta = {
        "floats": [0.1, 5e-324, 1e308, float("inf"), -0.0],
        "big": 2**200,
        "text": 'θ"\\\n汉字',
        "none": [None, True],
    }
    found = tensor_reader.from_bytes(file_bytes({}, meta), "f")[1]["state"]
    assert repr(found) == repr(meta)
    nan = tensor_reader.from_bytes(file_bytes({}, {"x": float("nan")}), "f")[1]["state"]["x"]
    assert nan != nan


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
    with Checkpoints(tmp_path) as kept:
        with pytest.raises(ValueError, match=words):
            kept.save(1, arrays, meta)
        assert kept.latest() is None
    assert names(tmp_path) == [".lock"]


def test_what_a_file_holds_to_the_last_value_and_byte(tmp_path):
    """The limits of the writer are those of the reader, and neither is one off."""
    n = tensorfile.CHECKPOINT.value_limit - tensorfile.count_values(file_bytes({}, {"long": [0]})) + 1
    most = file_bytes({}, {"long": [0] * n})
    assert tensorfile.count_values(most) == tensorfile.CHECKPOINT.value_limit
    assert len(tensor_reader.from_bytes(most, "f")[1]["state"]["long"]) == n
    with pytest.raises(ValueError, match="and 200001 values; a file holds 8388608 and 200000"):
        file_bytes({}, {"long": [0] * (n + 1)})
    room = tensorfile.CHECKPOINT.header_limit + 8 - len(file_bytes({}, {"long": ""}))
    whole = file_bytes({}, {"long": "x" * room})
    assert len(whole) == tensorfile.CHECKPOINT.header_limit + 8 and tensor_reader.from_bytes(whole, "f")[1][
        "state"
    ] == {"long": "x" * room}
    pieces = file_bytes({"a": np.arange(3)}, {"long": "x" * (3 << 20)})  # a header read in several pieces, and an array
    assert tensor_reader.from_bytes(pieces, "f")[0]["a"].tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="takes 8388616 bytes"):
        file_bytes({}, {"long": "x" * (room + 8)})


def test_the_file_is_as_readable_as_others(tmp_path):
    mask = os.umask(0o027)
    try:
        with Checkpoints(tmp_path) as kept:
            path = kept.save(0, *small())
    finally:
        os.umask(mask)
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o640


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


def test_a_newer_format_is_told_from_damage(monkeypatch, tmp_path):
    monkeypatch.setattr(tensorfile, "FORMAT", 99)
    raw = file_bytes(*small())
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match=r"^Reading f: .* expected format 1 or older, found format 99\. Update"):
        tensor_reader.from_bytes(raw, "f")


def test_room_for_two_more(monkeypatch, tmp_path):
    with Checkpoints(tmp_path) as kept:
        path = kept.save(np.int64(1), *small())  # a number of NumPy's is one
        assert latest(tmp_path).step == 1
        size = path.stat().st_size
        usage = shutil.disk_usage(tmp_path)
        monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=2 * size))
        kept.check_room(path)
        monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=2 * size - 1))
        with pytest.raises(StorageError, match=r"checkpoints need 0\.0 MiB more, 0\.0 MiB are free; make room or give"):
            kept.check_room(path)


def test_a_newer_checkpoint_is_not_passed_over_for_an_older_one(monkeypatch, tmp_path):
    """To go on from the older one would remove the newer one: work that a newer version can take up."""
    with Checkpoints(tmp_path) as kept:
        kept.save(1, *small()[:2])
        monkeypatch.setattr(tensorfile, "FORMAT", 99)
        kept.save(2, *small()[:2])
        monkeypatch.undo()
        with pytest.raises(NewerFormatError, match=r"checkpoint-000002.*found format 99\. Update xpgraph\.$"):
            kept.latest()
    assert len(list(tmp_path.glob("*.safetensors"))) == 2


@pytest.mark.parametrize("meta", [[], {}, {"step": -1, "state": {}}, {"step": True, "state": {}}, {"step": 1}])
def test_a_file_without_a_step_is_no_checkpoint(tmp_path, meta):
    (tmp_path / "f").write_bytes(b"".join(map(bytes, tensorfile.pieces({}, meta))))
    with pytest.raises(CheckpointError, match="expected a step and a state"):
        read(tmp_path / "f")


def test_what_is_not_a_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "absent", Path("/dev/zero"), tmp_path / ("x" * 300)):
        with pytest.raises(CheckpointError, match=re.escape(str(path))):
            read(path)


# --- the folder ---


def test_two_generations_are_kept(tmp_path):
    with Checkpoints(tmp_path / "a" / "运 行") as kept:
        assert kept.latest() is None
        for step in (0, 5, 10, 10, 15):
            path = kept.save(step, *small(step))
            assert path == kept.folder / f"checkpoint-{step:06d}.safetensors" and kept.latest().step == step
        assert names(kept.folder) == [".lock", "checkpoint-000010.safetensors", "checkpoint-000015.safetensors"]
        found = kept.latest()
        assert value_of(found) == 15 and found.notes == found.damaged == () and kept.notes == []
        assert latest(str(kept.folder)).step == 15


def test_steps_are_ordered_as_numbers(tmp_path):
    with Checkpoints(tmp_path) as kept:
        for step in (999_999, 1_000_000, 1_000_001):
            kept.save(step, *small(step))
        assert [name for name in names(tmp_path) if "check" in name] == [
            "checkpoint-1000000.safetensors", "checkpoint-1000001.safetensors",
        ]  # fmt: skip
        assert kept.latest().step == 1_000_001
        for step in (-1, 10**12):
            with pytest.raises(ValueError, match="whole number from 0"):
                kept.save(step, *small())


def test_a_damaged_newest_is_passed_over_aloud(tmp_path):
    with Checkpoints(tmp_path) as kept:
        kept.save(10, *small(10.0)), kept.save(20, *small(20.0))
        bad = tmp_path / "checkpoint-000020.safetensors"
        spoil(bad)
        found = kept.latest()
        assert value_of(found) == 10.0 and found.damaged == (bad,)
        assert f"Reading {bad}: array" in kept.notes[0] and "sha256" in kept.notes[0]
        assert kept.notes[1] == "going on from checkpoint-000010.safetensors, the one before"
        # the damaged one does not count as a generation, whatever is saved next
        kept.save(25, *small(25.0))
        assert [read(path).step for path in sorted(tmp_path.glob("*.safetensors"))] == [10, 25]


def test_a_damaged_one_that_lies_ahead_is_removed_once_another_is_safe(tmp_path):
    with Checkpoints(tmp_path) as kept:
        kept.save(10, *small(10.0)), kept.save(20, *small(20.0))
        spoil(tmp_path / "checkpoint-000020.safetensors")
        kept.latest(), kept.save(12, *small(12.0))
        assert [read(path).step for path in sorted(tmp_path.glob("*.safetensors"))] == [10, 12]
        kept.save(20, *small(21.0))
        assert value_of(kept.latest()) == 21.0


def test_a_run_that_begins_again_before_the_newest_takes_the_folder_over(tmp_path):
    with Checkpoints(tmp_path) as kept:
        kept.save(10, *small(10.0)), kept.save(20, *small(20.0)), kept.save(15, *small(15.0))
        assert [read(path).step for path in sorted(tmp_path.glob("*.safetensors"))] == [10, 15]


def test_the_names_of_new_folders_are_brought_to_the_disk(tmp_path, monkeypatch):
    """A checkpoint is lost with the folder that holds it."""
    synced, real = [], storage.sync_folder
    monkeypatch.setattr(storage, "sync_folder", lambda folder: (synced.append(folder), real(folder)))
    Checkpoints(tmp_path / "a" / "b").close()
    assert set(synced) == {tmp_path, tmp_path / "a"}


def test_none_whole_is_an_error_that_names_each(tmp_path):
    with Checkpoints(tmp_path) as kept:
        kept.save(1, *small()), kept.save(2, *small())
        for path in tmp_path.glob("*.safetensors"):
            spoil(path, 20)
        with pytest.raises(CheckpointError, match=r"none is whole.*-000002\.safetensors.*-000001\.safe.*Start the run"):
            kept.latest()


def test_a_checkpoint_under_the_name_of_another_is_passed_over(tmp_path):
    with Checkpoints(tmp_path) as kept:
        path = kept.save(1, *small(1.0))
        (tmp_path / "checkpoint-000009.safetensors").write_bytes(path.read_bytes())
        (tmp_path / "checkpoint-000010.safetensors").mkdir()
        found = kept.latest()
        assert (
            found.step == 1
            and "expected 9 by its name, found 1" in kept.notes[1]
            and "found something" in kept.notes[0]
        )


def test_partial_files_are_cleaned_with_one_line_each(tmp_path):
    stale = tmp_path / ".checkpoint-000003.safetensors.123.partial"
    stale.write_bytes(b"half")
    (tmp_path / "mine.partial").write_bytes(b"not ours")
    with Checkpoints(tmp_path) as kept:
        assert kept.notes == [f"removed {stale.name}, which a save that was cut off had left"]
    assert names(tmp_path) == [".lock", "mine.partial"]


def test_latest_of_no_folder_and_of_an_empty_one(tmp_path):
    assert latest(tmp_path / "absent") is None and latest(tmp_path) is None
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="Give the folder of a run"):
        latest(tmp_path / "file")
