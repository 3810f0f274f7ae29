"""Model files and the safetensors library: each opens what the other wrote; files of older versions load."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
from tensorfiles import header_of, with_header

import xpgraph as xg
from xpgraph import ModelFileError
from xpgraph.errors import CheckpointError
from xpgraph.graph.saving import MODEL
from xpgraph.nodes.sharing import plan
from xpgraph.storage.tensor_reader import from_bytes
from xpgraph.storage.tensorfile import pieces

safetensors = pytest.importorskip("safetensors", reason="the witness: another reader and writer of the format")
from safetensors.numpy import load_file, save_file  # noqa: E402

SAVED = Path(__file__).with_name("models")


def model(dtype="float32"):
    """Shared, tied and transposed weights, a twin, options, a Graph with a parameter of its own, a loss."""
    W, b = np.arange(6.0).reshape(3, 2).astype(dtype) / 8, np.array([0.5, -0.5], dtype)
    A, x = xg.Affine(W, b), xg.wire("x")
    inner = xg.Graph((x,), xg.Add()(xg.MatMul(W)(x), xg.parameter(np.array([1, 2], dtype), "c")))
    nodes = A, xg.Tanh(), xg.MatMul(W.T), A, xg.Sum(axis=(1,), keepdims=True), xg.Repeat(3, axis=1), inner
    return xg.Chain(*nodes, loss=xg.SoftmaxWithLoss())


def same(a, b):
    assert str(a) == str(b) and a.describe() == b.describe() and plan(a.params) == plan(b.params)
    assert [(p.dtype, p.tobytes()) for p in a.params] == [(p.dtype, p.tobytes()) for p in b.params]


@pytest.mark.parametrize("name", sorted(path.name for path in SAVED.iterdir()))
def test_a_model_of_each_format_loads(name):
    """Files that were written when their format was new; the first had no hashes, and the library wrote them."""
    same(xg.load(SAVED / name)[0], model())
    other = model()
    for p in other.params:
        p[...] = 0
    other.load(SAVED / name)
    same(other, model())


def test_the_newest_saved_file_is_what_is_written_today(tmp_path):
    model().save(tmp_path / "m.safetensors")
    assert (tmp_path / "m.safetensors").read_bytes() == (SAVED / "format-1.safetensors").read_bytes()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_library_opens_what_is_saved_here(tmp_path, dtype):
    model(dtype).save(tmp_path / "m.safetensors")
    arrays = load_file(tmp_path / "m.safetensors")
    assert sorted(arrays) == ["0.W", "0.b", "6.c"] and arrays["0.b"].tolist() == [0.5, -0.5]
    assert {a.dtype.name for a in arrays.values()} == {dtype}


@pytest.mark.parametrize("name", ["c", "偏置"])
def test_what_the_library_writes_loads_here(tmp_path, name):
    """Arrays of several dtypes and none, with a name that is not ASCII; the library writes raw UTF-8."""
    x = xg.wire("x")
    b, none = xg.parameter(np.array([1.5], "float16"), name), xg.parameter(np.zeros((0, 3)), "none")
    made = xg.Graph((x,), (xg.Add()(x, b), xg.Sum()(xg.Concat()(x, none))))
    path = tmp_path / "m.safetensors"
    described = {"format": 1, "model": made.describe(), "aliases": {}}
    arrays = {key: np.asarray(p) for key, p, _ in made.named_parameters()}
    save_file(arrays, path, metadata={"xpgraph": json.dumps(described, ensure_ascii=False), "by": "the library"})
    same(xg.load(path)[0], made)
    arrays["none"] = np.zeros((0, 4))
    save_file(arrays, path, metadata={"xpgraph": json.dumps(described)})
    with pytest.raises(ModelFileError, match=r"none is float64 \(0, 4\) in m\.safetensors, but float64 \(0, 3\)"):
        made.load(path)


def test_arrays_that_another_program_changed_are_refused_while_the_old_hashes_stand_beside_them(tmp_path):
    """Without the hashes in its metadata, the file loads."""
    path = tmp_path / "m.safetensors"
    model().save(path)
    with safetensors.safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    changed = load_file(path)
    changed["0.b"] += 1
    save_file(changed, path, metadata=metadata)
    with pytest.raises(ModelFileError, match=r"^load: .*sha256.*Give a model that was saved, or save it again\.$"):
        xg.load(path)
    save_file(changed, path, metadata={"xpgraph": json.dumps(json.loads(metadata["xpgraph"])["meta"])})
    assert xg.load(path)[0].params[1].tolist() == [1.5, 0.5]


@pytest.mark.parametrize("kind", ["BF16", "F8_E4M3", "BOOL"])
def test_dtypes_that_are_not_read_are_refused_in_words(tmp_path, kind):
    path = tmp_path / "m.safetensors"
    header, body = header_of((SAVED / "format-1-without-hashes.safetensors").read_bytes())
    header["0.b"]["dtype"] = kind
    path.write_bytes(with_header(header, body))
    with pytest.raises(
        ModelFileError,
        match=rf"^load: .*array 0\.b in the header: expected a dtype of F64, .*found {kind}\. Save it again as F32",
    ):
        xg.load(path)


def test_no_damaged_bit_of_a_model_goes_unseen(tmp_path):
    """One bit in each byte, and many lengths."""
    raw, path, draw = (SAVED / "format-1.safetensors").read_bytes(), tmp_path / "m", random.Random(0)
    flipped = (raw[:i] + bytes([raw[i] ^ 1 << draw.randrange(8)]) + raw[i + 1 :] for i in range(len(raw)))
    for wrong in (*flipped, *(raw[:i] for i in range(0, len(raw), 9)), raw + b"!"):
        path.write_bytes(wrong)
        with pytest.raises(ModelFileError, match=r"^load: "):
            pytest.fail(f"loaded {xg.load(path)}: {wrong!r}")


def test_a_description_is_plain_data():
    described = model().describe()
    assert json.loads(json.dumps(described)) == json.loads(
        json.dumps(xg.load(SAVED / "format-1.safetensors")[0].describe())
    )
    assert described["nodes"][3] == {"twin_of": 0} and described["loss"] == {
        "type": "SoftmaxWithLoss", "params": 0, "options": {},
    }  # fmt: skip
    assert described["nodes"][5] == {"type": "Repeat", "params": 0, "options": {"n": 3, "axis": 1}}


def test_a_model_may_have_a_longer_description_than_a_checkpoint():
    raw = b"".join(map(bytes, pieces({}, {"long": [0] * 300_000}, MODEL)))
    assert len(from_bytes(raw, "f", MODEL)[1]["long"]) == 300_000
    with pytest.raises(CheckpointError, match="expected at most 200000 values"):
        from_bytes(raw, "f")
