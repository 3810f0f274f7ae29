"""Changes of model, optimizer and memory while steps are replayed: they are captured again, or run call by call.

The numbers stay the same, and a fit leaves nothing on the device.
"""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from cuda_runs import Notes, T, X, fit, same, state

import xpgraph as xg
from xpgraph import SGD, Adam, Chain, Momentum, Sigmoid, SoftmaxWithLoss, Trainer
from xpgraph.arrays.libraries import namespace_of
from xpgraph.nodes.copying import namespace_copy
from xpgraph.nodes.node import Node

pytestmark = pytest.mark.cuda


def load(trainer):
    trainer.optimizer.load_state(trainer.saved_state)


def reset(trainer):
    trainer.optimizer.v = [namespace_of(v).zeros_like(v) for v in trainer.optimizer.v]


def rebind(trainer):
    node = trainer.model.nodes[0]
    node.params[0] = namespace_copy(node.params[0])


CHANGES = {"load_state": load, "reset": reset, "rebind": rebind}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("where", ["between two epochs", "at a line"])
def test_replaced_arrays_are_used_by_the_next_captured_step(cuda, name, where):
    """A captured step holds addresses, so it must be captured again if an array is replaced."""
    runs = []
    for graph in (False, True):
        trainer = Trainer(xg.mlp([12, 9, 3], backend=cuda.place), Momentum(lr=0.2))

        def change(*_, trainer=trainer):
            if trainer.steps == 14 or (where == "at a line" and trainer.steps == 11):
                trainer.saved_state = {"iter": 3, "v": [namespace_copy(v) for v in trainer.optimizer.v]}
                CHANGES[name](trainer)

        report = Notes()
        if where == "at a line":
            report.step = change
        trainer.fit(X, T, 5, 8, None, 5, report=report, on_epoch=None if where == "at a line" else change, graph=graph)
        runs.append(trainer)
    same(*runs)


def test_a_new_precision_is_used_by_the_next_captured_step(rig):
    """tf32 from the third epoch on."""
    computes = []
    for graph in (False, True):
        trainer = Trainer(xg.mlp([12, 9, 3], backend=rig.place), SGD())
        inside = xg.precision("tf32")

        def change(trainer, record, inside=inside):
            if record["epoch"] == 2:
                inside.__enter__()

        rig.lt.calls.clear()
        trainer.fit(X, T, 4, 8, None, None, on_epoch=change, graph=graph)
        inside.__exit__(None, None, None)
        computes.append([call.compute for call in rig.lt.calls])
    assert computes[0] == computes[1] and set(computes[0]) == {68, 77}


def test_an_address_table_is_not_reused_for_another_dtype_or_number_of_lists(rig):
    """Freed addresses are used again, for parameters of another dtype or for another number of lists."""
    from cuda_arrays import device_array, host_view

    from xpgraph.fast.cuda.update import pieces

    memory = [np.zeros(6000, np.float64) for _ in range(4)]
    wide = [device_array(a[:3000]) for a in memory]
    narrow = [device_array(a.view(np.float32)[:3000]) for a in memory]
    tables = [host_view(pieces([[a], [b]])).copy() for a, b in (wide[:2], narrow[:2])]
    assert tables[0][1, 0] - tables[0][0, 0] == 2 * (tables[1][1, 0] - tables[1][0, 0])
    assert len(pieces([wide[:2], wide[2:]])) == 4 and len(pieces([[a] for a in wide])) == 2


# --- steps that cannot be captured after all ---


class Doubled(SoftmaxWithLoss):
    """A loss in float64 over parameters in float32."""

    capturable = True

    def forward(self, x, t):
        loss = super().forward(x, t)
        return namespace_of(loss).astype(loss, namespace_of(loss).float64)


class Plain(SoftmaxWithLoss):
    """A loss that is a Python number."""

    capturable = True

    def forward(self, x, t):
        return float(xg.to_numpy(super().forward(x, t)))


@pytest.mark.parametrize("loss", [Doubled, Plain])
def test_steps_with_a_loss_of_another_dtype_are_not_captured(cuda, loss):
    def model():
        return Chain(*xg.mlp([12, 9, 3], backend=cuda.place).nodes, loss=loss())

    trainer, notes = fit(cuda, SGD(), "auto", model=model())
    assert trainer.steps == 28
    if loss is Doubled:
        assert "the loss is no 0-d array of float32" in notes.notes[-1]
        with pytest.raises(xg.CaptureError, match="the loss is no 0-d array"):
            fit(cuda, SGD(), True, model=model())
    same(trainer, fit(cuda, SGD(), False, model=model())[0])


