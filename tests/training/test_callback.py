"""Callbacks: which moments they have, in which order, what a captured step knows of them, what they may change."""

from __future__ import annotations

import numpy as np
import pytest
from checkpointing import T, X, trainer
from cuda_runs import T as CUDA_T
from cuda_runs import X as CUDA_X
from cuda_runs import same as same_on_device
from cutting import ROWS, SIZE, Told, bits, program

import xpgraph as xg
from xpgraph import SGD, Adam, Callback, Momentum, Report
from xpgraph.storage.checkpoints import Checkpoints
from xpgraph.training.callback import CallbackList, with_state
from xpgraph.training.callbacks.plot import LossPlot

MOMENTS = ("begin", "step", "epoch", "end", "interrupt")


class Heard(Callback):
    """Writes down each moment: its name, the step and the epoch at which it comes."""

    def __init__(self, name="own", heard=None):
        self.name, self.heard = name, [] if heard is None else heard

    def begin(self, state):
        self.heard.append((self.name, "begin", state.steps, state.epoch))

    def step(self, state):
        self.heard.append((self.name, "step", state.steps, state.epoch))

    def epoch(self, state, record):
        self.heard.append((self.name, "epoch", state.steps, state.epoch))

    def end(self, state):
        self.heard.append((self.name, "end", state.steps, state.epoch))

    def interrupt(self, state, error):
        self.heard.append((self.name, type(error).__name__, state.steps, state.epoch))


class Rates(Heard):
    schedules = True


def test_the_moments_of_a_fit():
    own = Heard()
    by = program(None, epochs=2, callbacks=[own])
    steps = [
        [("own", "step", 4 * e + i, e) for i in (1, 2, 3, 4)] + [("own", "epoch", 4 * e + 4, e + 1)] for e in (0, 1)
    ]
    assert own.heard == [("own", "begin", 0, 0), *steps[0], *steps[1], ("own", "end", 8, 2)]
    assert bits(by) == bits(program(None, epochs=2))  # to watch changes nothing


def test_the_order_in_which_callbacks_are_called(tmp_path, monkeypatch):
    heard, save = [], Checkpoints.save

    class Told(Report):
        def begin(self, epochs, samples):
            heard.append(("report", "begin"))

        def step(self, progress):
            assert progress.loss == by.loss_list[-1]  # the history has looked
            heard.append(("report", "step"))

        def epoch(self, record):
            assert by.history[-1] is record
            heard.append(("report", "epoch"))

        def end(self):
            heard.append(("report", "end"))

    def saved(self, *rest):
        heard.append(("checkpoint", "save"))
        return save(self, *rest)

    class Marks(Heard):
        def epoch(self, state, record):
            assert record not in state.history
            record["mark"] = 1
            super().epoch(state, record)

    monkeypatch.setattr(Checkpoints, "save", saved)
    by = trainer()
    by.checkpoint, by.every = tmp_path, 1
    callbacks = [Marks("first", heard), Heard("second", heard), Rates("rates", heard)]
    by.fit(X[:8], T[:8], 2, 4, eval_interval=1, report=Told(), callbacks=callbacks)
    names = [("rates",), ("first",), ("second",), ("report",), ("checkpoint",)]
    firsts = [(each[0],) for each in heard]
    assert len(firsts) == 5 * (1 + 4 + 2 + 1) - 3  # the last step of an epoch is saved at its end, the last epoch once
    while firsts:
        part = 4 if firsts[:5] != names else 5
        assert firsts[:part] == names[:part]
        del firsts[:part]
    assert [record["mark"] for record in by.history] == [1, 1]


def test_on_epoch_comes_after_the_callbacks(tmp_path):
    heard = []
    program(
        None, epochs=1, callbacks=[Heard("own", heard)], on_epoch=lambda by, r: heard.append((by.steps, r["epoch"]))
    )
    assert heard[-3:] == [("own", "epoch", 4, 1), (4, 1), ("own", "end", 4, 1)]


@pytest.mark.parametrize("moment", MOMENTS)
def test_what_is_not_overridden_is_not_needed(moment):
    """A class with one moment; a function on the object counts too."""
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


# --- when a step is looked at ---


