"""``verify`` passes where backends agree, and names the node where they do not."""

import json
import math
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from book_training import TwoLayerNet
from reference import toy

import xpgraph as xg
from xpgraph.arrays.kernels import TABLE
from xpgraph.errors import BackendError
from xpgraph.testing import assert_backends_agree, formulas, verify
from xpgraph.testing.formulas.textbook import FORMULAS
from xpgraph.testing.formulas.update_rules import RULES
from xpgraph.testing.tape import NodeError, leaves, recording
from xpgraph.testing.verification.networks import network, networks, nodes

X, T = toy(24, 4, 3)


@pytest.fixture
def broken(monkeypatch):
    """broken("sigmoid", f) replaces the body of a kernel by f, on every library."""
    rows = []

    def put(name, body):
        row = TABLE[name]
        rows.append(row)
        monkeypatch.setattr(row, "body", lambda library, generic=False: body)
        row.bodies.clear()

    yield put
    monkeypatch.undo()
    for row in rows:
        row.bodies.clear()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("chosen", networks(0), ids=lambda n: f"{n.name}-{type(n.optimizer).__name__}")
def test_every_network_passes(lib, chosen, dtype):
    steps = 12 if lib.name == "array_api_strict" else 25
    found = verify(
        chosen.model, chosen.x, chosen.t, chosen.optimizer, backends=[lib.place], dtype=dtype, steps=steps,
        max_grad=chosen.max_grad, network=chosen.name,
    )  # fmt: skip
    assert found.passed, found.text()
    assert max(found.local.values()) > 0  # something was compared


def test_the_networks_contain_every_node_and_every_optimizer():
    nodes = {type(node).__name__ for n in networks(0) for _, node in leaves(n.model)}
    assert nodes == set(FORMULAS)
    assert {type(n.optimizer).__name__ for n in networks(0)} == set(RULES)


def test_every_node_and_optimizer_has_a_formula():
    bases = {xg.Node, *xg.Node.__subclasses__()}  # a node derives from Node, or from a base class of its family
    own = {c for base in bases for c in base.__subclasses__() if c.__module__.startswith("xpgraph.")}
    networks_and_families = {"Network", "WiredNetwork", "Chain", "Graph", "Reduction"}
    assert {c.__name__ for c in own} - networks_and_families == set(FORMULAS)
    assert {c.__name__ for c in xg.Optimizer.__subclasses__() if c.__module__.startswith("xpgraph.")} == set(RULES)


@pytest.mark.parametrize(
    ("kernel", "node", "body"),
    [
        ("sigmoid", "11 Sigmoid", lambda x: 1.0000005 / (1 + np.exp(-x))),
        ("relu_grad", "7 ReLU", lambda dy, x: np.where(x < -0.1, 0, dy).astype(x.dtype)),
        ("tanh_grad", "1 Tanh", lambda dy, x: dy * (1 - np.tanh(x) ** 2) * x.dtype.type(1.00001)),
        ("stable_softmax", "13 Softmax", lambda x: np.exp(x) / np.exp(x).sum(axis=0)),
        ("momentum", "Momentum", lambda params, grads, v, lr, mu: [p.__isub__(lr * g) for p, g in zip(params, grads)]),  # noqa: B905
    ],
)  # fmt: skip
def test_a_fault_is_caught_and_its_node_named(broken, kernel, node, body):
    chosen = network("nodes", 0)
    broken(kernel, body)
    found = verify(
        chosen.model, chosen.x, chosen.t, chosen.optimizer, dtype="float32", steps=3, max_grad=chosen.max_grad
    )
    assert not found.passed
    assert found.first_failure.node == node
    assert found.first_failure.ratio > 1
    assert f"fail: step 1: {node} on numpy" in found.text()


def test_a_node_that_raises_is_named(broken):
    broken("sigmoid_grad", lambda dy, x: 1 / 0)
    chosen = network("nodes", 0)
    found = verify(chosen.model, chosen.x, chosen.t, chosen.optimizer, steps=3)
    assert found.first_failure.node == "11 Sigmoid"
    assert "division by zero" in found.first_failure.what
    assert not math.isfinite(found.first_failure.ratio)


def test_a_wrong_dtype_or_shape_is_a_failure(broken):
    broken("relu", lambda x: np.maximum(x, 0).astype("float64"))
    chosen = network("nodes", 0)
    found = verify(chosen.model, chosen.x, chosen.t, chosen.optimizer, dtype="float32", steps=1)
    assert found.first_failure.node == "7 ReLU"


