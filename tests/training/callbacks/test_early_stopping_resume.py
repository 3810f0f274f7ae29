"""Early stopping, the best weights, a warm-up, a plateau and a user's own callback, together, in runs that are cut off.

A run that goes on ends as one that was never disturbed: 0 differing bits, in what the callbacks remember, too.
"""

from __future__ import annotations

import errno
import os
import random
import signal
import time

import numpy as np
import pytest
from checkpointing import Calls, T, X, make_trainer
from cuda_arrays import host_view
from cutting import ROWS, SIZE, Cut, RecordingReport, bits, cut_at, ended, forked
from steered import BEST, STEPS, VALIDATION, all_bits, callbacks, steered

from xpgraph import Callback, EarlyStopping, KeepBest, Schedule, schedules
from xpgraph.arrays.libraries import dtype_name, library_of, to_numpy
from xpgraph.errors import CheckpointError, StorageError
from xpgraph.storage.checkpoints import latest
from xpgraph.training import snapshot as snapshots
from xpgraph.training import steps
from xpgraph.training.callbacks import early_stopping


@pytest.fixture(scope="module")
def straight():
    return all_bits(*steered(None))


def cut(monkeypatch, step, work, act=None, error=Cut):
    """``work()``, which is cut off after an update."""
    with monkeypatch.context() as patch, pytest.raises(error):
        cut_at(patch, step, act)
        work()


def test_the_training_shows_what_it_is_for(straight):
    """It stops early, for a reason; the best epoch is not the last; the plateau and the warm-up have set rates."""
    report = RecordingReport()
    by, own = steered(None, report=report)
    assert (by.steps, own[2].best_epoch) == (STEPS, BEST) and all_bits(by, own) == straight
    assert [record["lr"] for record in by.history] == [0.05 * 4 / 6, 0.05, 0.05, 0.025, 0.0125]
    assert by.optimizer.lr == 0.00625
    reason = f"val_loss has not been lower than in epoch 2 ({own[2].best:.4g}) for 3 epochs"
    assert report.notes == [
        *(f"{reason[:-8]}{epochs}; the learning rate is {rate} from here on"
          for epochs, rate in (("1 epoch", 0.025), ("1 epoch", 0.0125), ("1 epoch", 0.00625))),
        f"stopped after epoch 5: {reason}",
        f"the weights of epoch 2 are kept: val_loss {own[2].best:.4g}",
    ]  # fmt: skip
    assert by.state.stop_reason == reason
    plain, _ = steered(None, own=callbacks()[:1], epochs=5)
    assert bits(plain)[0] != bits(by)[0]


@pytest.mark.parametrize("every", [1, 3])
def test_cut_off_after_each_step_it_ends_with_the_same_bits(lib, tmp_path, monkeypatch, every):
    more = {"place": lib.place}
    whole = all_bits(*steered(None, **more))
    for step in range(1, STEPS + 1):
        folder = tmp_path / str(step)
        cut(monkeypatch, step, lambda folder=folder: steered(folder, every, **more))
        assert all_bits(*steered(folder, every, seed=5, **more)) == whole, step


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_after_each_step_it_ends_with_the_same_bits(tmp_path, monkeypatch, straight, number):
    for step in range(1, STEPS + 1):
        folder, raised = tmp_path / str(step), KeyboardInterrupt if number == signal.SIGINT else SystemExit
        with monkeypatch.context() as patch:
            cut_at(patch, step, lambda: signal.raise_signal(number))
            with pytest.raises(raised):
                steered(folder, 100)
        assert latest(folder).step == step
        assert all_bits(*steered(folder, 100, seed=5)) == straight, step


def test_cut_off_many_times_it_ends_with_the_same_bits(tmp_path, monkeypatch, straight):
    for step in (1, 2, 4, 5, 7, 8, 11, 12, 13, 16, 17, 19, 20):
        cut(monkeypatch, step, lambda: steered(tmp_path, 1))
    assert all_bits(*steered(tmp_path, 1)) == straight
    assert all_bits(*steered(tmp_path, 1)) == straight  # it is finished


