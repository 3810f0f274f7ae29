"""Hostile files: each is refused, with one class of error that names the file, in under a second and 64 MB."""

import json
import os
import re
import subprocess
import sys

import hostile
import pytest
from pages import ROOT

from xpgraph import datasets
from xpgraph.datasets import idx
from xpgraph.datasets import npz as npzfile
from xpgraph.errors import CheckpointError, DataError
from xpgraph.storage import checkpoints

MEGABYTES = 64


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Every hostile file read by one process under a meter: [(what it is, what was measured)]."""
    folder = tmp_path_factory.mktemp("hostile")
    made = hostile.make(folder)
    command = [sys.executable, str(ROOT / "tests" / "support" / "hostile_meter.py"), str(folder)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    rows = [json.loads(line) for line in ended.stdout.splitlines()]
    assert len(rows) == len(made), f"the reader died at {list(made.values())[len(rows)]}: {ended.stderr[-2000:]}"
    return [(made[row["path"]], row) for row in rows]


@pytest.mark.slow("processes")
def test_every_one_is_refused_by_one_class(results):
    assert len(results) >= 30 and len({what for what, _ in results}) == len(results)
    wrong = [
        (what, row["error"], row["words"])
        for what, row in results
        if row["error"] != ("CheckpointError" if what.startswith("checkpoint") else "DataError")
    ]
    assert wrong == []


@pytest.mark.slow("processes")
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


REASONS = {  # where another check further on would refuse the file too, but later
    "checkpoint: a header of 4 GiB in 100 bytes": "header's length: expected at most 92 in",
    "checkpoint: a header longer than the file by one": "header's length: expected at most 178 in",
    "checkpoint: nine MiB of blanks": "header's length: expected at most 8388608, found",
    "checkpoint: an array of 2**62 bytes": "its size: expected 2305843009213694308 bytes, found 364",
    "checkpoint: an array of 2**64 items in no bytes": "expected 73786976294838206464 bytes for float32",
    "checkpoint: offsets from behind": "expected 8 bytes for float32(2,), found -8",
    "checkpoint: a negative shape": "expected dtype, shape and offsets",
    "checkpoint: a shape of true": "expected dtype, shape and offsets",
    "checkpoint: a name that stands twice": "found a name stands twice",
    "checkpoint: a sum without an array": "expected a sha256 for each array",
    "checkpoint: two million empty lists": "expected at most 200000 values",
    "npz: a shape of 2**40": "expected 4398046511104 bytes of values, found 32",
    "npz: members cut short": "expected 32 bytes of values, found 31",
    "npz: members too long": "expected 32 bytes of values, found 33",
    "npz: a negative shape": "expected an array of numbers, found float32(-4, -2)",
    "npz: an encrypted member": "found encrypted data",
    "npz: a packed size of 4 GiB": "found 4294967294: it is truncated",
    "npz: a size of 4 GiB in the list of members": "expected 100 bytes, as stored, found 4294967294",
    "npz: a hundred thousand members": "the zip's directory: expected at most 1048576 bytes, found 5100000",
    "npz: two members of one name": "or a second one",
    "npz: a zip bomb of 100 MiB": "expected at most 100 times their",
    "npz: a header that is 30 MiB, in a small bomb": "x's header: expected at most 10000 bytes, found 31457280",
    "npz: Python objects": "found Python objects, which only pickle could read",
    "idx: a gzip bomb of 2 GiB that claims it": "found a header (32768, 256, 256) of uint8 that claims 2147483664",
    "csv: a line of 64 MiB": "expected at most 4194304 bytes, found more",
    "csv: four million empty cells": "expected at most 262144 columns, found more",
    "csv: a quote that is never closed": "larger than field limit",
}


@pytest.mark.slow("processes")
def test_some_are_refused_for_the_reason_that_costs_least(results):
    words = {what: row["words"] for what, row in results}
    assert [(what, words[what]) for what, reason in REASONS.items() if reason not in words[what]] == []


def test_archives_are_refused_for_their_reason_without_a_meter(tmp_path):
    """In this process, where the branches that are taken can be counted."""
    path = tmp_path / "mine.npz"
    for what, raw in hostile.npzs():
        path.write_bytes(raw)
        with pytest.raises(DataError) as caught:
            datasets.load(path)
        assert str(path) in str(caught.value) and REASONS.get(f"npz: {what}", "") in str(caught.value), what


@pytest.mark.slow("processes")
def test_every_one_is_refused_in_a_second(results):
    slow = [(what, row["seconds"]) for what, row in results if row["seconds"] > 1.0]
    assert slow == []


@pytest.mark.slow("processes")
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
