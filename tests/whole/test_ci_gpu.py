"""ci/gpu, rehearsed where there is no GPU: what it judges, what it writes, and that it says so and ends."""

import json
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
from libs import torch_in_one_thread
from pages import ROOT, checkout

from xpgraph.arrays.installed import usable

sys.path.append(str(checkout("ci")))

from gpu_run import children, packages, suite, training
from gpu_run.parts import Part
from gpu_run.results import Context, LeftOut
from gpu_run.runner import run_parts


def fake_cupy(name=b"a GPU"):
    properties = {"name": name, "totalGlobalMem": 1 << 30, "major": 9, "minor": 0}
    runtime = SimpleNamespace(
        getDeviceProperties=lambda i: properties, driverGetVersion=lambda: 13000, runtimeGetVersion=lambda: 13020
    )
    return SimpleNamespace(
        __version__="14.2.0", cuda=SimpleNamespace(runtime=runtime, Device=lambda: SimpleNamespace(id=0))
    )


def run(**changes):
    weights = {1: [np.ones(3), np.array([2.0, 4.0])], 100: [np.ones(3), np.ones(2)], 1000: [np.ones(3), np.ones(2)]}
    whole = {"initial": [np.zeros(3)], "weights": weights, "steps": 1200, "train_loss": 0.5}
    return {**whole, "test_accuracy": 0.9, "test_rows": 10_000, **changes}


def failed(checks):
    return [check["check"] for check in checks if not check["ok"]]


BARS = {1: 1e-5, 100: 1e-4, 1000: 1e-3}


def test_equal_runs_pass_every_check():
    checks = training.judge(run(), run(), BARS)
    assert [check["check"] for check in checks] == [
        "weights at the start differ", "weights after 1", "weights after 100", "weights after 1000",
        "training loss", "test accuracy",
    ]  # fmt: skip
    assert failed(checks) == []


def test_each_check_can_fail():
    off = run()["weights"] | {1: [np.ones(3), np.array([2.0, 4.0 + 5e-5])]}
    assert failed(training.judge(run(), run(weights=off), BARS)) == ["weights after 1"]
    assert failed(training.judge(run(), run(initial=[np.array([0, 0, 1e-30])]), BARS)) == [
        "weights at the start differ"
    ]
    assert failed(training.judge(run(), run(train_loss=0.5006), BARS)) == ["training loss"]
    assert failed(training.judge(run(), run(test_accuracy=0.8969), BARS)) == ["test accuracy"]
    few = run(test_rows=300)
    assert failed(training.judge(few, run(test_accuracy=0.9 - 1 / 300), BARS)) == []
    assert failed(training.judge(few, run(test_accuracy=0.9 - 2 / 300), BARS)) == ["test accuracy"]


def test_nothing_that_is_not_finite_passes():
    nan = {step: [np.full_like(a, np.nan) for a in arrays] for step, arrays in run()["weights"].items()}
    checks = training.judge(run(), run(weights=nan, train_loss=np.nan, test_accuracy=np.nan), BARS)
    assert len(failed(checks)) == 5
    json.dumps(checks, allow_nan=False)


def test_the_bars_are_those_that_are_promised():
    assert training.BARS["sgd", "float32"] == BARS
    assert training.BARS["sgd", "float64"] == {1: 1e-13, 100: 1e-10, 1000: 1e-8}
    assert training.POINTS == 0.003
    for case in training.TRAININGS.values():
        for dtype in ("float32", "float64"):
            assert training.BARS[case.optimizer, dtype]


@pytest.fixture
def torch_alone():
    if not usable("torch").usable:
        pytest.skip(f"torch {usable('torch').why}")
    with torch_in_one_thread():
        yield


@pytest.mark.slow("training")
@pytest.mark.parametrize(("name", "epochs"), [("digits", 3), ("spiral", 11), ("mnist", 2)])
def test_trainings_agree_between_numpy_and_torch(name, epochs, torch_alone):
    case = training.TRAININGS[name]._replace(epochs=epochs)
    result = training.compare(name, case, ("numpy", "torch"), rows=(6000, 500))
    assert result["status"] == "pass", result["note"]
    assert [(one["backend"], one["dtype"]) for one in result["runs"]] == [
        (backend, dtype) for dtype in ("float32", "float64") for backend in ("numpy", "torch")
    ]
    assert all(one["samples_per_second"] > 0 and one["steps"] > 100 for one in result["runs"])
    json.dumps(result, allow_nan=False)