@pytest.mark.parametrize("how", ["signal", "error"])
def test_the_same_trainer_and_callbacks_go_on_in_one_process(tmp_path, monkeypatch, straight, how):
    """As in a notebook: ``fit`` is called again after an interrupt or an error, with the objects of before."""
    gradients = steps.Steps.gradients

    def fails(self, x, t):
        if self.state.steps == step:
            raise Cut
        return gradients(self, x, t)

    for step in range(1, STEPS):
        by, own = make_trainer(), callbacks()
        by.checkpoint, by.every = tmp_path / f"{step}", 4

        def fit(by=by, own=own):
            more = {"max_grad": 0.5, "eval_interval": 3, "validation": VALIDATION, "callbacks": own}
            by.fit(X[:ROWS], T[:ROWS], 8, SIZE, report=RecordingReport(), **more)

        with monkeypatch.context() as patch, pytest.raises((Cut, KeyboardInterrupt)):
            if how == "error":
                patch.setattr(steps.Steps, "gradients", fails)
            else:
                cut_at(patch, step, lambda: signal.raise_signal(signal.SIGINT))
            fit()
        assert by.steps == step
        fit()
        assert all_bits(by, own) == straight, step


@pytest.mark.parametrize("call", ["open", "write", "fsync", "replace"])
def test_storage_that_fails_at_any_save_loses_nothing(tmp_path, straight, call):
    """The disk is full at one save after another; each time the program is run again."""
    for failing in range(0, 60, 7):
        folder, seen = tmp_path / str(failing), []

        def fail(name, i, seen=seen, failing=failing):
            if name == call:
                seen.append(i)
                if len(seen) == failing + 1:
                    raise OSError(errno.ENOSPC, "no space left on device")

        with pytest.MonkeyPatch.context() as patch:
            Calls(fail).into(patch)
            try:
                steered(folder, 2)
            except StorageError:
                assert len(seen) == failing + 1
        assert all_bits(*steered(folder, 2, seed=5 if folder.exists() and latest(folder) else 0)) == straight


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_killed_at_random_moments_it_ends_with_the_same_bits(tmp_path, straight):
    start = time.perf_counter()
    assert ended(forked(lambda: steered(tmp_path / "timed", 1))) == 0
    drawn, seconds, killed, trial, places = random.Random(2), time.perf_counter() - start, 0, 0, set()
    while killed < 20:
        folder = tmp_path / str(trial)
        for _ in range(2):
            child = forked(lambda folder=folder: steered(folder, 1))
            time.sleep(drawn.uniform(0, seconds))
            os.kill(child, signal.SIGKILL)
            killed += (code := ended(child)) == -signal.SIGKILL
            seconds *= 0.8 if code == 0 else 1.01
        found = latest(folder) if folder.exists() else None
        places.add(found and found.step)
        assert all_bits(*steered(folder, 1, seed=0 if found is None else 5)) == straight
        trial += 1
    assert len(places) > 3


# --- ends, and what comes after them ---


def ended_run(folder, epochs, seed=0, own=None):
    own = own or [KeepBest(), Schedule(schedules.warmup(6, schedules.cosine(20)), "step")]
    return steered(folder, 3, own=own, epochs=epochs, seed=seed)


def test_more_epochs_than_at_first_go_on_from_the_last_weights_not_from_the_best(tmp_path):
    """A run of 4 epochs that had ended, and has put its best weights back, becomes one of 6 as if it had not ended."""
    first, own = ended_run(tmp_path, 4)
    assert own[0].best_epoch == 2 and own[0].exchanged and first.optimizer.lr == 0.05
    again, longer = ended_run(tmp_path, 6, seed=5)
    straight, whole = ended_run(None, 6)
    assert bits(again) == bits(straight) and longer[1].state == whole[1].state
    assert [to_numpy(a).tobytes() for a in longer[0].weights.values()] == [
        to_numpy(a).tobytes() for a in whole[0].weights.values()
    ]


