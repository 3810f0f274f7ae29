"""``xpgraph train``: its lines, its run folder, several seeds, and the accuracy that the defaults reach."""

import csv
import json
import os
import re

import numpy as np
import pytest
from commands import QUICK, run

from xpgraph.cli.choices import LEARNING_RATES


def test_train_needs_no_option(capsys, tmp_path):
    code, out, err = run(capsys, "train", "--epochs", "3")
    assert (code, err) == (0, [])
    assert re.fullmatch(r"test accuracy [01]\.\d{4}", out[-1])
    assert out[0].startswith("backend ") and out[0].split()[2] == "(auto):"
    steps = [line for line in out if "iter" in line]  # the chapter's lines
    assert len(steps) == 3 * 3  # 45 iterations an epoch: 1, 21, 41
    assert re.fullmatch(r"\| epoch 1 \|  iter 21 / 45 \| time \d+\[s\] \| loss \d+\.\d\d", steps[1])
    (folder,) = (tmp_path / "runs").iterdir()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d-digits", folder.name)
    assert f"run folder runs{os.sep}{folder.name}" in out
    names = [p.name for p in folder.iterdir() if not re.fullmatch(r"checkpoint-\d{6}\.safetensors", p.name)]
    assert sorted(names) == [".lock", "config.json", "history.csv", "loss.png", "model.safetensors"]
    assert (folder / "loss.png").read_bytes()[:4] == b"\x89PNG"


def test_config_and_history_record_the_run(capsys, tmp_path):
    run(capsys, "train", *QUICK, "--seed", "3", "--optimizer", "momentum", "--out", "a/b/c")
    config = json.loads((tmp_path / "a/b/c/config.json").read_text("utf-8"))
    assert config["choices"]["seed"] == 3
    assert config["choices"]["lr"] == LEARNING_RATES["momentum"]  # values that follow from the data are recorded too
    assert config["backend"]["name"] == "numpy"
    assert config["versions"]["numpy"] == np.__version__
    assert config["data"]["rows"] + config["data"]["test_rows"] == 1797
    with (tmp_path / "a/b/c/history.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert float(rows[-1]["test_accuracy"]) == pytest.approx(config["result"]["test_accuracy"])


def test_the_same_command_gives_the_same_bits(capsys, tmp_path):
    for out in ("one", "two"):
        run(capsys, "train", *QUICK, "--out", out)
    assert (tmp_path / "one/model.safetensors").read_bytes() == (tmp_path / "two/model.safetensors").read_bytes()


def test_seeds_print_mean_and_spread(capsys, tmp_path):
    code, out, _ = run(capsys, "train", *QUICK, "--seeds", "3", "--out", "many")
    assert code == 0
    each = [float(line.split()[-1]) for line in out if line.startswith("seed ")]
    assert len(each) == 3
    assert re.fullmatch(r"3 seeds: mean [\d.]+, standard deviation [\d.]+, from [\d.]+ to [\d.]+", out[-2])
    assert float(out[-1].removeprefix("test accuracy ")) == pytest.approx(sum(each) / 3, abs=1e-4)
    assert sorted(p.name for p in (tmp_path / "many").iterdir()) == ["config.json", "seed-0", "seed-1", "seed-2"]
    summary = json.loads((tmp_path / "many/config.json").read_text("utf-8"))
    assert summary["seeds"] == [0, 1, 2]
    assert summary["mean"] == pytest.approx(sum(each) / 3, abs=1e-4)
    code, _, err = run(capsys, "predict", "many")
    assert code == 6
    assert err == [f"xpgraph predict: many holds a run for each seed; give one of them, such as many{os.sep}seed-0."]


def test_own_data_trains_and_quiet_prints_the_last_line_only(capsys, tmp_path):
    rng = np.random.default_rng(0)
    t = rng.integers(0, 2, 200)
    np.savez(tmp_path / "own.npz", x=rng.normal(size=(200, 3)) + 4 * t[:, None], t=t)
    code, (last,), err = run(capsys, "train", "--data", "own.npz", "--hidden", "none", "--quiet")
    assert (code, err) == (0, []) and last.startswith("test accuracy ")
    assert float(last.split()[-1]) > 0.9


@pytest.mark.slow("training")
@pytest.mark.parametrize(("data", "least"), [("digits", 0.968), ("spiral", 0.93)])
def test_accuracy_over_five_seeds(capsys, data, least):
    code, out, _ = run(capsys, "train", "--data", data, "--seeds", "5", "--quiet", "--backend", "numpy")
    assert code == 0
    assert float(out[-1].split()[-1]) >= least


def test_a_linear_model_cannot_learn_the_spiral(capsys):
    _, out, _ = run(capsys, "train", "--data", "spiral", "--hidden", "none", "--quiet", "--backend", "numpy")
    assert float(out[-1].split()[-1]) < 0.7
