"""``xpgraph train --schedule``, ``--warmup``, ``--patience``, ``--keep-best``: what they make, print and write down."""

from __future__ import annotations

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest
from commands import run
from cutting import Cut, cut_at

from xpgraph import EarlyStopping, KeepBest, Plateau, Schedule, datasets, load, schedules
from xpgraph.cli.app import main
from xpgraph.cli.callbacks import callbacks_of, selected
from xpgraph.cli.choices import Choices
from xpgraph.cli.validation import split_validation

SPIRAL = ["train", "--data", "spiral", "--backend", "numpy", "--validation", "0.1"]  # 270 rows, batches of 30: 9 steps


def made(steps_per_epoch=9, **choices):
    return callbacks_of(Choices(data="spiral", **choices).with_defaults(), steps_per_epoch)


def factors(schedule, count):
    return [schedule.function(i) for i in range(count)]


def test_without_an_option_there_is_no_callback():
    assert made() == [] and made(schedule="cosine", patience=3, keep_best=True, epochs=0) == []


@pytest.mark.parametrize(
    ("choices", "by", "function"),
    [
        ({"schedule": "cosine"}, "step", schedules.cosine(6 * 9)),
        ({"schedule": "step"}, "epoch", schedules.step(2, 0.1)),
        ({"schedule": "step", "schedule_step": 3, "schedule_factor": 0.5}, "epoch", schedules.step(3, 0.5)),
        ({"warmup": 5}, "step", schedules.warmup(5)),
        ({"warmup": 5, "schedule": "cosine"}, "step", schedules.warmup(5, schedules.cosine(6 * 9 - 5))),
        ({"warmup": 5, "schedule": "step"}, "step", schedules.warmup(5, schedules.step(2 * 9, 0.1))),
    ],
)
def test_schedules(choices, by, function):
    (schedule,) = made(epochs=6, **choices)
    assert isinstance(schedule, Schedule) and schedule.by == by
    assert factors(schedule, 80) == [function(i) for i in range(80)]


def test_plateau_early_stopping_and_the_best_weights():
    plateau, stopping, keep = made(schedule="plateau", patience=4, keep_best=True, validation=0.1)
    assert isinstance(plateau, Plateau) and (plateau.patience, plateau.factor, plateau.monitor.name) == (
        5,
        0.1,
        "val_loss",
    )
    assert isinstance(stopping, EarlyStopping) and (stopping.patience, stopping.monitor.name) == (4, "val_loss")
    assert isinstance(keep, KeepBest) and keep.monitor.name == "val_loss"
    (plateau,) = made(schedule="plateau", schedule_step=2, schedule_factor=0.3, validation=0.1)
    assert (plateau.patience, plateau.factor) == (2, 0.3)


def test_a_warmup_must_end_before_the_training_does():
    assert factors(made(warmup=30, epochs=6, steps_per_epoch=6)[0], 40) == factors(
        Schedule(schedules.warmup(30), "step"), 40
    )
    with pytest.raises(ValueError, match="--warmup is 30 steps, and the training makes 30; give fewer steps"):
        made(warmup=30, epochs=6, steps_per_epoch=5)
    assert made(warmup=30, epochs=0, steps_per_epoch=5) == []


