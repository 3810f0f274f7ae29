"""Whole jobs: seconds from the command to a test accuracy, cold and warm, beside PyTorch; and ``xpgraph train``."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

from . import children
from .results import PASS, Context, Failed, LeftOut, Result, Rows, need

JOBS = {  # the folder of compiled kernels is empty at first, so the first job is the cold one
    "xpgraph graph, cold cache": "xpgraph-graph",
    "xpgraph graph, warm cache": "xpgraph-graph",
    "xpgraph graph, warm cache again": "xpgraph-graph",
    "xpgraph eager, warm cache": "xpgraph-eager",
    "torch graph": "torch-graph",
    "torch graph again": "torch-graph",
    "torch eager": "torch-eager",
}
REHEARSED = ("xpgraph graph, cold cache", "torch graph")
SMALL = ["--backend", "numpy", "--hidden", "8", "--epochs", "2", "--target", "0.01"]
LEAST = 5.0  # seconds that one job needs
COMMAND_NEEDS = ("click", "threadpoolctl", "safetensors", "matplotlib", "pooch", "rich")


def run(context: Context) -> Result:
    if context.mnist is None and not context.rehearsal:
        raise LeftOut("MNIST was not packed: ci/gpu --pack --mnist DIR")
    rows, log = Rows(context, LEAST), context.log("jobs")
    with tempfile.TemporaryDirectory() as cache:
        for name in REHEARSED if context.rehearsal else JOBS:
            rows.row(name, job, name, context, log, cache)
        if not context.rehearsal:
            rows.row("xpgraph train, the command", command_line, context, log, cache)
    reached = {name: row for name, row in rows.rows.items() if row["status"] == PASS and row.get("reached")}
    return rows.result(
        "; ".join(f"{name}: {row['reached']:.2f} s, training {row['training']:.2f} s" for name, row in reached.items())
    )


def job(name: str, context: Context, log: Path, cache: str) -> Result:
    """One job of job.py: its seconds, as it saw them, and the whole time of its process."""
    if JOBS[name].startswith("torch"):
        need("torch")
    more = SMALL if context.rehearsal else ["--mnist", str(context.mnist)]
    start = time.time()
    command = [children.PYTHON, "-m", "gpu_run.job", JOBS[name], "--start", repr(start), *more]
    result = children.measure(name, command, log, min(context.left(), 40), CUPY_CACHE_DIR=cache)
    whole = time.time() - start
    note = {} if result["reached"] else {"note": f"the accuracy was not reached: {result['accuracies'][-1:]}"}
    return {"ok": not note, "whole": whole, **result, **note}


def command_line(context: Context, log: Path, cache: str) -> Result:
    """``xpgraph train`` with its defaults for MNIST: the whole process, its plot and files included."""
    need(*COMMAND_NEEDS)
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch, "run")
        command = [children.PYTHON, "-m", "xpgraph", "train", "--backend", "cupy", "--data", "mnist"]
        command += ["--data-dir", str(context.mnist), "--out", str(out)]
        start = time.time()
        children.run("xpgraph train", command, log, min(context.left(), 60), CUPY_CACHE_DIR=cache)
        whole = time.time() - start
        if not (out / "config.json").exists():
            raise Failed("it wrote no config.json; see jobs.log")
        return {"whole": whole, "result": json.loads((out / "config.json").read_text("utf-8"))["result"]}
