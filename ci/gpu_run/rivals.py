"""Training steps and products beside PyTorch and JAX, measured by ``python -m benchmarks.rivals``."""

from __future__ import annotations

from pathlib import Path

from . import children
from .results import FAIL, PASS, Context, Result, Rows

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
ROUNDS, PATIENCE = 5, 3  # rounds, and seconds for repeating disturbed turns
LEAST, LONGEST = 15.0, 75.0  # seconds that one run needs, and that it may take


def run(context: Context) -> Result:
    """Each workload and precision, while there is time; the reports of benchmarks.rivals as they are."""
    rows, log = Rows(context, 0.0 if context.rehearsal else LEAST), context.log("rivals")
    for workload, precision, contenders in REHEARSED if context.rehearsal else RUNS:
        name = f"{workload} {precision}" + (", compiled" if "torch-compile" in contenders else "")
        rows.row(name, side_by_side, workload, precision, contenders, context, log)
    return rows.result("; ".join(f"{name}: {row['note']}" for name, row in rows.rows.items() if row["status"] == PASS))


def side_by_side(workload: str, precision: str, contenders: tuple[str, ...], context: Context, log: Path) -> Result:
    """One run: microseconds a step of each contender, the fastest first. It fails if xpgraph could not be measured."""
    device, rounds, patience = ("cpu", 1, 0) if context.rehearsal else ("cuda", ROUNDS, PATIENCE)
    command = [children.PYTHON, "-m", "benchmarks.rivals", "--device", device, "--workload", workload]
    command += ["--precision", precision, "--rounds", str(rounds), "--patience", str(patience)]
    for contender in contenders:
        command += ["--contender", contender]
    report = children.measure(f"{workload} {precision}", command, log, min(context.left(), LONGEST))
    result = report["results"][0]
    times = [f"{row['name']} {row['seconds'] * 1e6:.1f}" for row in sorted(result["rows"], key=lambda r: r["seconds"])]
    left_out = [f"{name} {reason}" for name, reason in result["left_out"].items()]
    note = ", ".join(times) + " µs" * bool(times) + (f" (left out: {'; '.join(left_out)})" if left_out else "")
    broken = any(name.startswith("xpgraph") for name in result["left_out"])
    return {"status": FAIL if broken else PASS, "note": note, "report": report}
