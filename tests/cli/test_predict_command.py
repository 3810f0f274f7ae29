"""``xpgraph predict``: which rows it takes, what it writes, what it refuses."""

import csv
import json
import os

import numpy as np
import pytest
from commands import run

from xpgraph import load


def test_predict_writes_a_line_for_each_row(capsys, tmp_path, a_run):
    code, out, _ = run(capsys, "predict", "a")
    assert code == 0
    config = json.loads((tmp_path / "a/config.json").read_text("utf-8"))
    assert out[-1] == f"test accuracy {config['result']['test_accuracy']:.4f}"  # the rows that the run tested
    with (tmp_path / "a/predictions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 360
    assert sum(row["class"] == row["label"] for row in rows) / 360 == pytest.approx(config["result"]["test_accuracy"])


def test_predict_takes_rows_without_labels(capsys, tmp_path, a_run):
    np.savez(tmp_path / "new.npz", x=np.arange(128, dtype=np.uint8).reshape(2, 64) % 17)
    code, out, _ = run(capsys, "predict", "a", "--data", "new.npz", "--out", "deep/new.csv")
    assert code == 0
    assert out == [f"wrote deep{os.sep}new.csv"]
    lines = (tmp_path / "deep/new.csv").read_text("utf-8").splitlines()
    assert lines[0] == "row,class,probability"
    model, _ = load("a")
    y = model.predict((np.arange(128).reshape(2, 64) % 17).astype("f4") / 16)  # scaled as the run's data was
    assert [int(line.split(",")[1]) for line in lines[1:]] == y.argmax(axis=1).tolist()


def test_predict_refuses_rows_of_another_width(capsys, tmp_path, a_run):
    np.savez(tmp_path / "new.npz", x=np.zeros((2, 63)))
    code, _, err = run(capsys, "predict", "a", "--data", "new.npz")
    assert code == 6
    assert err == [
        "xpgraph predict: the rows have 63 columns but the model of a takes 64; give rows like those it was trained on."
    ]


def write_random(path, **more):
    """Random labels, which cannot be learned: only rows that were trained on have a high accuracy."""
    rng = np.random.default_rng(0)
    np.savez(path, x=rng.normal(size=(100, 4)), t=rng.integers(0, 2, 100), **more)


@pytest.mark.parametrize("held_out", [False, True])
def test_predict_takes_the_test_rows_of_own_data(capsys, tmp_path, monkeypatch, held_out):
    rng = np.random.default_rng(1)
    more = {"x_test": rng.normal(size=(20, 4)), "t_test": rng.integers(0, 2, 20)} if held_out else {}
    write_random(tmp_path / "u.npz", **more)
    _, trained, _ = run(
        capsys, "train", "--data", "u.npz", "--out", "u", "--quiet", "--backend", "numpy", "--seed", "2"
    )
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")  # the run has the absolute path of its data
    for what in ("u", "u/model.safetensors"):
        code, out, _ = run(capsys, "predict", str(tmp_path / what))
        assert code == 0
        assert out[-1] == trained[-1]
    assert len((tmp_path / "u/predictions.csv").read_text("utf-8").splitlines()) == 21
    _, out, _ = run(capsys, "predict", str(tmp_path / "u"), "--data", str(tmp_path / "u.npz"))
    assert out[-1].startswith("accuracy ")  # of all rows, so not "test accuracy"


def test_a_model_without_configuration_needs_data(capsys, tmp_path, a_run):
    (tmp_path / "a/config.json").unlink()
    code, _, err = run(capsys, "predict", "a")
    assert code == 6
    assert err == ["xpgraph predict: a has no configuration beside it, so its test rows are unknown; give --data."]
