"""Which steps are not captured, and what the report says; data and steps that do not fit into a device's memory."""

from __future__ import annotations

import pytest
from cuda_runs import T, X, fit, same

import xpgraph as xg
from xpgraph import SGD, Adam, Chain, Sigmoid, SoftmaxWithLoss, Trainer
from xpgraph.arrays.libraries import LIBRARIES
from xpgraph.errors import CaptureError
from xpgraph.nodes.layers import sigmoid
from xpgraph.nodes.node import Node

pytestmark = pytest.mark.cuda


# --- what is not captured ---


class Counting(Node):
    """A user's own layer that counts its calls, and does not declare that it can be captured."""

    saved = ("x",)

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.x = x
        self.calls += 1
        return sigmoid(x)

    def backward(self, dy):
        return xg.nodes.layers.sigmoid_grad(dy, self.x)


class Inherited(Sigmoid):
    """A subclass of a layer that can be captured; it does not declare so itself."""


class Own:
    def update(self, params, grads):
        SGD(lr=0.1).update(params, grads)


@pytest.mark.parametrize(
    ("layer", "optimizer", "words"),
    [
        (Counting, Adam, "Counting does not declare capturable = True"),
        (Inherited, Adam, "Inherited does not declare capturable = True"),
        (Sigmoid, Own, "Own has an update of its own"),
    ],
)
def test_the_report_says_why_steps_are_not_captured(cuda, layer, optimizer, words):
    def model():
        first, _, last = xg.mlp([12, 9, 3], backend=cuda.place).nodes
        return Chain(first, layer(), last, loss=SoftmaxWithLoss())

    _, notes = fit(cuda, optimizer(), "auto", model=model())
    assert f"steps are made call by call, not replayed as one CUDA graph: {words}" in notes.notes
    with pytest.raises(CaptureError, match=f"graph=True, but {words}"):
        fit(cuda, optimizer(), True, model=model())
    _, notes = fit(cuda, optimizer(), False, model=model())
    assert not any("graph" in note for note in notes.notes)


class Reading(Sigmoid):
    """It declares that it can be captured, but reads a value, which fails in the capture."""

    capturable = True

    def forward(self, x):
        float(xg.to_numpy(x).max())
        return super().forward(x)


def test_a_step_that_reads_falls_back_with_one_warning(cuda):
    def model():
        first, _, last = xg.mlp([12, 9, 3], backend=cuda.place).nodes
        return Chain(first, Reading(), last, loss=SoftmaxWithLoss())

    with pytest.warns(
        RuntimeWarning, match=r"fit: Reading\.forward \(.* cannot be captured .* goes on call by call"
    ) as told:
        trainer, _ = fit(cuda, Adam(), "auto", model=model())
    assert len(told) == 1
    same(trainer, fit(cuda, Adam(), False, model=model())[0])
    with pytest.raises(CaptureError, match=r"graph=True, but Reading\.forward"):
        fit(cuda, Adam(), True, model=model())


def test_without_cublaslt_cupy_makes_the_products_and_nothing_is_captured(rig, monkeypatch):
    from xpgraph.fast import cupy as bodies
    from xpgraph.fast.cuda import cublaslt

    monkeypatch.setattr(cublaslt, "available", lambda: "there is none")
    bodies._loaded.cache_clear()
    try:
        with pytest.warns(
            RuntimeWarning, match=r"cuBLASLt cannot be loaded \(there is none\); cupy.matmul is used"
        ) as w:
            _, notes = fit(rig, Adam(), "auto")
        assert len(w) == 1 and "cuBLASLt cannot be loaded" in notes.notes[-1]
        assert ("generic", "matmul") in rig.calls
    finally:
        bodies._loaded.cache_clear()


def test_the_generic_bodies_are_not_captured(rig, monkeypatch):
    monkeypatch.setenv("XPGRAPH_GENERIC", "1")
    trainer, _ = fit(rig, Adam(), "auto")
    assert trainer.steps == 28 and ("replay", "") not in rig.calls and ("generic", "adam") in rig.calls


@pytest.mark.parametrize("graph", ["yes", 2, None])
def test_wrong_values_of_graph_are_refused(graph):
    with pytest.raises(ValueError, match="graph is"):
        Trainer(xg.mlp([12, 3]), SGD()).fit(X, T, 1, 8, graph=graph)


def test_graph_true_is_an_error_on_numpy():
    with pytest.raises(CaptureError, match="steps on numpy cannot be captured"):
        Trainer(xg.mlp([12, 3]), SGD()).fit(X, T, 1, 8, graph=True)


# --- memory ---


def test_data_that_does_not_fit_stays_on_the_host(rig):
    runs = [fit(rig, Adam(), "auto")[0]]
    rig.free = X.nbytes
    trainer, notes = fit(rig, Adam(), "auto")
    same(runs[0], trainer)
    assert "it stays on the host, and each batch is moved by itself" in notes.notes[0]
    assert "the data does not fit on the device" in notes.notes[1]


def test_out_of_memory_is_one_line_with_a_batch_size_to_try(rig, monkeypatch):
    import cupy

    rig.free = 3 * 2**20
    full = cupy.cuda.memory.OutOfMemoryError(5 * 2**20, 0, 0)
    monkeypatch.setattr("xpgraph.fast.cuda.device.launch", lambda *a: (_ for _ in ()).throw(full))
    with pytest.raises(xg.OutOfMemoryError) as told:
        fit(rig, Adam(), "auto", batch_size=48)
    assert str(told.value) == (
        "Trainer.fit: out of memory on cupy with batches of 48 rows: 5.0 MiB more needed, 3.0 MiB free; "
        "try batch_size=32."
    )
    assert isinstance(told.value, MemoryError)


def test_the_rig_leaves_the_library_table_as_it_was():
    assert LIBRARIES["cupy"].namespace == "array_api_compat.cupy"
