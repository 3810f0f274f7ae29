"""Callbacks: when and in which order their methods are called, with captured steps too, and what they may change."""

from __future__ import annotations

import numpy as np
import pytest
from checkpointing import T, X, make_trainer
from cuda_runs import T as CUDA_T
from cuda_runs import X as CUDA_X
from cuda_runs import same as same_on_device
from cutting import ROWS, SIZE, RecordingReport, bits, program

import xpgraph as xg
from xpgraph import SGD, Adam, Callback, Momentum, Report
from xpgraph.storage.checkpoints import Checkpoints
from xpgraph.training.callback import CallbackList, with_state
from xpgraph.training.callbacks.plot import LossPlot

MOMENTS = ("begin", "step", "epoch", "end", "interrupt")


class MomentLog(Callback):
    """Logs each call: the method, and the steps and epochs so far."""

    def __init__(self, name="own", log=None):
        self.name, self.log = name, [] if log is None else log

    def begin(self, state):
        self.log.append((self.name, "begin", state.steps, state.epoch))

    def step(self, state):
        self.log.append((self.name, "step", state.steps, state.epoch))

    def epoch(self, state, record):
        self.log.append((self.name, "epoch", state.steps, state.epoch))

    def end(self, state):
        self.log.append((self.name, "end", state.steps, state.epoch))

    def interrupt(self, state, error):
        self.log.append((self.name, type(error).__name__, state.steps, state.epoch))


class Rates(MomentLog):
    schedules = True


def test_when_each_method_of_a_callback_is_called():
    own = MomentLog()
    trainer = program(None, epochs=2, callbacks=[own])
    steps = [
        [("own", "step", 4 * e + i, e) for i in (1, 2, 3, 4)] + [("own", "epoch", 4 * e + 4, e + 1)] for e in (0, 1)
    ]
    assert own.log == [("own", "begin", 0, 0), *steps[0], *steps[1], ("own", "end", 8, 2)]
    assert bits(trainer) == bits(program(None, epochs=2))  # a callback that only watches changes nothing


def test_the_order_in_which_callbacks_are_called(tmp_path, monkeypatch):
    log, save = [], Checkpoints.save

    class RecordingReport(Report):
        def begin(self, epochs, samples):
            log.append(("report", "begin"))

        def step(self, progress):
            assert progress.loss == trainer.loss_list[-1]  # the history has looked
            log.append(("report", "step"))

        def epoch(self, record):
            assert trainer.history[-1] is record
            log.append(("report", "epoch"))

        def end(self):
            log.append(("report", "end"))

    def saved(self, *rest):
        log.append(("checkpoint", "save"))
        return save(self, *rest)

    class Marks(MomentLog):
        def epoch(self, state, record):
            assert record not in state.history
            record["mark"] = 1
            super().epoch(state, record)

    monkeypatch.setattr(Checkpoints, "save", saved)
    trainer = make_trainer()
    trainer.checkpoint, trainer.every = tmp_path, 1
    callbacks = [Marks("first", log), MomentLog("second", log), Rates("rates", log)]
    trainer.fit(X[:8], T[:8], 2, 4, eval_interval=1, report=RecordingReport(), callbacks=callbacks)
    names = [("rates",), ("first",), ("second",), ("report",), ("checkpoint",)]
    firsts = [(each[0],) for each in log]
    assert len(firsts) == 5 * (1 + 4 + 2 + 1) - 3  # the last step of an epoch is saved at its end, the last epoch once
    while firsts:
        part = 4 if firsts[:5] != names else 5
        assert firsts[:part] == names[:part]
        del firsts[:part]
    assert [record["mark"] for record in trainer.history] == [1, 1]


def test_on_epoch_comes_after_the_callbacks(tmp_path):
    log = []
    program(
        None,
        epochs=1,
        callbacks=[MomentLog("own", log)],
        on_epoch=lambda trainer, r: log.append((trainer.steps, r["epoch"])),
    )
    assert log[-3:] == [("own", "epoch", 4, 1), (4, 1), ("own", "end", 4, 1)]


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_callback_may_define_a_single_method(moment):
    """In its class, or as a function that is set on the object."""
    calls = []

    def method(*arguments):
        calls.append(len(arguments))

    one = type("One", (Callback,), {moment: lambda self, *rest: method(*rest)})()
    other = Callback()
    setattr(other, moment, method)
    stop = [KeyboardInterrupt] if moment == "interrupt" else []

    def on_epoch(*_):
        for error in stop:
            raise error

    try:
        program(None, epochs=1, callbacks=[one, other], on_epoch=on_epoch)
    except KeyboardInterrupt:
        assert stop
    wanted = {"step": 8}.get(moment, 2)
    assert calls == [2 if moment in ("epoch", "interrupt") else 1] * wanted


