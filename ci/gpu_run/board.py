"""The suites that the asv board shows, NumPy beside CuPy, measured without asv.

    python -m gpu_run.board [--quick] --json FILE

measures them in a process of its own: each benchmark that takes a backend, by asv's name, with its values in the order
of its parameters and None where asv would show n/a. --quick: one call each, of the smallest sizes only.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import itertools
import math
import pkgutil
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from . import asv, children
from .results import FAIL, PASS, Context, Result, write

BUDGET = 0.2  # seconds for one value


def run(context: Context) -> Result:
    """Measure the suites into the record; then convert it, into a folder that is thrown away."""
    command = [children.PYTHON, "-m", "gpu_run.board", *["--quick"] * context.rehearsal]
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    log = context.log("board")
    entries = context.record["board"] = children.measure("board", command, log, context.left(), **threads)
    log.unlink()  # it says something only of a failure
    with tempfile.TemporaryDirectory() as scratch:
        written = asv.convert_one({**context.record, "parts": {}}, Path(scratch))
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
