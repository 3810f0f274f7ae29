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
from pages import ROOT, checkout

sys.path.append(str(checkout("ci")))

from gpu_run import children, driver, jobs, rivals, sanitizer, timing
from gpu_run.job import Stopwatch
from gpu_run.results import Context, Failed, LeftOut, Rows, plain

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


def seconds(limit):
    """A context with so many seconds left."""
    return Context(ROOT, end=time.perf_counter() + limit)


@pytest.mark.skipif(not shutil.which("g++"), reason="there is no g++")
def test_a_graph_is_read_through_the_driver(monkeypatch, tmp_path):
    source, library = tmp_path / "cuda.cpp", tmp_path / "libcuda.so"
    source.write_text(DRIVER)
    subprocess.run(["g++", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    load = ctypes.CDLL
    monkeypatch.setattr(driver.ctypes, "CDLL", lambda name: load(str(library)))
    names = {"xp_gather": 1, "gemm": 1, "xp_adam": 1}
    assert driver.read(99) == {"kinds": {"kernel": 3, "memset": 1}, "names": names, "named": True}
    with pytest.raises(RuntimeError, match="cuGraphGetNodes returned 400"):
        driver.read(98)
    assert ctypes.sizeof(driver.KernelNode) == 72


def test_a_driver_without_names_is_no_failure():
    def ask(name, *args):
        raise AttributeError(name)

    assert driver.kernel_name(ask, 1) == "?"


RAN, RACES = "every kernel was run: a\n", "========= RACECHECK SUMMARY:"


@pytest.mark.parametrize(
    ("status", "text", "wanted"),
    [
        (0, f"{RAN}========= ERROR SUMMARY: 0 errors\n", "pass"),
        (0, f"{RAN}{RACES} 0 hazards displayed (0 errors, 0 warnings)\n", "pass"),
        (0, "========= ERROR SUMMARY: 0 errors\n", "fail"),  # the program did not end
        (9, f"{RAN}========= ERROR SUMMARY: 3 errors\n", "fail"),
        (0, f"{RAN}{RACES} 2 hazards displayed (0 errors, 2 warnings)\n", "fail"),
        (0, f"{RAN}========= ERROR SUMMARY: 10 errors\n", "fail"),
        (1, "========= Error: Device not supported. Please refer to the documentation\n", "left out"),
        (None, "", "fail"),
    ],
)
def test_a_sanitizer_is_judged_by_its_summary(status, text, wanted):
    assert sanitizer.judge("memcheck", status, text, 10)["status"] == wanted


@pytest.mark.parametrize(("body", "wanted"), [("echo '= ERROR SUMMARY: 0 errors'", "pass"), ("exit 9", "fail")])
def test_the_sanitizer_is_found_and_given_the_program(monkeypatch, tmp_path, body, wanted):
    tool = tmp_path / "bin" / "compute-sanitizer"
    tool.parent.mkdir()
    tool.write_text(f"#!/bin/sh\necho \"$@\"\necho 'every kernel was run: all'\n{body}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    assert sanitizer.find_tool() == (shutil.which("compute-sanitizer") or str(tool))
    if shutil.which("compute-sanitizer"):
        pytest.skip("a real compute-sanitizer is on the path")
    result = sanitizer.run(Context(tmp_path, end=time.perf_counter() + 20))
    assert result["status"] == wanted, result
    log = (tmp_path / "sanitize.log").read_text()
    assert "--tool racecheck" in log and "gpu_run.sanitizer" in log
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "sanitize.log"]


def test_a_broken_row_costs_itself_alone():
    rows = Rows(seconds(60))

    def broken():
        raise RuntimeError("cuBLASLt: status 15")

    def absent():
        raise LeftOut("no such algorithm")

    rows.row("good", lambda: {"seconds": 1.0})
    rows.row("broken", broken)
    rows.row("absent", absent)
    rows.row("wrong", lambda: {"ok": False, "error": 1.0})
    assert [row["status"] for row in rows.rows.values()] == ["pass", "fail", "left out", "fail"]
    result = rows.result()
    assert result["status"] == "fail"
    assert "broken: RuntimeError: cuBLASLt: status 15" in result["note"] and "no such algorithm" in result["note"]
    late = Rows(seconds(-1))
    assert late.row("any", dict)["note"] == "no time was left for it"
    assert late.result()["status"] == "left out"


def test_everything_can_be_written_as_json():
    odd = {1: np.float32(0.5), "b": [float("nan"), np.int64(3), True, None], "c": (np.bool_(False), Path("a"))}
    assert json.dumps(plain(odd), allow_nan=False) == '{"1": 0.5, "b": ["nan", 3, true, null], "c": [false, "a"]}'


def test_a_graph_of_many_products_is_timed_by_the_product():
    bench = timing.Bench(None, Context(ROOT, rehearsal=True))
    one = timing.product_rate(bench, 100, lambda i: time.sleep(0.01))["seconds"]
    many = timing.product_rate(bench, 100, lambda i: time.sleep(0.01), 32)["seconds"]
    assert 0.01 <= one < 0.1 and many == pytest.approx(one / 32, rel=3)
    assert many < one / 5


@pytest.mark.slow("processes")
def test_a_run_past_its_limit_is_ended_with_its_children(tmp_path):
    child = "import os, subprocess, sys; print(os.getpid(), flush=True); subprocess.run([sys.executable, '-c', {!r}])"
    grandchild = "import os, time; print(os.getpid(), flush=True); time.sleep(300)"
    log, start = tmp_path / "a.log", time.perf_counter()
    with pytest.raises(Failed, match=r"ran past 3 s; see a.log"):
        children.run("a", [sys.executable, "-c", child.format(grandchild)], log, 3)
    assert time.perf_counter() - start < 20
    title, *pids = log.read_text().split()[1:]
    assert title == "a" and len(pids) == 2
    while any(alive(pid) for pid in pids):  # a signal takes a moment
        assert time.perf_counter() - start < 20
    assert list(tmp_path.iterdir()) == [log]


def alive(pid):
    """Does a process run? One that has ended may wait for its parent to ask."""
    stat = Path("/proc", pid, "stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_command_that_fails_is_told_from_one_that_measures(tmp_path):
    log = tmp_path / "a.log"
    write = "import sys; print('a line'); open(sys.argv[-1], 'w').write('[1]')"
    assert children.measure("good", [sys.executable, "-c", write], log, 60) == [1]
    with pytest.raises(Failed, match=r"exit status 3; see a.log"):
        children.measure("bad", [sys.executable, "-c", "raise SystemExit(3)"], log, 60)
    assert log.read_text() == "=== good\na line\n\n=== bad\n\n"


def test_the_job_counts_only_training_as_training():
    watch = Stopwatch(time.time() - 1.0, 0.9)
    watch.note("ready")
    time.sleep(0.02)
    assert not watch.epoch(lambda: time.sleep(0.2) or 0.5)
    time.sleep(0.02)
    assert watch.epoch(lambda: np.float64(0.95))
    told = watch.result()
    assert 0.04 <= told["training"] < 0.2 and told["epochs"] == 2
    assert 1.2 <= told["reached"] <= told["ended"] < 10
    json.dumps(told)


def test_without_mnist_or_time_the_job_is_left_out(tmp_path):
    with pytest.raises(LeftOut, match="--pack --mnist"):
        jobs.run(Context(tmp_path))
    late = jobs.run(Context(tmp_path, mnist=tmp_path, end=0))
    assert late["status"] == "left out" and "no time" in late["note"]
    assert all(row["status"] == "left out" for row in late["rows"].values())
    assert rivals.run(Context(tmp_path, end=0))["status"] == "left out"
    assert not any(tmp_path.iterdir())


def test_what_is_asked_of_the_rivals_exists(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    contender, workloads = (importlib.import_module(f"benchmarks.rivals.{name}") for name in ("contender", "workloads"))
    for workload, precision, names in [*rivals.RUNS, *rivals.REHEARSED]:
        assert workload in workloads.WORKLOADS and precision in ("fp32", "tf32")
        assert set(names) <= set(contender.CONTENDERS)
    assert {(workload, precision) for workload, precision, _ in rivals.RUNS} == {
        (workload, precision) for workload in workloads.USUAL["cuda"] for precision in ("fp32", "tf32")
    }
