"""A training that is cut off anywhere, and goes on in another process: not a bit of it differs."""

from __future__ import annotations

import signal
from types import SimpleNamespace

import numpy as np
import pytest
from checkpointing import T, X, params, same, trainer
from cuda_arrays import host_view
from cutting import Cut, cut_at
from libs import Lib

from xpgraph import Report
from xpgraph.arrays.libraries import dtype_name, on_device, place
from xpgraph.errors import CheckpointError
from xpgraph.storage.checkpoints import Checkpoints
from xpgraph.training import saved_state as state
from xpgraph.training.progress import progress_of, resume
from xpgraph.training.replay import replay
from xpgraph.training.run import Run
from xpgraph.training.saved_state import restore, state_of
from xpgraph.training.steps import Steps

EPOCHS, SIZE, ROWS = 4, 7, 24
BATCHES = 4  # the last of three rows


def run_on(by, lib, progress=None, stop=None, kept=None, every=3, max_grad=0.5, graph=False):
    """The loop of ``Trainer.fit`` with its two seams: where it begins in an epoch, and a checkpoint after an update."""
    kind = dtype_name(by.model.params[0])
    x, t = lib.place.asarray(X[:ROWS].astype(kind)), lib.place.asarray(T[:ROWS])
    run = Run(by, Report(), BATCHES, EPOCHS, {"": t}, every)
    first = 0 if progress is None else resume(run, progress)
    steps = Steps(by, x, t, SIZE, max_grad, run)
    with on_device(steps.home), steps:
        fast = replay(by.model.params[0], steps, True) if graph else steps
        while by.current_epoch < EPOCHS:
            fast.begin_epoch()
            for i in range(first, BATCHES):
                fast(i)
                if kept is not None:
                    kept.save(by.steps, *state_of(by, progress_of(run)))
                if by.steps == stop:
                    return by
            first = 0
            run.end_epoch((x, t))
    return by


@pytest.mark.parametrize("optimizer", ["SGD", "Momentum", "Adam"])
def test_cut_off_after_any_step_a_training_ends_with_the_same_bits(lib, tmp_path, optimizer):
    straight = run_on(trainer(optimizer, place=lib.place), lib)
    assert straight.steps == EPOCHS * BATCHES and len(straight.loss_list) == 8
    for stop in (1, 2, 4, 6, 7, 11, 12, 16):
        with Checkpoints(tmp_path / str(stop)) as kept:
            run_on(trainer(optimizer, place=lib.place), lib, stop=stop, kept=kept)
            found = kept.latest()
        resumed = trainer(optimizer, seed=8, place=lib.place)
        same(run_on(resumed, lib, restore(resumed, found.arrays, found.meta)), straight)


def test_looking_at_the_progress_changes_nothing(lib, tmp_path):
    plain = run_on(trainer(place=lib.place), lib)
    with Checkpoints(tmp_path) as kept:
        same(run_on(trainer(place=lib.place), lib, kept=kept), plain)


def test_a_training_cut_off_ten_times_ends_with_the_same_bits(lib, tmp_path):
    straight = run_on(trainer(place=lib.place), lib)
    progress, by = None, trainer(place=lib.place)
    for stop in (1, 2, 3, 5, 6, 8, 9, 12, 13, 15, None):
        with Checkpoints(tmp_path) as kept:
            by = run_on(by, lib, progress, stop, kept)
            if stop is not None:
                found, by = kept.latest(), trainer(seed=stop, place=lib.place)
                progress = restore(by, found.arrays, found.meta)
    same(by, straight)