class Every(Callback):
    """Runs after each so many steps, and notes what it sees."""

    def __init__(self, n):
        self.n, self.seen = n, []

    def next_step(self, state):
        return (state.steps // self.n + 1) * self.n

    def step(self, state):
        self.seen.append((state.steps, [xg.to_numpy(p).tobytes() for p in state.model.params]))


def test_a_step_callback_runs_at_the_steps_that_it_asks_for():
    own = [Every(1), Every(3), Every(5), Every(100)]
    program(None, callbacks=own)
    assert [[step for step, _ in each.seen] for each in own] == [
        [*range(1, 17)], [3, 6, 9, 12, 15], [5, 10, 15], []
    ]  # fmt: skip
    assert dict(own[0].seen).items() >= dict(own[1].seen).items()


def test_nobody_who_watches_steps_costs_nothing():
    by = trainer()
    watch = CallbackList([type("Quiet", (Callback,), {"epoch": lambda *_: None})()], Callback())
    watch.begin_epoch(by.state)
    assert watch.due == float("inf") and watch.stepping == []


def test_none_is_asked_again_in_the_next_epoch():
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
def test_a_next_step_that_cannot_be_is_refused(answer):
    class Wrong(Every):
        def next_step(self, state):
            return answer if state.steps == 1 else state.steps + 1

    message = rf"Wrong\.next_step: it returned {answer!r} after step 1; return a later step"
    with pytest.raises(ValueError, match=message):
        program(None, callbacks=[Wrong(1)])


@pytest.mark.cuda
@pytest.mark.parametrize("n", [1, 3, 11])
def test_captured_steps_are_looked_at_when_a_callback_asks_and_only_then(cuda, monkeypatch, n):
    """It sees what it would have seen call by call; in between, nobody waits for the device."""
    from xpgraph.fast.cuda import capture

    settled, settle = [], capture.Captured.settle
    monkeypatch.setattr(capture.Captured, "settle", lambda self: (settled.append(1), settle(self)))
    seen = []
    for graph in (False, True):
        own, by = Every(n), xg.Trainer(xg.mlp([12, 9, 3], backend=cuda.place), Adam())
        by.fit(CUDA_X, CUDA_T, 4, 8, eval_interval=None, callbacks=[own], report=Report(), graph=graph)
        seen.append(own.seen)
    assert seen[0] == seen[1] and [step for step, _ in seen[0]] == [*range(n, 29, n)]
    assert (
        len(settled) == 28 // n + 4 + 2
    )  # each look, each epoch's losses, and the end of the fit, which reads what is left


@pytest.mark.cuda
def test_a_rate_that_a_callback_sets_counts_from_the_next_captured_step(cuda):
    class Warmup(Callback):
        schedules = True

        def begin(self, state):
            self.rate = state.optimizer.lr
            state.optimizer.lr = self.rate / 10

        def step(self, state):
            state.optimizer.lr = self.rate * min(1.0, (state.steps + 1) / 10)

    runs = []
    for graph in (False, True):
        by = xg.Trainer(xg.mlp([12, 9, 3], backend=cuda.place), Adam(0.02))
        by.fit(CUDA_X, CUDA_T, 3, 8, None, 5, callbacks=[Warmup()], report=Report(), graph=graph)
        assert by.optimizer.lr == 0.02
        runs.append(by)
    same_on_device(*runs)


# --- what a callback may change ---


def test_stop_ends_the_fit_after_the_epoch_and_says_why():
    class Stops(Callback):
        def step(self, state):
            if state.steps == 6:
                state.stop("enough")

    by = program(None, callbacks=[Stops()])
    assert (by.current_epoch, by.steps, by.state.stop_reason) == (2, 8, "enough")
    by.fit(X[:ROWS], T[:ROWS], 1, SIZE, report=Report())  # a stop is for one call
    assert (by.current_epoch, by.state.stop_reason) == (3, None)


class Swap(Callback):
    """Another optimizer, made anew, after a step or an epoch."""

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
    by = trainer("SGD")
    hand = trainer("SGD")
    batches, forward = [], by.model.forward
    by.model.forward = lambda x, t: (batches.append((x.copy(), t.copy())), forward(x, t))[1]
    by.fit(X[:ROWS], T[:ROWS], 4, SIZE, report=Report(), callbacks=[Swap(lambda: Momentum(0.2), **swap)])
    rules = [SGD(0.05)] * swap.get("step", 8) + [Momentum(0.2)] * 16
    first = rules[-1]
    for batch, rule in zip(batches, rules, strict=False):
        hand.model.forward(*batch)
        hand.model.backward()
        (first if isinstance(rule, Momentum) else rule).update(hand.model.params, hand.model.grads)
    assert [p.tobytes() for p in by.model.params] == [p.tobytes() for p in hand.model.params]
    assert by.optimizer.iter == 16 - swap.get("step", 8)


@pytest.mark.cuda
@pytest.mark.parametrize(
    ("make", "how"), [(lambda: Momentum(0.1), True), (lambda: SGD(0.3), True), (Adam, True), (lambda: Own(), "auto")]
)
@pytest.mark.parametrize("swap", [{"step": 11}, {"epoch": 2}])
def test_another_optimizer_is_met_by_captured_steps(cuda, make, how, swap):
    runs = []
    for graph in (False, True):
        by = xg.Trainer(xg.mlp([12, 9, 3], backend=cuda.place), SGD(0.1))
        by.fit(CUDA_X, CUDA_T, 5, 8, None, 5, callbacks=[Swap(make, **swap)], report=Report(), graph=graph and how)
        runs.append([xg.to_numpy(p).tobytes() for p in by.model.params] + by.loss_list)
    assert runs[0] == runs[1]


class Own:
    """An optimizer that no captured step takes."""

    def update(self, params, grads):
        SGD(lr=0.1).update(params, grads)


def test_another_model_is_refused_while_fit_runs_and_taken_after_it():
    other = trainer(seed=4).model

    def replace(by, record):
        by.model = other

    by = trainer()
    with pytest.raises(xg.Error, match=r"Trainer\.model: it was replaced while fit runs.*end the fit first"):
        by.fit(X[:ROWS], T[:ROWS], 1, SIZE, report=Report(), on_epoch=replace)
    by.model = other
    by.fit(X[:ROWS], T[:ROWS], 1, SIZE, report=Report())
    assert by.model is other and by.current_epoch == 2


def test_no_model_and_no_optimizer_can_be_set_that_could_not_be_given():
    by = trainer()
    with pytest.raises(TypeError, match="has no update"):
        by.optimizer = 0.1
    with pytest.raises(TypeError, match=r"SGD is a class; make one: SGD\(\.\.\.\)"):
        by.optimizer = SGD
    with pytest.raises(TypeError, match="has no forward"):
        by.model = 3


# --- what is refused ---


@pytest.mark.parametrize(
    ("callbacks", "error", "words"),
    [
        (Heard(), TypeError, "callbacks is a Heard; give a list of callbacks"),
        (3, TypeError, "callbacks is a int; give a list"),
        ([Heard], TypeError, r"Heard is a class; make one: Heard\(\.\.\.\)"),
        ([Heard(), print], TypeError, r"callbacks\[1\] is a builtin_function_or_method; derive its class from xpgraph"),
        ([one := Heard(), Heard(), one], ValueError, r"callbacks\[2\] stands twice in callbacks"),
    ],
)
def test_what_is_no_callback_is_refused_before_the_first_step(callbacks, error, words):
    by = trainer()
    with pytest.raises(error, match=words):
        by.fit(X, T, callbacks=callbacks)
    assert by.steps == 0


def test_a_fit_inside_a_fit_of_the_same_trainer_is_refused():
    def again(by, record):
        by.fit(X[:ROWS], T[:ROWS], 1, SIZE)

    with pytest.raises(xg.Error, match=r"Trainer\.fit: it was called while it runs"):
        program(None, on_epoch=again)


# --- each fit ends once ---


class Ends(Callback):
    """Writes down how it ends, and raises at one moment."""

    def __init__(self, heard, raises=()):
        self.heard, self.raises = heard, raises

    def _told(self, moment):
        self.heard.append(moment)
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
def test_each_callback_that_has_begun_hears_of_one_end(moment, told):
    heard = [], [], []
    with pytest.raises(RuntimeError, match=moment):
        program(None, epochs=1, callbacks=[Ends(heard[0]), Ends(heard[1], (moment,)), Ends(heard[2])])
    assert heard == told


def test_what_an_interrupt_raises_is_raised_once_all_have_heard():
    def fail(by, record):
        raise ZeroDivisionError("by on_epoch")

    heard = [], []
    with pytest.raises(RuntimeError, match="interrupt by by on_epoch") as caught:
        callbacks = [Ends(heard[0], ("interrupt by by on_epoch",)), Ends(heard[1])]
        program(None, epochs=1, callbacks=callbacks, on_epoch=fail)
    assert isinstance(caught.value.__cause__, ZeroDivisionError) and heard[1] == ["begin", "interrupt by by on_epoch"]


def test_the_keys_of_callbacks_are_class_and_place():
    class Counts(Callback):
        state = property(lambda self: {"n": 1})

    found = with_state([Heard(), a := Counts(), Heard(), b := Counts()])
    assert found == {"Counts 0": a, "Counts 1": b}


@pytest.mark.parametrize("interrupted", [False, True])
def test_the_plot_of_the_losses_is_drawn_at_the_end(tmp_path, interrupted):
    pytest.importorskip("matplotlib", reason="the picture needs matplotlib")

    def stop(by, record):
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


def test_a_report_is_told_and_a_silent_one_is_the_base():
    told = Told()
    assert np.isfinite(program(None, epochs=1, report=told).loss_list).all() and told.notes == []
