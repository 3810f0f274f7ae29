"""The settings of a run: defaults for each data set, options that need each other, the backend that ``auto`` takes."""

import subprocess
import sys

import pytest
from commands import run

from xpgraph.arrays.installed import Usable, usable
from xpgraph.cli.choices import DEFAULTS, LEARNING_RATES, Choices
from xpgraph.datasets.loading import NAMES
from xpgraph.training.optimizers import OPTIMIZERS


def test_defaults_cover_every_data_set_and_optimizer():
    assert set(DEFAULTS) == {*NAMES, ""}
    assert set(LEARNING_RATES) == set(OPTIMIZERS)
    assert Choices(data="spiral").with_defaults().hidden == "10"
    assert Choices(data="mine.npz").with_defaults().epochs == DEFAULTS[""]["epochs"]


@pytest.mark.parametrize("brief", ["", "is not installed, and no NVIDIA driver was found on this machine"])
def test_auto_says_why_it_took_numpy(capsys, monkeypatch, brief):
    why = "is not installed; pip install cupy-cuda13x (a driver for CUDA 13.0 was found)"
    missing = Usable(False, why, brief=brief)
    monkeypatch.setattr("xpgraph.cli.choices.usable", lambda name: missing if name == "cupy" else usable(name))
    _, out, _ = run(capsys, "train", "--epochs", "0")
    assert out[0] == f"backend numpy (auto): cupy {brief or why}"


def test_torch_is_a_witness(capsys):
    pytest.importorskip("torch", reason="torch is not installed")
    code, out, _ = run(capsys, "train", "--epochs", "2", "--hidden", "8", "--backend", "torch")
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


def test_a_data_dir_for_other_data_is_refused(capsys):
    code, _, err = run(capsys, "train", "--epochs", "2", "--data-dir", "x")
    assert code == 2
    assert "--data-dir is for mnist and fashion-mnist" in err[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--patience", "3"], "--patience needs the loss on validation rows; give --validation 0.1 too."),
        (["--keep-best"], "--keep-best needs the loss on validation rows; give --validation 0.1 too."),
        (["--schedule", "plateau"], "--schedule plateau needs the loss on validation rows; give --validation 0.1 too."),
        (["--schedule-step", "3"], "--schedule-step is for --schedule step and --schedule plateau; give one,"),
        (["--schedule", "cosine", "--schedule-factor", "0.5"], "--schedule-factor is for --schedule step and"),
        (
            ["--schedule", "plateau", "--validation", "0.1", "--warmup", "5"],
            "--warmup and --schedule plateau both set the learning rate; leave one out.",
        ),
        (["--warmup", "60", "--epochs", "6"], "--warmup is 60 steps, and the training makes 60; give fewer steps,"),
        (["--validation", "1"], "1.0 is not in the range 0<x<1"),
        (["--validation", "0"], "0.0 is not in the range 0<x<1"),
        (["--schedule-factor", "1.5"], "1.5 is not in the range 0<x<1"),
        (["--patience", "0"], "0 is not in the range x>=1"),
        (["--schedule", "linear"], "'linear' is not one of 'cosine', 'step', 'plateau'"),
    ],
)
def test_options_that_do_not_fit_are_refused_before_there_is_a_folder(capsys, tmp_path, arguments, words):
    code, out, err = run(capsys, "train", "--data", "spiral", "--backend", "numpy", *arguments)
    assert code == 2 and len(err) == 1 and words in err[0]
    assert not [line for line in out if "accuracy" in line] and not [*tmp_path.iterdir()]


def test_schedules_get_defaults_where_they_need_them():
    def of(**given):
        choices = Choices(**given).with_defaults()
        return choices.schedule_step, choices.schedule_factor

    assert of(schedule="step", epochs=7) == (2, 0.1) and of(schedule="step", epochs=0) == (1, 0.1)
    assert of(schedule="step", data="spiral") == (DEFAULTS["spiral"]["epochs"] // 3, 0.1)
    assert of(schedule="step", schedule_step=4, schedule_factor=0.5) == (4, 0.5)
    assert of(schedule="plateau", epochs=7) == (5, 0.1)
    assert of() == of(schedule="cosine") == (None, None)
