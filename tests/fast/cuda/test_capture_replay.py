"""Captured steps: the same bits as steps call by call, as few launches as promised, and no value is read.

Without a GPU these tests run on host memory (the CUDA rig). Launches and reads are counted only there.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from cuda_runs import OPTIMIZERS, Notes, T, X, fit, same

import xpgraph as xg
from xpgraph import (
    SGD,
    Adam,
    Affine,
    Chain,
    MatMul,
    Momentum,
    Sigmoid,
    SoftmaxWithLoss,
    Trainer,
)

pytestmark = pytest.mark.cuda


@pytest.mark.parametrize("max_grad", [None, 0.3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_captured_steps_have_the_same_bits(cuda, name, dtype, max_grad):
    """Steps of two lengths, the last of an epoch short, so two graphs; with clipping fewer, which take longer here."""
    epochs = 8 if max_grad is None else 4
    how = {"epochs": epochs, "max_grad": max_grad, "dtype": dtype}
    runs = [fit(cuda, OPTIMIZERS[name](lr=0.02), graph, **how)[0] for graph in (False, True)]
    assert runs[0].steps == 7 * epochs
    same(*runs)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_device_trains_as_numpy_does(cuda, name):
    there, _ = fit(cuda, OPTIMIZERS[name](lr=0.02), True, max_grad=0.3, dtype="float64")
    here = Trainer(xg.mlp([12, 9, 7, 3], dtype="float64"), OPTIMIZERS[name](lr=0.02))
    here.fit(X.astype("float64"), T, 4, 8, 0.3, None)
    for p, q in zip(here.model.params, there.model.params, strict=True):
        assert np.max(np.abs(p - xg.to_numpy(q))) < 1e-10


def count(rig, optimizer, sizes, max_grad=None):
    """How many kernels one captured step launches, by name."""
    x, t = np.zeros((16, sizes[0]), np.float32), np.arange(16) % sizes[-1]
    trainer = Trainer(xg.mlp(list(sizes), backend=rig.place), optimizer)
    rig.graphs.clear()
    trainer.fit(x, t, 1, 4, max_grad, None, graph=True)
    (graph,) = rig.graphs
    return graph.nodes()


@pytest.mark.parametrize(
    ("one_hidden", "two_hidden"),
    [((20, 16, 10), (20, 16, 16, 10)),
     pytest.param((784, 500, 10), (784, 512, 512, 10), marks=pytest.mark.slow("training"))],
    ids=["small", "as promised"],
)  # fmt: skip
def test_launches_per_step(rig, one_hidden, two_hidden):
    """10 with one hidden layer, 15 with two, 16 with clipping; a product with its bias, or its column sums, is one."""
    a = count(rig, SGD(), one_hidden)
    assert a == Counter({"kernel gather": 1, "cublaslt matmul": 5, "kernel sigmoid": 1, "kernel sigmoid_grad": 1,
                         "kernel softmax_cross_entropy": 1, "kernel sgd": 1})  # fmt: skip
    b = count(rig, Adam(), two_hidden)
    assert b.total() == 15 and b["cublaslt matmul"] == 8 and b["kernel adam"] == 1
    assert count(rig, Adam(), two_hidden, 1.0) == b + Counter({"kernel clip_rate": 1})


def test_refused_column_sums_cost_one_launch_a_layer(rig):
    rig.lt.refuse = (256,)
    a = count(rig, SGD(), (784, 500, 10))
    assert a.total() == 12 and a["kernel column_sum"] == 2


@pytest.mark.parametrize("graph", [False, True])
def test_nothing_is_read_between_two_lines(rig, graph):
    """Between two reported losses the host reads nothing; for the report it reads once."""
    seen = []

    class Watch(Notes):
        def step(self, progress):
            seen.append(rig.syncs())
            rig.calls.clear()

    trainer = Trainer(xg.mlp([12, 9, 3], backend=rig.place), Adam())
    trainer.fit(X, T, 2, 2, 1.0, 5, report=Watch(), graph=graph)
    assert len(seen) == 10 and set(seen[1:5] + seen[6:]) == {1}
    assert all(kind != "generic" and kind != "cupy" for kind, _ in rig.calls)


def test_all_but_the_first_steps_of_each_shape_are_replays(rig):
    fit(rig, SGD(), True, epochs=6)
    calls = Counter(rig.calls)
    assert calls["replay", ""] == 42 - 1 - 2 - 2  # the first step, and two warm-ups for each of the two batch lengths
    assert calls["kernel", "gather"] == 5


def test_a_new_learning_rate_counts_from_the_next_step(cuda):
    def change(trainer, record):
        trainer.optimizer.lr = 0.5 / record["epoch"]

    class Mid(Notes):
        def step(self, progress):
            self.optimizer.lr *= 0.9

    runs = []
    for graph in (False, True):
        report = Mid()
        model, report.optimizer = xg.mlp([12, 9, 3], backend=cuda.place), Momentum(lr=0.3)
        trainer = Trainer(model, report.optimizer)
        trainer.fit(X, T, 4, 8, None, 3, report=report, on_epoch=change, graph=graph)
        trainer.optimizer.lr = 0.01
        trainer.fit(X, T, 1, 8, None, 3, report=report, graph=graph)
        runs.append(trainer)
    same(*runs)


def test_shared_tied_and_generic_nodes(cuda):
    """A layer used twice, tied weights, and nodes without a CUDA body: captured all the same."""

    def model():
        W = cuda.place.asarray(np.linspace(-1, 1, 144).reshape(12, 12))
        layer = Affine(W, cuda.place.asarray(np.zeros(12)))
        out = cuda.place.asarray(np.linspace(1, -1, 36).reshape(12, 3))
        return Chain(layer, Sigmoid(), layer, xg.Tanh(), MatMul(W.T), xg.ReLU(), MatMul(out), loss=SoftmaxWithLoss())

    runs = [fit(cuda, Momentum(lr=0.1), graph, model=model(), dtype="float64")[0] for graph in (False, True)]
    same(*runs)
    here = Trainer(model().to("numpy"), Momentum(lr=0.1))
    here.fit(X, T, 4, 8, None, None)
    for p, q in zip(here.model.params, runs[0].model.params, strict=True):
        assert np.max(np.abs(p - xg.to_numpy(q))) < 1e-10


def test_after_a_captured_fit_nodes_hold_what_the_last_step_left(cuda):
    runs = [fit(cuda, SGD(lr=0.1), g, batch_size=10)[0] for g in (False, True)]
    for one, two in zip(*(run.model.nodes for run in runs), strict=True):
        assert xg.to_numpy(one.x).tobytes() == xg.to_numpy(two.x).tobytes()
    one, two = (run.model.loss for run in runs)
    assert xg.to_numpy(one.y).tobytes() == xg.to_numpy(two.y).tobytes()
    for one, two in zip(*(run.model.grads for run in runs), strict=True):
        assert xg.to_numpy(one).tobytes() == xg.to_numpy(two).tobytes()


def test_other_work_between_replays_changes_nothing(cuda):
    """Memory that other code allocates between replays is not the graph's."""

    class Busy(Notes):
        def step(self, progress):
            super().step(progress)
            self.junk = [cuda.place.asarray(np.full(n, np.nan, np.float32), copy=True) for n in (96, 72, 56, 24, 9, 3)]

    runs = []
    for report in (Notes(), Busy()):
        trainer = Trainer(xg.mlp([12, 9, 7, 3], backend=cuda.place), Adam())
        trainer.fit(X, T, 4, 8, None, 2, report=report, graph=True)
        runs.append(trainer)
    same(*runs)


def test_one_hot_labels_and_drop_last(cuda):
    runs = []
    for graph in (False, True):
        trainer = Trainer(xg.mlp([12, 9, 3], backend=cuda.place), Adam())
        trainer.fit(X, np.eye(3, dtype=np.float32)[T], 3, 8, None, 4, drop_last=True, report=Notes(), graph=graph)
        runs.append(trainer)
    same(*runs)