def test_half_an_epoch_on_one_backend_and_half_on_another(lib, tmp_path):
    host = Lib("numpy", place("numpy"))
    straight = run_on(trainer(), host)
    with Checkpoints(tmp_path) as kept:
        run_on(trainer(place=lib.place), lib, stop=6, kept=kept)
        found = kept.latest()
    by = trainer(seed=8)
    run_on(by, host, restore(by, found.arrays, found.meta))
    for a, b in zip(params(by), params(straight), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(by.loss_list, straight.loss_list, rtol=1e-12)


def test_another_batch_size_does_not_fit():
    by = trainer()
    run = Run(by, Report(), 2, EPOCHS, {}, 3)
    before = {name: value for name, value in vars(run).items() if name != "settle"}
    progress = {"iteration": 3, "losses": np.zeros(1), "rows": np.ones(1, int)}
    with pytest.raises(CheckpointError, match=r"stands at batch 3 of an epoch, in which this fit makes 2; nothing was"):
        resume(run, progress)
    assert {name: value for name, value in vars(run).items() if name != "settle"} == before


@pytest.mark.parametrize(
    ("iteration", "losses", "rows"), [(-1, [], []), (1, [0.5, 0.5], [1, 1]), (2, [0.5], []), (2, [], [7]), (5, [], [])]
)
def test_counts_that_contradict_each_other_are_refused(iteration, losses, rows):
    run = Run(trainer(), Report(), BATCHES, EPOCHS, {}, 3)
    progress = {"iteration": iteration, "losses": np.array(losses), "rows": np.array(rows, int)}
    with pytest.raises(CheckpointError, match=f"stands at batch {iteration} of an epoch, in which this fit makes 4"):
        resume(run, progress)
    assert (run.iteration, run.pending) == (0, [])


def test_the_seconds_of_an_epoch_go_on_and_a_pause_does_not_count(monkeypatch):
    clock = iter([100.0, 107.0, 1000.0, 1002.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    progress = progress_of(Run(trainer(), Report(), BATCHES, EPOCHS, {}, 3))
    assert progress["epoch_seconds"] == 7.0
    run = SimpleNamespace(iterations=BATCHES, trainer=trainer())
    resume(run, progress)
    assert run.epoch_start == 993.0


@pytest.mark.cuda
def test_losses_of_a_device_taken_up_are_there_before_the_next_step(cuda, tmp_path, monkeypatch):
    if not getattr(cuda, "real", False):
        monkeypatch.setattr(state, "_overwrite", lambda p, value: np.copyto(host_view(p), value))
    with Checkpoints(tmp_path) as kept:
        run_on(trainer("SGD", 0, cuda.place, "float32"), cuda, stop=6, kept=kept)
        found = kept.latest()
    by = trainer("SGD", 8, cuda.place, "float32")
    progress, run = restore(by, found.arrays, found.meta), Run(by, Report(), BATCHES, EPOCHS, {}, 3)
    assert resume(run, progress) == 2 and len(run.pending) > 0
    again = progress_of(run)
    for name in ("losses", "rows"):
        np.testing.assert_array_equal(again[name], progress[name])


@pytest.mark.cuda
@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_cut_off_on_a_device_with_losses_that_nobody_has_read(cuda, tmp_path, monkeypatch, optimizer, graph):
    if not getattr(cuda, "real", False):  # memory of the host, over which CuPy itself cannot copy
        monkeypatch.setattr(state, "_overwrite", lambda p, value: np.copyto(host_view(p), value))

    def fresh(seed=0):
        return trainer(optimizer, seed, cuda.place, "float32")

    straight = run_on(fresh(), cuda, graph=graph)
    for stop in (1, 6, 8, 11):
        with Checkpoints(tmp_path / str(stop)) as kept:
            run_on(fresh(), cuda, stop=stop, kept=kept, graph=graph)
            found = kept.latest()
        resumed = fresh(8)
        same(run_on(resumed, cuda, restore(resumed, found.arrays, found.meta), graph=graph), straight)


@pytest.mark.cuda
@pytest.mark.parametrize("graph", [False, True])
def test_a_program_on_a_device_is_taken_up(cuda, tmp_path, monkeypatch, graph):
    """``fit`` itself, with its checkpoints: steps call by call, and steps that are captured and replayed."""
    if not getattr(cuda, "real", False):
        monkeypatch.setattr(state, "_overwrite", lambda p, value: np.copyto(host_view(p), value))

    def run(folder, stop=None, seed=0, signal_at=None):
        by = trainer("Adam", seed, cuda.place, "float32")
        by.checkpoint, by.every = folder, 3
        x, t = cuda.place.asarray(X[:ROWS].astype("float32")), cuda.place.asarray(T[:ROWS])
        with monkeypatch.context() as patch:
            if stop is not None:
                cut_at(patch, stop, None if signal_at is None else lambda: signal.raise_signal(signal_at))
            by.fit(x, t, EPOCHS, SIZE, max_grad=0.5, eval_interval=3, report=Report(), graph=graph)
        return by

    straight = run(None)
    for stop in (1, 5, 8, 16):
        with pytest.raises(Cut):
            run(tmp_path / str(stop), stop)
        same(run(tmp_path / str(stop), seed=8), straight)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "signal", 7, signal_at=signal.SIGINT)
    same(run(tmp_path / "signal", seed=8), straight)