def read(folder):
    with (folder / "history.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file)), json.loads((folder / "config.json").read_text("utf-8"))


@pytest.mark.parametrize("keep", [True, False])
def test_a_run_stops_early_and_keeps_its_best_weights(capsys, tmp_path, keep):
    """The lines say why, and whose weights; config.json has it; the model is that of the epoch."""
    options = ["--epochs", "60", "--patience", "2", "--lr", "0.3", "--seed", "1", *(["--keep-best"] if keep else [])]
    code, out, _ = run(capsys, *SPIRAL, *options, "--out", "r")
    history, config = read(tmp_path / "r")
    losses = [float(row["val_loss"]) for row in history]
    best = int(np.argmin(losses)) + 1
    assert code == 0 and len(losses) < 60 and len(losses) == best + 2
    reason = f"val_loss has not been lower than in epoch {best} ({losses[best - 1]:.4g}) for 2 epochs"
    said = [f"stopped after epoch {best + 2}: {reason}"]
    said += [f"the weights of epoch {best} are kept: val_loss {losses[best - 1]:.4g}"] if keep else []
    assert out[-1 - len(said) : -1] == said and out[-1].startswith("test accuracy 0.")
    assert config["result"]["stopped"] == reason and config["result"]["epochs"] == best + 2
    assert config["result"]["kept_epoch"] == (best if keep else None)
    model, _ = load("r")
    data = datasets.load("spiral", seed=1)
    _, (x, t) = split_validation(data, 0.1, 1)
    assert model.evaluate(x, t).loss == pytest.approx(losses[(best if keep else best + 2) - 1], rel=1e-6)
    assert config["result"]["test_accuracy"] == model.evaluate(data.x_test, data.t_test).accuracy


def test_a_run_to_its_last_epoch_says_nothing_of_stopping(capsys, tmp_path):
    code, out, _ = run(capsys, *SPIRAL, "--epochs", "3", "--patience", "9", "--out", "r")
    assert code == 0 and not any("stopped" in line or "kept" in line for line in out)
    assert {"stopped": None, "kept_epoch": None}.items() <= read(tmp_path / "r")[1]["result"].items()
    code, out, _ = run(capsys, *SPIRAL, "--epochs", "3", "--patience", "1", "--keep-best", "--quiet", "--out", "q")
    assert code == 0 and len(out) == 1


@pytest.mark.parametrize(
    ("options", "rates"),
    [
        (["--schedule", "step", "--schedule-step", "2", "--schedule-factor", "0.5"], [1, 1, 0.5, 0.5, 0.25, 0.25]),
        (["--schedule", "cosine"], [0.5 * (1 + np.cos(np.pi * (9 * e - 1) / 54)) for e in range(1, 7)]),
        (["--warmup", "12"], [9 / 12, 1, 1, 1, 1, 1]),
        (["--warmup", "9", "--schedule", "step", "--schedule-step", "2"], [1, 1, 1, 0.1, 0.1, 0.01]),
    ],
)
def test_the_history_has_the_rates(capsys, tmp_path, options, rates):
    assert run(capsys, *SPIRAL, "--epochs", "6", "--lr", "0.2", *options, "--out", "r")[0] == 0
    found = [float(row["lr"]) / 0.2 for row in read(tmp_path / "r")[0]]
    assert found == pytest.approx(rates, rel=1e-12)


def test_a_plateau_is_told_and_lowers_the_rate(capsys, tmp_path):
    options = ["--epochs", "40", "--lr", "0.3", "--seed", "1", "--schedule", "plateau", "--schedule-step", "2"]
    code, out, _ = run(capsys, *SPIRAL, *options, "--out", "r")
    told = [line for line in out if line.endswith("the learning rate is 0.03 from here on")]
    rates = [float(row["lr"]) for row in read(tmp_path / "r")[0]]
    assert code == 0 and len(told) == 1 and told[0].startswith("val_loss has not been lower than in epoch ")
    assert rates[0] == 0.3 and min(rates) <= 0.03


def test_a_run_that_was_cut_off_after_its_training_still_says_whose_weights_it_has(capsys, monkeypatch, tmp_path):
    """It is resumed with nothing left to train: the reason and the epoch come from the checkpoint."""
    options = ["--epochs", "60", "--patience", "2", "--lr", "0.3", "--seed", "1", "--keep-best"]
    assert run(capsys, *SPIRAL, *options, "--out", "straight")[0] == 0
    with monkeypatch.context() as patch, pytest.raises(Cut):

        def cut(self, path):
            raise Cut

        patch.setattr("xpgraph.graph.chain.Chain.save", cut)
        main([*SPIRAL, *options, "--out", "r"])
    assert "result" not in read(tmp_path / "r")[1]
    assert run(capsys, "train", "--resume", "r")[0] == 0
    assert read(tmp_path / "r")[1]["result"] == read(tmp_path / "straight")[1]["result"]
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("r", "straight")]
    assert weights[0] == weights[1]


@pytest.mark.parametrize(
    "options",
    [
        ["--schedule", "cosine", "--warmup", "5", "--patience", "2", "--keep-best"],
        ["--schedule", "plateau", "--schedule-step", "1", "--schedule-factor", "0.5", "--patience", "3", "--keep-best"],
    ],
)
def test_a_run_that_is_cut_off_anywhere_ends_with_the_same_bits(capsys, monkeypatch, tmp_path, options):
    options = [*SPIRAL, "--epochs", "6", "--lr", "0.3", "--seed", "1", *options, "--checkpoint-every", "4"]
    assert run(capsys, *options, "--out", "straight")[0] == 0
    result, whole = read(tmp_path / "straight")[1]["result"], (tmp_path / "straight/model.safetensors").read_bytes()
    for step in (3, 9, 17, 18):
        with monkeypatch.context() as patch, pytest.raises(Cut):
            cut_at(patch, step)
            main([*options, "--out", str(step)])
        assert run(capsys, "train", "--resume", str(step))[0] == 0
        assert (tmp_path / str(step) / "model.safetensors").read_bytes() == whole
        assert read(tmp_path / str(step))[1]["result"] == result


def test_digits_end_to_end(capsys, tmp_path):
    """The command of docs/training.md."""
    options = ["--validation", "0.1", "--patience", "5", "--keep-best", "--schedule", "cosine", "--warmup", "50"]
    code, out, _ = run(capsys, "train", "--data", "digits", "--backend", "numpy", *options, "--out", "r")
    config = read(tmp_path / "r")[1]
    kept, chosen = config["result"]["kept_epoch"], config["choices"]
    assert code == 0 and float(out[-1].removeprefix("test accuracy ")) > 0.95
    assert (chosen["patience"], chosen["keep_best"], chosen["schedule"], chosen["warmup"]) == (5, True, "cosine", 50)
    assert config["result"]["epochs"] == kept + 5 < 30 and f"the weights of epoch {kept} are kept" in out[-2]
    assert f"stopped after epoch {kept + 5}: " in out[-3]


def test_seeds_each_have_callbacks_of_their_own(capsys, tmp_path):
    options = ["--epochs", "30", "--patience", "2", "--keep-best", "--lr", "0.3", "--seeds", "2"]
    assert run(capsys, *SPIRAL, *options, "--out", "r")[0] == 0
    for seed in (0, 1):
        assert run(capsys, *SPIRAL, *options[:-2], "--seed", str(seed), "--out", f"alone-{seed}")[0] == 0
        results = [read(tmp_path / name)[1]["result"] for name in (f"r/seed-{seed}", f"alone-{seed}")]
        assert results[0] == results[1] and results[0]["kept_epoch"] is not None


def test_what_is_selected_is_none_where_nothing_was():
    """A reason to stop after the last epoch has not stopped anything."""
    for epoch, reason, stopped in ((3, None, None), (3, "x", "x"), (6, "x", None)):
        state = SimpleNamespace(stop_reason=reason, epoch=epoch, last_epoch=6)
        for callbacks in ([EarlyStopping(2)], [KeepBest()]):
            assert selected(callbacks, state) == {"stopped": stopped, "kept_epoch": None}
