"""Hostile files: each is refused, with one class of error that names the file, in under a second and 64 MB."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import hostile
import pytest

from xpgraph import checkpoints, datasets, idx, npzfile
from xpgraph.errors import CheckpointError, DataError

MEGABYTES = 64


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Every hostile file read by one process under a meter: [(what it is, what was measured)]."""
    folder = tmp_path_factory.mktemp("hostile")
    made = hostile.make(folder)
    command = [sys.executable, str(Path(hostile.__file__)), str(folder)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    rows = [json.loads(line) for line in ended.stdout.splitlines()]
    assert len(rows) == len(made), f"the reader died at {list(made.values())[len(rows)]}: {ended.stderr[-2000:]}"
    return [(made[row["path"]], row) for row in rows]


def test_every_one_is_refused_by_one_class(results):
    assert len(results) >= 30 and len({what for what, _ in results}) == len(results)
    wrong = [
        (what, row["error"], row["words"])
        for what, row in results
        if row["error"] != ("CheckpointError" if what.startswith("checkpoint") else "DataError")
    ]
    assert wrong == []


def test_every_refusal_names_the_file_what_was_found_and_what_to_do(results):
    wrong = [
        (what, row["words"])
        for what, row in results
        if row["path"] not in row["words"]
        or not re.search(r"found|missing|damaged|not a \.npz|Error: |BadZipFile: ", row["words"])
        or not re.search(r"[.)] (Take|Get|Give|Make|Save|Repair|Write|Fill|Update|If they)", row["words"])
        or len(row["words"]) > 900
    ]
    assert wrong == []


def test_every_one_is_refused_in_a_second(results):
    slow = [(what, row["seconds"]) for what, row in results if row["seconds"] > 1.0]
    assert slow == []


def test_every_one_is_refused_in_64_megabytes(results):
    large = [
        (what, row["resident"] >> 20, row["allocated"] >> 20)
        for what, row in results
        if max(row["resident"], row["allocated"]) > MEGABYTES << 20
    ]
    assert large == []


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path):
    for name in ("mine.npz", "mine.csv", hostile.STEM):
        (tmp_path / name).symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe.npz")
    for path in (tmp_path / "mine.npz", tmp_path / "mine.csv", tmp_path / "pipe.npz"):
        with pytest.raises(DataError, match="expected a file, found a folder, a pipe or a device"):
            datasets.load(path)
    with pytest.raises(DataError, match=f"{hostile.STEM} is missing"):  # it looks for files
        idx.read("mnist", hostile.STEM, tmp_path)
    with pytest.raises(CheckpointError, match="expected a file, found something else"):
        checkpoints.read(tmp_path / "mine.npz")


def test_honest_files_of_the_same_making_are_read(tmp_path):
    """The table refuses for its reasons, not for the way in which its files are made."""
    path = tmp_path / "mine.npz"
    for raw in (hostile.archive(hostile.GOOD), hostile.archive(hostile.GOOD, hostile.zipfile.ZIP_DEFLATED)):
        path.write_bytes(raw)
        assert datasets.load(path).x.shape == (3, 2)
    path.write_bytes(hostile.archive({**hostile.GOOD, "a/b.npy": b"anything", "notes.txt": b"words"}))
    assert datasets.load(path).x.shape == (3, 2)
    path.write_bytes(hostile.sealed({"a": hostile.row()}, bytes(8)))
    assert checkpoints.read(path).arrays["a"].tolist() == [0, 0]


def test_what_is_packed_well_but_small_is_no_bomb(tmp_path):
    """Zeros are data too."""
    import numpy as np

    path = tmp_path / "mine.npz"
    np.savez_compressed(path, x=np.zeros((10_000, 500), np.float32), t=np.arange(10_000) % 2)
    assert datasets.load(path).x.shape == (8000, 500) and path.stat().st_size < 1 << 16
    np.savez_compressed(path, x=np.zeros((40_000, 1000), np.uint8), t=np.arange(40_000) % 2)
    with pytest.raises(
        DataError, match=r"x, t: expected at most 100 times their \d+ bytes, found .* save them with numpy"
    ):
        datasets.load(path)
    np.savez(path, x=np.zeros((40_000, 1000), np.uint8), t=np.arange(40_000) % 2)
    assert npzfile.read(path, ("x",))["x"].shape == (40_000, 1000)