@pytest.mark.parametrize("shared", [False, True])
def test_a_program_of_two_fits_goes_on_in_the_second(tmp_path, monkeypatch, shared):
    """Each fit starts anew, in a run that was cut off as in one that was not; with one set of callbacks, or two."""

    def work(folder):
        by, own = make_trainer(), callbacks()
        by.checkpoint, by.every = folder, 1
        for epochs in (2, 8):
            own = own if shared else callbacks()
            by.fit(X[:ROWS], T[:ROWS], epochs, SIZE, report=RecordingReport(), validation=VALIDATION, callbacks=own)
            by.optimizer.lr = 0.04
        return by, own

    by, own = work(None)
    whole = all_bits(by, own)
    for step in range(1, by.steps + 1, 2):
        cut(monkeypatch, step, lambda step=step: work(tmp_path / str(step)))
        assert all_bits(*work(tmp_path / str(step))) == whole, step
    again, _ = work(tmp_path / "3")
    assert bits(again) == whole[0]


def test_other_callbacks_are_refused_by_name(tmp_path, monkeypatch):
    cut(monkeypatch, 7, lambda: steered(tmp_path, 3))
    with pytest.raises(CheckpointError, match=r"began with the callbacks Schedule 0, Plateau 0, Own 0, Early"):
        steered(tmp_path, 3, own=callbacks()[:2])


def test_a_run_of_one_library_goes_on_with_another(lib, tmp_path, monkeypatch):
    """The kept weights are where the model is now, from the start."""
    cut(monkeypatch, 13, lambda: steered(tmp_path, 2))
    own, found = callbacks(), []

    class Looks(Callback):
        def begin(self, state):
            found.extend(library_of(a).name for a in own[2].weights.values())

    by, _ = steered(tmp_path, 2, place=lib.place, own=[*own, Looks()])
    assert own[2].best_epoch == BEST and found == [lib.place.library.name] * 4
    straight, whole = steered(None)
    for a, b in zip(by.model.params, straight.model.params, strict=True):
        np.testing.assert_allclose(to_numpy(a), b, rtol=1e-9)
    assert own[2].best == pytest.approx(whole[2].best, rel=1e-12)


# --- the emulated device ---


@pytest.fixture
def writable(cuda, monkeypatch):
    """Over memory of the host, CuPy itself cannot copy."""
    if not getattr(cuda, "real", False):

        def copy(p, value):
            np.copyto(host_view(p), host_view(value) if library_of(value).name == "cupy" else value)

        monkeypatch.setattr(snapshots, "_overwrite", copy)
        monkeypatch.setattr(early_stopping, "write", copy)
    return cuda


class Counts(Callback):
    """A user's callback that looks at each epoch only."""

    def __init__(self):
        self.count = 0

    def epoch(self, state, record):
        self.count += 1
        record["count"] = self.count

    @property
    def state(self):
        return {"count": self.count}

    def load_state(self, state):
        self.count = state["count"]


@pytest.mark.cuda
@pytest.mark.parametrize("by_", ["step", "epoch"])
def test_on_a_device_captured_steps_take_the_rates_and_go_on(writable, tmp_path, monkeypatch, by_):
    def run(folder, graph, seed=0):
        by = make_trainer("Adam", seed, writable.place, "float32")
        by.checkpoint, by.every = folder, 3
        function = schedules.warmup(6) if by_ == "step" else schedules.step(2, 0.5)
        own = [Counts(), EarlyStopping(4), KeepBest(), Schedule(function, by_)]
        assert dtype_name(by.model.params[0]) == "float32"
        by.fit(
            X[:ROWS].astype("float32"), T[:ROWS], 6, SIZE, eval_interval=None, report=RecordingReport(), graph=graph,
            validation=(VALIDATION[0].astype("float32"), VALIDATION[1]), callbacks=own,
        )  # fmt: skip
        kept = [to_numpy(a).tobytes() for a in own[2].weights.values()]
        return bits(by), kept, [callback.state for callback in (own[0], own[1], own[3])]

    straight = run(None, False)
    assert run(None, True) == straight
    for step in (1, 5, 6, 9, 12, 14):
        for graph in (False, True):
            folder = tmp_path / f"{step}-{graph}"
            cut(monkeypatch, step, lambda folder=folder, graph=graph: run(folder, graph))
            assert run(folder, graph, seed=8) == straight, (step, graph)
