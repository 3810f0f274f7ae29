"""Pieces of ci/gpu that only a GPU machine runs, held against stand-ins: a driver, a sanitizer, broken rows."""

import ctypes
import importlib
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
if not (ROOT / "ci").is_dir():
    pytest.skip("ci/ is part of a checkout, not of the sdist", allow_module_level=True)

DRIVER = """
#include <cstddef>
struct Params { void* func; unsigned sizes[7]; void** params; void** extra; void* kern; void* ctx; };
static long nodes[4] = {10, 11, 12, 13};
extern "C" int cuGraphGetNodes(void* graph, void** out, size_t* count) {
    if (graph != (void*)99) return 400;
    for (size_t i = 0; out && i < 4; ++i) out[i] = (void*)nodes[i];
    *count = 4;
    return 0;
}
extern "C" int cuGraphNodeGetType(void* node, int* type) { *type = (long)node == 13 ? 2 : 0; return 0; }
extern "C" int cuGraphKernelNodeGetParams_v2(void* node, Params* p) {
    if ((long)node == 11) p->kern = node; else p->func = node;
    return 0;
}
extern "C" int cuFuncGetName(const char** name, void* f) {
    *name = (long)f == 10 ? "xp_gather" : (long)f == 12 ? "xp_adam" : "wrong";
    return 0;
}
extern "C" int cuKernelGetName(const char** name, void* k) { *name = (long)k == 11 ? "gemm" : "wrong"; return 0; }
"""


@pytest.fixture(scope="module")
def ci():
    """Import a part of ci/gpu by name."""
    sys.path.insert(0, str(ROOT / "ci"))
    yield importlib.import_module
    sys.path.remove(str(ROOT / "ci"))


