"""What fit reports, and how it continues, validates and stops."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from book_training import LeakyTrainer
from nets import MAKE, Means, Notes, bits, columns, net, weights
from reference import gap, toy, two_layers

from xpgraph import SGD, Adam, Report, Trainer


def reports_every_row_once_and_does_not_leak(trainer):
    """12 rows in batches of 2: looks at iterations 1 and 5; the epoch's sixth batch is in no entry."""
    model = Means()
    one = trainer(model, SGD())
    one.fit(*columns(12), max_epoch=2, batch_size=2, eval_interval=4)
    want = []
    for epoch in (model.batches[:6], model.batches[6:]):
        want += [np.mean(epoch[0]), np.mean(epoch[1:5])]
    assert one.loss_list == pytest.approx(want, rel=1e-14)


def test_row_7_the_entries():
    reports_every_row_once_and_does_not_leak(Trainer)
    with pytest.raises(AssertionError):
        reports_every_row_once_and_does_not_leak(LeakyTrainer)


def counts_each_row_alike(trainer):
    """7 rows in batches of 2, 2, 2 and 1: the second entry is the mean over the rows of the last three."""
    model = Means()
    one = trainer(model, SGD())
    one.fit(*columns(7), max_epoch=1, batch_size=2, eval_interval=3)
    assert [len(b) for b in model.batches] == [2, 2, 2, 1]
    assert one.loss_list[1:] == pytest.approx([np.mean(list(itertools.chain(*model.batches[1:])))], rel=1e-14)


def test_row_7_the_weights():
    counts_each_row_alike(Trainer)
    with pytest.raises(AssertionError):
        counts_each_row_alike(LeakyTrainer)


def test_row_7_an_epochs_mean_is_over_all_its_rows(capsys):
    trainer = Trainer(Means(), SGD())
    trainer.fit(*columns(7), max_epoch=2, batch_size=2, eval_interval=3)
    assert [r["loss"] for r in trainer.history] == pytest.approx([3.0, 3.0], rel=1e-14)
    assert [r["samples"] for r in trainer.history] == [7, 7]
    lines = capsys.readouterr().out.splitlines()
    assert [re.sub(r"time \d+(\.\d)?\[s\]", "time", line).partition(" | loss")[0] for line in lines] == [
        "| epoch 1 |  iter 1 / 4 | time", "| epoch 1 |  iter 4 / 4 | time", "| epoch 1 done | time | mean loss 3.0000",
        "| epoch 2 |  iter 1 / 4 | time", "| epoch 2 |  iter 4 / 4 | time", "| epoch 2 done | time | mean loss 3.0000",
    ]  # fmt: skip
    shown = [float(line.rpartition(" ")[2]) for line in lines if "iter" in line]
    assert shown == [round(loss, 2) for loss in trainer.loss_list]


def test_without_an_interval_nothing_is_printed_or_listed(capsys):
    trainer = Trainer(Means(), SGD())
    trainer.fit(*columns(5), max_epoch=2, batch_size=2, eval_interval=None)
    assert capsys.readouterr() == ("", "")
    assert trainer.loss_list == []
    assert [r["loss"] for r in trainer.history] == pytest.approx([2.0, 2.0])


def test_the_methods_of_a_report_are_called_in_order(capsys):
    notes = Notes()
    trainer = Trainer(Means(), SGD())
    for _ in range(2):
        trainer.fit(*columns(5), max_epoch=1, batch_size=2, eval_interval=2, report=notes)
    assert notes.heard == [
        ("begin", 1, 5), ("step", 1, 1, 1, 2), ("step", 1, 1, 3, 5), ("epoch", 1), ("end",),
        ("begin", 1, 5), ("step", 2, 2, 1, 2), ("step", 2, 2, 3, 5), ("epoch", 2), ("end",),
    ]  # fmt: skip
    assert capsys.readouterr().out == ""


def test_numpy_data_is_moved_once_and_the_report_says_so(lib):
    x, t = toy()
    notes, model = Notes(), net(lib, weights())
    trainer = Trainer(model, SGD())
    trainer.fit(x, t, max_epoch=2, batch_size=7, report=notes, validation=(x, t))
    said = [h[1] for h in notes.heard if h[0] == "note"]
    if "numpy" in lib.name:
        assert said == []
    else:
        assert len(said) == 2
        assert all(
            re.fullmatch(r"moved (validation )?x \(24, 4\) and t \(24,\) to \S+ once, \d+\.\d MiB", line)
            for line in said
        )
    want = net(lib, weights())
    Trainer(want, SGD()).fit(lib.array(x), lib.array(t), max_epoch=2, batch_size=7, eval_interval=None)
    assert bits(lib, model.params) == bits(lib, want.params)


# --- going on, and stopping ---


@pytest.mark.parametrize("name", MAKE)
def test_fits_of_three_and_two_epochs_equal_one_of_five(lib, name):
    x, t = toy()
    runs = []
    for parts in ((5,), (3, 2)):
        model = net(lib, weights())
        trainer = Trainer(model, MAKE[name](), seed=2)
        for epochs in parts:
            trainer.fit(lib.array(x), lib.array(t), epochs, 5, 1.0, 2, report=Report())
        assert trainer.current_epoch == 5
        assert [r["epoch"] for r in trainer.history] == [1, 2, 3, 4, 5]
        runs.append((bits(lib, model.params), trainer.loss_list, [r["loss"] for r in trainer.history]))
    assert runs[0] == runs[1]


def test_validation_after_each_epoch(lib):
    x, t = toy(n=60)
    model = net(lib, weights())
    trainer = Trainer(model, Adam(lr=0.1))
    trainer.fit(
        lib.array(x), lib.array(t), 8, 10, eval_interval=None, validation=(lib.array(x[:30]), lib.array(t[:30]))
    )
    last = trainer.history[-1]
    assert (last["val_loss"], last["val_accuracy"]) == model.evaluate(lib.array(x[:30]), lib.array(t[:30]))
    assert trainer.history[0]["val_loss"] > last["val_loss"]
    assert last["val_accuracy"] > 0.9


def test_on_epoch_can_stop_the_run_and_change_the_learning_rate(lib):
    x, t = toy()
    seen = []

    def halve(trainer, record):
        seen.append(record)
        trainer.optimizer.lr /= 2
        if record["epoch"] == 3:
            trainer.stop()

    model = net(lib, weights())
    trainer = Trainer(model, SGD(lr=0.4))
    trainer.fit(lib.array(x), lib.array(t), max_epoch=9, batch_size=24, eval_interval=None, on_epoch=halve)
    assert trainer.current_epoch == 3
    assert seen == trainer.history
    assert [r["lr"] for r in seen] == [0.4, 0.2, 0.1]
    by_hand = [a.copy() for a in weights()]
    for lr in (0.4, 0.2, 0.1):
        by_hand = [p - lr * g for p, g in zip(by_hand, two_layers(x, t, *by_hand)[1], strict=True)]
    for p, want in zip(model.params, by_hand, strict=True):
        assert gap(lib.numpy(p), want) < 1e-12
    trainer.fit(lib.array(x), lib.array(t), max_epoch=2, eval_interval=None)  # a stop is for one call
    assert trainer.current_epoch == 5


def test_no_epochs_change_nothing(lib):
    x, t = toy()
    model = net(lib, weights())
    Trainer(model, SGD()).fit(lib.array(x), lib.array(t), max_epoch=0)
    assert bits(lib, model.params) == [a.tobytes() for a in weights()]
