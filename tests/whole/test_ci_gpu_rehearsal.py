"""ci/gpu --rehearse from end to end: the steps of a GPU machine, where there is none."""

import json
import os
import subprocess
import sys

import pytest
from pages import checkout

GPU = checkout("ci") / "gpu"

from cuda_rig import why_not  # noqa: E402

TRAININGS = ["train digits", "train spiral", "train mnist"]
PARTS = ["suite", "sanitizer", *TRAININGS, "verify", "checklist", "rivals", "jobs", "board"]
BLOCKED = """
from importlib.machinery import PathFinder

find = PathFinder.find_spec
PathFinder.find_spec = classmethod(lambda kind, name, *rest: None if name in {names!r} else find(name, *rest))
"""


def rehearse(tmp_path, *more, blocked=(), path=None):
    """Output and record of a rehearsal in which some modules are not installed."""
    site, out = tmp_path / "site", tmp_path / "out"
    site.mkdir()
    (site / "sitecustomize.py").write_text(BLOCKED.format(names=blocked))
    environment = os.environ | {"OUT": str(out), "PYTHONPATH": str(site)}
    if path is not None:
        environment["PATH"] = path
    ended = subprocess.run(
        [sys.executable, str(GPU), "--rehearse", *more], env=environment, capture_output=True, text=True, timeout=150
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    record = out / "gpu.json"
    return ended.stdout, json.loads(record.read_text()) if record.exists() else None


@pytest.mark.slow("rehearsal")
def test_the_whole_is_rehearsed(tmp_path):
    said, record = rehearse(tmp_path)
    assert record["rehearsal"] is True
    assert record["seconds"] < 40 or os.getloadavg()[0] > os.cpu_count()  # on a machine that is not its own
    assert list(record["parts"]) == PARTS
    statuses = {name: one["status"] for name, one in record["parts"].items()}
    rig = "left out" if why_not() else "pass"
    assert statuses == dict.fromkeys(PARTS, "pass") | {"sanitizer": rig, "checklist": rig} | (
        {"verify": "left out"} if statuses["verify"] == "left out" else {}
    )
    table = said.split("\n\n")[-1].splitlines()
    assert [line[:14].strip() for line in table[: len(PARTS)]] == PARTS
    assert any(line.startswith("left out, ") for line in table)
    assert table[-1].startswith("ci/gpu: rehearsal: every part passed")
    assert len(said) < 12_000
    files = [path.name for path in (tmp_path / "out").iterdir()]
    assert len(files) <= 8, files  # as many as come back from the machine
    if not why_not():
        rows = record["parts"]["checklist"]["rows"]
        wanted = {"nodes of step (a)": 10, "nodes of step (b)": 15, "nodes of step (b, clipped)": 16}
        assert {name: rows[name]["nodes"] for name in wanted} == wanted
        assert all(rows[name]["equal"] for name in wanted)
        assert rows["foreign work between replays"]["status"] == "pass"
        assert "every kernel was run" in record["parts"]["sanitizer"]["note"]


@pytest.mark.slow("rehearsal")
def test_what_is_missing_is_named(tmp_path):
    said, record = rehearse(tmp_path, "--only", "checklist", "--only", "sanitizer", blocked=("cupy",))
    for name in ("checklist", "sanitizer"):
        part = record["parts"][name]
        assert part["status"] == "left out" and "cupy does not import" in part["note"]
    assert "cupy does not import" in said.split("\n\n")[-1]
    assert record["parts"]["suite"]["note"] == "not asked for"


@pytest.mark.slow("rehearsal")
def test_without_gpp_the_rig_is_left_out(tmp_path):
    if why_not():
        pytest.skip(f"no CUDA rig: {why_not()}")
    _, record = rehearse(tmp_path, "--only", "checklist", path=str(tmp_path))
    assert record["parts"]["checklist"]["note"] == "there is no g++ to compile the kernels with"


@pytest.mark.slow("rehearsal")
def test_without_torch_its_rows_are_left_out(tmp_path):
    _, record = rehearse(tmp_path, "--only", "jobs", "--only", "rivals", blocked=("torch",))
    assert record["parts"]["jobs"]["rows"]["torch graph"]["note"] == "torch is not installed"
    assert record["parts"]["rivals"]["status"] == "pass" and "torch-eager" in record["parts"]["rivals"]["note"]


def test_without_array_api_compat_nothing_can_be_rehearsed(tmp_path):
    said, record = rehearse(tmp_path, blocked=("array_api_compat",))
    assert record is None and said.count("\n") == 1 and "array_api_compat is not installed" in said