def test_the_random_data_can_be_learned():
    data = training.random_images(2000, 500, "float32")
    assert data.x.shape == (2000, 784) and data.x_test.shape == (500, 784) and data.x.dtype == np.float32
    assert np.bincount(data.t, minlength=10).min() > 50
    assert "not MNIST" in data.source


def run_them(folder, limit, *parts, only=(), cupy=None):
    """(exit code, record) of a run of some parts on a device that is made up."""
    code = run_parts([Part(*part) for part in parts], Context(folder), cupy or fake_cupy(), limit, only)
    return code, json.loads((folder / "gpu.json").read_text())


def fine(context):
    return {"status": "pass", "note": "fine"}


def left_out(context):
    raise LeftOut("not installed")


def test_the_record_tells_what_passed_failed_and_was_not_run(tmp_path, capsys):
    seen = []

    def part(name):
        def run(context):
            seen.append(json.loads((tmp_path / "gpu.json").read_text())["parts"][f"train {name}"]["status"])
            if name == "spiral":
                raise RuntimeError("the device is lost")
            return {"status": "pass", "note": "fine", "loss": np.float32("nan"), "rows": {}}

        return run

    code, record = run_them(
        tmp_path, 100,
        ("suite", 5, lambda context: {"status": "not run", "note": "every test was skipped"}, True),
        ("sanitizer", 5, left_out, True),
        *((f"train {name}", 5, part(name)) for name in ("digits", "spiral", "mnist")),
        ("verify", 5, fine),
    )  # fmt: skip
    assert code == 1
    assert {name: one["status"] for name, one in record["parts"].items()} == {
        "suite": "not run", "sanitizer": "left out", "train digits": "pass", "train spiral": "fail",
        "train mnist": "pass", "verify": "pass",
    }  # fmt: skip
    assert record["parts"]["train spiral"]["note"] == "RuntimeError: the device is lost"
    assert record["parts"]["train digits"]["loss"] == "nan"
    assert record["rehearsal"] is False
    assert seen == ["not run"] * 3  # before a part ends, the record does not say that it passed
    machine = record["machine"]
    assert machine["gpu"] == "a GPU" and machine["compute_capability"] == "9.0" and machine["cuda_runtime"] == 13020
    assert machine["libraries"]["numpy"] == np.__version__ and machine["commit"] and machine["driver"]
    assert "NOT every part passed" in capsys.readouterr().out


def test_a_part_gets_what_is_left_but_for_those_after_it(tmp_path):
    limits = {}

    def part(name):
        return lambda context: limits.update({name: context.left()}) or {"status": "pass", "note": ""}

    parts = [("a", 50, part("a"), True), ("b", 30, part("b"), True), ("c", 10, part("c")), ("d", 5, part("d"))]
    assert run_them(tmp_path, 100, *parts)[0] == 0
    assert limits == pytest.approx({"a": 85, "b": 85, "c": 95, "d": 100}, abs=5)
    limits.clear()
    code, record = run_them(tmp_path, 100, *parts, only={"c"})
    assert code == 0 and limits == pytest.approx({"c": 100}, abs=5)
    assert record["parts"]["d"] == {"status": "left out", "note": "not asked for", "seconds": 0.0}
    code, record = run_them(tmp_path, 1, *parts)
    assert code == 1 and record["parts"]["a"]["status"] == "not run"  # no time is no pass


def test_a_timed_part_has_the_machine_to_itself():
    assert Part("suite", 1, fine, children=True).beside(rehearsal=False)
    assert not Part("rivals", 1, fine, children=True, timed=True).beside(rehearsal=False)
    assert Part("rivals", 1, fine, children=True, timed=True).beside(rehearsal=True)
    assert not Part("checklist", 1, fine, timed=True).beside(rehearsal=True)  # it works in this process


def test_an_interrupt_ends_the_children(tmp_path):
    started = []

    def sleep(context):
        children.run("sleep", [sys.executable, "-c", "import time; time.sleep(60)"], context.log("b"), 60)

    def interrupt(context):
        end = time.perf_counter() + 30
        while not children.running and time.perf_counter() < end:
            time.sleep(0.01)
        started.extend(children.running)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_them(tmp_path, 100, ("a", 5, interrupt), ("b", 5, sleep, True))
    assert started and all(process.poll() is not None for process in started)


