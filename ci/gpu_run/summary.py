"""What ci/gpu prints: a line for each part, the figures, and last a short table."""

from __future__ import annotations

from pathlib import Path

from .results import LEFT_OUT, PASS, Result, by_reason

SHOWN = ("step (", "nodes of", "no sync", "epilogue", "copy", "relu", "adam", "graph gap", "host:")  # checklist rows
FIGURES = ("tflops", "tb_per_second", "us_per_node", "host_us", "seconds", "reached", "training", "whole", "error")


def line(name: str, result: Result, width: int) -> str:
    return f"{name:14} {result['status']:8} {result.get('seconds', 0.0):6.1f} s  {result['note'][:width]}"


def print_summary(record: Result, file: Path) -> bool:
    """Print the figures and the table of the parts; True if no part failed and each was run or left out."""
    results: dict[str, Result] = record["parts"]
    rows = {part: results.get(part, {}).get("rows", {}) for part in ("checklist", "rivals", "jobs")}
    if not record["rehearsal"]:
        for part, found in rows.items():
            for name, row in found.items():
                if part != "checklist" or name.startswith(SHOWN):
                    print(f"{part} | {name} | {figures(row)}")
        for line_of_rates in rates(rows["checklist"]):
            print(line_of_rates)
    print("\n".join(["", *(line(name, result, 110) for name, result in results.items())]))
    everything = [*results.items()]
    everything += [(f"{part}: {name}", row) for part, r in results.items() for name, row in r.get("rows", {}).items()]
    left_out = {name: result["note"] for name, result in everything if result["status"] == LEFT_OUT}
    for note, names in by_reason(left_out).items():
        print(f"left out, {note[:120]}: {', '.join(names)[:400]}")
    passed = all(result["status"] in (PASS, LEFT_OUT) for result in results.values())
    words = "every part passed" if passed else "NOT every part passed"
    words += ", but for what was left out" * (passed and bool(left_out))
    print(f"ci/gpu: {'rehearsal: ' * record['rehearsal']}{words}; {record['seconds']:.0f} s; {file}")
    return passed


def figures(row: Result) -> str:
    """A row in a few words."""
    numbers = [f"{key} {row[key]:.4g}" for key in FIGURES if isinstance(row.get(key), float)]
    status = "" if row["status"] == PASS else row["status"]
    return " ".join(filter(None, [status, *numbers, row.get("note", "")]))[:250]


def rates(rows: dict[str, Result]) -> list[str]:
    """A line for each kind of matrix product: TFLOP/s by size."""
    found: dict[str, list[str]] = {}
    for name, row in rows.items():
        if name.startswith("gemm ") and "tflops" in row:
            _, size, kind = name.split(" ", 2)
            found.setdefault(kind, []).append(f"{size}: {row['tflops']:.1f}")
    return [f"checklist | TFLOP/s | {kind} | {', '.join(values)}" for kind, values in found.items()]
