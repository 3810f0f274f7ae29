"""Runs with callbacks that have state, cut off anywhere; interrupts within a step or an epoch; long histories."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from checkpointing import T, X, make_trainer
from cutting import EPOCHS, ROWS, SIZE, STEPS, Cut, RecordingReport, bits, cut_at, ended, forked, program

import xpgraph as xg
from xpgraph import SGD, Adam, Callback, Momentum
from xpgraph.errors import CheckpointError
from xpgraph.storage import checkpoints
from xpgraph.storage.checkpoints import Checkpoints, latest
from xpgraph.training import history_parts
from xpgraph.training.update_rules import adam

fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


class Follows(Callback):
    """Sets the learning rate by its state: a mean of the weights, and how often the loss has fallen."""

    schedules = True

    def __init__(self):
        self.rate, self.best, self.seen, self.mean = None, float("inf"), [], None

    def begin(self, state):
        if self.rate is None:
            self.rate = state.optimizer.lr

    def step(self, state):
        W = xg.to_numpy(state.model.params[0])
        self.mean = W.copy() if self.mean is None else 0.9 * self.mean + 0.1 * W
        state.optimizer.lr = self.rate * (1.0 + abs(float(self.mean[0, 0]))) / (1 + len(self.seen))

    def epoch(self, state, record):
        if record["loss"] < self.best:
            self.best = record["loss"]
            self.seen.append((state.epoch, state.steps))
        record["rate"] = self.rate

    @property
    def state(self):
        return {"rate": self.rate, "best": self.best, "seen": list(self.seen), "mean": self.mean}

    def load_state(self, state):
        self.rate, self.best, self.seen, self.mean = (state[name] for name in ("rate", "best", "seen", "mean"))


def work(folder, every=3, own=None, **more):
    return program(folder, every, callbacks=[own or Follows()], **more)


@pytest.fixture(scope="module")
def straight():
    own = Follows()
    trainer = work(None, own=own)
    assert trainer.optimizer.lr != 0.05 and own.seen and bits(trainer)[0] != bits(program(None))[0]
    return bits(trainer), own


def check(trainer, own, straight):
    assert bits(trainer) == straight[0]
    assert own.mean.tobytes() == straight[1].mean.tobytes()
    assert (own.rate, own.best, own.seen) == (straight[1].rate, straight[1].best, straight[1].seen)


@pytest.mark.parametrize("every", [1, 3])
def test_a_callback_with_state_resumes_after_any_step(tmp_path, monkeypatch, straight, every):
    for step in range(1, STEPS + 1):
        with monkeypatch.context() as patch, pytest.raises(Cut):
            cut_at(patch, step)
            work(tmp_path / str(step), every)
        own = Follows()
        check(work(tmp_path / str(step), every, own, seed=5), own, straight)


@fork
def test_a_callback_with_state_resumes_after_a_kill(tmp_path, monkeypatch, straight):
    def killed(step):
        cut_at(monkeypatch, step, lambda: os.kill(os.getpid(), signal.SIGKILL))
        work(tmp_path / str(step), 2)

    for step in (1, 4, 7, 16):
        assert ended(forked(lambda step=step: killed(step))) == -signal.SIGKILL
        own = Follows()
        check(work(tmp_path / str(step), 2, own, seed=5), own, straight)


@pytest.mark.parametrize("again", ["the same", "a new one"])
def test_a_callback_with_state_resumes_after_interrupts_in_one_process(tmp_path, monkeypatch, straight, again):
    trainer, own = make_trainer(), Follows()
    trainer.checkpoint, trainer.every = tmp_path, 100
    fit = {"batch_size": SIZE, "max_grad": 0.5, "eval_interval": 3, "report": RecordingReport()}
    for step in (2, 8, 11):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            cut_at(patch, step, lambda: signal.raise_signal(signal.SIGINT))
            trainer.fit(X[:ROWS], T[:ROWS], EPOCHS, callbacks=[own], **fit)
        assert trainer.steps == latest(tmp_path).step == step
        own = own if again == "the same" else Follows()
    trainer.fit(X[:ROWS], T[:ROWS], EPOCHS, callbacks=[own], **fit)
    check(trainer, own, straight)


def test_a_callback_state_that_cannot_be_saved_is_refused(tmp_path):
    class Odd(Callback):
        state = property(lambda self: {"function": print})

    with pytest.raises(CheckpointError, match=r"Saving more\.callbacks\.Odd 0\.function: found a builtin"):
        program(tmp_path, callbacks=[Odd()])


class Counts(Callback):
    def __init__(self):
        self.n = 0

    def epoch(self, state, record):
        self.n += 1

    state = property(lambda self: {"n": self.n})

    def load_state(self, state):
        self.n = state["n"]


class Watches(Callback):
    """Has no state."""


@pytest.mark.parametrize(
    ("then", "now", "words"),
    [
        ([Follows], [], "the callbacks Follows 0, this fit has none"),
        ([Watches], [Counts], "the callbacks none, this fit has Counts 0"),
        ([Counts], [Counts, Counts], "the callbacks Counts 0, this fit has Counts 0, Counts 1"),
        ([Counts, Follows], [Counts], "the callbacks Follows 0, Counts 0, this fit has Counts 0"),
    ],
)
def test_other_callbacks_with_state_are_refused_and_nothing_is_changed(tmp_path, monkeypatch, then, now, words):
    with monkeypatch.context() as patch, pytest.raises(Cut):
        cut_at(patch, 7)
        program(tmp_path, callbacks=[make() for make in then])
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.safetensors")}
    with pytest.raises(CheckpointError, match=f"began with {words}, of those with a state; nothing was changed. Give"):
        program(tmp_path, callbacks=[make() for make in now])
    assert before == {path.name: path.read_bytes() for path in tmp_path.glob("*.safetensors")}
    straight = bits(program(None, callbacks=[make() for make in then]))
    assert bits(program(tmp_path, callbacks=[make() for make in then])) == straight


def test_callbacks_of_one_class_resume_by_number_and_those_without_state_may_change(tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Cut):
        cut_at(patch, 10)
        program(tmp_path, callbacks=[first := Counts(), Watches(), Counts()])
    assert first.n == 2
    later = [Counts(), Counts()]
    later[1].load_state({"n": 100})
    program(tmp_path, callbacks=[*later, Watches(), Watches()])
    assert [each.n for each in later] == [4, 4]


def test_each_fit_of_a_program_has_its_own_callbacks(tmp_path, monkeypatch):
    def fits(folder):
        trainer, own = make_trainer(), [Counts(), Counts()]
        trainer.checkpoint, trainer.every = folder, 1
        trainer.fit(X[:ROWS], T[:ROWS], 1, SIZE, report=RecordingReport(), callbacks=own[:1])
        trainer.fit(X[:ROWS], T[:ROWS], 3, SIZE, report=RecordingReport(), callbacks=[Watches(), own[1], Follows()])
        return bits(trainer), own[1].n

    straight = fits(None)
    assert straight[1] == 3
    for step in (2, 4, 6, 11):
        with monkeypatch.context() as patch, pytest.raises(Cut):
            cut_at(patch, step)
            fits(tmp_path / str(step))
        assert fits(tmp_path / str(step)) == straight


class Best(Callback):
    """Restores the weights of epoch 2 at the end."""

    def __init__(self):
        self.loss, self.weights = float("inf"), None

    def epoch(self, state, record):
        if record["epoch"] == 2:
            self.loss, self.weights = record["loss"], [xg.to_numpy(p).copy() for p in state.model.params]

    def end(self, state):
        for p, best in zip(state.model.params, self.weights, strict=True):
            p[...] = best

    state = property(lambda self: {"loss": self.loss, "weights": self.weights})

    def load_state(self, state):
        self.loss, self.weights = state["loss"], state["weights"]


def test_changes_made_in_end_are_in_the_last_checkpoint(tmp_path, monkeypatch):
    straight = bits(program(None, callbacks=[Best()]))
    program(tmp_path / "whole", callbacks=[Best()])
    assert bits(program(tmp_path / "whole", seed=5, callbacks=[Best()])) == straight  # nothing is left to do
    for signal_at in (15, 16):  # in the last epoch, and at its end
        folder = tmp_path / str(signal_at)
        with monkeypatch.context() as patch, pytest.raises(SystemExit):
            cut_at(patch, signal_at, lambda: signal.raise_signal(signal.SIGTERM))
            program(folder, callbacks=[Best()])
        assert bits(program(folder, seed=5, callbacks=[Best()])) == straight

    def late(trainer, record):
        if record["epoch"] == EPOCHS:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(SystemExit):
        program(tmp_path / "late", callbacks=[Best()], on_epoch=late)
    assert latest(tmp_path / "late").step == STEPS
    assert bits(program(tmp_path / "late", seed=5, callbacks=[Best()])) == straight


def test_a_finished_fit_calls_no_callback(tmp_path):
    program(tmp_path, callbacks=[Counts()])
    own = Counts()
    own.begin = lambda state: pytest.fail("it began")
    program(tmp_path, callbacks=[own])
    assert own.n == 4  # what it remembered is there all the same


def test_the_stop_reason_is_restored(tmp_path):
    class Stops(Callback):
        def epoch(self, state, record):
            if state.epoch == 2:
                state.stop("no better")

    program(tmp_path, callbacks=[Stops()])
    trainer = program(tmp_path, seed=5)
    assert (trainer.current_epoch, trainer.state.stop_reason) == (2, "no better")


@pytest.mark.parametrize("step", [3, 8, 10])
def test_a_run_resumes_with_the_optimizer_that_replaced_the_first(tmp_path, monkeypatch, step):
    """The new one is in the checkpoint; the program that resumes must make the trainer with one of its class."""

    def swap(trainer, record):
        if record["epoch"] == 1:
            trainer.optimizer = Momentum(0.1)

    straight = bits(program(None, optimizer="SGD", on_epoch=swap))
    folder = tmp_path / str(step)
    with monkeypatch.context() as patch, pytest.raises(Cut):
        cut_at(patch, step)
        program(folder, 1, optimizer="SGD", on_epoch=swap)
    kind = "SGD" if step < 5 else "Momentum"
    other = "Momentum" if step < 5 else "SGD"
    with pytest.raises(CheckpointError, match=f"the checkpoint holds the state of {kind}, the trainer has {other}"):
        program(folder, 1, optimizer=other, on_epoch=swap)
    assert bits(program(folder, 1, optimizer=kind, on_epoch=swap)) == straight


# --- interrupts within a step or an epoch ---


def interrupted_fits(folder, monkeypatch, cut, again=None):
    """A fit cut off by ``cut(patch, trainer)``, then the same fit in the same process."""
    trainer = make_trainer()
    trainer.checkpoint, trainer.every = folder, 3
    fit = {"batch_size": SIZE, "max_grad": 0.5, "eval_interval": 3, "report": RecordingReport(), "validation": (X, T)}
    with monkeypatch.context() as patch, pytest.raises((KeyboardInterrupt, ZeroDivisionError)):
        cut(patch, trainer)
        trainer.fit(X[:ROWS], T[:ROWS], EPOCHS, **fit)
    left = trainer.steps, trainer.optimizer.iter, trainer.current_epoch, [record["epoch"] for record in trainer.history]
    assert left[0] == left[1] and left[3] == list(range(1, left[2] + 1))
    steps = []
    if folder is not None:
        trainer.fit(X[:ROWS], T[:ROWS], EPOCHS, callbacks=[Notes(steps)], **fit)
    return trainer, left, steps


class Notes(Callback):
    def __init__(self, steps):
        self.steps = steps

    def step(self, state):
        self.steps.append(state.steps)


def twice():
    signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize(("step", "first"), [(1, 1), (2, 3), (6, 4), (7, 8), (10, 11), (12, 10)])
def test_after_a_second_interrupt_the_same_fit_resumes(tmp_path, monkeypatch, step, first):
    """Where it was, if it came between two steps; from the checkpoint, if callbacks of the step had not run yet."""
    trainer, left, steps = interrupted_fits(tmp_path, monkeypatch, lambda patch, trainer: cut_at(patch, step, twice))
    assert left[0] == step and steps == list(range(first, STEPS + 1))
    assert bits(trainer) == bits(program(None, validation=(X, T)))


class Halfway:
    """The rule of Adam; at one update it is cut off after it has changed the first parameter."""

    def __init__(self, step, cut=twice):
        self.left, self.cut = step, cut

    def __call__(self, params, grads, m, v, *rest):
        self.left -= 1
        if self.left == 0:
            adam(params[:1], grads[:1], m[:1], v[:1], *rest)
            self.cut()
        adam(params, grads, m, v, *rest)


def test_an_update_cut_off_halfway_is_not_counted_and_the_fit_resumes_from_the_checkpoint(tmp_path, monkeypatch):
    def cut(patch, trainer):
        patch.setattr(Adam, "rule", Halfway(8))

    trainer, left, steps = interrupted_fits(tmp_path, monkeypatch, cut)
    assert left[0] == 7 and steps == list(range(7, STEPS + 1))  # the checkpoint of step 6 has whole weights
    assert bits(trainer) == bits(program(None, validation=(X, T)))


def test_without_a_folder_steps_and_iter_agree_after_an_interrupt(monkeypatch):
    def stop():
        raise KeyboardInterrupt

    trainer, left, _ = interrupted_fits(
        None, monkeypatch, lambda patch, trainer: patch.setattr(Adam, "rule", Halfway(8, stop))
    )
    assert left[:2] == (7, 7)
    trainer.fit(X[:ROWS], T[:ROWS], 1, SIZE, report=RecordingReport())
    assert trainer.steps == trainer.optimizer.iter == 7 + 4 and trainer.current_epoch == 2


@pytest.mark.parametrize("epoch", [1, 3, 4])
def test_an_interrupt_during_validation_does_not_lose_the_record_of_the_epoch(tmp_path, monkeypatch, epoch):
    def cut(patch, trainer):
        evaluate = trainer.model.evaluate

        def interrupted(x, t):
            if trainer.steps == 4 * epoch:
                patch.undo()
                twice()
            return evaluate(x, t)

        patch.setattr(type(trainer.model), "evaluate", lambda self, x, t, *rest: interrupted(x, t))

    trainer, left, steps = interrupted_fits(tmp_path, monkeypatch, cut)
    assert left[2] == epoch - 1 and steps == list(range(4 * epoch + 1, STEPS + 1))
    assert bits(trainer) == bits(program(None, validation=(X, T)))


def test_the_record_of_an_epoch_is_in_the_history_even_if_a_callback_raises(tmp_path, monkeypatch):
    def cut(patch, trainer):
        class Fails(Callback):
            def epoch(self, state, record):
                if state.epoch == 2:
                    raise ZeroDivisionError

        fit = trainer.fit
        patch.setattr(trainer, "fit", lambda *rest, **more: fit(*rest, callbacks=[Fails()], **more))

    trainer, left, steps = interrupted_fits(tmp_path, monkeypatch, cut)
    assert left[2] == 2 and steps == list(range(7, STEPS + 1))  # from the folder: some callbacks were not called
    assert bits(trainer) == bits(program(None, validation=(X, T)))


def test_after_an_error_a_fit_with_other_settings_starts(tmp_path):
    """As the error advises: clipping, for example."""
    trainer = make_trainer("SGD")
    trainer.checkpoint, forward = tmp_path, trainer.model.forward
    trainer.model.forward = lambda x, t: forward(x, t) * (float("nan") if trainer.steps == 6 else 1.0)
    with pytest.raises(xg.NonFiniteError, match="at step 7 the loss is nan"):
        trainer.fit(X[:ROWS], T[:ROWS], 4, SIZE, report=RecordingReport())
    trainer.model.forward = forward
    trainer.fit(X[:ROWS], T[:ROWS], 2, SIZE, max_grad=1.0, report=RecordingReport())
    assert (trainer.steps, trainer.current_epoch) == (6 + 8, 3)


def test_a_checkpoint_whose_save_was_interrupted_at_its_end_is_recognised(tmp_path, monkeypatch):
    save = Checkpoints.save

    def interrupted(self, step, *rest):
        path = save(self, step, *rest)
        if step == 9:
            twice()
        return path

    trainer, left, steps = interrupted_fits(
        tmp_path, monkeypatch, lambda patch, trainer: patch.setattr(Checkpoints, "save", interrupted)
    )
    assert left[0] == 9 and steps == list(range(10, STEPS + 1))
    assert bits(trainer) == bits(program(None, validation=(X, T)))


# --- long histories ---


def written(monkeypatch, folder, epochs, least=400):
    """(bytes written, trainer) of a run with two steps an epoch that saves after each step."""
    total, write = [0], checkpoints.write_whole

    def counted(path, pieces):
        pieces = [bytes(piece) for piece in pieces]
        total[0] += sum(map(len, pieces))
        return write(path, pieces)

    with monkeypatch.context() as patch:
        patch.setattr(history_parts, "MIN_BYTES", least)
        patch.setattr(checkpoints, "write_whole", counted)
        trainer = long_run(folder, epochs)
    return total[0], trainer


def long_run(folder, epochs):
    trainer = xg.Trainer(xg.mlp([4, 3], seed=1, dtype="float64"), SGD(0.1), checkpoint=folder, every=1)
    trainer.fit(X[:8], T[:8], epochs, 4, eval_interval=1, report=RecordingReport())
    return trainer


@pytest.mark.slow("training")
def test_checkpoints_do_not_grow_with_the_square_of_the_run(tmp_path, monkeypatch):
    short, long = (written(monkeypatch, tmp_path / str(n), n)[0] for n in (60, 240))
    assert long < 4.8 * short
    all_in_one = written(monkeypatch, tmp_path / "one", 240, least=1 << 30)[0]
    assert all_in_one > 1.5 * long  # without parts, the same measure grows
    assert largest_checkpoint(tmp_path / "240") < 2 * largest_checkpoint(tmp_path / "60")


def test_the_size_of_a_checkpoint_does_not_grow_with_the_run(tmp_path, monkeypatch):
    for epochs in (15, 60):
        written(monkeypatch, tmp_path / str(epochs), epochs)
    assert largest_checkpoint(tmp_path / "60") < 2 * largest_checkpoint(tmp_path / "15")


def largest_checkpoint(folder):
    return max(path.stat().st_size for path in folder.glob("checkpoint-*"))


@pytest.mark.parametrize("step", [7, 60, 61, 99, 120])
def test_a_long_history_is_restored(tmp_path, monkeypatch, step):
    monkeypatch.setattr(history_parts, "MIN_BYTES", 400)
    with monkeypatch.context() as patch, pytest.raises(Cut):
        cut_at(patch, step)
        long_run(tmp_path, 60)
    assert bits(long_run(tmp_path, 60)) == bits(long_run(None, 60))
    named = {name for path in tmp_path.glob("checkpoint-*") for name in checkpoints.read(path).parts}
    assert {path.name for path in tmp_path.glob("part-*")} == named and 1 < len(named) < 8  # no other part is there


@fork
@pytest.mark.parametrize(
    "writes", [(2, 9), pytest.param(range(1, 30, 2), marks=pytest.mark.slow("processes"))], ids=["two", "many"]
)
def test_a_kill_at_any_moment_of_a_save_with_parts_loses_nothing(tmp_path, monkeypatch, writes):
    monkeypatch.setattr(history_parts, "MIN_BYTES", 100)
    straight, write = bits(long_run(None, 12)), checkpoints.write_whole

    def killed(at, after):
        left = [at]

        def counted(path, pieces):
            left[0] -= 1
            if left[0] == 0 and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            write(path, pieces)
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        monkeypatch.setattr(checkpoints, "write_whole", counted)
        long_run(tmp_path / f"{at} {after}", 12)

    for at in writes:
        for after in (False, True):
            assert ended(forked(lambda at=at, after=after: killed(at, after))) == -signal.SIGKILL
            assert bits(long_run(tmp_path / f"{at} {after}", 12)) == straight


@pytest.mark.parametrize("damage", ["gone", "a byte", "another"])
def test_a_checkpoint_with_a_damaged_part_is_not_used(tmp_path, monkeypatch, damage):
    monkeypatch.setattr(history_parts, "MIN_BYTES", 400)
    straight = bits(long_run(None, 60))
    with monkeypatch.context() as patch, pytest.raises(Cut):
        cut_at(patch, 100)
        long_run(tmp_path, 60)
    newest, older = (checkpoints.read(path) for path in sorted(tmp_path.glob("checkpoint-*"), reverse=True))
    (tmp_path / "part-x").write_bytes(b"")
    victim = tmp_path / newest.parts[-1]
    if damage == "gone":
        victim.unlink()
    elif damage == "a byte":
        victim.write_bytes(victim.read_bytes()[:-1] + b"!")
    else:
        shutil.copy(newest.path, victim)
    if newest.parts == older.parts:
        with pytest.raises(CheckpointError, match=r"none is whole.*part-[0-9a-f]{64}\.safetensors: "):
            long_run(tmp_path, 60)
    else:
        assert bits(long_run(tmp_path, 60)) == straight


def test_a_changed_old_record_is_restored_as_changed(tmp_path, monkeypatch):
    monkeypatch.setattr(history_parts, "MIN_BYTES", 400)

    def run(folder, cut=None):
        def change(trainer, record):
            if record["epoch"] == 40:
                trainer.history[2]["note"] = "changed"
                trainer.loss_list[5] = 7.0
            if record["epoch"] == cut:
                raise Cut

        trainer = xg.Trainer(xg.mlp([4, 3], seed=1, dtype="float64"), SGD(0.1), checkpoint=folder, every=1)
        trainer.fit(X[:8], T[:8], 60, 4, eval_interval=1, report=RecordingReport(), on_epoch=change)
        return bits(trainer)

    with pytest.raises(Cut):
        run(tmp_path, cut=50)
    again = run(tmp_path)
    assert again == run(None) and again[5][2]["note"] == "changed" and again[4][5] == 7.0


# --- checkpoints from before there were callbacks ---


def test_a_checkpoint_from_before_callbacks_resumes(tmp_path):
    """Written by the commit before callbacks, at step 6 of ``program``; on another machine the last bits may differ."""
    shutil.copy(Path(__file__).with_name("checkpoints") / "run" / "checkpoint-000006.safetensors", tmp_path)
    report = RecordingReport()
    trainer, straight = program(tmp_path, seed=5, report=report), program(None)
    assert report.notes[0].endswith("at step 6") and trainer.steps == STEPS
    assert trainer.loss_list == pytest.approx(straight.loss_list, rel=1e-9)
    for p, q in zip(trainer.model.params, straight.model.params, strict=True):
        np.testing.assert_allclose(p, q, rtol=1e-9, atol=1e-12)
    assert [record["epoch"] for record in trainer.history] == [1, 2, 3, 4]