def test_the_model_and_the_optimizer_are_not_changed(lib):
    model, optimizer = xg.mlp([4, 5, 3], backend=lib.place, dtype="float64"), xg.Momentum(lr=0.1)
    before = [lib.numpy(p).tobytes() for p in model.params]
    assert verify(model, X, T, optimizer, backends=[lib.place], steps=3).passed
    assert [lib.numpy(p).tobytes() for p in model.params] == before
    assert optimizer.iter == 0
    assert optimizer.v is None
    assert "forward" not in vars(model.nodes[0])


def test_a_readers_own_net(lib):
    certificates = assert_backends_agree(own_net(), X, T, backends=[lib.place], steps=10)
    assert [c.dtype for c in certificates] == ["float32", "float64"]


def test_shared_and_tied_weights_agree(lib):
    W = np.random.default_rng(0).normal(size=(4, 4))
    layer = xg.Affine(W, np.zeros(4))
    model = xg.Chain(layer, xg.Tanh(), layer, xg.MatMul(W.T), loss=xg.SoftmaxWithLoss())
    found = verify(model, X, T, xg.SGD(lr=0.1), backends=[lib.place], dtype="float64", steps=10, max_grad=1.0)
    assert found.passed, found.text()
    assert {node for node, _ in found.local} >= {"0 Affine", "2 Affine", "3 MatMul", "sharing", "clip_grads", "SGD"}


def test_merging_that_forgets_a_slot_is_named(monkeypatch):
    W = np.random.default_rng(0).normal(size=(4, 4))
    model = xg.Chain(xg.MatMul(W), xg.MatMul(W.T), loss=xg.SoftmaxWithLoss())

    def forgetful(slots, params, grads):
        kept = [i for i, slot in enumerate(slots) if slot.first == i]
        return [params[i] for i in kept], [grads[i] for i in kept]

    monkeypatch.setattr(sys.modules["xpgraph.testing.verification.backend_run"], "merge", forgetful)
    assert verify(model, X, T, xg.SGD(), steps=1).first_failure.node == "sharing"


def test_assert_backends_agree_says_where(broken):
    broken("sigmoid", lambda x: 1.001 / (1 + np.exp(-x)))
    with pytest.raises(AssertionError, match=r"fail: step 1: 1 Sigmoid on numpy"):
        assert_backends_agree(xg.mlp([4, 5, 3]), X, T, backends=("numpy",), steps=2)


def test_a_backend_that_is_not_there_is_an_error():
    with pytest.raises(BackendError, match="unknown"):
        verify(xg.mlp([4, 3]), X, T, xg.SGD(), backends=["nope"])


@pytest.mark.parametrize("size", [1, 32])
def test_a_batch_of_one_row_passes(lib, size):
    x, t = toy(33, 4, 3)
    found = verify(xg.mlp([4, 5, 3]), x, t, xg.SGD(lr=0.1), backends=[lib.place], steps=3, batch_size=size)
    assert found.passed, found.text()


def test_a_used_optimizer_starts_afresh():
    model, optimizer = xg.mlp([4, 5, 3], dtype="float64"), xg.Momentum(lr=0.1)
    xg.Trainer(model, optimizer).fit(X, T, max_epoch=2, eval_interval=None)
    before = [v.tobytes() for v in optimizer.v]
    for dtype in ("float32", "float64"):
        assert verify(model, X, T, optimizer, dtype=dtype, steps=3).passed
    assert ([v.tobytes() for v in optimizer.v], optimizer.iter) == (before, 2)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_network_that_amplifies_roundings_passes(dtype):
    """The tolerances are those of 784-100-10; here the perturbed oracle shows that nothing better is possible."""
    x = 100 * np.random.default_rng(0).normal(size=(60, 20))
    found = verify(xg.mlp([20, 16, 3], "tanh"), x, np.arange(60) % 3, xg.SGD(lr=0.1), dtype=dtype, steps=20)
    assert found.passed, found.text()
    assert found.weights["roundings"] > {"float32": 1e-4, "float64": 1e-13}[dtype]  # far over the tolerance of one step


class Drifting(xg.Adam):
    """Right for three steps, and off by a hundred-thousandth in each later one."""

    def update(self, params, grads):
        super().update(params, grads)
        self.made = getattr(self, "made", 0) + 1
        for p in params if self.made > 3 else ():
            p *= 1 - 1e-5


def test_a_run_that_drifts_is_seen_in_its_weights(monkeypatch):
    monkeypatch.setattr(Drifting, "__module__", "xpgraph.drifting")  # it claims to be the library's
    monkeypatch.setitem(RULES, "Drifting", RULES["Adam"])
    chosen = network("64-16-10", 0)
    found = verify(chosen.model, chosen.x, chosen.t, Drifting(lr=0.01), dtype="float64", steps=8)
    assert (found.first_failure.node, found.first_failure.step) == ("weights", 4)


