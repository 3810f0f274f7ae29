"""Profile: it counts every call and every second once, and leaves the model as it was."""

from __future__ import annotations

import numpy as np
import pytest

import xpgraph as xg
import xpgraph.cli.app
from xpgraph import SGD, Affine, Chain, MatMul, Sigmoid, SoftmaxWithLoss, Trainer
from xpgraph.arrays.kernels import TABLE
from xpgraph.training.callbacks.profile import Profile

rng = np.random.default_rng(0)
X, T = rng.standard_normal((24, 4)), rng.integers(0, 3, 24)


def model(lib):
    W, b, V = (lib.param(rng.standard_normal(shape)) for shape in ((4, 5), (5,), (5, 3)))
    return Chain(Chain(Affine(W, b), Sigmoid()), MatMul(V), loss=SoftmaxWithLoss())


def test_each_call_is_counted_and_each_second_once(lib):
    net = model(lib)
    with Profile(net) as profile:
        Trainer(net, SGD()).fit(lib.array(X), lib.array(T), 2, 8, eval_interval=None, graph=False)
    rows = {(what, name): (calls, seconds) for what, name, calls, seconds in profile.rows()}
    assert rows["forward", "0 Affine"][0] == rows["backward", "2 MatMul"][0] == 6
    assert rows["kernel", "sigmoid"][0] == rows["kernel", "sgd"][0] == 6
    assert rows["forward", "3 SoftmaxWithLoss"][0] == 6
    assert sum(seconds for _, seconds in rows.values()) == pytest.approx(profile.total, rel=1e-6)
    assert all(seconds >= 0 for _, seconds in rows.values())
    assert sum(profile.products.values()) == 6 * 5  # two forward, two of weights, one of an input
    lines = profile.lines()
    assert "its matrix products alone take" in lines[-1] and any(
        line.split()[-2:] == ["kernel", "sgd"] for line in lines
    )


def test_a_profile_leaves_kernels_and_nodes_as_they_were(lib):
    net = model(lib)
    net.forward(lib.array(X), lib.array(T))
    kind = type(net.params[0])
    before = {name: row.bodies.get(kind) for name, row in TABLE.items()}
    with pytest.raises(ZeroDivisionError), Profile(net):
        net.forward(lib.array(X), lib.array(T))
        raise ZeroDivisionError
    assert {name: row.bodies.get(kind) for name, row in TABLE.items()} == before
    assert all("forward" not in vars(part) for part in (*net.nodes[0].nodes, net.nodes[1], net.loss))


def test_a_model_without_parameters_cannot_be_profiled():
    with pytest.raises(ValueError, match="no parameters"), Profile(Chain(Sigmoid())):
        pass


def test_the_command_shows_the_profile_and_writes_it_to_a_file(tmp_path, capsys):
    out = tmp_path / "run"
    arguments = ["--data", "spiral", "--epochs", "2", "--backend", "numpy", "--quiet", "--profile", "--out", str(out)]
    assert xpgraph.cli.app.main(["train", *arguments]) == 0
    shown = capsys.readouterr().out
    assert (out / "profile.txt").read_text("utf-8") in shown
    assert shown.splitlines()[-1].startswith("test accuracy ") and "0 Affine" in shown


@pytest.mark.cuda
def test_on_the_cuda_path(rig, monkeypatch):
    """On a GPU each call waits for the device, and is an NVTX range."""
    import cupy

    ranges, waits = [], []
    monkeypatch.setattr(cupy.cuda.nvtx, "RangePush", ranges.append)
    monkeypatch.setattr(cupy.cuda.nvtx, "RangePop", lambda: ranges.append(""))
    device = type("Device", (), {"synchronize": lambda self: waits.append(1)})
    monkeypatch.setattr(cupy.cuda, "Device", device)
    net = xg.mlp([4, 5, 3], backend=rig.place)
    with Profile(net) as profile:
        Trainer(net, SGD()).fit(X.astype(np.float32), T, 1, 8, eval_interval=None, graph=False)
    assert ranges.count("") * 2 == len(ranges) and "0 Affine" in ranges and "softmax_cross_entropy" in ranges
    assert len(waits) > len(ranges) / 2
    assert {name for what, name in profile.calls if what == "kernel"} >= {"affine", "affine_grad", "sgd", "gather"}
