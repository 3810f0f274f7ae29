"""Tensor files: what is written comes back to the bit, other readers open it, and the limits hold."""

import numpy as np
import pytest
from checkpointing import file_bytes, small

from xpgraph.errors import CheckpointError
from xpgraph.storage import tensor_reader, tensorfile
from xpgraph.storage.checkpoints import read

KINDS = ["f2", "f4", "f8", ">f4", "i1", "i2", "i4", "i8", ">i8", "u1", "u2", "u4", "u8"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (1,), (2, 3, 4)])
def test_arrays_come_back_to_the_bit(tmp_path, kind, shape):
    a = np.arange(24)[: int(np.prod(shape))].reshape(shape).astype(kind)
    path = tmp_path / "f"
    path.write_bytes(file_bytes({"a": a, "transposed": a.T, "weights/θ": a[..., ::-1] if shape else a}, {}))
    found = read(path).arrays
    assert found["a"].shape == shape and found["a"].dtype == a.dtype.newbyteorder("=") and np.array_equal(found["a"], a)
    assert np.array_equal(found["transposed"], a.T) and np.array_equal(found["weights/θ"], a[..., ::-1] if shape else a)


def test_the_safetensors_library_opens_it(tmp_path):
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


def test_the_limits_of_the_writer_are_those_of_the_reader(tmp_path):
    """And neither is one off."""
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


def test_a_newer_format_is_not_called_damaged(monkeypatch):
    monkeypatch.setattr(tensorfile, "FORMAT", 99)
    raw = file_bytes(*small())
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match=r"^Reading f: .* expected format 1 or older, found format 99\. Update"):
        tensor_reader.from_bytes(raw, "f")