# --- next_step ---


class Every(Callback):
    """Records the parameters after every ``n`` steps."""

    def __init__(self, n):
        self.n, self.seen = n, []

    def next_step(self, state):
        return (state.steps // self.n + 1) * self.n

    def step(self, state):
        self.seen.append((state.steps, [xg.to_numpy(p).tobytes() for p in state.model.params]))


def test_step_is_called_at_the_steps_that_next_step_names():
    own = [Every(1), Every(3), Every(5), Every(100)]
    program(None, callbacks=own)
    assert [[step for step, _ in each.seen] for each in own] == [
        [*range(1, 17)], [3, 6, 9, 12, 15], [5, 10, 15], []
    ]  # fmt: skip
    assert dict(own[0].seen).items() >= dict(own[1].seen).items()


def test_callbacks_without_step_are_never_due():
    trainer = make_trainer()
    watch = CallbackList([type("Quiet", (Callback,), {"epoch": lambda *_: None})()], Callback())
    watch.begin_epoch(trainer.state)
    assert watch.due == float("inf") and watch.stepping == []


def test_next_step_is_asked_again_in_the_next_epoch_after_none():
    class First(Callback):
        """After the first step of each epoch."""

        def __init__(self):
            self.seen = []

        def next_step(self, state):
            return state.steps + 1 if state.batch == 0 else None

        def step(self, state):
            self.seen.append(state.steps)

    own = First()
    program(None, callbacks=[own])
    assert own.seen == [1, 5, 9, 13]


@pytest.mark.parametrize("answer", [0, -1, 1.5, True, "2"])
def test_a_next_step_that_is_not_a_later_step_is_refused(answer):
    class Wrong(Every):
        def next_step(self, state):
            return answer if state.steps == 1 else state.steps + 1

    message = rf"Wrong\.next_step: it returned {answer!r} after step 1; return a later step"
    with pytest.raises(ValueError, match=message):
        program(None, callbacks=[Wrong(1)])


@pytest.mark.cuda
@pytest.mark.parametrize("n", [1, 3, 11])
def test_captured_steps_wait_only_for_the_steps_that_a_callback_names(cuda, monkeypatch, n):
    """The callback sees the same parameters as call by call; between the named steps nothing waits for the device."""
    from xpgraph.fast.cuda import capture

    settled, settle = [], capture.Captured.settle
    monkeypatch.setattr(capture.Captured, "settle", lambda self: (settled.append(1), settle(self)))
    seen = []
    for graph in (False, True):
        own, trainer = Every(n), xg.Trainer(xg.mlp([12, 9, 3], backend=cuda.place), Adam())
        trainer.fit(CUDA_X, CUDA_T, 4, 8, eval_interval=None, callbacks=[own], report=Report(), graph=graph)
        seen.append(own.seen)
    assert seen[0] == seen[1] and [step for step, _ in seen[0]] == [*range(n, 29, n)]
    assert (
        len(settled) == 28 // n + 4 + 2
    )  # each look, each epoch's losses, and the end of the fit, which reads what is left


@pytest.mark.cuda
def test_a_learning_rate_set_by_a_callback_is_used_by_the_next_captured_step(cuda):
    class Warmup(Callback):
        schedules = True

        def begin(self, state):
            self.rate = state.optimizer.lr
            state.optimizer.lr = self.rate / 10

        def step(self, state):
            state.optimizer.lr = self.rate * min(1.0, (state.steps + 1) / 10)

    runs = []
    for graph in (False, True):
        trainer = xg.Trainer(xg.mlp([12, 9, 3], backend=cuda.place), Adam(0.02))
        trainer.fit(CUDA_X, CUDA_T, 3, 8, None, 5, callbacks=[Warmup()], report=Report(), graph=graph)
        assert trainer.optimizer.lr == 0.02
        runs.append(trainer)
    same_on_device(*runs)


# --- what a callback may change ---


def test_stop_ends_the_fit_after_the_epoch_and_keeps_the_reason():
    class Stops(Callback):
        def step(self, state):
            if state.steps == 6:
                state.stop("enough")

    trainer = program(None, callbacks=[Stops()])
    assert (trainer.current_epoch, trainer.steps, trainer.state.stop_reason) == (2, 8, "enough")
    trainer.fit(X[:ROWS], T[:ROWS], 1, SIZE, report=Report())  # a stop is for one call
    assert (trainer.current_epoch, trainer.state.stop_reason) == (3, None)


class Swap(Callback):
    """Replaces the optimizer after a step or an epoch."""

    def __init__(self, make, step=None, epoch=None):
        self.make, self.at, self.at_epoch = make, step, epoch

    def step(self, state):
        if state.steps == self.at:
            state.optimizer = self.make()

    def epoch(self, state, record):
        if record["epoch"] == self.at_epoch:
            state.optimizer = self.make()


@pytest.mark.parametrize("swap", [{"step": 6}, {"step": 8}, {"epoch": 2}])
def test_another_optimizer_makes_the_next_step(swap):
    """Seven rows at a time by hand: SGD's steps, then Momentum's."""
    trainer = make_trainer("SGD")
    hand = make_trainer("SGD")
    batches, forward = [], trainer.model.forward
    trainer.model.forward = lambda x, t: (batches.append((x.copy(), t.copy())), forward(x, t))[1]
    trainer.fit(X[:ROWS], T[:ROWS], 4, SIZE, report=Report(), callbacks=[Swap(lambda: Momentum(0.2), **swap)])
    rules = [SGD(0.05)] * swap.get("step", 8) + [Momentum(0.2)] * 16
    first = rules[-1]
    for batch, rule in zip(batches, rules, strict=False):
        hand.model.forward(*batch)
        hand.model.backward()
        (first if isinstance(rule, Momentum) else rule).update(hand.model.params, hand.model.grads)
    assert [p.tobytes() for p in trainer.model.params] == [p.tobytes() for p in hand.model.params]
    assert trainer.optimizer.iter == 16 - swap.get("step", 8)


@pytest.mark.cuda
@pytest.mark.parametrize(
    ("make", "how"), [(lambda: Momentum(0.1), True), (lambda: SGD(0.3), True), (Adam, True), (lambda: Own(), "auto")]
)
@pytest.mark.parametrize("swap", [{"step": 11}, {"epoch": 2}])
def test_another_optimizer_makes_the_next_captured_step(cuda, make, how, swap):
    runs = []
    for graph in (False, True):
        trainer = xg.Trainer(xg.mlp([12, 9, 3], backend=cuda.place), SGD(0.1))
        trainer.fit(CUDA_X, CUDA_T, 5, 8, None, 5, callbacks=[Swap(make, **swap)], report=Report(), graph=graph and how)
        runs.append([xg.to_numpy(p).tobytes() for p in trainer.model.params] + trainer.loss_list)
    assert runs[0] == runs[1]


class Own:
    """An optimizer whose steps cannot be captured."""

    def update(self, params, grads):
        SGD(lr=0.1).update(params, grads)


def test_another_model_is_refused_while_fit_runs_and_accepted_after_it():
    other = make_trainer(seed=4).model

    def replace(trainer, record):
        trainer.model = other

    trainer = make_trainer()
    with pytest.raises(xg.Error, match=r"Trainer\.model: it was replaced while fit runs.*end the fit first"):
        trainer.fit(X[:ROWS], T[:ROWS], 1, SIZE, report=Report(), on_epoch=replace)
    trainer.model = other
    trainer.fit(X[:ROWS], T[:ROWS], 1, SIZE, report=Report())
    assert trainer.model is other and trainer.current_epoch == 2


def test_setting_a_wrong_model_or_optimizer_is_refused():
    trainer = make_trainer()
    with pytest.raises(TypeError, match="has no update"):
        trainer.optimizer = 0.1
    with pytest.raises(TypeError, match=r"SGD is a class; make one: SGD\(\.\.\.\)"):
        trainer.optimizer = SGD
    with pytest.raises(TypeError, match="has no forward"):
        trainer.model = 3


# --- what is refused ---


@pytest.mark.parametrize(
    ("callbacks", "error", "words"),
    [
        (MomentLog(), TypeError, "callbacks is a MomentLog; give a list of callbacks"),
        (3, TypeError, "callbacks is a int; give a list"),
        ([MomentLog], TypeError, r"MomentLog is a class; make one: MomentLog\(\.\.\.\)"),
        (
            [MomentLog(), print],
            TypeError,
            r"callbacks\[1\] is a builtin_function_or_method; derive its class from xpgraph",
        ),
        ([one := MomentLog(), MomentLog(), one], ValueError, r"callbacks\[2\] stands twice in callbacks"),
    ],
)
def test_wrong_callbacks_are_refused_before_the_first_step(callbacks, error, words):
    trainer = make_trainer()
    with pytest.raises(error, match=words):
        trainer.fit(X, T, callbacks=callbacks)
    assert trainer.steps == 0


def test_a_fit_inside_a_fit_of_the_same_trainer_is_refused():
    def again(trainer, record):
        trainer.fit(X[:ROWS], T[:ROWS], 1, SIZE)

    with pytest.raises(xg.Error, match=r"Trainer\.fit: it was called while it runs"):
        program(None, on_epoch=again)


# --- each fit ends once ---


class Ends(Callback):
    """Logs begin, end and interrupt, and raises an error in those that ``raises`` names."""

    def __init__(self, log, raises=()):
        self.log, self.raises = log, raises

    def _told(self, moment):
        self.log.append(moment)
        if moment in self.raises:
            raise RuntimeError(moment)

    def begin(self, state):
        self._told("begin")

    def end(self, state):
        self._told("end")

    def interrupt(self, state, error):
        self._told(f"interrupt by {error}")


@pytest.mark.parametrize(
    ("moment", "told"),
    [
        ("begin", (["begin", "interrupt by begin"], ["begin"], [])),
        ("end", (["begin", "end"], ["begin", "end"], ["begin", "interrupt by end"])),
    ],
)
def test_each_callback_gets_one_of_end_and_interrupt(moment, told):
    log = [], [], []
    with pytest.raises(RuntimeError, match=moment):
        program(None, epochs=1, callbacks=[Ends(log[0]), Ends(log[1], (moment,)), Ends(log[2])])
    assert log == told


def test_an_error_in_interrupt_is_raised_after_all_callbacks_were_called():
    def fail(trainer, record):
        raise ZeroDivisionError("by on_epoch")

    log = [], []
    with pytest.raises(RuntimeError, match="interrupt by by on_epoch") as caught:
        callbacks = [Ends(log[0], ("interrupt by by on_epoch",)), Ends(log[1])]
        program(None, epochs=1, callbacks=callbacks, on_epoch=fail)
    assert isinstance(caught.value.__cause__, ZeroDivisionError) and log[1] == ["begin", "interrupt by by on_epoch"]


def test_callbacks_with_state_are_named_by_class_and_number():
    class Counts(Callback):
        state = property(lambda self: {"n": 1})

    found = with_state([MomentLog(), a := Counts(), MomentLog(), b := Counts()])
    assert found == {"Counts 0": a, "Counts 1": b}


@pytest.mark.parametrize("interrupted", [False, True])
def test_the_plot_of_the_losses_is_drawn_at_the_end(tmp_path, interrupted):
    pytest.importorskip("matplotlib", reason="the picture needs matplotlib")

    def stop(trainer, record):
        if interrupted:
            raise KeyboardInterrupt

    path = tmp_path / "loss.png"
    try:
        program(None, epochs=1, callbacks=[LossPlot(path), LossPlot(tmp_path / "other.png")], on_epoch=stop)
    except KeyboardInterrupt:
        assert interrupted
    assert path.read_bytes().startswith(b"\x89PNG")
    program(None, epochs=1, eval_interval=None, callbacks=[LossPlot(tmp_path / "none.png")])
    assert not (tmp_path / "none.png").exists()


def test_a_fit_without_anything_to_note_leaves_the_report_without_notes():
    told = RecordingReport()
    assert np.isfinite(program(None, epochs=1, report=told).loss_list).all() and told.notes == []
