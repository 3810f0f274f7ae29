"""Schedule, its functions, and Plateau: the rate of each update, where it is set, and whose it is afterwards."""

from __future__ import annotations

import math

import cuda_runs
import numpy as np
import pytest
from checkpointing import T, X, make_trainer

from xpgraph import SGD, Adam, Callback, Error, Plateau, Report, Schedule, Trainer, schedules

NAN = float("nan")
BATCHES = 3  # of 8 rows, of 24


class Rates(SGD):
    """SGD that keeps the rate of each update."""

    def __init__(self, lr=0.5):
        super().__init__(lr)
        self.used = []

    def update(self, params, grads):
        self.used.append(self.lr)
        super().update(params, grads)


class Told(Report):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


class Losses(Callback):
    """Writes losses into the records, before even a plateau."""

    schedules = True

    def __init__(self, values):
        self.values = values

    def epoch(self, state, record):
        record["val_loss"] = self.values[record["epoch"] - 1]


def fit(by, *callbacks, epochs=4, **more):
    by.fit(X[:24], T[:24], epochs, 8, eval_interval=None, callbacks=callbacks, **{"report": Told(), **more})
    return by


def rated(lr=0.5):
    return Trainer(make_trainer().model, Rates(lr))


# --- the functions ---


def test_step_multiplies_every_so_often():
    assert [schedules.step(3, 0.5)(i) for i in range(8)] == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25]
    assert schedules.step(1)(2) == pytest.approx(0.01)


def test_cosine_is_the_papers_formula_without_restarts():
    f = schedules.cosine(200)
    assert [f(0), f(200), f(201), f(10_000)] == [1.0, 0.0, 0.0, 0.0]
    for i in range(201):
        assert f(i) == pytest.approx(0.5 * (1 + np.cos(np.pi * i / 200)), abs=1e-15)
    assert all(f(i) > f(i + 1) for i in range(200))
    assert [schedules.cosine(1)(i) for i in range(3)] == [1, 0, 0]


def test_warmup_rises_from_one_part_to_the_whole_and_hands_over():
    assert [schedules.warmup(4)(i) for i in range(7)] == [0.25, 0.5, 0.75, 1, 1, 1, 1]
    assert [schedules.warmup(1)(i) for i in range(3)] == [1, 1, 1]
    then = schedules.warmup(2, then=schedules.cosine(4))
    half = 0.5 * math.sqrt(0.5)
    assert [then(i) for i in range(8)] == pytest.approx([0.5, 1, 1, 0.5 + half, 0.5, 0.5 - half, 0, 0])


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: schedules.step(0), ValueError, "step: every is 0; give a whole number from 1 up"),
        (lambda: schedules.step(2, -0.1), ValueError, "step: factor is -0.1; give a number from 0 up"),
        (lambda: schedules.cosine(0), ValueError, "cosine: total is 0; give a whole number"),
        (lambda: schedules.cosine(2.0), ValueError, "cosine: total is 2.0; give a whole number"),
        (lambda: schedules.warmup(0), ValueError, "warmup: steps is 0; give a whole number"),
        (lambda: schedules.warmup(3, then=0.5), TypeError, "warmup: then is a float; give a function of the index"),
        (lambda: Schedule(0.5, "step"), TypeError, "Schedule: function is a float; give a function of the index"),
        (lambda: Schedule(schedules.cosine(9), by="batch"), ValueError, "by is 'batch'; give 'step' or 'epoch'"),
        (lambda: Plateau(0), ValueError, "Plateau: patience is 0; give a whole number from 1 up"),
        (lambda: Plateau(3, factor=1.0), ValueError, "Plateau: factor is 1.0; give a number between 0 and 1"),
        (lambda: Plateau(3, factor=NAN), ValueError, "Plateau: factor is nan; give a number between 0 and 1"),
        (lambda: Plateau(3, min_lr=-1), ValueError, "Plateau: min_lr is -1; give a number from 0 up"),
        (lambda: Plateau(3, monitor="lr"), ValueError, "Plateau: monitor is 'lr'.* give mode='min' or mode='max'"),
    ],
)
def test_arguments_are_checked(make, error, words):
    with pytest.raises(error, match=words):
        make()


