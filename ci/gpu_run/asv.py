"""A GPU machine's results, converted into asv's files for the board: ``ci/gpu --asv gpu.json ... [--into FOLDER]``.

Only whole measurements of a commit go on the board. A rehearsal, or a tree with changes, is refused unless --into names
a folder outside the checkout, to look at the result.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from .packages import ROOT

RESULTS = ROOT / "benchmarks" / "results"
COLUMNS = [
    "result", "params", "version", "started_at", "duration", "stats_ci_99_a", "stats_ci_99_b", "stats_q_25",
    "stats_q_75", "stats_number", "stats_repeat", "samples", "profile",
]  # fmt: skip


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
