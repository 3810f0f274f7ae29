"""No damage to a tensor file goes unseen: every bit, every truncation, thousands of others, one exception class."""

import hashlib
import io
import os
import random
import re

import numpy as np
import pytest
from checkpointing import file_bytes, small
from hostile import row, sealed

from xpgraph.errors import CheckpointError
from xpgraph.storage import tensor_reader, tensorfile
from xpgraph.storage.checkpoints import read

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
    """Parts overwritten, removed, doubled, swapped or filled; bytes inserted or appended; all drawn."""
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


def test_nothing_is_returned_before_the_last_array_is_checked(tmp_path):
    """The last array is damaged: nobody sees the ones before it."""
    path = tmp_path / "f"
    path.write_bytes(WHOLE[:-1] + bytes([WHOLE[-1] ^ 1]))
    with pytest.raises(
        CheckpointError, match=r"array optimizer\.iter: expected sha256 [0-9a-f]{64}, found [0-9a-f]{64}"
    ):
        read(path)


@pytest.mark.parametrize("length", [4, 30, len(WHOLE) - 60, len(WHOLE) - 1])
def test_a_file_that_shrinks_while_it_is_read(length):
    """Its size was read before; the reader does not wait for the rest."""
    with pytest.raises(CheckpointError, match=r"found [0-9]+: the file ended"):
        tensor_reader.Reader(io.BytesIO(WHOLE[:length]), len(WHOLE), "f").read()


def test_swapped_names_of_two_arrays_are_seen():
    """Equal bytes, so equal sums: only the header's own sha256 tells."""
    arrays = {"a": np.zeros(3), "b": np.ones(3)}
    raw = file_bytes(arrays, {})
    with pytest.raises(CheckpointError, match="the header: expected sha256"):
        tensor_reader.from_bytes(raw.replace(b'"a":', b'"?":').replace(b'"b":', b'"a":').replace(b'"?":', b'"b":'), "f")


MANY = range(33)
EIGHT = bytes(8)
OWN = {"format": 1, "sha256": {}, "meta": 0}
HEADERS = [  # headers whose own sha256 is right: what they claim is compared with the file
    (sealed({"a": 1}), "array a in the header: expected dtype, shape and offsets, found 1"),
    (sealed({"a": {**row(), "more": 1}}, EIGHT), "expected dtype, shape and offsets"),
    (sealed({"a": {"dtype": "F32", "shape": [2]}}, EIGHT), "expected dtype, shape and offsets"),
    (sealed({"a": row([])}, EIGHT), "expected dtype, shape and offsets"),
    (sealed({"a": row("BF16", [4])}, EIGHT), "array a in the header: expected a dtype of F64, F32, F16, I64"),
    (sealed({"a": row("F8_E4M3", [8])}, EIGHT), "U8, found F8_E4M3. Save it again as F32, with the program that wrote"),
    (sealed({"a": row("F32", [-2], [8, 0])}, EIGHT), "expected dtype, shape and offsets"),
    (sealed({"a": row("F32", [True, 2])}, EIGHT), "expected dtype, shape and offsets"),
    (sealed({"a": row("U8", [-1, 0], [0, 0])}), "expected dtype, shape and offsets"),
    (sealed({"a": row("F32", 2)}, EIGHT), "expected dtype, shape and offsets"),
    (sealed({"a": row("U8", [1 for _ in MANY], [0, 1])}, b"1"), "expected dtype, shape and offsets"),
    (sealed({"a": row("U8", [0, 1 << 62], [0, 0])}), "expected dtype, shape and offsets"),
    (sealed({"a": row("U8", [0, (1 << 62) - 1, 4], [0, 0])}), "expected a shape that an array can have, found"),
    (sealed({"a": row(offsets=[8])}, EIGHT), "expected dtype, shape and offsets"),
    (sealed({"a": row(offsets=[0, 8, 8])}, EIGHT), "expected dtype, shape and offsets"),
    (sealed({"a": row(offsets=[8, 0])}, EIGHT), "expected 8 bytes for float32(2,), found -8"),
    (sealed({"a": row("F32", [3])}, EIGHT), "expected 12 bytes for float32(3,), found 8"),
    (sealed({"a": row(offsets=[1, 9])}, EIGHT + b"!"), "array a in the header: expected a beginning at byte"),
    (sealed({"a": row(), "b": row()}, EIGHT), "array b in the header: expected a beginning at byte"),
    (sealed({"a": row()}, EIGHT + b"!"), ": something follows the arrays"),
    (sealed({"a": row()}, EIGHT[1:]), ": truncated"),
    (sealed({"a": row()}, EIGHT, own=OWN | {"sha256": {"a": "0" * 64}}), "array a: expected sha256 000"),
    (sealed({}, own=OWN | {"sha256": {"a": ""}}), "expected a sha256 for each array, found other names"),
    (sealed({}, own=OWN | {"sha256": {"a": 1}}), "in the header: expected sha256 and meta, found format"),
    (sealed({}, own=OWN | {"sha256": []}), "expected sha256 and meta, found format, sha256, meta"),
    (sealed({}, own={"format": 1, "sha256": {}}), "expected sha256 and meta, found format, sha256"),
    (sealed({}, own=OWN | {"format": 0}), "expected a format number, found 0"),
    (sealed({}, own=OWN | {"format": True}), "expected a format number, found True"),
    (sealed({}, own={"sha256": {}, "meta": 0}), "xpgraph in the header: expected a format number, found None"),
    (sealed({}, own=OWN | {"format": 2}), "expected format 1 or older, found format 2. Update xpgraph"),
    (sealed({}, own="[1]"), "xpgraph in the header: expected a JSON object, found list"),
    (sealed({}, own="{"), "xpgraph in the header: expected JSON in ASCII, found"),
    (sealed({}, own='{"format":1,"format":1}'), "found a name stands twice"),
    (sealed({}, own="[" * 100_000), "xpgraph in the header: expected JSON in ASCII, found"),
    (sealed('"a":1,"a":1'), "the header: expected JSON in ASCII, found a name stands twice"),
    (sealed('"θ":1', length=185), "the header: expected JSON in ASCII, found 'ascii' codec"),
    (sealed('"a":[' + "0," * 200_000 + "0]"), "the header: expected at most 200000 values, found 200"),
    (sealed('"a":1' + " " * (9 << 20)), "byte 0, the header's length: expected at most 8388608, found"),
    (sealed({}, length=10_000), "byte 0, the header's length: expected at most 178 in a file of 186, found 10000"),
    (sealed({}, length=179), "byte 0, the header's length: expected at most 178 in a file of 186, found 179"),
    ((27).to_bytes(8, "little") + b'{"__metadata__":{"sha256":"', "the header: expected sha256 , found"),
    (b"\0" * 34, "its size: expected at least 35 bytes, found 34"),
    (sealed({}).replace(b'"xpgraph"', b'"ypgraph"', 1), "the header: expected sha256"),
    (EIGHT + bytes(40), "byte 8: expected the header of a checkpoint of xpgraph, found b''"),
]