def test_the_certificate_is_kept(tmp_path):
    pytest.importorskip("array_api_strict", reason="array_api_strict is not installed")
    result = training.certificate(("numpy", "array_api_strict"), 2, Context(tmp_path))
    assert result["status"] == "pass", result["note"]
    assert json.loads((tmp_path / "verify.json").read_text("utf-8"))["passed"]
    assert "pass: the backends agree" in (tmp_path / "verify.txt").read_text("utf-8")


def test_all_passed_is_0_even_where_the_facts_fail(tmp_path):
    code, record = run_them(tmp_path, 100, ("suite", 5, fine), ("verify", 5, fine), cupy=SimpleNamespace())
    assert code == 0 and "AttributeError" in record["machine"]["error"]


@pytest.mark.parametrize(
    ("body", "status", "passed"),
    [
        ("def test_a(): pass\n", "pass", 1),
        ("def test_a(): pass\ndef test_b(): assert 0\n", "fail", 1),
        ("import pytest\ndef test_a(): pytest.skip('no')\n", "not run", 0),
        ("import no_such_module\n", "fail", 0),
        pytest.param("import time\ndef test_a(): time.sleep(60)\n", "fail", -1, marks=pytest.mark.slow("processes")),
    ],
)
def test_the_suite_is_judged_by_what_ran(monkeypatch, tmp_path, body, status, passed):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_it.py").write_text(body)
    options = "parser.addoption('--backend'); parser.addoption('--all', action='store_true')"
    (tmp_path / "conftest.py").write_text(f"def pytest_addoption(parser): {options}\n")
    for module in (suite, children):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    result = suite.run(Context(tmp_path, end=time.perf_counter() + (3 if passed < 0 else 60)))
    assert (result["status"], result["passed"]) == (status, max(0, passed)), result
    assert [path.name for path in tmp_path.glob("suite*")] == ["suite.log"]


def test_without_a_gpu_it_ends_at_once_with_one_line():
    if usable("cupy").usable:
        pytest.skip("there is a GPU here")
    ended = subprocess.run([sys.executable, str(ROOT / "ci" / "gpu")], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (2, "")
    assert ended.stdout.startswith("ci/gpu: cupy ") and ended.stdout.endswith("nothing was run.\n")
    assert ended.stdout.count("\n") == 1


def test_a_copy_without_git_knows_its_commit(monkeypatch, tmp_path):
    monkeypatch.setattr(packages, "ROOT", tmp_path)
    monkeypatch.setattr(packages, "PACKED", tmp_path / "packed")
    assert (packages.commit(), packages.commit_date()) == ("unknown", 0)
    (tmp_path / "packed").mkdir()
    (tmp_path / "xpgraph").mkdir()
    source = tmp_path / "xpgraph" / "a.py"
    source.write_text("a = 1\n")
    (tmp_path / "packed" / "COMMIT").write_text(f"abc\n{packages.tree_digest()}\n")
    assert packages.commit() == "abc"
    source.write_text("a = 2\n")
    assert packages.commit() == "abc+changes"
    source.write_text("a = 1\n")
    (tmp_path / "packed" / "COMMIT").write_text(f"abc\n{packages.tree_digest()}\n1795426524\n")
    assert (packages.commit(), packages.commit_date()) == ("abc", 1795426524)
    results = tmp_path / "benchmarks" / "results" / "a-machine"
    results.mkdir(parents=True)
    (results / "machine.json").write_text("{}")
    assert packages.commit() == "abc"  # results are no sources
    (tmp_path / "benchmarks" / "a.py").write_text("")
    assert packages.commit() == "abc+changes"


def test_only_what_is_missing_is_put_on_the_path(monkeypatch, tmp_path):
    monkeypatch.setattr(packages, "PACKED", tmp_path)
    monkeypatch.setattr(packages, "PACKAGES", {"pytest": "pytest", "absent-one": "absent_one", "never": "never"})
    for name in ("pytest", "absent-one"):
        (tmp_path / name).mkdir()
    assert packages.packed_paths() == [tmp_path / "absent-one"]
