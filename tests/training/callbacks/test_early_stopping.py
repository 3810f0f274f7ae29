"""EarlyStopping and KeepBest: when a fit stops, whose weights it leaves, and what they refuse."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
from checkpointing import T, X, make_trainer, params

from xpgraph import (
    SGD,
    Callback,
    Chain,
    EarlyStopping,
    KeepBest,
    MatMul,
    Plateau,
    Report,
    SoftmaxWithLoss,
    Trainer,
)
from xpgraph.arrays.libraries import library_of, to_numpy
from xpgraph.training.callbacks.monitor import Monitor

NAN = float("nan")


class Told(Report):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


class Losses(Callback):
    """Stands before the callback under test, and writes the losses of a list into the records."""

    def __init__(self, values, name="val_loss"):
        self.values, self.name, self.weights = values, name, {}

    def epoch(self, state, record):
        record[self.name] = self.values[record["epoch"] - 1]
        self.weights[record["epoch"]] = [np.array(to_numpy(p)) for p in state.model.params]


def fit(by, *callbacks, epochs=8, report=None, **more):
    by.fit(X, T, epochs, 8, eval_interval=None, report=report or Told(), callbacks=callbacks, **more)
    return by


# --- what is better ---


@pytest.mark.parametrize(
    ("mode", "delta", "values", "better"),
    [
        ("min", 0.0, [3, 3, 2, 2.5, NAN, 1], [1, 0, 1, 0, 0, 1]),
        ("min", 0.5, [3, 2.5, 2.4, 2, 1.9, 1.85], [1, 0, 1, 0, 0, 1]),
        ("max", 0.0, [3, 3, 4, NAN, 3, math.inf], [1, 0, 1, 0, 0, 1]),
        ("max", 0.5, [1, 1.5, 1.6, 2.1, 2.2, 2], [1, 0, 1, 0, 1, 0]),
        ("min", 0.0, [NAN, NAN, 7, NAN], [0, 0, 1, 0]),
        ("min", 0.0, [math.inf, 5, math.inf, -math.inf, NAN], [1, 1, 0, 1, 0]),
    ],
)
def test_what_is_better(mode, delta, values, better):
    monitor = Monitor("Test", "score", mode, delta)
    assert [monitor.improved({"epoch": i, "score": v}) for i, v in enumerate(values, 1)] == [bool(b) for b in better]
    last = max(i for i, b in enumerate(better) if b)
    assert (monitor.best, monitor.epoch, monitor.count) == (values[last], last + 1, len(values) - last - 1)


@pytest.mark.parametrize(
    ("name", "lower"), [("loss", 1), ("val_loss", 1), ("my_loss", 1), ("val_accuracy", 0), ("accuracy", 0)]
)
def test_auto_knows_losses_and_accuracies(name, lower):
    assert Monitor("Test", name).lower == lower
    assert Monitor("Test", name, "max").lower is False


@pytest.mark.parametrize("name", ["f1", "val_f1", "accuracy_of_some", "", "lr", None])
def test_auto_refuses_other_names(name):
    with pytest.raises(ValueError, match=r"EarlyStopping: monitor is .*; give mode='min' or mode='max'\."):
        EarlyStopping(3, monitor=name)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: EarlyStopping(0), "EarlyStopping: patience is 0; give a whole number from 1 up"),
        (lambda: EarlyStopping(2.5), "patience is 2.5; give a whole"),
        (lambda: EarlyStopping(True), "patience is True; give a whole"),
        (lambda: EarlyStopping(3, mode="least"), "mode is 'least'; give 'auto', 'min' or 'max'"),
        (lambda: EarlyStopping(3, min_delta=-1.0), "min_delta is -1.0; give a number from 0 up"),
        (lambda: EarlyStopping(3, min_delta=NAN), "min_delta is nan; give a number from 0 up"),
        (lambda: KeepBest(mode="most"), "KeepBest: mode is 'most'"),
        (lambda: KeepBest("f1"), "KeepBest: monitor is 'f1'"),
    ],
)
def test_arguments_are_checked(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize("kind", [lambda **o: EarlyStopping(3, **o), KeepBest, lambda **o: Plateau(3, **o)])
def test_a_name_that_no_record_has_is_refused_with_those_it_has(kind):
    names = "epoch, loss, lr, samples, seconds"
    with pytest.raises(ValueError, match=rf"the record of an epoch has no 'top_loss'; monitor one of {names}\."):
        fit(make_trainer(), kind(monitor="top_loss"))
    by = make_trainer()
    with pytest.raises(ValueError, match=r"val_loss is None: there is no validation data.*; give fit\(validation="):
        fit(by, kind())
    assert by.current_epoch == 1 and len(by.history) == 1
    with pytest.raises(ValueError, match="loss is a str; monitor one of epoch, lr, samples, seconds"):
        Monitor("Test", "loss").improved({"epoch": 1, "loss": "low", "lr": 0.1, "samples": 3, "seconds": 0.1})
    fit(make_trainer(), kind(monitor="loss"), epochs=1)


# --- early stopping ---


@pytest.mark.parametrize(
    ("patience", "values", "stops"),
    [
        (1, [5, 4, 4, 3], 3),
        (2, [5, 6, 4, 5, 3, 3, 3, 1], 7),
        (3, [5, 6, 6, 6, 1], 4),
        (3, [5, 4, 3, 2, 1, 0, -1, -2], 8),
        (2, [NAN] * 8, 2),
        (2, [5, NAN, NAN, 1], 3),
    ],
)
def test_it_stops_after_so_many_epochs_in_a_row(patience, values, stops):
    stopping, told = EarlyStopping(patience), Told()
    by = fit(make_trainer(), Losses(values), stopping, report=told)
    assert by.current_epoch == stops
    best = None if values[0] != values[0] else min(v for v in values[:stops] if v == v)
    assert stopping.best == best and stopping.best_epoch == (None if best is None else values.index(best) + 1)
    if stops == len(values):
        assert told.notes == [] and by.state.stop_reason is None
    elif best is None:
        assert told.notes == ["stopped after epoch 2: val_loss has been no number for 2 epochs"]
    else:
        epochs = "1 epoch" if patience == 1 else f"{patience} epochs"
        assert told.notes == [
            f"stopped after epoch {stops}: val_loss has not been lower than in epoch {stopping.best_epoch} ({best}) "
            f"for {epochs}"
        ]


def test_higher_is_better_for_an_accuracy_and_min_delta_is_told():
    told, stopping = Told(), EarlyStopping(2, "val_accuracy", "auto", 0.1)
    by = fit(make_trainer(), Losses([0.5, 0.6, 0.59, 0.9], "val_accuracy"), stopping, report=told)
    assert by.current_epoch == 3
    assert "val_accuracy has not been higher than in epoch 1 (0.5) by more than 0.1 for 2 epochs" in told.notes[0]


def test_each_fit_starts_anew():
    by, stopping, values = make_trainer(), EarlyStopping(2), [1, 2, 3, 4, 3, 4, 5, 6]
    fit(by, Losses(values), stopping)
    assert by.current_epoch == 3
    fit(by, Losses(values), stopping)
    assert by.current_epoch == 7 and (stopping.best, stopping.best_epoch) == (3, 5)


def test_a_reason_to_stop_is_told_where_epochs_are_left(capsys):
    by = make_trainer()
    by.fit(X, T, 3, 8, on_epoch=lambda by, record: by.stop())
    assert capsys.readouterr().out.splitlines()[-1] == "stopped after epoch 1: Trainer.stop was called"
    by.fit(X, T, 1, 8, on_epoch=lambda by, record: by.stop())
    assert "stopped" not in capsys.readouterr().out


# --- the best weights ---


def same(weights, others):
    return [np.asarray(to_numpy(a)).tobytes() for a in weights] == [np.asarray(to_numpy(b)).tobytes() for b in others]


@pytest.mark.parametrize(
    ("values", "best"), [([5, 3, 4, 6], 2), ([5, 4, 3, 2], 4), ([1, 1, 1, 1], 1), ([NAN, 4, 5, NAN], 2)]
)
def test_the_best_epochs_weights_are_put_back(lib, values, best):
    by, losses, keep, told = make_trainer(place=lib.place), Losses(values), KeepBest(), Told()
    arrays = list(by.model.params)
    fit(by, losses, keep, epochs=4, report=told)
    assert same(by.model.params, losses.weights[best])
    assert all(p is q for p, q in zip(by.model.params, arrays, strict=True))  # in place
    assert (keep.best, keep.best_epoch) == (values[best - 1], best)
    assert told.notes[-1] == f"the weights of epoch {best} are kept: val_loss {values[best - 1]}"
    assert (by.current_epoch, by.optimizer.iter, len(by.history)) == (4, by.steps, 4)  # the rest is the last epoch's
    straight = fit(make_trainer(place=lib.place), epochs=4)
    for slot in ("m", "v"):
        assert same(getattr(by.optimizer, slot), getattr(straight.optimizer, slot))


def test_they_are_those_of_a_fit_that_stopped_early():
    by, losses = make_trainer(), Losses([5, 3, 4, 6, 1])
    fit(by, losses, EarlyStopping(2), KeepBest())
    assert by.current_epoch == 4 and same(by.model.params, losses.weights[2])


def test_without_a_number_the_last_weights_stay():
    by, losses, told = make_trainer(), Losses([NAN] * 3), Told()
    fit(by, losses, keep := KeepBest(), epochs=3, report=told)
    assert same(by.model.params, losses.weights[3]) and keep.best_epoch is None and told.notes == []
    fit(by, KeepBest("loss"), epochs=0)
    assert same(by.model.params, losses.weights[3])


def test_copies_live_where_the_model_lives(lib):
    fit(by := make_trainer(place=lib.place), keep := KeepBest("loss"), epochs=2)
    assert [*keep.weights] == [row[0] for row in by.model.named_parameters()]
    for kept, p in zip(keep.weights.values(), by.model.params, strict=True):
        assert library_of(kept) is library_of(p) and type(kept) is type(p) and kept.dtype == p.dtype and kept is not p


def test_shared_and_tied_weights_stay_shared(lib):
    rng = np.random.default_rng(0)
    W, V = lib.param(rng.standard_normal((4, 4))), lib.param(rng.standard_normal((4, 3)))
    model = Chain(MatMul(W), MatMul(W), MatMul(V), loss=SoftmaxWithLoss())
    losses, keep = Losses([3, 1, 2]), KeepBest()
    fit(Trainer(model, SGD(0.1)), losses, keep, epochs=3)
    assert len(keep.weights) == 2 and model.params[0] is model.params[1] is W
    assert same(model.params, losses.weights[2]) and same([W], losses.weights[2][:1])

    tied = Chain(MatMul(V), MatMul(lib.xp.permute_dims(V, (1, 0))), MatMul(V), loss=SoftmaxWithLoss())
    losses, keep = Losses([3, 1, 2]), KeepBest()
    fit(Trainer(tied, SGD(0.1)), losses, keep, epochs=3)
    assert len(keep.weights) == 1 and same(tied.params, losses.weights[2])


def test_a_later_fit_keeps_the_best_of_its_own():
    by, keep = make_trainer(), KeepBest()
    first = Losses([5, 1, 4, 3, 2, 6])
    fit(by, first, keep, epochs=3)
    before = [np.array(p) for p in by.model.params]
    assert same(before, first.weights[2])
    fit(by, first, keep, epochs=3)
    assert (keep.best, keep.best_epoch) == (2, 5) and same(by.model.params, first.weights[5])


class Breaks(Callback):
    def __init__(self, error, epoch):
        self.error, self.at = error, epoch

    def epoch(self, state, record):
        if record["epoch"] == self.at:
            raise self.error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("broken")])
def test_an_interrupt_or_error_leaves_the_last_weights_and_restore_gives_the_best(error):
    by, losses, keep = make_trainer(), Losses([5, 3, 4, 6]), KeepBest()
    with pytest.raises(type(error)):
        fit(by, losses, keep, Breaks(error, 4))
    assert same(by.model.params, losses.weights[4])
    keep.restore(by.model)
    assert same(by.model.params, losses.weights[2])
    keep.restore(by.model)  # once more changes nothing
    assert same(by.model.params, losses.weights[2])


def test_restore_without_weights_changes_nothing():
    by = make_trainer()
    before = params(by)
    KeepBest().restore(by.model)
    assert same(by.model.params, before)


def test_no_memory_for_the_exchange_leaves_the_model_whole(monkeypatch):
    from xpgraph.training.callbacks import early_stopping

    by, losses, keep, calls = make_trainer(), Losses([1, 2, 3]), KeepBest(), []
    real = early_stopping.namespace_copy

    def scarce(a):
        calls.append(a)
        if len(calls) == 4 + 3:  # four copies after epoch 1, then the third copy of the exchange
            raise MemoryError
        return real(a)

    monkeypatch.setattr(early_stopping, "namespace_copy", scarce)
    with pytest.raises(MemoryError):
        fit(by, losses, keep, epochs=3)
    assert same(by.model.params, losses.weights[3]) and not keep.exchanged


# --- notes ---


def test_notes_come_after_the_epochs_line_and_after_the_end():
    class Says(Callback):
        def epoch(self, state, record):
            state.note(f"of {record['epoch']}")

        def end(self, state):
            state.note("of the end")

    class Hears(Report):
        def __init__(self):
            self.heard = []

        def note(self, text):
            self.heard.append(text)

        def epoch(self, record):
            self.heard.append(record["epoch"])

        def end(self):
            self.heard.append("end")

    fit(make_trainer(), Says(), epochs=2, report=(hears := Hears()))
    assert hears.heard == [1, "of 1", 2, "of 2", "end", "of the end"]
    with pytest.raises(KeyboardInterrupt):
        fit(make_trainer(), Says(), Breaks(KeyboardInterrupt(), 2), report=(hears := Hears()))
    assert hears.heard == [1, "of 1", "end", "of 2"]


def test_a_monitor_of_a_users_own_number():
    """What a callback before it adds to the record, a scalar of NumPy."""
    losses = Losses([np.float32(0.25), np.float32(0.5), np.float32(0.125)], "f1")
    by = fit(make_trainer(), losses, keep := KeepBest("f1", "max"), epochs=3)
    assert (keep.best, keep.best_epoch) == (0.5, 2) and same(by.model.params, losses.weights[2])
    assert isinstance(keep.state["best"], float)


def test_the_state_is_plain_and_goes_back():
    fit(make_trainer(), Losses([3, 2, 5]), stopping := EarlyStopping(5), keep := KeepBest(), epochs=3)
    assert stopping.state == {"best": 2.0, "epoch": 2, "count": 1}
    again, other = EarlyStopping(5), KeepBest()
    again.load_state(stopping.state)
    other.load_state(keep.state)
    assert again.state == stopping.state and other.best_epoch == 2 and other.exchanged
    assert same(other.weights.values(), keep.weights.values())
    again.begin(SimpleNamespace(resumed=True))
    assert again.best == 2.0
    again.begin(SimpleNamespace(resumed=False))
    assert again.state == {"best": None, "epoch": None, "count": 0}
