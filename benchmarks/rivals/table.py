"""The results in words: a table for each workload, what they were measured with, and the gate."""

from __future__ import annotations

from typing import Any

from xpgraph.graph.text_table import columns

OURS = ("xpgraph", "xpgraph-step")
BEHIND = ("chapter", "torch-eager", "torch-fused", "torch-compile", "scikit-learn")  # must not be faster than xpgraph


def table(result: dict[str, Any], memory: bool = False) -> list[str]:
    """Lines: time of a step (median, quartiles), both ratios, one step alone; then which were left out, and why."""
    fastest = next((row["fastest_gemm"] for row in result["rows"]), None)
    head = ["", "µs a step", "middle half", f"x {fastest or 'gemm'}", "x own gemm", "one step alone", "steps a call"]
    rows = [head + (["peak MiB"] if memory else [])]
    for row in sorted(result["rows"], key=lambda row: (row["trains"], row["seconds"])):
        cells = [row["name"], micro(row["seconds"]), f"{micro(row['low'])} - {micro(row['high'])}"]
        cells += [ratio(row["ratio"]), ratio(row["ratio_own"]), micro(row["single_seconds"]), str(row["steps"])]
        rows.append(cells + ([f"{row['about']['peak_mib']:.0f}"] if memory else []))
    arithmetic = result["dtype"] + (f" {result['precision']}" if result["device"] == "cuda" else "")
    lines = [f"{result['workload']['name']}: {result['words']}; {arithmetic} on {result['device']}"]
    lines += ["  " + line for line in columns(rows, right=range(1, len(rows[0])))]
    lines.append(f"  losses of the first {len(result['reference'])} steps agree within {result['tolerance']:.0e}")
    if result["disturbed"]:
        lines.append(f"  noisy: other work on the machine disturbed {result['disturbed']} of {result['turns']} turns")
    lines += [f"  {note}" for note in dict.fromkeys(row["note"] for row in result["rows"] if row["note"])]
    return lines + [f"  left out: {name}: {reason}" for name, reason in result["left_out"].items()]


def described(results: list[dict[str, Any]]) -> list[str]:
    """Versions, BLAS, kernels and threads of each contender, once for those that have the same."""
    found: dict[str, list[str]] = {}
    for row in (row for result in results for row in result["rows"]):
        about = {k: v for k, v in row["about"].items() if k not in ("peak_mib", "pools")}
        words = ", ".join(f"{key} {value}" for key, value in about.items())
        words = "; ".join([words, *row["about"]["pools"]])
        names = found.setdefault(words, [])
        if row["name"] not in names:
            names.append(row["name"])
    return [f"{', '.join(names)}: {words}" for words, names in found.items()]


def failures(results: list[dict[str, Any]]) -> list[str]:
    """Where xpgraph misses the gate: too slow beside NumPy's gemm, or slower than another library. Empty: it passes."""
    missed, judged = [], 0
    for result in results:
        name, limit = result["workload"]["name"], result["workload"]["gate"]
        rows = {row["name"]: row for row in result["rows"]}
        if limit is None:
            continue
        for ours in OURS:
            if ours not in rows or "gemm" not in rows:
                missed.append(f"{name}: {ours if ours not in rows else 'gemm'} was not measured")
                continue
            judged += 1
            if rows[ours]["ratio_own"] > limit:
                missed.append(f"{name}: {ours} takes {rows[ours]['ratio_own']:.2f} times gemm, {limit} allowed")
            faster = [n for n in BEHIND if n in rows and rows[n]["seconds"] < rows[ours]["seconds"]]
            missed += [f"{name}: {other} is faster than {ours}" for other in faster]
    return missed if judged or missed else ["no workload with a gate was run"]


def micro(seconds: float) -> str:
    """Microseconds, three figures at least."""
    return f"{seconds * 1e6:,.0f}" if seconds >= 1e-4 else f"{seconds * 1e6:.1f}"


def ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
