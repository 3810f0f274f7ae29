"""The command line as a user meets it: last line, run folder, exit codes, one line on stderr."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from commands import run

for needed in ("click", "rich", "safetensors", "matplotlib"):
    pytest.importorskip(needed, reason=f"the command line needs {needed}")

from xpgraph import load  # noqa: E402
from xpgraph.arrays.installed import Usable, usable  # noqa: E402
from xpgraph.cli.choices import DEFAULTS, LR, Choices  # noqa: E402
from xpgraph.cli.run_folder import new_folder  # noqa: E402
from xpgraph.datasets.loading import NAMES  # noqa: E402
from xpgraph.errors import Error  # noqa: E402
from xpgraph.training.optimizers import OPTIMIZERS  # noqa: E402

QUICK = ["--epochs", "2", "--hidden", "8", "--backend", "numpy"]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_train_needs_no_option(capsys, tmp_path):
    code, out, err = run(capsys, "train", "--epochs", "3")
    assert (code, err) == (0, [])
    assert re.fullmatch(r"test accuracy [01]\.\d{4}", out[-1])
    assert out[0].startswith("backend ")
    assert out[0].split()[2] == "(auto):"
    (folder,) = (tmp_path / "runs").iterdir()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d-digits", folder.name)
    assert f"run folder runs{os.sep}{folder.name}" in out
    names = [p.name for p in folder.iterdir() if not re.fullmatch(r"checkpoint-\d{6}\.safetensors", p.name)]
    assert sorted(names) == [".lock", "config.json", "history.csv", "loss.png", "model.safetensors"]
    assert (folder / "loss.png").read_bytes()[:4] == b"\x89PNG"


def test_piped_output_is_the_chapters_lines(capsys):
    _, out, _ = run(capsys, "train", *QUICK)
    steps = [line for line in out if "iter" in line]
    assert len(steps) == 2 * 3  # 45 iterations an epoch: 1, 21, 41
    assert re.fullmatch(r"\| epoch 1 \|  iter 21 / 45 \| time \d+\[s\] \| loss \d+\.\d\d", steps[1])


def test_quiet_prints_the_last_line_only(capsys):
    code, out, err = run(capsys, "train", "--quiet", *QUICK)
    assert code == 0
    assert len(out) == 1
    assert out[0].startswith("test accuracy ")
    assert err == []


def test_config_and_history_say_what_was_run(capsys, tmp_path):
    run(capsys, "train", *QUICK, "--seed", "3", "--optimizer", "momentum", "--out", "a/b/c")
    config = json.loads((tmp_path / "a/b/c/config.json").read_text("utf-8"))
    assert config["choices"]["seed"] == 3
    assert config["choices"]["lr"] == LR["momentum"]  # what followed from the data is written down too
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


def test_a_run_folder_is_never_overwritten(capsys, tmp_path):
    run(capsys, "train", *QUICK, "--out", "a")
    before = (tmp_path / "a/model.safetensors").read_bytes()
    code, _, err = run(capsys, "train", *QUICK, "--seed", "1", "--out", "a")
    assert code == 2
    assert len(err) == 1
    assert "choose another" in err[0]
    assert (tmp_path / "a/model.safetensors").read_bytes() == before


def test_two_runs_in_one_second_get_two_folders(monkeypatch):
    monkeypatch.setattr("time.strftime", lambda form: "2000-01-01_00-00-00")
    assert [new_folder(None, "digits").name for _ in range(2)] == [
        "2000-01-01_00-00-00-digits",
        "2000-01-01_00-00-00-digits-2",
    ]
    (new_folder("x", "digits") / "file").touch()
    with pytest.raises(Error, match="not an empty folder"):
        new_folder("x", "digits")


def test_predict_writes_a_line_for_each_row(capsys, tmp_path):
    run(capsys, "train", *QUICK, "--out", "a")
    code, out, _ = run(capsys, "predict", "a")
    assert code == 0
    config = json.loads((tmp_path / "a/config.json").read_text("utf-8"))
    assert out[-1] == f"test accuracy {config['result']['test_accuracy']:.4f}"  # the very rows that were held out
    with (tmp_path / "a/predictions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 360
    assert sum(row["class"] == row["label"] for row in rows) / 360 == pytest.approx(config["result"]["test_accuracy"])


def test_predict_takes_rows_without_labels(capsys, tmp_path):
    run(capsys, "train", *QUICK, "--out", "a")
    np.savez(tmp_path / "new.npz", x=np.arange(128, dtype=np.uint8).reshape(2, 64) % 17)
    code, out, _ = run(capsys, "predict", "a", "--data", "new.npz", "--out", "deep/new.csv")
    assert code == 0
    assert out == [f"wrote deep{os.sep}new.csv"]
    lines = (tmp_path / "deep/new.csv").read_text("utf-8").splitlines()
    assert lines[0] == "row,class,probability"
    model, _ = load("a")
    y = model.predict((np.arange(128).reshape(2, 64) % 17).astype("f4") / 16)  # scaled as the run's data was
    assert [int(line.split(",")[1]) for line in lines[1:]] == y.argmax(axis=1).tolist()


def test_predict_refuses_rows_of_another_width(capsys, tmp_path):
    run(capsys, "train", *QUICK, "--out", "a")
    np.savez(tmp_path / "new.npz", x=np.zeros((2, 63)))
    code, _, err = run(capsys, "predict", "a", "--data", "new.npz")
    assert code == 6
    assert err == [
        "xpgraph predict: the rows have 63 columns but the model of a takes 64; give rows like those it was trained on."
    ]


def hard(path, **more):
    """Data that cannot be learned, so that rows which were trained on stand out."""
    rng = np.random.default_rng(0)
    np.savez(path, x=rng.normal(size=(100, 4)), t=rng.integers(0, 2, 100), **more)


@pytest.mark.parametrize("held_out", [False, True])
def test_predict_takes_the_rows_that_were_held_out_of_own_data(capsys, tmp_path, monkeypatch, held_out):
    rng = np.random.default_rng(1)
    more = {"x_test": rng.normal(size=(20, 4)), "t_test": rng.integers(0, 2, 20)} if held_out else {}
    hard(tmp_path / "u.npz", **more)
    _, trained, _ = run(
        capsys, "train", "--data", "u.npz", "--out", "u", "--quiet", "--backend", "numpy", "--seed", "2"
    )
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")  # the run knows where its data was
    for what in ("u", "u/model.safetensors"):
        code, out, _ = run(capsys, "predict", str(tmp_path / what))
        assert code == 0
        assert out[-1] == trained[-1]
    assert len((tmp_path / "u/predictions.csv").read_text("utf-8").splitlines()) == 21
    _, out, _ = run(capsys, "predict", str(tmp_path / "u"), "--data", str(tmp_path / "u.npz"))
    assert out[-1].startswith("accuracy ")  # of all rows: nobody calls it test accuracy


def test_a_model_without_configuration_needs_data(capsys, tmp_path):
    run(capsys, "train", *QUICK, "--out", "a")
    (tmp_path / "a/config.json").unlink()
    code, _, err = run(capsys, "predict", "a")
    assert code == 6
    assert err == ["xpgraph predict: a has no configuration beside it, so its test rows are unknown; give --data."]


def test_a_data_dir_that_nobody_reads_is_refused(capsys):
    code, _, err = run(capsys, "train", *QUICK, "--data-dir", "x")
    assert code == 2
    assert "--data-dir is for mnist and fashion-mnist" in err[0]


def test_own_data_trains(capsys, tmp_path):
    rng = np.random.default_rng(0)
    t = rng.integers(0, 2, 200)
    np.savez(tmp_path / "own.npz", x=rng.normal(size=(200, 3)) + 4 * t[:, None], t=t)
    code, out, _ = run(capsys, "train", "--data", "own.npz", "--hidden", "none", "--quiet")
    assert code == 0
    assert float(out[-1].split()[-1]) > 0.9


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--backend", "nope"], 2, "backend 'nope' is unknown"),
        (["--hidden", "3,x"], 2, "--hidden is '3,x'"),
        (["--lr", "much"], 2, "not a valid float"),
        (["--lr", "nan"], 2, "lr is nan"),
        (["--epochs", "-1"], 2, "--epochs"),
        (["--nonsense"], 2, "No such option"),
        (["--data", "nope"], 6, "no data set of that name"),
        (["--data", "nope.npz"], 6, "no such file"),
        (["--data", "mnist", "--data-dir", "nowhere"], 6, "nowhere"),
        (["--optimizer", "sgd", "--lr", "1e38", "--activation", "relu"], 4, "at step"),
    ],
)
def test_errors_are_one_line_that_says_what_to_do(capsys, arguments, code, words):
    found, out, err = run(capsys, "train", *QUICK[2:], "--epochs", "2", *arguments)
    assert found == code
    assert len(err) == 1
    assert err[-1].startswith("xpgraph train: ")
    assert words in err[-1]
    assert not [line for line in out if line.startswith("test accuracy")]


def test_what_cannot_begin_leaves_no_folder(capsys, tmp_path):
    for arguments in (["--data", "nope"], ["--lr", "inf"], ["--hidden", "x"]):
        assert run(capsys, "train", *arguments)[0] in (2, 6)
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_fails_keeps_its_history(capsys, tmp_path):
    code, _, _ = run(
        capsys, "train", *QUICK, "--optimizer", "sgd", "--lr", "1e38", "--activation", "relu", "--out", "a"
    )
    assert code == 4
    assert (tmp_path / "a/history.csv").exists()
    assert not (tmp_path / "a/model.safetensors").exists()


def test_debug_shows_the_traceback(capsys):
    _, _, plain = run(capsys, "train", "--data", "nope")
    _, _, full = run(capsys, "train", "--data", "nope", "--debug")
    assert not any("Traceback" in line for line in plain)
    assert any("Traceback" in line for line in full)
    assert full[-1] == plain[-1]


@pytest.mark.parametrize("brief", ["", "is not installed, and no NVIDIA driver was found on this machine"])
def test_auto_says_why_it_took_numpy(capsys, monkeypatch, brief):
    why = "is not installed; pip install cupy-cuda13x (a driver for CUDA 13.0 was found)"
    found, lacking = usable, Usable(False, why, brief=brief)
    monkeypatch.setattr("xpgraph.cli.choices.usable", lambda name: lacking if name == "cupy" else found(name))
    _, out, _ = run(capsys, "train", "--epochs", "0")
    assert out[0] == f"backend numpy (auto): cupy {brief or why}"


@pytest.mark.parametrize(("driver", "wheel"), [(0, "cupy-cuda13x"), (12080, "cupy-cuda12x"), (13000, "cupy-cuda13x")])
def test_what_to_install_follows_the_driver(monkeypatch, driver, wheel):
    module = sys.modules["xpgraph.arrays.installed"]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(module, "driver", lambda: (driver, "words"))
    found = module.usable.__wrapped__("cupy")
    assert not found.usable
    assert f"pip install {wheel}" in found.why


def test_torch_is_a_witness(capsys):
    pytest.importorskip("torch", reason="torch is not installed")
    code, out, _ = run(capsys, "train", *QUICK[:4], "--backend", "torch")
    assert code == 0
    assert "witness, untuned" in out[0]
    assert any(line.startswith("moved x (1437, 64)") for line in out)


def test_cupy_without_a_gpu_ends_at_once_with_exit_2():
    if usable("cupy").usable:
        pytest.skip("a GPU is here")
    done = subprocess.run(
        [sys.executable, "-m", "xpgraph", "train", "--backend", "cupy"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "cupy" in done.stderr
    assert "Available here: numpy" in done.stderr


def test_info_names_every_backend_and_kernel(capsys):
    code, out, _ = run(capsys, "info", "--kernels")
    assert code == 0
    words = {line.split()[0] for line in out if line}
    assert {"numpy", "cupy", "torch", "array_api_strict", "matmul", "adam", "sigmoid"} <= words
    assert next(line for line in out if line.startswith("matmul")).split()[1:3] == ["nodes", "numpy"]


def test_info_does_not_import_the_bodies_of_a_library_that_is_not_here(capsys, monkeypatch):
    found = usable
    monkeypatch.setattr(
        sys.modules["xpgraph.arrays.libraries"],
        "usable",
        lambda name: found(name) if name == "numpy" else Usable(False, "no"),
    )
    loaded = []
    monkeypatch.setattr("xpgraph.cli.info_command.load_fast", loaded.append)
    code, _, err = run(capsys, "info", "--kernels")
    assert (code, err, loaded) == (0, [], ["numpy"])


def test_verify_says_pass_and_writes_what_it_saw(capsys, tmp_path):
    code, out, err = run(
        capsys, "verify", "--backends", "numpy", "--model", "64-8-10", "--steps", "3", "--json", "deep/v.json"
    )
    assert (code, err) == (0, [])
    assert out[-1] == "pass: the backends agree"
    data = json.loads((tmp_path / "deep/v.json").read_text("utf-8"))
    assert data["passed"] is True
    assert [found["dtype"] for found in data["certificates"]] == ["float32", "float64"]


def test_verify_goes_on_training_a_run_as_it_was_trained(capsys, tmp_path):
    run(capsys, "train", *QUICK, "--out", "a", "--max-grad", "0.5", "--batch-size", "50")
    code, out, _ = run(capsys, "verify", "--backends", "numpy", "--model", "a", "--steps", "3", "--dtype", "float32")
    assert code == 0
    assert "Adam(lr=0.01" in out[0]
    assert "gradients clipped at 0.5" in out[0]


def test_verify_fails_with_1(capsys, monkeypatch):
    monkeypatch.setattr("xpgraph.nodes.layers.Sigmoid.backward", lambda self, dy: dy)
    code, out, _ = run(
        capsys, "verify", "--backends", "numpy", "--model", "64-8-10", "--steps", "2", "--dtype", "float32"
    )
    assert code == 1
    assert out[-1] == "fail: 64-8-10 in float32"
    assert any(line.startswith("fail: step 1: 1 Sigmoid on numpy") for line in out)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--backends", ","], "--backends names none"),
        (["--backends", "nope"], "'nope' is unknown"),
        (["--lr", "1"], "--lr goes with --optimizer"),
        (["--max-grad", "1"], "--max-grad goes with"),
        (["--model", "x-y"], "--model is 'x-y'"),
    ],
)
def test_verify_refuses_what_it_would_not_do(capsys, arguments, words):
    code, _, err = run(capsys, "verify", *arguments)
    assert code == 2
    assert len(err) == 1
    assert words in err[0]


def test_defaults_cover_every_data_set_and_optimizer():
    assert set(DEFAULTS) == {*NAMES, ""}
    assert set(LR) == set(OPTIMIZERS)
    assert Choices(data="spiral").settled().hidden == "10"
    assert Choices(data="mine.npz").settled().epochs == DEFAULTS[""]["epochs"]


def test_help_and_version(capsys):
    helps = [[command, "--help"] for command in ("train", "predict", "draw", "explain", "info")]
    for arguments in (["--help"], *helps, ["--version"]):
        assert run(capsys, *arguments)[0] == 0
    code, _, err = run(capsys, "nonsense")
    assert code == 2
    assert len(err) == 1


def test_an_interrupt_is_one_line(capsys, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("xpgraph.cli.train_command.train", interrupt)
    code, _, err = run(capsys, "train")
    assert (code, err[-1]) == (130, "xpgraph train: interrupted.")


@pytest.mark.parametrize(("data", "least"), [("digits", 0.968), ("spiral", 0.93)])
def test_accuracy_over_five_seeds(capsys, data, least):
    code, out, _ = run(capsys, "train", "--data", data, "--seeds", "5", "--quiet", "--backend", "numpy")
    assert code == 0
    assert float(out[-1].split()[-1]) >= least


def test_a_linear_model_cannot_learn_the_spiral(capsys):
    _, out, _ = run(capsys, "train", "--data", "spiral", "--hidden", "none", "--quiet", "--backend", "numpy")
    assert float(out[-1].split()[-1]) < 0.7
