"""The comparison with other libraries: same losses or left out, and what it writes. Speed itself is nobody's test."""

import importlib
import json
import math
import sys
from functools import partial

import numpy as np
import pytest
from pages import ROOT, checkout

checkout("benchmarks")
sys.path.insert(0, str(ROOT))

rivals = importlib.import_module("benchmarks.rivals.__main__")
contender, runner, table, workloads = (
    importlib.import_module(f"benchmarks.rivals.{name}") for name in ("contender", "runner", "table", "workloads")
)

PLANTED = '''
import os

from benchmarks.rivals.contender import Contender
from benchmarks.rivals.with_numpy import Chapter


class Wrong(Chapter):
    """Forgets one gradient."""

    name = "wrong"

    def gradients(self, x, t):
        loss = super().gradients(x, t)
        self.grads[0][...] = 0
        return loss


class Absent(Contender):
    name, library, needs = "absent", "nowhere", ("a_library_that_nobody_has",)


class Talks(Chapter):
    """Prints where the answers go, and tells its environment."""

    def start(self, task):
        print("hello from a library")
        os.system("echo hello from C")
        super().start(task)

    def describe(self):
        return {"environment": sorted(os.environ)}


class Breaks(Chapter):
    def run(self, steps):
        os._exit(3)
'''


