"""A training that is cut off anywhere and restored from its checkpoint ends with the same bits."""

from __future__ import annotations

import signal
from types import SimpleNamespace

import numpy as np
import pytest
from checkpointing import T, X, make_trainer, params, same
from cuda_arrays import host_view
from cutting import Cut, cut_at
from libs import Lib

from xpgraph import Report
from xpgraph.arrays.libraries import dtype_name, on_device, place
from xpgraph.errors import CheckpointError
from xpgraph.storage.checkpoints import Checkpoints
from xpgraph.training import losses as losses_module
from xpgraph.training import snapshot as snapshots
from xpgraph.training.arguments import FitData
from xpgraph.training.callback import CallbackList
from xpgraph.training.callbacks.history import History
from xpgraph.training.epoch import epoch_record
from xpgraph.training.losses import EpochLosses, check_position
from xpgraph.training.replay import replay
from xpgraph.training.snapshot import restore, snapshot
from xpgraph.training.state import Resumed
from xpgraph.training.steps import Steps

EPOCHS, SIZE, ROWS = 4, 7, 24
BATCHES = 4  # the last of three rows


def run_on(trainer, lib, resumed=False, stop=None, files=None, every=3, max_grad=0.5, graph=False):
    """The loop of ``Trainer.fit``, with a snapshot after each update, that can end after any step."""
    state, kind = trainer.state, dtype_name(trainer.model.params[0])
    x, t = lib.place.asarray(X[:ROWS].astype(kind)), lib.place.asarray(T[:ROWS])
    state.plan_epochs(ROWS, SIZE, drop_last=False)
    assert state.begin_fit(EPOCHS, every, Resumed(0) if resumed else None)
    steps, watch = Steps(state, FitData(x, t, (x, t)), max_grad, Report()), CallbackList([], History(every))
    step = replay(trainer.model.params[0], steps, True) if graph else steps
    with on_device(steps.batches.home), steps.running(step):
        while state.epochs_left:
            step.begin_epoch()
            watch.begin_epoch(state)
            for i in range(state.batch, BATCHES):
                step(i)
                if state.steps >= watch.due:
                    watch.step(state)
                if files is not None:
                    files.save(trainer.steps, *snapshot(state))
                if trainer.steps == stop:
                    return trainer
            watch.epoch(state, epoch_record(state, (x, t)))
    return trainer


def restored(trainer, found):
    """A trainer with the state of a checkpoint."""
    restore(trainer.state, found.arrays, found.meta)
    return trainer


@pytest.mark.parametrize("optimizer", ["SGD", "Momentum", "Adam"])
def test_cut_off_after_any_step_a_training_ends_with_the_same_bits(lib, tmp_path, optimizer):
    straight = run_on(make_trainer(optimizer, place=lib.place), lib)
    assert straight.steps == EPOCHS * BATCHES and len(straight.loss_list) == 8
    for stop in (1, 2, 4, 6, 7, 11, 12, 16):
        with Checkpoints(tmp_path / str(stop)) as files:
            run_on(make_trainer(optimizer, place=lib.place), lib, stop=stop, files=files)
            found = files.latest()
        resumed = restored(make_trainer(optimizer, seed=8, place=lib.place), found)
        same(run_on(resumed, lib, resumed=True), straight)


def test_writing_checkpoints_changes_nothing(lib, tmp_path):
    plain = run_on(make_trainer(place=lib.place), lib)
    with Checkpoints(tmp_path) as files:
        same(run_on(make_trainer(place=lib.place), lib, files=files), plain)


def test_a_training_cut_off_ten_times_ends_with_the_same_bits(lib, tmp_path):
    straight = run_on(make_trainer(place=lib.place), lib)
    trainer = make_trainer(place=lib.place)
    for stop in (1, 2, 3, 5, 6, 8, 9, 12, 13, 15, None):
        with Checkpoints(tmp_path) as files:
            trainer = run_on(trainer, lib, trainer.steps > 0, stop, files)
            if stop is not None:
                trainer = restored(make_trainer(seed=stop, place=lib.place), files.latest())
    same(trainer, straight)


