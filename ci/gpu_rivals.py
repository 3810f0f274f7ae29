"""Part of ci/gpu: training steps beside those of others, and the whole job; each measured by processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from gpu_packages import ROOT, child_environment
from gpu_timing import LEFT_OUT, PASS, result_of

STEPS = ("xpgraph-eager", "xpgraph-graph", "torch-eager", "torch-graph", "jax-jit")
GEMMS = ("gemm-cupy", "gemm-torch")
RUNS: list[tuple[str, str, tuple[str, ...]]] = [  # workload, precision, contenders; what matters most first
    ("gpu-b", "fp32", STEPS),
    ("gpu-a", "fp32", STEPS),
    ("gpu-c", "tf32", (*GEMMS, *STEPS)),
    ("gpu-b", "tf32", STEPS),
    ("gpu-c", "fp32", (*GEMMS, *STEPS)),
    ("gpu-b", "fp32", ("xpgraph-graph", "torch-graph", "torch-compile")),  # by itself: compiling takes long
    ("gpu-a", "tf32", STEPS),
    ("gpu-c", "tf32", ("torch-graph", "torch-compile")),
]
REHEARSED = [("tiny", "fp32", ("xpgraph", "torch-eager"))]
ROUNDS, PATIENCE, LONGEST = 5, 3, 75.0  # seconds for repeating disturbed turns, and that one run may take
JOBS = (  # name, job, whether the folder of compiled kernels is empty
    ("xpgraph graph, cold cache", "xpgraph-graph", True), ("xpgraph graph, warm cache", "xpgraph-graph", False),
    ("xpgraph graph, warm cache again", "xpgraph-graph", False), ("xpgraph eager, warm cache", "xpgraph-eager", False),
    ("torch graph", "torch-graph", False), ("torch graph again", "torch-graph", False),
    ("torch eager", "torch-eager", False),
)  # fmt: skip


def ended(command: list[str], log: Any, limit: float, out: Any = None, **environment: str) -> int | None:
    """The exit status of a command, or None if it ran past the limit: then it and its children are killed."""
    process = subprocess.Popen(
        command, cwd=ROOT, env=child_environment(**environment), stdin=subprocess.DEVNULL, stdout=out or log,
        stderr=log, start_new_session=True,
    )  # fmt: skip
    try:
        return process.wait(timeout=max(0.1, limit))
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # its workers, too
        process.wait()
        return None


# --- steps side by side ---------------------------------------------------------------------------------------


def rivals(folder: Path, limit: float, rehearsal: bool = False) -> dict[str, Any]:
    """benchmarks.rivals for each workload and precision, while there is time; its reports as they are."""
    end, rows, lines = time.perf_counter() + limit, {}, []
    device = "cpu" if rehearsal else "cuda"
    with (folder / "rivals.log").open("w", encoding="utf-8") as log:
        for workload, precision, contenders in REHEARSED if rehearsal else RUNS:
            name = f"{workload} {precision}" + (", compiled" if "torch-compile" in contenders else "")
            left = end - time.perf_counter()
            if left < 15 and not rehearsal:
                rows[name] = {"status": LEFT_OUT, "note": "no time was left for it"}
                continue
            rows[name] = one_rival(workload, precision, contenders, device, min(left, LONGEST), log)
            lines += [f"{name}: {rows[name]['note']}"] if rows[name]["status"] == PASS else []
    return result_of(rows, "; ".join(lines))


def one_rival(
    workload: str, precision: str, contenders: tuple[str, ...], device: str, limit: float, log: Any
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch, "rivals.json")
        command = [sys.executable, "-m", "benchmarks.rivals", "--device", device, "--workload", workload]
        command += ["--precision", precision, "--json", str(file), "--rounds", str(ROUNDS if device == "cuda" else 1)]
        command += ["--patience", str(PATIENCE if device == "cuda" else 0)]
        for contender in contenders:
            command += ["--contender", contender]
        log.write(f"=== {workload} {precision}\n")
        log.flush()
        status = ended(command, log, limit)
        if status is None:
            return {"status": "fail", "note": f"ran past {limit:.0f} s; see rivals.log"}
        if status or not file.exists():
            return {"status": "fail", "note": f"exit status {status}; see rivals.log"}
        report = json.loads(file.read_text("utf-8"))
    result = report["results"][0]
    times = [f"{row['name']} {row['seconds'] * 1e6:.1f}" for row in sorted(result["rows"], key=lambda r: r["seconds"])]
    ours = [name for name in contenders if name.startswith("xpgraph")]
    lost = [f"{name} {reason}" for name, reason in result["left_out"].items()]
    broken = [name for name in ours if name in result["left_out"]]
    note = ", ".join(times) + " µs" * bool(times) + (f" (left out: {'; '.join(lost)})" if lost else "")
    return {"status": "fail" if broken else PASS, "note": note, "report": report}


# --- the whole job --------------------------------------------------------------------------------------------


def jobs(folder: Path, limit: float, mnist: Path | None, rehearsal: bool = False) -> dict[str, Any]:
    """Seconds from the command to the test accuracy, cold and warm, beside torch; and xpgraph train as it is typed."""
    if mnist is None and not rehearsal:
        return {"status": LEFT_OUT, "note": "MNIST was not packed: ci/gpu --pack --mnist DIR"}
    end, rows = time.perf_counter() + limit, {}
    with tempfile.TemporaryDirectory() as cache, (folder / "jobs.log").open("w", encoding="utf-8") as log:
        caches = {"CUPY_CACHE_DIR": cache}  # empty at first, so the first job is the cold one
        for name, job, _ in [JOBS[0], JOBS[4]] if rehearsal else JOBS:
            log.write(f"=== {name}\n")
            log.flush()
            rows[name] = one_job(job, mnist, end - time.perf_counter(), log, rehearsal, caches)
        for name in ["xpgraph train, the command"] if not rehearsal else []:
            rows[name] = command_line(mnist, end - time.perf_counter(), log, caches)
    good = [(name, row) for name, row in rows.items() if row["status"] == PASS and row.get("reached")]
    note = "; ".join(f"{name}: {row['reached']:.2f} s, training {row['training']:.2f} s" for name, row in good)
    return result_of(rows, note)


def one_job(
    job: str, mnist: Path | None, limit: float, log: Any, rehearsal: bool, caches: dict[str, str]
) -> dict[str, Any]:
    if limit < 5:
        return {"status": LEFT_OUT, "note": "no time was left for it"}
    small = ["--backend", "numpy", "--hidden", "8", "--epochs", "2", "--target", "0.01"] if rehearsal else []
    more = [*(["--mnist", str(mnist)] if mnist and not rehearsal else []), *small]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as out:
        begin = time.time()
        status = ended(
            [sys.executable, str(ROOT / "ci" / "gpu_job.py"), job, "--begin", repr(begin), *more], log,
            min(limit, 40), out, **caches,
        )  # fmt: skip
        whole = time.time() - begin
        out.seek(0)
        said = out.read().strip().splitlines()
    if status is None:
        return {"status": "fail", "note": f"ran past {min(limit, 40):.0f} s"}
    if status or not said:
        missing = rehearsal and job.startswith("torch") and not torch_is_here()
        return {"status": LEFT_OUT if missing else "fail",
                "note": "torch is not installed" if missing else f"exit status {status}; see jobs.log"}  # fmt: skip
    told = json.loads(said[-1])
    reached = told["reached"] is not None
    row = {"status": PASS if reached else "fail", "whole": whole, **told}
    return row if reached else row | {"note": f"the accuracy was not reached: {told['accuracies'][-1:]}"}


def torch_is_here() -> bool:
    import importlib.util

    return importlib.util.find_spec("torch") is not None


def command_line(mnist: Path | None, limit: float, log: Any, caches: dict[str, str]) -> dict[str, Any]:
    """``xpgraph train`` with its defaults for MNIST: the whole process, its plot and files included."""
    if limit < 5:
        return {"status": LEFT_OUT, "note": "no time was left for it"}
    needed = [name for name in ("click", "threadpoolctl", "safetensors", "matplotlib", "pooch", "rich")
              if not importable(name)]  # fmt: skip
    if needed:
        return {"status": LEFT_OUT, "note": f"{', '.join(needed)} not installed; the jobs above call the library"}
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch, "run")
        begin = time.time()
        status = ended(
            [sys.executable, "-m", "xpgraph", "train", "--backend", "cupy", "--data", "mnist", "--data-dir",
             str(mnist), "--out", str(out)], log, min(limit, 60), **caches,
        )  # fmt: skip
        whole = time.time() - begin
        config = out / "config.json"
        if status or not config.exists():
            return {"status": "fail", "note": f"exit status {status}; see jobs.log"}
        return {"status": PASS, "whole": whole, "result": json.loads(config.read_text("utf-8"))["result"]}


def importable(name: str) -> bool:
    found = subprocess.run([sys.executable, "-c", f"import {name}"], env=child_environment(), capture_output=True)
    return found.returncode == 0
