"""``xpgraph train --validation``: rows set aside by the seed, and what a run then says of them and of the test rows."""

import csv
import json

import numpy as np
import pytest
from commands import SPIRAL, cut_off, run

from xpgraph import Chain, datasets, load
from xpgraph.arrays.random_numbers import permutation
from xpgraph.cli.choices import Choices
from xpgraph.cli.validation import split_validation
from xpgraph.errors import DataError

OPTIONS = ["--validation", "0.1", "--patience", "50", "--keep-best", "--schedule", "step", "--warmup", "5"]


def rows(n, labels="classes"):
    """Training rows that say in x which row they are, and in t too; two test rows."""
    x = np.arange(n, dtype=np.float32)[:, None]
    if labels == "classes":
        t = np.arange(n) % 3
    elif labels == "one-hot":
        t = np.eye(3, dtype=np.float32)[np.arange(n) % 3]
    else:
        t = np.stack([x[:, 0] / n, 1 - x[:, 0] / n, 0 * x[:, 0]], axis=1)
    return datasets.Dataset("own", x, t, x[:2], t[:2], 1.0, 3, "a test")


@pytest.mark.parametrize("labels", ["classes", "one-hot", "probabilities"])
@pytest.mark.parametrize(("n", "fraction", "count"), [(100, 0.1, 10), (10, 0.25, 2), (2, 0.5, 1), (7, 0.9, 6)])
def test_each_training_row_is_on_one_side_with_its_label(labels, n, fraction, count):
    data = rows(n, labels)
    train, (x, t) = split_validation(data, fraction, seed=0)
    assert (len(x), len(train.x)) == (count, n - count)
    assert sorted([*x[:, 0], *train.x[:, 0]]) == list(range(n))
    for side, of in ((x, t), (train.x, train.t)):
        assert (
            np.array_equal(of, data.t[side[:, 0].astype(int)]) and of.dtype == data.t.dtype and side.dtype == np.float32
        )
    assert train.x_test is data.x_test and train.t_test is data.t_test and len(data.x) == n


def test_the_seed_alone_decides():
    first, again, other = (split_validation(rows(100), 0.2, seed)[1][0] for seed in (3, 3, 4))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    data = rows(100)
    assert split_validation(data, None, 3) == (data, None)


def test_validation_rows_are_another_draw_than_the_test_rows():
    """Of as many rows as digits has, the last 360 of the draw for the test are not those for the validation."""
    test = permutation(1797, 0, "split")[-360:]
    x = split_validation(rows(1797), 360 / 1797, 0)[1][0][:, 0].astype(int)
    assert len(x) == 360 and len({*x} & {*test}) < 120  # 72 are expected of two draws that have nothing in common


@pytest.mark.parametrize(("n", "fraction", "count"), [(4, 0.1, 0), (1, 0.5, 0), (1, 0.9, 1), (3, 0.9, 3), (10, 7, 70)])
def test_too_few_rows_are_refused(n, fraction, count):
    with pytest.raises(DataError, match=rf"--validation {fraction} of {n} training rows is {count} rows; at least one"):
        split_validation(rows(n), fraction, 0)


def test_too_few_rows_leave_no_folder(capsys, tmp_path):
    np.savez(tmp_path / "own.npz", x=np.zeros((5, 2)), t=np.arange(5) % 2)
    code, _, err = run(capsys, "train", "--data", "own.npz", "--validation", "0.1", "--out", "r")
    assert code == 6 and err[-1].startswith("xpgraph train: --validation 0.1 of 4 training rows is 0 rows; ")
    assert [path.name for path in tmp_path.iterdir()] == ["own.npz"]