def test_a_run_resumes_in_mid_epoch_on_another_backend(lib, tmp_path):
    host = Lib("numpy", place("numpy"))
    straight = run_on(make_trainer(), host)
    with Checkpoints(tmp_path) as files:
        run_on(make_trainer(place=lib.place), lib, stop=6, files=files)
        found = files.latest()
    trainer = run_on(restored(make_trainer(seed=8), found), host, resumed=True)
    for a, b in zip(params(trainer), params(straight), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(trainer.loss_list, straight.loss_list, rtol=1e-12)


def test_a_position_beyond_the_epoch_is_refused():
    with pytest.raises(
        CheckpointError, match=r"written after batch 3 of an epoch, but an epoch of this fit has 2; nothing was"
    ):
        check_position(3, np.zeros(1), np.ones(1, int), 2)
    check_position(3, np.zeros(1), np.ones(1, int), 3)


@pytest.mark.parametrize(
    ("iteration", "losses", "rows"), [(-1, [], []), (1, [0.5, 0.5], [1, 1]), (2, [0.5], []), (2, [], [7]), (5, [], [])]
)
def test_counts_that_contradict_each_other_are_refused(iteration, losses, rows):
    with pytest.raises(
        CheckpointError, match=f"written after batch {iteration} of an epoch, but an epoch of this fit has 4"
    ):
        check_position(iteration, losses, rows, BATCHES)


def test_the_seconds_of_an_epoch_do_not_include_the_time_between_fits(monkeypatch):
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(losses_module.time, "perf_counter", lambda: clock.now)
    source, losses = SimpleNamespace(read=list), EpochLosses()
    losses.attach(source)
    clock.now = 107.0
    assert losses.as_data()["epoch_seconds"] == 7.0
    losses.detach()
    clock.now = 1000.0
    for again in (losses, EpochLosses.from_data(losses.as_data())):
        again.attach(source)
        assert again.seconds() == 7.0
        clock.now += 2.0
        assert again.seconds() == 9.0


@pytest.mark.cuda
def test_restored_losses_of_a_device_are_readable_before_the_next_step(cuda, tmp_path, monkeypatch):
    if not getattr(cuda, "real", False):
        monkeypatch.setattr(snapshots, "_overwrite", lambda p, value: np.copyto(host_view(p), value))
    with Checkpoints(tmp_path) as files:
        run_on(make_trainer("SGD", 0, cuda.place, "float32"), cuda, stop=6, files=files)
        found = files.latest()
    trainer = restored(make_trainer("SGD", 8, cuda.place, "float32"), found)
    assert trainer.state.batch == 2 and len(trainer.state.losses.pending) > 0
    again, there = trainer.state.losses.as_data(), snapshot(trainer.state)[0]
    for name in ("losses", "rows"):
        np.testing.assert_array_equal(again[name], found.arrays[f"more.{name}"])
        np.testing.assert_array_equal(there[f"more.{name}"], found.arrays[f"more.{name}"])


@pytest.mark.cuda
@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_cut_off_on_a_device_with_pending_losses(cuda, tmp_path, monkeypatch, optimizer, graph):
    if not getattr(cuda, "real", False):  # memory of the host, over which CuPy itself cannot copy
        monkeypatch.setattr(snapshots, "_overwrite", lambda p, value: np.copyto(host_view(p), value))

    def fresh(seed=0):
        return make_trainer(optimizer, seed, cuda.place, "float32")

    straight = run_on(fresh(), cuda, graph=graph)
    for stop in (1, 6, 8, 11):
        with Checkpoints(tmp_path / str(stop)) as files:
            run_on(fresh(), cuda, stop=stop, files=files, graph=graph)
            found = files.latest()
        same(run_on(restored(fresh(8), found), cuda, resumed=True, graph=graph), straight)


@pytest.mark.cuda
@pytest.mark.parametrize("graph", [False, True])
def test_a_program_on_a_device_resumes(cuda, tmp_path, monkeypatch, graph):
    """``fit`` with checkpoints, with steps call by call and with captured steps."""
    if not getattr(cuda, "real", False):
        monkeypatch.setattr(snapshots, "_overwrite", lambda p, value: np.copyto(host_view(p), value))

    def run(folder, stop=None, seed=0, signal_at=None):
        trainer = make_trainer("Adam", seed, cuda.place, "float32")
        trainer.checkpoint, trainer.every = folder, 3
        x, t = cuda.place.asarray(X[:ROWS].astype("float32")), cuda.place.asarray(T[:ROWS])
        with monkeypatch.context() as patch:
            if stop is not None:
                cut_at(patch, stop, None if signal_at is None else lambda: signal.raise_signal(signal_at))
            trainer.fit(x, t, EPOCHS, SIZE, max_grad=0.5, eval_interval=3, report=Report(), graph=graph)
        return trainer

    straight = run(None)
    for stop in (1, 5, 8, 16):
        with pytest.raises(Cut):
            run(tmp_path / str(stop), stop)
        same(run(tmp_path / str(stop), seed=8), straight)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "signal", 7, signal_at=signal.SIGINT)
    same(run(tmp_path / "signal", seed=8), straight)