@pytest.mark.skipif(not shutil.which("g++"), reason="there is no g++")
def test_a_graph_is_read_through_the_driver(ci, monkeypatch, tmp_path):
    source, library = tmp_path / "cuda.cpp", tmp_path / "libcuda.so"
    source.write_text(DRIVER)
    subprocess.run(["g++", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    graphs, load = ci("gpu_graphs"), ctypes.CDLL
    monkeypatch.setattr(graphs.ctypes, "CDLL", lambda name: load(str(library)))
    names = {"xp_gather": 1, "gemm": 1, "xp_adam": 1}
    assert graphs.read(99) == {"kinds": {"kernel": 3, "memset": 1}, "names": names, "named": True}
    with pytest.raises(RuntimeError, match="cuGraphGetNodes returned 400"):
        graphs.read(98)
    assert ctypes.sizeof(graphs.KernelNode) == 72


def test_a_driver_without_names_is_no_failure(ci):
    def ask(name, *args):
        raise AttributeError(name)

    assert ci("gpu_graphs").kernel_name(ask, 1) == "?"


@pytest.mark.parametrize(
    ("status", "text", "wanted"),
    [
        (0, "every kernel was run: a\n========= ERROR SUMMARY: 0 errors\n", "pass"),
        (
            0,
            "every kernel was run: a\n========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)\n",
            "pass",
        ),
        (0, "========= ERROR SUMMARY: 0 errors\n", "fail"),  # the program did not end
        (9, "every kernel was run: a\n========= ERROR SUMMARY: 3 errors\n", "fail"),
        (
            0,
            "every kernel was run: a\n========= RACECHECK SUMMARY: 2 hazards displayed (0 errors, 2 warnings)\n",
            "fail",
        ),
        (0, "every kernel was run: a\n========= ERROR SUMMARY: 10 errors\n", "fail"),
        (1, "========= Error: Device not supported. Please refer to the documentation\n", "left out"),
        (None, "", "fail"),
    ],
)
def test_a_sanitizer_is_judged_by_its_summary(ci, status, text, wanted):
    assert ci("gpu_sanitize").judge("memcheck", status, text, 10)["status"] == wanted


@pytest.mark.parametrize(("body", "wanted"), [("echo '= ERROR SUMMARY: 0 errors'", "pass"), ("exit 9", "fail")])
def test_the_sanitizer_is_found_and_given_the_program(ci, monkeypatch, tmp_path, body, wanted):
    tool = tmp_path / "bin" / "compute-sanitizer"
    tool.parent.mkdir()
    tool.write_text(f"#!/bin/sh\necho \"$@\"\necho 'every kernel was run: all'\n{body}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    sanitize = ci("gpu_sanitize")
    assert sanitize.sanitizer() == (shutil.which("compute-sanitizer") or str(tool))
    if shutil.which("compute-sanitizer"):
        pytest.skip("a real compute-sanitizer is on the path")
    result = sanitize.sanitize(tmp_path, 20)
    assert result["status"] == wanted, result
    log = (tmp_path / "sanitize.log").read_text()
    assert "--tool racecheck" in log and "gpu_sanitize.py" in log
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "sanitize.log"]


def test_a_broken_row_costs_itself_alone(ci):
    timing = ci("gpu_timing")
    rows = timing.Rows(timing.Bench(None, 60))

    def broken():
        raise RuntimeError("cuBLASLt: status 15")

    def absent():
        raise timing.LeftOut("no such algorithm")

    rows.row("good", lambda: {"seconds": 1.0})
    rows.row("broken", broken)
    rows.row("absent", absent)
    rows.row("wrong", lambda: {"ok": False, "error": 1.0})
    assert [row["status"] for row in rows.rows.values()] == ["pass", "fail", "left out", "fail"]
    result = rows.result()
    assert result["status"] == "fail"
    assert "broken: RuntimeError: cuBLASLt: status 15" in result["note"] and "no such algorithm" in result["note"]
    late = timing.Rows(timing.Bench(None, -1))
    assert late.row("any", dict)["note"] == "no time was left for it"
    assert late.result()["status"] == "left out"


def test_everything_can_be_written_as_json(ci):
    plain = ci("gpu_timing").plain
    odd = {1: np.float32(0.5), "b": [float("nan"), np.int64(3), True, None], "c": (np.bool_(False), Path("a"))}
    assert json.dumps(plain(odd), allow_nan=False) == '{"1": 0.5, "b": ["nan", 3, true, null], "c": [false, "a"]}'


def test_a_graph_of_many_products_is_timed_by_the_product(ci):
    checks, timing = ci("gpu_checks"), ci("gpu_timing")
    bench = timing.Bench(None, 60, rig=object())
    one = checks.rate(bench, 100, lambda i: time.sleep(0.01))["seconds"]
    many = checks.rate(bench, 100, checks.grouped(lambda: time.sleep(0.01), None))["seconds"]
    assert 0.01 <= one < 0.1 and many == pytest.approx(one / checks.GROUP, rel=3)
    assert many < one / 5


def test_a_run_past_its_limit_is_ended_with_its_children(ci, tmp_path):
    rivals = ci("gpu_rivals")
    child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(300)'])"
    start = time.perf_counter()
    with (tmp_path / "log").open("w") as log:
        assert rivals.ended([sys.executable, "-c", child], log, 2) is None
    assert time.perf_counter() - start < 20


def test_the_job_counts_only_training_as_training(ci):
    job = ci("gpu_job")
    stamps = job.Stamps(time.time() - 1.0, 0.9)
    stamps.start()
    time.sleep(0.02)
    assert not stamps.epoch(lambda: time.sleep(0.2) or 0.5)
    time.sleep(0.02)
    assert stamps.epoch(lambda: np.float64(0.95))
    told = stamps.told()
    assert 0.04 <= told["training"] < 0.2 and told["epochs"] == 2
    assert 1.2 <= told["reached"] <= told["ended"] < 10
    json.dumps(told)


def test_without_mnist_or_time_the_job_is_left_out(ci, tmp_path):
    rivals = ci("gpu_rivals")
    assert rivals.jobs(tmp_path, 100, None)["status"] == "left out"
    late = rivals.jobs(tmp_path, 0, tmp_path)
    assert late["status"] == "left out" and "no time" in late["note"]
    assert all(row["status"] == "left out" for row in late["rows"].values())
    assert rivals.rivals(tmp_path, 0)["status"] == "left out"
    assert any(tmp_path.iterdir())


def test_what_is_asked_of_the_rivals_exists(ci, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    contender, workloads = (importlib.import_module(f"benchmarks.rivals.{name}") for name in ("contender", "workloads"))
    rivals = ci("gpu_rivals")
    for workload, precision, names in [*rivals.RUNS, *rivals.REHEARSED]:
        assert workload in workloads.WORKLOADS and precision in ("fp32", "tf32")
        assert set(names) <= set(contender.CONTENDERS)
    assert {(workload, precision) for workload, precision, _ in rivals.RUNS} == {
        (workload, precision) for workload in workloads.USUAL["cuda"] for precision in ("fp32", "tf32")
    }
