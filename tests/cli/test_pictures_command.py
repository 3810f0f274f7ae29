"""``xpgraph draw RUN`` and ``xpgraph explain RUN``: what they write and refuse."""

import json

import numpy as np
import pytest
from commands import run

from xpgraph import datasets, load
from xpgraph.cli.app import main


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with a run in its folder ``a``."""
    home = tmp_path_factory.mktemp("runs")
    words = ["--epochs", "1", "--hidden", "4", "--backend", "numpy", "--optimizer", "momentum", "--quiet"]
    assert main(["train", *words, "--out", str(home / "a")]) == 0
    return home


@pytest.fixture(autouse=True)
def in_the_folder_of_runs(runs, monkeypatch, in_an_empty_folder):
    monkeypatch.chdir(runs)


def loss_of(row):
    model, _ = load("a")
    data = datasets.load("digits", seed=0, dtype="float32")
    return float(model.forward(data.x_test[row : row + 1], data.t_test[row : row + 1]))


def test_draw_writes_the_picture_of_a_row(capsys, runs, tmp_path):
    assert run(capsys, "draw", "a") == (0, ["wrote net.svg"], [])
    text = (runs / "net.svg").read_text("utf-8")
    assert f">{loss_of(0):.4g}<" in text
    assert "a, row 0 of the test data" in text
    assert run(capsys, "draw", "a", "-o", str(tmp_path / "deep/net.dot"), "--sample", "3")[0] == 0
    assert (tmp_path / "deep/net.dot").read_text("utf-8").startswith("digraph")


def test_explain_writes_the_page_of_a_row_with_the_runs_optimizer(capsys, runs):
    (runs / "step.html").write_text("an older page")
    assert run(capsys, "explain", "a", "--sample", "359") == (0, ["wrote step.html"], [])
    text = (runs / "step.html").read_text("utf-8")
    assert f">{loss_of(359):.4g}<" in text
    assert "Momentum(lr=0.1, momentum=0.9)" in text
    weights = (runs / "a/model.safetensors").read_bytes()
    run(capsys, "explain", "a")
    assert (runs / "a/model.safetensors").read_bytes() == weights


@pytest.mark.parametrize("command", ["draw", "explain"])
def test_mistakes_are_one_line(capsys, runs, tmp_path, command):
    who = f"xpgraph {command}: "
    assert run(capsys, command, "nope")[::2] == (
        6, [f"{who}there is no nope; give the folder of a run, such as runs/<date-time>-digits."]
    )  # fmt: skip
    assert run(capsys, command, "a", "--sample", "360")[::2] == (
        6, [f"{who}--sample is 360, and a has 360 test rows; give a row from 0 to 359."]
    )  # fmt: skip
    assert run(capsys, command, "a", "-o", str(tmp_path))[::2] == (
        5, [f"{who}--out {tmp_path}: it is a folder; name a file in it."]
    )  # fmt: skip
    code, _, err = run(capsys, command, "a", "-o", "net.pdf")
    assert code == 2
    assert "'net.pdf' ends in .pdf; name a file that ends in ." in err[0]
    code, _, err = run(capsys, command, "a", "--sample", "-1")
    assert code == 2
    assert len(err) == 1
    (tmp_path / "model.safetensors").write_bytes((runs / "a/model.safetensors").read_bytes())
    code, _, err = run(capsys, command, str(tmp_path / "model.safetensors"))
    assert code == 6
    assert "has no configuration beside it" in err[0]
    assert not (runs / "net.pdf").exists()


def test_own_data_is_read_again(capsys, runs, tmp_path):
    r = np.random.default_rng(0)
    np.savez(tmp_path / "own.npz", x=r.normal(size=(20, 3)), t=r.integers(0, 2, 20))
    words = ["--epochs", "1", "--hidden", "none", "--backend", "numpy", "--quiet"]
    assert run(capsys, "train", *words, "--data", str(tmp_path / "own.npz"), "--out", str(tmp_path / "b"))[0] == 0
    out = tmp_path / "own.html"
    assert run(capsys, "explain", str(tmp_path / "b"), "-o", str(out))[0] == 0
    assert json.loads((tmp_path / "b/config.json").read_text("utf-8"))["data"]["test_rows"] == 4
    assert "SoftmaxWithLoss" in out.read_text("utf-8")
