"""The suites that the asv board shows, NumPy beside CuPy: measured without asv, and converted into asv's files.

    python -m gpu_run.board [--quick] --json FILE

measures them in a process of its own: each benchmark that takes a backend, by asv's name, with its values in the order
of its parameters and None where asv would show n/a. --quick: one call each, of the smallest sizes only.

    ci/gpu --asv gpu.json ... [--into FOLDER]

converts a GPU machine's results. Only whole measurements of a commit go on the board. A rehearsal, or a tree with
changes, is refused unless --into names a folder outside the checkout, to look at the result.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import itertools
import json
import math
import pkgutil
import re
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from . import children
from .packages import ROOT
from .results import FAIL, PASS, Context, Result, write

BUDGET = 0.2  # seconds for one value
RESULTS = ROOT / "benchmarks" / "results"
COLUMNS = [
    "result", "params", "version", "started_at", "duration", "stats_ci_99_a", "stats_ci_99_b", "stats_q_25",
    "stats_q_75", "stats_number", "stats_repeat", "samples", "profile",
]  # fmt: skip


def run(context: Context) -> Result:
    """Measure the suites into the record; then convert it, into a folder that is thrown away."""
    command = [children.PYTHON, "-m", "gpu_run.board", *["--quick"] * context.rehearsal]
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    log = context.log("board")
    entries = context.record["board"] = children.measure("board", command, log, context.left(), **threads)
    log.unlink()  # it says something only of a failure
    with tempfile.TemporaryDirectory() as scratch:
        written = convert_one({**context.record, "parts": {}}, Path(scratch))
    values = [value for entry in entries for value in entry["values"]]
    reasons = sorted({reason for entry in entries for reason in entry["reasons"] if reason})
    broken = [reason for reason in reasons if "Error: " in reason]
    note = f"{sum(v is not None for v in values)} of {len(values)} values; converted into {len(written)} files"
    return {"status": FAIL if broken else PASS, "note": "; ".join([note, *broken]), "left_out": reasons}


def suites() -> list[tuple[str, type]]:
    """(module, class) of each suite with a backend among its parameters."""
    found = []
    for info in pkgutil.iter_modules(importlib.import_module("benchmarks").__path__):
        if info.ispkg:
            continue  # benchmarks.rivals measures by itself
        module = importlib.import_module(f"benchmarks.{info.name}")
        for _, kind in inspect.getmembers(module, inspect.isclass):
            if kind.__module__ == module.__name__ and "backend" in getattr(kind, "param_names", ()):
                found.append((info.name, kind))
    return found


def describe(module: str, kind: Any, method: str) -> dict[str, Any]:
    """A benchmark as asv writes it into benchmarks.json."""
    timed = method.startswith("time_")
    about = {
        "code": inspect.getsource(getattr(kind, method)), "name": f"{module}.{kind.__name__}.{method}",
        "param_names": list(kind.param_names), "params": [[repr(v) for v in values] for values in kind.params],
        "timeout": 60.0, "type": "time" if timed else "track", "version": kind.version,
        "unit": "seconds" if timed else getattr(getattr(kind, method), "unit", "unit"),
    }  # fmt: skip
    if timed:
        about |= {"min_run_count": 2, "number": 0, "repeat": 0, "rounds": 2, "sample_time": 0.01, "warmup_time": -1}
    return about


def seconds(call: Any, budget: float) -> dict[str, float]:
    """Seconds of one call: median, quartiles and number of calls within ``budget`` seconds; at least one call."""
    times: list[float] = []
    end = time.perf_counter() + budget
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    low, middle, high = statistics.quantiles(times, n=4, method="inclusive") if len(times) > 1 else times * 3
    return {"median": middle, "q_25": low, "q_75": high, "repeat": len(times)}


def measured(module: str, kind: Any, quick: bool) -> list[dict[str, Any]]:
    """One entry for each method of a suite."""
    entries: dict[str, dict[str, Any]] = {
        name: {"about": describe(module, kind, name), "values": [], "stats": [], "reasons": []}
        for name in dir(kind) if name.startswith(("time_", "track_"))
    }  # fmt: skip
    smallest = kind.params[0][:1] if quick else kind.params[0]
    for values in itertools.product(*kind.params):
        suite, numbers, reason = kind(), {}, ""
        left_out = values[0] not in smallest or "torch" in values  # PyTorch is measured by asv, where it is installed
        try:
            if left_out:
                raise NotImplementedError("left out by --quick, and PyTorch always")
            getattr(suite, "setup", lambda *_: None)(*values)
            for name in entries:
                call = getattr(suite, name)
                timed = name.startswith("time_")
                numbers[name] = seconds(partial(call, *values), 0.0 if quick else BUDGET) if timed else call(*values)
        except NotImplementedError as error:
            reason = str(error)
        except Exception as error:  # one broken value must not cost the others
            reason = f"{type(error).__name__}: {error}"
        if not left_out:
            getattr(suite, "teardown", lambda *_: None)(*values)
        for name, entry in entries.items():
            number = numbers.get(name)
            value = number["median"] if isinstance(number, dict) else number
            entry["values"].append(value if value is None or math.isfinite(value) else None)
            entry["stats"].append(number if isinstance(number, dict) else None)
            entry["reasons"].append(reason)
    return list(entries.values())


class Refused(Exception):
    """A record that must not go on the board; the message says why."""


def convert(files: list[Path], into: Path | None = None) -> int:
    """Convert each gpu.json into the folder of its machine; the exit status of ci/gpu."""
    status = 0
    for file in files:
        try:
            for path in convert_one(json.loads(file.read_text("utf-8")), into or RESULTS):
                print(f"ci/gpu: wrote {path}")
        except (Refused, OSError, ValueError, KeyError) as error:
            status = 1
            print(f"ci/gpu: {file}: {error if isinstance(error, Refused | OSError) else repr(error)}")
    return status


def convert_one(record: dict[str, Any], into: Path) -> list[Path]:
    """Write machine.json and the results of one record, and complete benchmarks.json; the files written."""
    machine, entries = record["machine"], record.get("board")
    commit, date = machine["commit"].removesuffix("+changes"), machine.get("commit_date") or 0
    inside = into.resolve().is_relative_to(ROOT)
    if inside and record.get("rehearsal"):
        raise Refused("a rehearsal says nothing about speed; give --into a folder outside the checkout to look at it")
    if inside and not re.fullmatch(r"[0-9a-f]{40}", machine["commit"]):
        raise Refused(f"measured at {machine['commit']}, which is no commit; commit first, then pack and measure")
    if not entries:
        raise Refused("it holds no results for the board")
    if inside and not date:
        raise Refused(f"the date of commit {commit} is unknown")
    name = re.sub(r"[^a-z0-9]+", "-", (machine.get("gpu") or "rehearsal").lower()).strip("-")
    folder = into / name  # "NVIDIA H200": nvidia-h200
    folder.mkdir(parents=True, exist_ok=True)
    about = about_machine(name, machine)
    libraries = machine.get("libraries", {})
    versions = {key: libraries[key] for key in ("cupy", "numpy") if key in libraries}
    python = ".".join(machine["python"].split(".")[:2])
    environment = "-".join([f"gpu-py{python}", *(f"{key}{value}" for key, value in versions.items())])
    shown = {key: about[key] for key in ("arch", "cpu", "machine", "num_cpu", "os", "ram")}
    results = {
        "commit_hash": commit, "env_name": environment, "date": date * 1000, "python": python,
        "params": shown | {"python": python} | versions, "requirements": versions,
        "env_vars": {"OMP_NUM_THREADS": "1"}, "result_columns": COLUMNS,
        "results": {entry["about"]["name"]: columns(entry, machine) for entry in entries}, "durations": {},
        "version": 2,
    }  # fmt: skip
    benchmarks = into / "benchmarks.json"  # as asv run would write it, with what is not in it yet
    known = json.loads(benchmarks.read_text("utf-8")) if benchmarks.exists() else {"version": 2}
    written = {
        folder / "machine.json": about | {"version": 1},
        folder / f"{commit[:8]}-{environment}.json": results,
        benchmarks: {entry["about"]["name"]: entry["about"] for entry in entries} | known,
        folder / f"{commit[:8]}-gpu.json.txt": record,  # asv would take a .json for results of its own
    }
    for path, value in written.items():
        own = path.suffix == ".txt"
        path.write_text(json.dumps(value, indent=1 if own else 4, sort_keys=not own) + "\n", "utf-8")
    return list(written)


def about_machine(name: str, machine: dict[str, Any]) -> dict[str, Any]:
    """machine.json: asv's keys, and more that the board shows."""
    more = {"gpu": machine.get("gpu"), "driver": machine.get("driver"), "cuda": machine.get("cuda_runtime")}
    return {
        "machine": name, "arch": machine.get("arch", ""), "cpu": machine.get("cpu", ""),
        "num_cpu": str(machine.get("cpus", "")), "os": machine.get("system", ""), "ram": str(machine.get("ram", "")),
        **{key: str(value) for key, value in more.items() if value},
    }  # fmt: skip


def columns(entry: dict[str, Any], machine: dict[str, Any]) -> list[Any]:
    """The values of a benchmark in asv's columns; empty ones at the end are left out."""
    about, stats = entry["about"], entry["stats"]

    def column(key: str) -> list[Any] | None:
        return [None if one is None else one.get(key) for one in stats] if any(stats) else None

    number = [None if one is None else 1 for one in stats] if any(stats) else None
    values = [entry["values"], about["params"], about["version"], machine.get("started_ms"), None, column("q_25"),
              column("q_75"), column("q_25"), column("q_75"), number, column("repeat")]  # fmt: skip
    while values and values[-1] is None:
        values.pop()
    return values


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path, required=True, metavar="FILE")
    options = parser.parse_args()
    importlib.import_module("benchmarks.common").BUDGET = 0.0 if options.quick else BUDGET
    write(options.json, [entry for module, kind in suites() for entry in measured(module, kind, options.quick)])
    return 0


if __name__ == "__main__":
    sys.exit(main())