@pytest.mark.parametrize(("raw", "words"), HEADERS, ids=range(len(HEADERS)))
def test_a_header_that_claims_what_the_file_does_not_hold_is_refused_for_that(raw, words):
    with pytest.raises(CheckpointError) as caught:
        tensor_reader.from_bytes(raw, "f")
    assert str(caught.value).startswith("Reading f: ") and words in str(caught.value)


@pytest.mark.parametrize(("more", "found"), [("", "NoneType"), (',"xpgraph":{}', "dict")])
def test_metadata_without_text_of_ours_is_refused(more, found):
    text = '{"__metadata__":{"sha256":"' + "0" * 64 + f'"{more}}}}}'
    raw = len(text).to_bytes(8, "little") + text.encode()
    raw = raw.replace(b"0" * 64, hashlib.sha256(raw).hexdigest().encode(), 1)
    with pytest.raises(CheckpointError, match=f"the header: expected text under xpgraph, found {found}"):
        tensor_reader.from_bytes(raw, "f")


def test_the_limits_are_not_one_off():
    """32 axes, format 1, a header as long as it may be."""
    one = sealed({"a": row("U8", [1] * 32, [0, 1])}, b"1")
    assert tensor_reader.from_bytes(one, "f")[0]["a"].shape == (1,) * 32
    assert tensor_reader.from_bytes(sealed({}), "f") == ({}, {"step": 1, "state": {}})
    sums = {"a": hashlib.sha256(EIGHT).hexdigest(), "none": hashlib.sha256().hexdigest()}
    beside = {"a": row(), "none": row("F64", [0], [0, 0])}  # one without bytes begins where the other does
    own = {"format": 1, "sha256": sums, "meta": 0}
    assert list(tensor_reader.from_bytes(sealed(beside, EIGHT, own), "f")[0]) == ["none", "a"]
    turned = {"b": row("U8", [1], [1, 2]), "a": row("U8", [1], [0, 1])}  # the header in another order than the arrays
    sums = {"a": hashlib.sha256(b"1").hexdigest(), "b": hashlib.sha256(b"2").hexdigest()}
    found = tensor_reader.from_bytes(sealed(turned, b"12", {"format": 1, "sha256": sums, "meta": 0}), "f")[0]
    assert found == {"a": 49, "b": 50}
    values = sealed({}, own='{"format":1,"sha256":{},"meta":[' + "0," * 199_992 + "0]}")
    assert tensorfile.count_values(values) == tensorfile.CHECKPOINT.value_limit
    assert len(tensor_reader.from_bytes(values, "f")[1]) == 199_993
    full = tensorfile.CHECKPOINT.header_limit - len(sealed('"a":1')) + 8
    for blanks, words in ((full, "a sha256 for each array"), (full + 1, "at most 8388608, found 8388609")):
        with pytest.raises(CheckpointError, match=words):
            tensor_reader.from_bytes(sealed('"a":1' + " " * blanks), "f")