def test_epochs_show_the_validation_rows_and_the_end_the_test_rows(capsys, monkeypatch, tmp_path):
    """The test rows are read once, after training; the history and the lines are of the validation rows."""
    data = datasets.load("spiral", seed=2)
    train, (x, t) = split_validation(data, 0.1, 2)
    sizes, evaluate = [], Chain.evaluate

    def counted(self, x, *rest, **options):
        sizes.append(len(x))
        return evaluate(self, x, *rest, **options)

    monkeypatch.setattr(Chain, "evaluate", counted)
    code, out, _ = run(capsys, *SPIRAL, "--seed", "2", "--validation", "0.1", "--out", "r")
    assert code == 0 and sizes == [30] * 6 + [300]
    lines = [line for line in out if " done " in line]
    assert len(lines) == 6 and all("validation accuracy" in line and "test" not in line for line in lines)
    with (tmp_path / "r/history.csv").open(encoding="utf-8") as file:
        history = list(csv.DictReader(file))
    config = json.loads((tmp_path / "r/config.json").read_text("utf-8"))
    assert (config["data"]["rows"], config["data"]["validation_rows"], config["data"]["test_rows"]) == (270, 30, 300)
    model, _ = load("r")
    result = model.evaluate(x, t)
    assert float(history[-1]["val_loss"]) == pytest.approx(result.loss)
    assert float(history[-1]["val_accuracy"]) == result.accuracy and len(train.x) == int(history[-1]["samples"])
    assert config["result"]["test_accuracy"] == model.evaluate(data.x_test, data.t_test).accuracy


def test_options_are_recorded_and_compared_when_a_run_is_resumed(capsys, tmp_path):
    assert run(capsys, *SPIRAL, *OPTIONS, "--out", "straight")[0] == 0
    cut_off(capsys, 37, *SPIRAL, *OPTIONS, "--checkpoint-every", "8", "--out", "r")
    path = tmp_path / "r/config.json"
    text = path.read_text("utf-8")
    recorded = json.loads(text)["choices"]
    assert recorded["validation"] == 0.1 and recorded["patience"] == 50 and recorded["keep_best"] is True
    assert (recorded["schedule"], recorded["schedule_step"], recorded["schedule_factor"]) == ("step", 2, 0.1)
    assert recorded["warmup"] == 5
    edits = {"validation": 0.2, "patience": None, "keep_best": False, "schedule_step": 3, "schedule_factor": 0.5}
    for name, value in (edits | {"warmup": 6}).items():
        config = json.loads(text)
        config["choices"][name] = value
        path.write_text(json.dumps(config), "utf-8")
        code, _, err = run(capsys, "train", "--resume", "r")
        assert code == 6 and f"config.json has {name} {value}, its checkpoint was made with {recorded[name]}" in err[-1]
    path.write_text(text, "utf-8")
    code, _, err = run(capsys, "train", "--resume", "r", "--patience", "3")
    assert code == 2 and "--resume takes --patience from the run; leave it out." in err[-1]
    assert run(capsys, "train", "--resume", "r")[0] == 0
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("r", "straight")]
    assert weights[0] == weights[1]


@pytest.mark.parametrize(("schedule", "code"), [("step", 0), ("cosine", 6)])
def test_epochs_may_be_edited_unless_the_schedule_depends_on_them(capsys, tmp_path, schedule, code):
    cut_off(capsys, 37, *SPIRAL, "--schedule", schedule, "--out", "r")
    path = tmp_path / "r/config.json"
    path.write_text(path.read_text("utf-8").replace('"epochs": 6', '"epochs": 7'), "utf-8")
    assert run(capsys, "train", "--resume", "r")[0] == code


def test_a_run_from_before_there_were_these_options_resumes(capsys, monkeypatch, tmp_path):
    """Its config.json and its checkpoint lack them; one that is added by hand is refused."""
    old = [name for name in vars(Choices()) if name not in ("validation", "patience", "keep_best", "warmup")]
    old = [name for name in old if not name.startswith("schedule")]
    with monkeypatch.context() as patch:
        asdict = lambda choices: {name: getattr(choices, name) for name in old}  # noqa: E731
        patch.setattr("xpgraph.cli.training_run.asdict", asdict)
        cut_off(capsys, 37, *SPIRAL, "--out", "r")
    path = tmp_path / "r/config.json"
    text = path.read_text("utf-8")
    config = json.loads(text)
    assert "validation" not in config["choices"]
    config["choices"]["validation"] = 0.1
    path.write_text(json.dumps(config), "utf-8")
    code, _, err = run(capsys, "train", "--resume", "r")
    assert code == 6 and "config.json has validation 0.1, its checkpoint was made with None" in err[-1]
    path.write_text(text, "utf-8")
    assert run(capsys, "train", "--resume", "r")[0] == 0
