"""Part of ci/gpu: the suites that the asv board shows, NumPy beside CuPy, measured without asv.

    python ci/gpu_board.py [--quick] FILE

Writes JSON: each benchmark that takes a backend, by asv's name, with its values in the order of its parameters and
None where asv would show n/a. --quick: one call each, of the smallest sizes only.
"""

from __future__ import annotations

import importlib
import inspect
import itertools
import json
import math
import pkgutil
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from gpu_packages import ROOT

BUDGET = 0.2  # seconds for one value
SUITES = "benchmarks"


def suites() -> list[tuple[str, type]]:
    """(module, class) of each suite with a backend among its parameters."""
    folder = importlib.import_module(SUITES)
    found = []
    for info in pkgutil.iter_modules(folder.__path__):
        if info.ispkg:
            continue  # benchmarks.rivals measures by itself
        module = importlib.import_module(f"{SUITES}.{info.name}")
        for _, kind in inspect.getmembers(module, inspect.isclass):
            if kind.__module__ == module.__name__ and "backend" in getattr(kind, "param_names", ()):
                found.append((info.name, kind))
    return found


def methods(kind: type) -> list[str]:
    return [name for name in dir(kind) if name.startswith(("time_", "track_"))]


def described(module: str, kind: Any, method: str) -> dict[str, Any]:
    """A benchmark as asv writes it into benchmarks.json."""
    timed = method.startswith("time_")
    found = {
        "code": inspect.getsource(getattr(kind, method)), "name": f"{module}.{kind.__name__}.{method}",
        "param_names": list(kind.param_names), "params": [[repr(v) for v in values] for values in kind.params],
        "timeout": 60.0, "type": "time" if timed else "track", "version": kind.version,
        "unit": "seconds" if timed else getattr(getattr(kind, method), "unit", "unit"),
    }  # fmt: skip
    if timed:
        found |= {"min_run_count": 2, "number": 0, "repeat": 0, "rounds": 2, "sample_time": 0.01, "warmup_time": -1}
    return found


def seconds(call: Any) -> dict[str, float]:
    """Of one call: median, quartiles and their number, over about BUDGET seconds; one call if that is 0."""
    times: list[float] = []
    end = time.perf_counter() + BUDGET
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    low, middle, high = statistics.quantiles(times, n=4, method="inclusive") if len(times) > 1 else times * 3
    return {"median": middle, "q_25": low, "q_75": high, "repeat": len(times)}


def measured(module: str, kind: Any, quick: bool) -> list[dict[str, Any]]:
    """One entry for each method of a suite."""
    entries: dict[str, dict[str, Any]] = {
        name: {"about": described(module, kind, name), "values": [], "stats": [], "reasons": []}
        for name in methods(kind)
    }
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
                numbers[name] = seconds(lambda c=call, v=values: c(*v)) if name[:5] == "time_" else call(*values)
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
    global BUDGET
    sys.path.insert(0, str(ROOT))
    quick = "--quick" in sys.argv
    BUDGET = 0.0 if quick else BUDGET
    importlib.import_module(f"{SUITES}.common").BUDGET = BUDGET
    found = [entry for module, kind in suites() for entry in measured(module, kind, quick)]
    Path(sys.argv[-1]).write_text(json.dumps(found) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
