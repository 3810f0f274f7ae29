"""Part of ci/gpu: what a GPU machine measured, as asv's results for the board.

    ci/gpu --asv gpu.json ... [--into FOLDER]      into benchmarks/results, or into another folder

Only whole measurements of a commit go on the board: a rehearsal, or a tree with changes, is refused except into a
folder outside the checkout, to look at.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from gpu_packages import ROOT

RESULTS = ROOT / "benchmarks" / "results"
COLUMNS = [
    "result", "params", "version", "started_at", "duration", "stats_ci_99_a", "stats_ci_99_b", "stats_q_25",
    "stats_q_75", "stats_number", "stats_repeat", "samples", "profile",
]  # fmt: skip


class Refused(Exception):
    """What must not go on the board; the message says why."""


def convert(files: list[Path], into: Path | None = None) -> int:
    """Each gpu.json into the folder of its machine; the exit status of ci/gpu."""
    bad = 0
    for file in files:
        try:
            for path in convert_one(json.loads(file.read_text("utf-8")), into or RESULTS):
                print(f"ci/gpu: wrote {path}")
        except (Refused, OSError, ValueError, KeyError) as error:
            bad += 1
            print(f"ci/gpu: {file}: {error if isinstance(error, Refused | OSError) else repr(error)}")
    return 1 if bad else 0


def convert_one(record: dict[str, Any], into: Path) -> list[Path]:
    """Write machine.json and the results of one record, and complete benchmarks.json; the files written."""
    machine = record["machine"]
    inside = into.resolve().is_relative_to(ROOT)
    if inside and record.get("rehearsal"):
        raise Refused("a rehearsal says nothing about speed; give --into a folder outside the checkout to look at it")
    if inside and not re.fullmatch(r"[0-9a-f]{40}", machine["commit"]):
        raise Refused(f"measured at {machine['commit']}, which is no commit; commit first, then pack and measure")
    entries = record.get("board") or []
    if not entries:
        raise Refused("it holds no results for the board")
    commit = machine["commit"].removesuffix("+changes")
    date = machine.get("commit_date") or 0
    if inside and not date:
        raise Refused(f"the date of commit {commit} is unknown")
    name = slug(machine.get("gpu") or "rehearsal")
    folder = into / name
    folder.mkdir(parents=True, exist_ok=True)
    facts = of_machine(name, machine)
    written = [folder / "machine.json"]
    dump(written[0], facts | {"version": 1})
    libraries = machine.get("libraries", {})
    versions = {key: libraries[key] for key in ("cupy", "numpy") if key in libraries}
    python = ".".join(machine["python"].split(".")[:2])
    environment = "-".join([f"gpu-py{python}", *(f"{key}{value}" for key, value in versions.items())])
    results = {
        "commit_hash": commit, "env_name": environment, "date": date * 1000, "python": python,
        "params": {k: v for k, v in facts.items() if k in ("arch", "cpu", "machine", "num_cpu", "os", "ram")}
        | {"python": python} | versions,
        "requirements": versions, "env_vars": {"OMP_NUM_THREADS": "1"}, "result_columns": COLUMNS,
        "results": {entry["about"]["name"]: row(entry, machine) for entry in entries}, "durations": {}, "version": 2,
    }  # fmt: skip
    written.append(folder / f"{commit[:8]}-{environment}.json")
    dump(written[1], results)
    written.append(describe(into, entries))
    written.append(folder / f"{commit[:8]}-gpu.json.txt")  # asv would take a .json for results of its own
    written[-1].write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    return written


def slug(gpu: str) -> str:
    """A machine's name: "NVIDIA H200" is nvidia-h200."""
    return re.sub(r"[^a-z0-9]+", "-", gpu.lower()).strip("-")


def of_machine(name: str, machine: dict[str, Any]) -> dict[str, Any]:
    """machine.json: asv's keys, and more that the board shows."""
    more = {"gpu": machine.get("gpu"), "driver": machine.get("driver"), "cuda": machine.get("cuda_runtime")}
    return {
        "machine": name, "arch": machine.get("arch", ""), "cpu": machine.get("cpu", ""),
        "num_cpu": str(machine.get("cpus", "")), "os": machine.get("system", ""), "ram": str(machine.get("ram", "")),
        **{key: str(value) for key, value in more.items() if value},
    }  # fmt: skip


def row(entry: dict[str, Any], machine: dict[str, Any]) -> list[Any]:
    """The values of a benchmark in asv's columns."""
    about, stats = entry["about"], entry["stats"]

    def column(key: str) -> list[Any] | None:
        return [None if one is None else one.get(key) for one in stats] if any(stats) else None

    number = None if not any(stats) else [None if one is None else 1 for one in stats]
    found = [entry["values"], about["params"], about["version"], machine.get("started_ms"), None, column("q_25"),
             column("q_75"), column("q_25"), column("q_75"), number, column("repeat")]  # fmt: skip
    while found and found[-1] is None:
        found.pop()
    return found


def describe(into: Path, entries: list[dict[str, Any]]) -> Path:
    """benchmarks.json: what asv run would write, for the benchmarks that are not in it yet."""
    path = into / "benchmarks.json"
    known = json.loads(path.read_text("utf-8")) if path.exists() else {"version": 2}
    for entry in entries:
        known.setdefault(entry["about"]["name"], entry["about"])
    dump(path, known)
    return path


def dump(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=4, sort_keys=True) + "\n", "utf-8")