def test_a_training_that_diverges_blames_no_node():
    found = verify(xg.mlp([4, 5, 3]), X * np.nan, T, xg.SGD(), steps=3)
    assert found.first_failure.node == "training"
    assert "step 1: training on the oracle: its numbers leave the range of float32" in found.text()


class Flat:
    """A model without nodes inside, whose backward takes nothing."""

    def __init__(self):
        self.params, self.grads = [np.ones((4, 3))], [np.zeros((4, 3))]

    def forward(self, x, t):
        self.x, self.y = x, x @ self.params[0]
        return 0.01 * (self.y * self.y).sum()

    def backward(self):
        self.grads[0][...] = 0.02 * self.x.T @ self.y


def test_of_a_model_without_nodes_the_weights_are_compared():
    assert verify(Flat(), X, T, xg.SGD(lr=0.1), steps=3).passed


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"backends": ()}, "give at least one"),
        ({"backends": ("numpy", "numpy")}, "each once"),
        ({"dtype": "float16"}, "give 'float32' or 'float64'"),
        ({"steps": 0}, "steps is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"x": X.tolist()}, "x is a list"),
        ({"t": T[:-1]}, "24 rows but t has 23"),
    ],
)
def test_wrong_arguments_are_refused(wrong, words):
    arguments = {"x": X, "t": T, **wrong}
    with pytest.raises((ValueError, TypeError), match=words):
        verify(xg.mlp([4, 3]), optimizer=xg.SGD(), **arguments)


def test_a_backend_may_be_a_bare_name():
    assert verify(xg.mlp([4, 3]), X, T, xg.SGD(), backends="numpy", steps=1).backends.keys() == {"numpy"}
    assert len(assert_backends_agree(xg.mlp([4, 3]), X, T, steps=1, dtypes="float64")) == 1


def test_the_certificate_is_data():
    found = verify(xg.mlp([4, 5, 3]), X, T, xg.Adam(), steps=4, seed=7)
    data = json.loads(found.json())
    assert data["passed"] is True
    assert data["seed"] == 7
    assert data["backends"]["numpy"]["version"] == np.__version__
    assert set(data["backends"]["numpy"]) == {"version", "device", "tf32"}
    steps = {(row["step"], row["node"]) for row in data["records"]}
    nodes = {"0 Affine", "1 Sigmoid", "2 Affine", "loss SoftmaxWithLoss"}
    beside, state = {"sharing", "clip_grads", "cross_entropy_loss", "Adam"}, {"weights", "m", "v"}
    assert steps == {(k, name) for k in range(1, 5) for name in nodes | beside | state}
    for row in data["records"]:
        wanted = {"outputs", "gradients"} if row["node"] in nodes else {row["node"]} & state
        assert {key[:-4] for key in row if key.endswith(("_abs", "_rel"))} == wanted
        assert row["local"] is None if row["node"] in state else row["local"] <= 1
    assert data["weights"].keys() == {"numpy", "roundings"}


def own_net():
    draw = np.random.default_rng(0).normal
    shapes = ((4, 5), (5,), (5, 3), (3,))
    return TwoLayerNet(*(draw(size=s) for s in shapes), xg.Affine, xg.Sigmoid, xg.SoftmaxWithLoss)


@pytest.mark.parametrize(
    ("model", "first", "last"),
    [(nodes(4, 3, 0), "0 Affine", "15 SoftmaxWithLoss"), (own_net(), "layers[0] Affine", "loss_layer SoftmaxWithLoss")],
    ids=["Graph", "own"],
)
def test_a_recording_leaves_the_nodes_as_they_were(model, first, last):
    with recording(model) as uses:
        model.forward(X, T)
        model.backward()
    assert (uses[0].path, uses[-1].path) == (first, last)
    assert all(use.douts is not None for use in uses)
    assert not any({"forward", "backward"} & set(vars(node)) for _, node in leaves(model))
    with pytest.raises(NodeError, match=rf"^{re.escape(first)}: ShapeError: "), recording(model):
        model.forward(X[:, :2], T)


def test_the_formulas_are_written_apart_from_the_nodes():
    """They must not go wrong together: the files of formulas/ import nothing of the library but each other."""
    files = list(Path(formulas.__file__).parent.glob("*.py"))
    assert len(files) >= 4
    for file in files:
        assert not re.findall(r"^\s*(from \.\.|from xpgraph|import xpgraph)", file.read_text("utf-8"), re.MULTILINE)
