"""Training and predicting on .csv files: names of classes, columns and scales."""

import csv
import json
import os
from pathlib import Path

import numpy as np
from commands import run

COLOURS = ("red", "green")


def write(path, labels=True):
    """Two columns with mean 1000 and standard deviation 100; the sign of the sum of their deviations is the colour."""
    random = np.random.default_rng(0)
    with Path(path).open("w", encoding="utf-8") as file:
        print(*["colour"] * labels, "a", "b", sep=",", file=file)
        for x in random.standard_normal((200, 2)):
            print(*[COLOURS[int(x.sum() > 0)]] * labels, *(100 * x + 1000), sep=",", file=file)


def test_predictions_have_class_names_and_later_rows_are_scaled_as_in_training(capsys, tmp_path):
    write("my.csv")
    write("later.csv", labels=False)
    code, out, _ = run(capsys, "train", "--data", "my.csv", "--label", "colour", "--epochs", "10", "--out", "a")
    assert code == 0 and float(out[-1].split()[-1]) > 0.9
    config = json.loads((tmp_path / "a/config.json").read_text("utf-8"))
    assert config["choices"]["data"] == os.fspath(tmp_path / "my.csv") and config["choices"]["label"] == "colour"
    assert sorted(config["data"]["csv"]["classes"]) == sorted(COLOURS)

    code, out, _ = run(capsys, "predict", "a")
    assert code == 0 and out[-1] == f"test accuracy {config['result']['test_accuracy']:.4f}"
    with (tmp_path / "a/predictions.csv").open(encoding="utf-8") as file:
        assert {row["class"] for row in csv.DictReader(file)} == set(COLOURS)

    code, out, _ = run(capsys, "predict", "a", "--data", "later.csv", "--out", "later/p.csv")
    assert code == 0 and out == [f"wrote later{os.sep}p.csv"]
    with (tmp_path / "later/p.csv").open(encoding="utf-8") as file:
        predicted = [row["class"] for row in csv.DictReader(file)]
    with Path("my.csv").open(encoding="utf-8") as file:
        true = [row["colour"] for row in csv.DictReader(file)]
    assert np.mean([a == b for a, b in zip(predicted, true, strict=True)]) > 0.9

    assert run(capsys, "draw", "a")[0] == 0 and (tmp_path / "net.svg").is_file()


def test_an_unknown_label_column_and_a_csv_for_another_run_are_refused(capsys):
    write("my.csv")
    code, _, err = run(capsys, "train", "--data", "my.csv", "--label", "size")
    assert code != 0 and "size" in err[-1] and "Traceback" not in " ".join(err)
    run(capsys, "train", "--data", "spiral", "--epochs", "1", "--out", "s")
    code, _, err = run(capsys, "predict", "s", "--data", "my.csv")
    assert code != 0 and "csv" in err[-1]