# --- a schedule ---


def test_by_step_each_update_has_its_rate():
    by = fit(rated(), Schedule(lambda i: 1 / (1 + i), by="step"))
    assert by.optimizer.used == [0.5 * (1 / (1 + i)) for i in range(4 * BATCHES)]
    assert [record["lr"] for record in by.history] == [0.5 * (1 / (1 + i)) for i in (2, 5, 8, 11)]  # of its last update


def test_by_epoch_each_epoch_has_its_rate():
    by = fit(rated(), Schedule(lambda i: 1 / (1 + i), by="epoch"))
    assert by.optimizer.used == [0.5 * (1 / (1 + i)) for i in range(4) for _ in range(BATCHES)]
    assert [record["lr"] for record in by.history] == [0.5 * (1 / (1 + i)) for i in range(4)]


@pytest.mark.parametrize("by", ["step", "epoch"])
def test_the_index_counts_over_the_training_and_factors_do_not_compound(by):
    """A later fit, with the same object or with another, goes on where the index stands, from the initial rate."""
    straight = fit(rated(), Schedule(schedules.step(2, 0.5), by))
    once = Schedule(schedules.step(2, 0.5), by)
    for make in (lambda: once, lambda: Schedule(schedules.step(2, 0.5), by)):
        twice = rated()
        for _ in range(4):
            fit(twice, make(), epochs=1)
            assert twice.optimizer.lr == 0.5
        assert twice.optimizer.used == straight.optimizer.used
        assert [record["lr"] for record in twice.history] == [record["lr"] for record in straight.history]


def test_a_function_is_asked_for_no_index_that_is_not_reached():
    """So a list may be the function."""
    by = fit(rated(), Schedule([1, 1, 0.5, 0.25].__getitem__, by="epoch"))
    assert by.optimizer.used[::BATCHES] == [0.5, 0.5, 0.25, 0.125]
    by = fit(rated(), Schedule([i / 10 for i in range(1, 4 * BATCHES + 1)].__getitem__, by="step"))
    assert by.optimizer.used == [0.5 * (i / 10) for i in range(1, 4 * BATCHES + 1)]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("broken")])
@pytest.mark.parametrize("by", ["step", "epoch"])
def test_after_an_interrupt_or_error_the_initial_rate_is_back(error, by):
    class Breaks(Callback):
        def step(self, state):
            if state.steps == 7:
                raise error

    trained, rates = rated(), Schedule(schedules.step(2, 0.5), by)
    with pytest.raises(type(error)):
        fit(trained, rates, Breaks())
    assert trained.optimizer.lr == 0.5 and trained.optimizer.used[-1] < 0.5
    fit(trained, Schedule(lambda i: 1.0, by), epochs=1)
    assert trained.optimizer.used[-1] == 0.5


def test_schedules_come_first_whatever_their_place():
    seen = []

    class Sees(Callback):
        def step(self, state):
            seen.append(state.optimizer.lr)

        def epoch(self, state, record):
            seen.append(state.optimizer.lr)

    fit(rated(), Sees(), Schedule(lambda i: 1 / (1 + i), by="step"), epochs=1)
    assert seen == [0.25, 0.5 / 3, 0.5 / 3, 0.5 / 3]  # after the last epoch there is no next rate to set


def test_it_is_asked_for_changes_only():
    """What a captured step needs: after the warm-up, and by epoch, nobody looks within an epoch."""
    asked = []

    class Counted(Schedule):
        def next_step(self, state):
            asked.append((state.steps, found := super().next_step(state)))
            return found

    fit(rated(), Counted(schedules.warmup(5), by="step"))
    assert asked == [(0, 1), (1, 2), (2, None), (3, 4), (4, None), (6, None), (9, None)]
    asked.clear()
    fit(rated(), Counted(schedules.cosine(4), by="epoch"))
    assert asked == [(0, None), (3, None), (6, None), (9, None)]
    asked.clear()
    fit(rated(), Counted(schedules.step(4), by="step"))
    assert asked == [(0, None), (3, 4), (4, None), (6, 8), (8, None), (9, None)]