@pytest.fixture
def planted(tmp_path, monkeypatch):
    (tmp_path / "planted.py").write_text(PLANTED, "utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(rivals, "Settings", partial(runner.Settings, seconds=1e-4, pause=0.0))
    return tmp_path


def run(tmp_path, *names, more=()):
    file = tmp_path / "rivals.json"
    chosen = [word for name in names for word in ("--contender", name)]
    arguments = ["--workload", "tiny", "--rounds", "1", "--patience", "0", *chosen, "--json", str(file), *more]
    status = rivals.main(arguments)
    return status, json.loads(file.read_text("utf-8"))


@pytest.mark.slow("processes")
def test_who_computes_the_same_is_compared_and_who_does_not_is_left_out(planted, capsys):
    names = ("gemm", "chapter", "numpy-tuned", "xpgraph", "xpgraph-step")
    strangers = ("planted:Wrong", "planted:Absent", "planted:Breaks", "torch-graph")
    picture = planted / "rivals.svg"
    status, report = run(planted, *names, *strangers, more=("--chart", str(picture), "--peak-memory"))
    (result,) = report["results"]
    rows = {row["name"]: row for row in result["rows"]}
    assert status == 0
    assert set(rows) == set(names)
    assert set(result["left_out"]) == set(strangers)
    assert result["left_out"]["planted:Wrong"].startswith("different losses")
    assert result["left_out"]["planted:Absent"] == "a_library_that_nobody_has is not installed"
    assert "its process ended (3)" in result["left_out"]["planted:Breaks"]
    assert result["left_out"]["torch-graph"] == "runs on cuda only"
    for name in names[1:]:
        assert rows[name]["losses"] == pytest.approx(result["reference"], rel=1e-5)
    for row in rows.values():
        assert 0 < row["low"] <= row["seconds"] <= row["high"] and row["single_seconds"] > 0
        assert row["ratio"] == row["ratio_own"] == pytest.approx(row["seconds"] / rows["gemm"]["seconds"])
        assert row["about"]["numpy"] == np.__version__ and row["about"]["peak_mib"] > 10
    assert report["machine"]["cpu"] and report["machine"]["cores"] >= 1
    said = capsys.readouterr().out
    assert all(name in said for name in (*names, *strangers, "peak MiB", report["machine"]["cpu"]))
    assert "xpgraph-step" in picture.read_text("utf-8")


@pytest.mark.slow("processes")
def test_float64_agrees_far_closer(planted):
    _, report = run(planted, "chapter", "numpy-tuned", "xpgraph", "xpgraph-step", more=("--dtype", "float64"))
    (result,) = report["results"]
    assert not result["left_out"]
    assert max(row["losses_apart"] for row in result["rows"]) < 1e-12
    assert all(row["ratio"] is None for row in result["rows"])  # no gemm was asked for


@pytest.mark.slow("processes")
@pytest.mark.parametrize("name", ["torch-eager", "scikit-learn"])
def test_a_library_that_may_be_missing(planted, name):
    module = {"torch-eager": "torch", "scikit-learn": "sklearn"}[name]
    pytest.importorskip(module)
    _, report = run(planted, name)
    (result,) = report["results"]
    assert not result["left_out"]
    assert result["rows"][0]["about"][module]


@pytest.mark.slow("processes")
def test_a_worker_has_its_librarys_defaults(planted, monkeypatch):
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_NUM_THREADS", "OPENBLAS_L2_SIZE", "OMP_NUM_THREADS", "XPGRAPH_GENERIC"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("UNRELATED", "1")
    _, report = run(planted, "planted:Talks")
    environment = report["results"][0]["rows"][0]["about"]["environment"]
    assert not [name for name in environment if name.startswith(runner.OVERRIDES)]
    assert "UNRELATED" in environment


def test_every_contender_loads_without_its_library():
    for name in contender.CONTENDERS:
        made = contender.make(name)
        assert made.name == name and made.library and made.__doc__
    for names in contender.USUAL.values():
        assert set(names) <= set(contender.CONTENDERS)
    for device, names in contender.USUAL.items():
        assert all(device in contender.make(name).devices for name in names)


def test_the_order_is_that_of_the_trainer(tmp_path):
    from xpgraph.arrays import random_numbers

    workload = workloads.WORKLOADS["tiny"]
    workloads.write_task(workload, tmp_path)
    task = workloads.read_task(tmp_path, "float64", workload=workload, device="cpu", precision="fp32")
    assert np.array_equal(task.order.reshape(-1), random_numbers.permutation(workload.rows, workloads.SEED, "order", 0))
    x, t = task.ready_batches()[1]
    assert np.array_equal(x, task.x[task.order[1]]) and np.array_equal(t, task.t[task.order[1]])
    assert [w.shape for w in task.weights] == [(8, 6), (6,), (6, 3), (3,)]
    assert {w.dtype for w in task.weights} == {np.dtype("float64")} and task.x.dtype == np.float64


def row(name, library, seconds, trains=True):
    return {"name": name, "library": library, "seconds": seconds, "trains": trains}


def test_ratios_and_gate():
    rows = [
        row("gemm", "numpy", 2.0, trains=False), row("gemm-torch", "torch", 1.0, trains=False),
        row("xpgraph", "numpy", 3.0), row("xpgraph-step", "numpy", 5.0), row("torch-eager", "torch", 4.0),
    ]  # fmt: skip
    runner.add_ratios(rows)
    assert [r["ratio"] for r in rows] == [2, 1, 3, 5, 4]
    assert [r["ratio_own"] for r in rows] == [1, 1, 1.5, 2.5, 4]
    result = {"workload": {"name": "book", "gate": 1.9}, "rows": rows}
    assert table.failures([result]) == [
        "book: xpgraph-step takes 2.50 times gemm, 1.9 allowed", "book: torch-eager is faster than xpgraph-step"
    ]  # fmt: skip
    result["rows"] = [r for r in rows if r["name"] != "xpgraph-step"]
    assert table.failures([result]) == ["book: xpgraph-step was not measured"]
    assert table.failures([{"workload": {"name": "tiny", "gate": None}, "rows": rows}])


def test_losses_that_are_missing_or_not_finite_are_different():
    assert runner.difference([1.0, 2.0], [1.0, 2.0]) == 0
    assert runner.difference([1.0, 2.2], [1.0, 2.0]) == pytest.approx(0.1)
    assert runner.difference([1.0], [1.0, 2.0]) == math.inf
    assert runner.difference([1.0, math.nan], [1.0, 2.0]) == math.inf


class Turns:
    """A worker of which the first turns are too short, or disturbed."""

    def __init__(self, *seconds):
        self.about, self.asked, self.seconds = {"steps": 2}, [], list(seconds)
        self.process = self
        self.pid = 0

    def ask(self, what, steps, calls):
        self.asked.append(steps)
        return {"calls": [self.seconds.pop(0)] * calls, "singles": [1.0] * calls}


def test_a_turn_is_taken_again_while_calls_are_short_or_others_work(monkeypatch):
    disturbed = [False, True, False]
    monkeypatch.setattr(runner, "quiet", lambda: True)
    monkeypatch.setattr(runner.Others, "disturbed", lambda self: disturbed.pop(0))
    worker, patience = Turns(0.001, 0.002, 0.003), [5.0]
    answer = runner.turn(worker, runner.Settings(pause=0.0), patience)
    assert worker.asked == [2, 10, 10] and answer["calls"] == [0.003] * 3 and not answer["disturbed"]
    disturbed.append(True)
    assert runner.turn(Turns(0.1), runner.Settings(pause=0.0), [0.0])["disturbed"]  # no patience: it is kept, and said


def test_arguments_that_cannot_be(capsys):
    for arguments in (["--contender", "nobody"], ["--precision", "tf32"], ["--rounds", "0"]):
        with pytest.raises(SystemExit):
            rivals.parse(arguments)
    assert "unknown. Known: gemm" in capsys.readouterr().err
