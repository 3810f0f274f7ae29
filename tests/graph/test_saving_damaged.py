"""Files that do not fit, are damaged or foreign, and saves that fail: an error, and nothing half done."""

import os
import pickle
import stat

import hostile
import numpy as np
import pytest
from nets import weights
from tensorfiles import with_header, with_meta

import xpgraph
from xpgraph import Affine, Chain, Graph, MatMul, ModelFileError, Repeat, Sigmoid, SoftmaxWithLoss, Tanh, wire

THREE = (Affine(*weights()[:2]), Sigmoid(), Affine(*weights()[2:]))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def affines(d, h, classes):
    return Chain(Affine(np.zeros((d, h)), np.zeros(h)), Tanh(), Affine(np.zeros((h, classes)), np.zeros(classes)))


def in_float32():
    return Chain(*(type(n)(*(p.astype("float32") for p in n.params)) for n in THREE))


WRONG_MODELS = {
    "another layer": (
        lambda: Chain(MatMul(np.zeros((4, 6)))), r"safetensors holds 0\.W, 0\.b, 2\.W, 2\.b; the model has 0\.W\.",
    ),
    "another size": (
        lambda: affines(4, 5, 3), r"0\.W is float64 \(4, 6\) in model\.safetensors, but float64 \(4, 5\) in the model",
    ),
    "the last of another size": (lambda: affines(4, 6, 2), r"2\.W is float64 \(6, 3\) .* but float64 \(6, 2\)"),
    "another dtype": (in_float32, r"0\.W is float64 .* but float32"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG_MODELS)
def test_a_wrong_structure_changes_nothing_and_names_both_sides(path, case):
    saved = Chain(*THREE)
    saved.save(path)
    make, words = WRONG_MODELS[case]
    model = make()
    before = [p.tobytes() for p in model.params]
    with pytest.raises(ModelFileError, match=words):
        model.load(path)
    assert [p.tobytes() for p in model.params] == before


def test_weights_that_differ_are_not_loaded_into_one_array(path):
    Chain(MatMul(np.ones((3, 3))), MatMul(np.zeros((3, 3)))).save(path)
    W = np.full((3, 3), 7.0)
    for tied in (Chain(MatMul(W), MatMul(W)), Chain(MatMul(W), MatMul(W.T))):
        with pytest.raises(ModelFileError, match=r"1\.W and 0\.W differ in .* but are one array in the model"):
            tied.load(path)
    assert W.min() == 7.0
    Chain(MatMul(np.ones((3, 3))), MatMul(np.ones((3, 3)))).save(path)
    Chain(MatMul(W), MatMul(W.T)).load(path)
    assert W.max() == 1.0


def damaged(data, hashed):
    def changed(change):
        return with_meta(data, change, hashed)

    yield "empty", b""
    yield "text", b"not a model at all, only words"
    yield "pickle", pickle.dumps({"W": 1})
    yield "foreign", with_header({"w": {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]}}, bytes(8))
    yield "format", changed(lambda own: own.update(format=99))
    yield "no structure", changed(lambda own: own.pop("model"))
    yield "no aliases", changed(lambda own: own.pop("aliases"))
    yield "alias of nothing", changed(lambda own: own["aliases"].update(x={"of": "y", "transposed": False}))
    yield "alias of a list", changed(lambda own: own.update(aliases={"x": ["0.W"]}))
    yield "alias with more", changed(lambda own: own["aliases"].update(x={"of": "0.W", "transposed": False, "a": 1}))
    yield "structure of text", changed(lambda own: own.update(model="Chain"))
    yield "unknown options", changed(lambda own: own["model"]["nodes"][1].update(options={"evil": 1}))
    yield "a twin of nothing", changed(lambda own: own["model"]["nodes"].append({"twin_of": 9}))


@pytest.mark.parametrize("hashed", [True, False])
def test_damaged_and_foreign_files_raise_one_error(path, hashed):
    net_ = Chain(Affine(*weights()[:2]), Sigmoid(), Affine(*weights()[2:]), loss=SoftmaxWithLoss())
    net_.save(path)
    data, before = path.read_bytes(), [p.tobytes() for p in net_.params]
    cuts = [(f"cut at {n}", data[:n]) for n in (1, 7, 8, 100, len(data) // 2, len(data) - 1)]
    for what, wrong in [*damaged(data, hashed), *cuts]:
        path.write_bytes(wrong)
        with pytest.raises(ModelFileError):
            pytest.fail(f"{what}: loaded {xpgraph.load(path)}")
        if what not in ("no structure", "structure of text", "unknown options", "a twin of nothing"):
            with pytest.raises(ModelFileError):  # weights alone do not need the structure
                net_.load(path)
                pytest.fail(f"{what}: was loaded")
    assert [p.tobytes() for p in net_.params] == before


@pytest.mark.parametrize("hashed", [True, False])
def test_a_damaged_graph_is_refused(path, hashed):
    x, t = wire("x"), wire("t")
    y = Affine(*weights()[:2])(x)
    Graph((x, t), SoftmaxWithLoss()(Repeat(2)(y), t)).save(path)
    data = path.read_bytes()

    def change(**new):
        return lambda own: own["model"].update(new)

    for wrong in (
        change(steps=[[[0], [2]]]),  # too few
        change(steps=[[[0], [2]], [[-1], [3]], [[3, 1], [4]]]),
        change(steps=[[[0], [2]], [[9], [3]], [[3, 1], [4]]]),
        change(steps=[[[], [2]], [[2], [3]], [[3, 1], [4]]]),
        change(steps="none"),
        change(outputs=[9]),
        change(outputs=[]),
        change(inputs=0),
        change(inputs="2"),
        change(names=None),
        change(nodes=[{"twin_of": 0}] * 3),
    ):
        path.write_bytes(with_meta(data, wrong, hashed))
        with pytest.raises(ModelFileError, match="load: "):
            xpgraph.load(path)


def test_a_hostile_file_is_refused_as_a_checkpoint_is(tmp_path):
    """The files of hostile.py: none is a model, most have right hashes."""
    files = list(hostile.checkpoints())
    assert len(files) > 25
    for what, raw in files:
        (tmp_path / "m").write_bytes(raw)
        with pytest.raises(ModelFileError, match=r"^load: .*(Give|Save|Update)"):
            pytest.fail(f"{what}: loaded {xpgraph.load(tmp_path / 'm')}")


def test_a_file_that_is_missing(tmp_path):
    for missing in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(ModelFileError, match="Give a run folder or a model that was saved"):
            xpgraph.load(missing)


# --- whole or not at all ---


@pytest.mark.parametrize("fails", ["fsync", "replace"])
def test_a_failed_save_leaves_the_older_file_and_nothing_else(path, monkeypatch, fails):
    Chain(MatMul(np.eye(2))).save(path)
    data = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, fails, full)
    with pytest.raises(OSError, match="No space"):
        Chain(MatMul(np.ones((3, 3)))).save(path)
    monkeypatch.undo()
    assert path.read_bytes() == data
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_save_makes_its_folder_and_a_file_that_others_may_read(tmp_path):
    path = tmp_path / "a" / "b" / "m.safetensors"
    mask = os.umask(0o022)
    try:
        Chain(Tanh()).save(str(path))
    finally:
        os.umask(mask)
    assert [p.name for p in path.parent.iterdir()] == ["m.safetensors"]
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o644
