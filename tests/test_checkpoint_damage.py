"""No damage to a checkpoint goes unseen: every bit, every truncation, thousands of others, one exception class."""

from __future__ import annotations

import io
import os
import random
import re

import numpy as np
import pytest
from checkpointing import file_bytes, small

from xpgraph import tensorfile
from xpgraph.checkpoints import read
from xpgraph.errors import CheckpointError

WHOLE = file_bytes(*small(0.1, n=2))
SOAK = int(os.environ.get("XPGRAPH_SOAK", "1"))  # how many times as many a soak makes


def bit_flips():
    for i in range(len(WHOLE)):
        for bit in range(8):
            yield WHOLE[:i] + bytes([WHOLE[i] ^ (1 << bit)]) + WHOLE[i + 1 :]


def truncations():
    for i in range(len(WHOLE)):
        yield WHOLE[:i]
        yield WHOLE[i + 1 :]


def drawn(n, seed=0):
    """Stretches overwritten, removed, doubled, swapped, filled; bytes put in; a tail added."""
    draw = random.Random(seed)
    for _ in range(n):
        i, j = sorted(draw.sample(range(len(WHOLE) + 1), 2))
        k = min(len(WHOLE), j + draw.randrange(1, 64))
        yield draw.choice(
            [
                WHOLE[:i] + draw.randbytes(j - i) + WHOLE[j:],
                WHOLE[:i] + draw.randbytes(draw.randrange(1, 9)) + WHOLE[i:],
                WHOLE[:i] + WHOLE[j:],
                WHOLE[:j] + WHOLE[i:],
                WHOLE[:i] + WHOLE[j:k] + WHOLE[i:j] + WHOLE[k:],
                WHOLE[:i] + bytes([draw.choice((0, 255, 32, 48))]) * (j - i) + WHOLE[j:],
                WHOLE + draw.randbytes(draw.randrange(1, 99)),
                WHOLE[:i] + draw.randbytes(j - i).hex().encode()[: j - i] + WHOLE[j:],
            ]
        )


def test_ten_thousand_corruptions_are_refused(tmp_path):
    path, tried = tmp_path / "checkpoint-000001.safetensors", 0
    path.write_bytes(WHOLE)
    assert read(path).step == 1
    named = re.escape(f"Reading {path}: ")
    file = os.open(path, os.O_WRONLY)
    try:
        for wrong in (*bit_flips(), *truncations(), *drawn(6000 * SOAK)):
            if wrong == WHOLE:
                continue
            tried += 1
            os.pwrite(file, wrong, 0)
            os.ftruncate(file, len(wrong))
            try:
                found = read(path)
            except Exception as error:
                assert type(error) is CheckpointError and re.match(named, str(error)), error
                assert "expected" in str(error) and "found" in str(error)
            else:
                pytest.fail(f"loaded {found}: {wrong!r}")
    finally:
        os.close(file)
    assert tried >= 10_000


def test_nothing_is_handed_out_before_the_last_array_is_checked(tmp_path):
    """The last array is damaged: nobody sees the ones before it."""
    path = tmp_path / "f"
    path.write_bytes(WHOLE[:-1] + bytes([WHOLE[-1] ^ 1]))
    with pytest.raises(
        CheckpointError, match=r"array optimizer\.iter: expected sha256 [0-9a-f]{64}, found [0-9a-f]{64}"
    ):
        read(path)


@pytest.mark.parametrize("kept", [4, 30, len(WHOLE) - 60, len(WHOLE) - 1])
def test_a_file_that_shrinks_while_it_is_read(kept):
    """Its size was asked before: there is an end to waiting for the rest."""
    with pytest.raises(CheckpointError, match=r"found [0-9]+: the file ended"):
        tensorfile._Reader(io.BytesIO(WHOLE[:kept]), len(WHOLE), "f").read()


def test_a_swap_of_two_equal_arrays_names_is_seen():
    """Equal bytes, so equal sums: only the header's own sha256 tells."""
    arrays = {"a": np.zeros(3), "b": np.ones(3)}
    raw = file_bytes(arrays, {})
    with pytest.raises(CheckpointError, match="the header: expected sha256"):
        tensorfile.from_bytes(raw.replace(b'"a":', b'"?":').replace(b'"b":', b'"a":').replace(b'"?":', b'"b":'), "f")
