"""What ci/gpu makes of a GPU machine's figures: asv's results, and nothing that was not measured."""

import json
import subprocess
import sys

import pytest
from pages import ROOT, checkout, git

sys.path.append(str(checkout("ci")))

from gpu_run import board as gpu_board
from gpu_run import children

pytestmark = pytest.mark.slow("processes")


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    """The suites as gpu_run.board measures them, quickly, with numbers in place of what was left out."""
    command = [sys.executable, "-m", "gpu_run.board", "--quick"]
    entries = children.measure("board", command, tmp_path_factory.mktemp("board") / "board.log", 120)
    assert not [reason for entry in entries for reason in entry["reasons"] if "Error: " in reason]
    for entry in entries:
        assert entry["values"][0] is not None
        entry["values"] = [number + 1.5 for number in range(len(entry["values"]))]
    return entries


def record(board, commit="0" * 40, **more):
    machine = {
        "commit": commit, "commit_date": 1795426524, "gpu": "NVIDIA H200", "driver": "580.1", "cuda_runtime": 13000,
        "libraries": {"cupy": "14.2.0", "numpy": "2.5.2"}, "python": "3.12.3", "cpus": 16, "started_ms": 1795426524000,
    }  # fmt: skip
    return {"rehearsal": False, "machine": machine, "board": board, "parts": {}, **more}


def test_the_benchmarks_are_those_that_asv_finds(board):
    assert {entry["about"]["name"] for entry in board} >= {
        "matmul.Matmul.time_product", "training.Step.time_step", "training.Step.track_samples_per_second_unguarded",
    }  # fmt: skip
    for entry in board:
        assert "'cupy'" in str(entry["about"]["params"]) and "'numpy'" in str(entry["about"]["params"])
        assert entry["about"]["version"] == "1"


def test_a_rehearsal_or_a_changed_tree_never_goes_on_the_board(board, tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_board, "ROOT", tmp_path)
    inside = tmp_path / "benchmarks" / "results"
    for bad in (record(board, rehearsal=True), record(board, "0" * 40 + "+changes"), record(board, "unknown")):
        with pytest.raises(gpu_board.Refused):
            gpu_board.convert_one(bad, inside)
    with pytest.raises(gpu_board.Refused, match="no results for the board"):
        gpu_board.convert_one(record([]), inside)
    assert not inside.exists()
    assert len(gpu_board.convert_one(record(board), inside)) == 4


def test_the_command_says_what_it_refuses(board, tmp_path):
    file = tmp_path / "gpu.json"
    file.write_text(json.dumps(record(board, rehearsal=True)))
    command = [sys.executable, str(ROOT / "ci" / "gpu"), "--asv", str(file)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1 and "a rehearsal says nothing about speed" in ended.stdout
    ended = subprocess.run([*command, "--into", str(tmp_path / "seen")], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0 and (tmp_path / "seen" / "nvidia-h200" / "machine.json").is_file(), ended.stdout


def test_asv_shows_numpy_beside_cupy(board, tmp_path):
    pytest.importorskip("asv", reason="asv is not installed")
    repo, results, html = tmp_path / "repo", tmp_path / "results", tmp_path / "html"
    repo.mkdir()
    git(repo, "init", "-q", "-b", "main")
    git(repo, "commit", "-q", "--allow-empty", "-m", "one")
    gpu_board.convert_one(record(board, git(repo, "rev-parse", "HEAD")), results)
    settings = {
        "version": 1, "project": "xpgraph-nn", "repo": str(repo), "branches": ["main"], "dvcs": "git",
        "results_dir": str(results), "html_dir": str(html), "benchmark_dir": str(ROOT / "benchmarks"),
    }  # fmt: skip
    (tmp_path / "asv.conf.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "asv", "--config", str(tmp_path / "asv.conf.json"), "publish", "--no-pull"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0 and "Skipping" not in ended.stderr + ended.stdout, ended.stdout + ended.stderr
    index = json.loads((html / "index.json").read_text())
    assert index["machines"]["nvidia-h200"]["gpu"] == "NVIDIA H200"
    assert index["params"]["cupy"] == ["14.2.0"]
    shown = index["benchmarks"]["training.Step.time_step"]
    assert shown["params"][1][:2] == ["'numpy'", "'cupy'"]
    graphs = [json.loads(path.read_text()) for path in html.rglob("training.Step.time_step.json")]
    points = [values for graph in graphs for _, values in graph if isinstance(values, list)]
    assert any(values[:8] == [1.5 + i for i in range(8)] for values in points), graphs
