"""Saved models: every bit, shared arrays, structure and options come back; no code is run."""

import pickle

import numpy as np
import pytest
from nets import bits, net, weights
from reference import toy
from tensorfiles import header_of

import xpgraph as xg
from xpgraph.nodes.sharing import plan

X, T = toy()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


# --- round trips ---


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_round_trip_to_the_bit(lib, path, dtype):
    model = net(lib, [a.astype(dtype) for a in weights()])
    model.save(path)
    loaded, config = xg.load(path)
    assert config == {}
    assert [p.tobytes() for p in loaded.params] == bits(lib, model.params)
    assert str(loaded) == str(model.to("numpy"))
    other = net(lib, [np.zeros_like(a, dtype) for a in weights()])
    mine = other.params
    other.load(path)
    assert bits(lib, other.params) == bits(lib, model.params)
    assert all(a is b for a, b in zip(other.params, mine, strict=True)), "weights are read into the model's own arrays"
    other.forward(lib.array(X, dtype), lib.array(T))


@pytest.mark.parametrize("view", ["transposed", "strided", "reversed", "a row of columns"])
def test_arrays_that_are_not_contiguous(path, view):
    W = np.arange(48.0).reshape(6, 8)
    W = {"transposed": W.T, "strided": W[::2, ::3], "reversed": W[::-1, ::-1], "a row of columns": W[1:2].T}[view]
    model = xg.Chain(xg.MatMul(W))
    model.save(path)
    assert xg.load(path)[0].params[0].tolist() == W.tolist()
    other = xg.Chain(xg.MatMul(np.zeros_like(W.T, order="F").T))
    other.load(path)
    assert other.params[0].tolist() == W.tolist()


def test_a_transposed_array_of_each_library(lib, path):
    W = lib.param(np.arange(6.0).reshape(2, 3)).T
    xg.Chain(xg.MatMul(W)).save(path)
    assert xg.load(path)[0].params[0].tolist() == [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]


def test_structure_and_options_come_back(path):
    model = xg.Chain(
        xg.Chain(xg.Repeat(3, axis=1), xg.Sum(axis=(0, 1), keepdims=False)),
        xg.Sum(axis=None),
        xg.Tanh(),
        loss=xg.SoftmaxWithLoss(),
    )
    model.save(path)
    assert repr(xg.load(path)[0]) == repr(model)
    assert "Sum(axis=(0, 1), keepdims=False)" in repr(model)


def test_sharing_and_ties_survive(lib, path):
    W, b = lib.param(weights()[0][:, :4]), lib.param(weights()[1][:4])
    A = xg.Affine(W, b)
    model = xg.Chain(
        A,
        xg.Sigmoid(),
        xg.Chain(A, xg.Tanh()),
        xg.Affine(W, lib.param(np.ones(4))),
        xg.MatMul(W.T),
        loss=xg.SoftmaxWithLoss(),
    )
    model.save(path)
    header, _ = header_of(path.read_bytes())
    assert sorted(set(header) - {"__metadata__"}) == ["0.W", "0.b", "3.b"], "each array is written once"
    loaded, _ = xg.load(path)
    assert plan(loaded.params) == plan(model.params)
    assert [p.tobytes() for p in loaded.params] == bits(lib, model.params)
    for m in (model, loaded):
        xg.Trainer(m, xg.SGD(lr=0.1)).fit(X, T, max_epoch=1, batch_size=24, eval_interval=None)
    for a, p in zip(loaded.params, model.params, strict=True):
        np.testing.assert_allclose(a, lib.numpy(p), rtol=1e-12)


def test_a_twin_comes_back_as_a_twin(path):
    A = xg.MatMul(np.eye(4))
    xg.Chain(A, A).save(path)
    loaded, _ = xg.load(path)
    assert loaded.twins == {1: 0}
    assert len(loaded.named_parameters()) == 1


class Scale(xg.Node):
    """y = s x, a user's own node."""

    names = ("s",)
    options = ("power",)

    def __init__(self, s, power=1):
        super().__init__(s)
        self.power = power

    def forward(self, x):
        return x * self.params[0] ** self.power

    def backward(self, dy):
        return dy


def test_a_users_own_class_is_passed_by_name(path):
    model = xg.Chain(Scale(np.asarray([3.0]), power=2))
    model.save(path)
    with pytest.raises(xg.ModelFileError, match=r"node of class Scale; pass it: load\(\.\.\., classes="):
        xg.load(path)
    loaded, _ = xg.load(path, classes={"Scale": Scale})
    assert loaded.forward(np.ones(1)).tolist() == [9.0]
    with pytest.raises(xg.ModelFileError, match="cannot be built"):
        xg.load(path, classes={"Scale": lambda: None})


def test_load_of_a_run_folder_returns_its_configuration(tmp_path):
    run = tmp_path / "runs" / "first"
    xg.Chain(xg.Tanh()).save(run / "model.safetensors")
    assert xg.load(run)[1] == {}
    (run / "config.json").write_text('{"lr": 0.1, "名": "图"}', "utf-8")
    model, config = xg.load(str(run))
    assert (repr(model), config) == ("Chain(Tanh())", {"lr": 0.1, "名": "图"})
    (run / "config.json").write_text("{", "utf-8")
    with pytest.raises(xg.ModelFileError, match=r"config\.json cannot be read"):
        xg.load(run)


def test_load_puts_the_model_where_it_is_asked(lib, path):
    net(lib, weights()).save(path)
    name = lib.name.partition(":")[0]
    loaded, _ = xg.load(path, backend=name)
    assert {type(p) for p in loaded.params} == {type(lib.param([0.0]))}
    with pytest.raises(xg.BackendError, match="'abacus' is unknown"):
        xg.load(path, backend="abacus")


# --- docs/differences.md: the chapter's way fails these ---


def by_xpgraph(params, path):
    xg.Chain(*(xg.MatMul(p) for p in params)).save(path)
    data = path.read_bytes()
    return data, xg.load(path)[0].params


def by_pickle(params, path):
    """The book's way: weights as float16 in a pickle."""
    data = pickle.dumps([p.astype(np.float16) for p in params])
    return data, pickle.loads(data)


def keeps_every_bit(save, path):
    params = [np.array([[70000.0, 1e-8]]), np.array([[1 / 3], [np.pi]])]
    with np.errstate(over="ignore"):
        _, back = save(params, path)
    assert [p.tolist() for p in back] == [p.tolist() for p in params]


def is_no_program(save, path):
    data, _ = save([np.ones((1, 1))], path)
    with pytest.raises(pickle.UnpicklingError):
        pickle.loads(data)


def test_row_13(path):
    keeps_every_bit(by_xpgraph, path)
    is_no_program(by_xpgraph, path)
    with pytest.raises(AssertionError):
        keeps_every_bit(by_pickle, path)
    with pytest.raises(pytest.fail.Exception):
        is_no_program(by_pickle, path)