class Constant(Node):
    """A model without parameters."""

    saved = ("x",)
    capturable = True

    def forward(self, x):
        self.x = x
        return x

    def backward(self, dy):
        return dy


def test_a_model_without_parameters(cuda):
    x = cuda.place.asarray(X[:, :3])
    t = cuda.place.asarray(T)
    trainer = Trainer(Chain(Constant(), loss=SoftmaxWithLoss()), SGD())
    notes = Notes()
    trainer.fit(x, t, 2, 8, None, 5, report=notes)
    assert trainer.steps == 14 and "the model has no parameters" in notes.notes[-1]


def test_numpy_integers_are_accepted_by_captured_steps(cuda):
    trainer, _ = fit(cuda, SGD(), True, batch_size=np.int32(8), epochs=np.int64(2))
    assert trainer.steps == 14


@pytest.mark.parametrize("times", [1, 100])
def test_too_little_memory_for_a_captured_step(rig, monkeypatch, times):
    """Once: unused memory of the pool is freed, and the step works. Always: steps run call by call, with a note."""
    import cupy
    from cuda_lane import Lane

    left, malloc = [times], Lane.malloc

    def scarce(self, size):
        if self.inside and left[0]:
            left[0] -= 1
            raise cupy.cuda.memory.OutOfMemoryError(size, 0, 0)
        return malloc(self, size)

    monkeypatch.setattr(Lane, "malloc", scarce)
    trainer, notes = fit(rig, Adam(), "auto")
    monkeypatch.undo()
    assert ("free", "") in rig.calls and (("free", "own") in rig.calls) == (times > 1)
    assert any("there is no memory for a second step" in note for note in notes.notes) == (times > 1)
    assert (("replay", "") in rig.calls) == (times == 1)
    same(trainer, fit(rig, Adam(), False)[0])


def test_after_a_failed_capture_nodes_hold_the_last_step(rig):
    """The full batch is captured; with the short one, the node reads a value, so its capture fails."""

    class Peeking(Sigmoid):
        capturable = True

        def forward(self, x):
            if x.shape[0] < 8:
                xg.to_numpy(x)
            return super().forward(x)

    def model():
        first, _, last = xg.mlp([12, 9, 3], backend=rig.place).nodes
        return Chain(first, Peeking(), last, loss=SoftmaxWithLoss())

    with pytest.warns(RuntimeWarning, match=r"Peeking\.forward"):
        trainer, _ = fit(rig, SGD(), "auto", model=model())
    other, _ = fit(rig, SGD(), False, model=model())
    same(trainer, other)
    one, two = (xg.to_numpy(run.model.loss.y) for run in (trainer, other))
    assert one.shape == (2, 3) and one.tobytes() == two.tobytes()
    with pytest.raises(xg.CaptureError):
        fit(rig, SGD(), True, model=(failed := model()))
    assert failed.loss.y.shape == (8, 3)  # of the last step that was made, a replay


def test_a_fit_leaves_nothing_on_the_device(rig, monkeypatch):
    """Its data, memory and graphs are freed at its end, not by a later garbage collection."""
    from xpgraph.fast.cuda import capture

    made, captured = [], capture.Captured

    def keep(*args):
        new = captured(*args)
        made.append(weakref.ref(new))
        return new

    monkeypatch.setattr(capture, "Captured", keep)
    gc.disable()
    try:
        fit(rig, Adam(), True)
        assert made[0]() is None
    finally:
        gc.enable()


def test_an_exception_in_the_report_ends_captured_steps_as_other_steps(cuda):
    """Then another fit: all as without a graph."""

    class Stop(Notes):
        def step(self, progress):
            if progress.iteration == 6:
                raise KeyboardInterrupt

    runs = []
    for graph in (False, True):
        trainer = Trainer(xg.mlp([12, 9, 3], backend=cuda.place), Adam())
        with pytest.raises(KeyboardInterrupt):
            trainer.fit(X, T, 3, 8, None, 5, report=Stop(), graph=graph)
        trainer.fit(X, T, 1, 8, None, 5, report=Notes(), graph=graph)
        runs.append(trainer)
    same(*runs)
    assert state(runs[0])[2] == 6 + 7