@pytest.mark.parametrize("factor", [NAN, -0.5, math.inf, None, "half", True, [1.0]])
def test_a_factor_that_is_no_number_is_refused(factor):
    by = rated()
    with pytest.raises(
        ValueError, match=r"Schedule: function\(1\) returned .*; return the factor of the learning rate"
    ):
        fit(by, Schedule(lambda i: factor if i else 1.0, by="epoch"))
    assert by.optimizer.lr == 0.5 and by.current_epoch == 1


class Own:
    """An optimizer without a rate."""

    def update(self, params, grads): ...


@pytest.mark.parametrize("callback", [Schedule(schedules.cosine(3), "step"), Plateau(3)])
def test_an_optimizer_without_a_rate_is_refused_at_the_start(callback):
    by = Trainer(make_trainer().model, Own())
    with pytest.raises(TypeError, match=r"(Schedule|Plateau): Own\.lr is None; give an optimizer whose learning rate"):
        fit(by, callback)
    assert by.steps == 0


def test_two_that_set_the_rate_are_refused_at_the_next_change():
    def halve(by, record):
        by.optimizer.lr /= 2

    words = r"the optimizer's lr is .*, and this schedule had set .*, so something else sets it, too"
    with pytest.raises(Error, match=words):
        fit(rated(), Schedule(schedules.cosine(12), "step"), on_epoch=halve)
    with pytest.raises(Error, match=words):
        fit(rated(), Schedule(schedules.cosine(12), "step"), Schedule(schedules.step(1), "epoch"))
    with pytest.raises(Error, match=words):  # another optimizer
        fit(
            rated(), Schedule(schedules.cosine(4), "epoch"), on_epoch=lambda by, _: setattr(by, "optimizer", Rates(0.1))
        )


def test_numbers_of_numpy_are_rates_and_factors():
    by = Trainer(make_trainer().model, Rates())
    by.optimizer.lr = np.float64(0.5)
    fit(by, Schedule(lambda i: np.float32(0.5) if i else np.int64(1), by="epoch"), epochs=2)
    assert by.optimizer.used == [0.5] * 3 + [0.25] * 3


# --- a plateau ---


@pytest.mark.parametrize(
    ("arguments", "values", "rates"),
    [
        ({"patience": 1}, [3, 3, 3, 1], [1, 1, 0.1, 0.1**2]),
        ({"patience": 2, "factor": 0.5}, [3, 4, 4, 4, 4, 2, 3], [1, 1, 1, 0.5, 0.5, 0.25, 0.25]),
        ({"patience": 2, "factor": 0.5}, [3, 4, 2, 3, NAN, 3], [1, 1, 1, 1, 1, 0.5]),
        ({"patience": 1, "factor": 0.5, "min_lr": 0.3}, [3, 3, 3, 3], [1, 1, 0.5, 0.3]),
        ({"patience": 1, "factor": 0.5, "min_lr": 2}, [3, 3, 3], [1, 1, 1]),
        ({"patience": 1, "factor": 0.5, "min_delta": 1}, [3, 2.5, 1.9, 1.5], [1, 1, 0.5, 0.5]),
        ({"patience": 1, "factor": 0.5, "mode": "max"}, [3, 4, 3, 5], [1, 1, 1, 0.5]),
    ],
)
def test_a_plateau_lowers_the_rate_from_the_next_epoch_on(arguments, values, rates):
    by = fit(rated(1.0), Losses(values), Plateau(**arguments), epochs=len(values))
    assert by.optimizer.used[::BATCHES] == pytest.approx(rates, rel=1e-15)
    assert [record["lr"] for record in by.history] == by.optimizer.used[::BATCHES]


def test_a_plateau_says_so_and_its_rate_stays():
    by, told = rated(1.0), Told()
    fit(by, Losses([3, 3, 3, 3]), Plateau(2, 0.5), epochs=4, report=told)
    words = "val_loss has not been lower than in epoch 1 (3) for 2 epochs; the learning rate is 0.5 from here on"
    assert told.notes == [words] and by.optimizer.lr == 0.5
    fit(by, Losses([0] * 4 + [9, 9, 9]), Plateau(2, 0.5), epochs=3)
    assert by.optimizer.used[12:] == [0.5] * 9 and by.optimizer.lr == 0.25


def test_a_plateau_after_a_warmup():
    """A warm-up that is over leaves the rate to others, and does not put back what it did not set."""
    by = fit(rated(1.0), Schedule(schedules.warmup(3), "step"), Losses([3, 3, 3, 3]), Plateau(1, 0.5), epochs=4)
    assert by.optimizer.used == pytest.approx([1 / 3, 2 / 3, 1, 1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25])
    assert by.optimizer.lr == 0.125
    with pytest.raises(Error, match="something else sets it, too"):
        fit(rated(1.0), Schedule(schedules.warmup(30), "step"), Losses([3] * 9), Plateau(1, 0.5), epochs=9)


def test_adam_takes_the_rate_of_each_step():
    """A schedule is the same as setting lr by hand before each update."""
    by, other = make_trainer("Adam"), make_trainer("Adam")
    fit(by, Schedule(schedules.warmup(5, schedules.cosine(7)), "step"))

    class ByHand(Callback):
        def begin(self, state):
            self.f = schedules.warmup(5, schedules.cosine(7))
            self.step(state)

        def step(self, state):
            state.optimizer.lr = 0.05 * self.f(state.steps)

    fit(other, ByHand())
    assert isinstance(by.optimizer, Adam) and by.optimizer.lr == 0.05
    assert all(np.array_equal(p, q) for p, q in zip(by.model.params, other.model.params, strict=True))


def test_a_factor_of_one_changes_nothing():
    plain, rates = fit(rated()), fit(rated(), Schedule(lambda i: 1.0, "step"))
    assert [{**r, "seconds": 0} for r in plain.history] == [{**r, "seconds": 0} for r in rates.history]


# --- captured steps ---


def run_on_device(rig, *callbacks, graph=True):
    """(calls of the device by epoch, the trainer) of a training with these callbacks."""
    by_epoch = []

    class Marks(Callback):
        def begin(self, state):
            rig.calls.clear()

        def epoch(self, state, record):
            by_epoch.append(list(rig.calls))
            rig.calls.clear()

    by, _ = cuda_runs.fit(rig, Adam(lr=0.05), graph, callbacks=[*callbacks, Marks()])
    return by_epoch, by


@pytest.mark.cuda
def test_a_schedule_leaves_captured_steps_alone_unless_the_rate_changes(rig):
    run_on_device(rig)  # loads what is loaded once
    plain, straight = run_on_device(rig)
    assert ("replay", "") in plain[-1]
    for schedule in (
        Schedule(schedules.step(1, 0.5), "epoch"),  # another rate in each epoch
        Schedule(lambda i: 1.0, "step"),
        Schedule(schedules.step(7, 0.5), "step"),  # the same by steps: 7 batches an epoch
    ):
        calls, by = run_on_device(rig, schedule)
        assert calls == plain, schedule.by
    assert by.optimizer.iter == straight.optimizer.iter
    calls, _ = run_on_device(rig, Schedule(schedules.warmup(7), "step"))
    assert calls[0] != plain[0] and calls[1:] == plain[1:]


@pytest.mark.cuda
@pytest.mark.parametrize(
    ("function", "by"),
    [
        (schedules.warmup(10, schedules.cosine(18)), "step"),
        (schedules.step(3, 0.5), "step"),
        (schedules.cosine(4), "epoch"),
    ],
)
def test_captured_steps_take_the_rates_to_the_bit(cuda, function, by):
    runs = [cuda_runs.fit(cuda, Adam(lr=0.05), graph, callbacks=[Schedule(function, by)])[0] for graph in (False, True)]
    cuda_runs.same(*runs)
    other = cuda_runs.fit(cuda, Adam(lr=0.05), True)[0]
    assert cuda_runs.state(other)[0][0].tobytes() != cuda_runs.state(runs[0])[0][0].tobytes()
