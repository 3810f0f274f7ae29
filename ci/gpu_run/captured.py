"""Checklist: products inside a captured graph, epilogues, and the nodes of a captured training step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np

from xpgraph import Trainer, mlp, to_numpy
from xpgraph.fast.cuda import cublaslt, device
from xpgraph.training.optimizers import OPTIMIZERS

from . import driver
from .results import LeftOut, Result, Rows
from .timing import Bench


class Step(NamedTuple):
    """A training step, its sizes in a rehearsal, and the largest number of nodes that its graph may have."""

    sizes: tuple[int, ...]
    small: tuple[int, ...]
    batch: int
    optimizer: str
    clip: float | None
    nodes: int


STEPS = {
    "a": Step((784, 500, 10), (6, 5, 3), 100, "sgd", None, 10),
    "b": Step((784, 512, 512, 10), (6, 5, 5, 3), 128, "adam", None, 15),
    "b, clipped": Step((784, 512, 512, 10), (6, 5, 5, 3), 128, "adam", 1.0, 16),
}
# The largest |error| over the largest |value| of the exact product, with headroom over what the arithmetic gives.
BARS = {("float32", "fp32"): 1e-5, ("float32", "tf32"): 3e-3, ("float64", "fp32"): 1e-13}
EPILOGUES = ((100, 784, 500), (128, 784, 512), (128, 512, 10))  # rows, in, out


def add_rows(bench: Bench, rows: Rows) -> None:
    for dtype, precision in BARS:
        rows.row(f"cublaslt.matmul in a graph, {dtype} {precision}", product_in_graph, bench, dtype, precision)
        for kind in ("bias", "column_sum"):
            rows.row(f"epilogue {kind}, {dtype} {precision}", epilogue, bench, dtype, precision, kind)
    for name in STEPS:
        rows.row(f"nodes of step ({name})", count_nodes, bench, name)


def product_in_graph(bench: Bench, dtype: str, precision: str) -> Result:
    """A product, captured and replayed three times into poisoned memory: the bits of the eager call?"""
    random = np.random.default_rng(1)
    a, b = (bench.array(random.standard_normal(shape).astype(dtype)) for shape in ((96, 200), (200, 64)))
    poison = np.full((96, 64), np.nan, dtype)
    out = bench.array(poison)
    lane = device.Lane()
    with lane.enter():
        taken = cublaslt.matmul(a, b, out, precision=precision)
    lane.join()
    if not taken:
        raise LeftOut("cuBLASLt has no algorithm for it")
    wanted = to_numpy(out).copy()
    graph = lane.capture(lambda: cublaslt.matmul(a, b, out, precision=precision))
    lane.join()
    equal = []
    for _ in range(3):
        device.upload(out, poison)
        replay(lane, graph)
        equal.append(to_numpy(out).tobytes() == wanted.tobytes())
    exact = to_numpy(a).astype("float64") @ to_numpy(b).astype("float64")
    error = relative(wanted, exact)
    return {"replays_equal": equal, "error": error, "ok": all(equal) and error <= BARS[dtype, precision]}


def replay(lane: Any, graph: Any) -> None:
    """Launch a captured graph on its lane, ordered with the current stream."""
    lane.fork()
    graph.launch()
    lane.join()


def relative(a: np.ndarray, exact: np.ndarray) -> float:
    return float(abs(a - exact).max() / abs(exact).max())


def epilogue(bench: Bench, dtype: str, precision: str, kind: str) -> Result:
    """Is an epilogue taken at the shapes of a step, and how exact is it? To refuse it is an answer, not a fault."""
    taken, errors = {}, [0.0]
    random = np.random.default_rng(2)
    for n, inputs, outputs in EPILOGUES if bench.real else ((4, 5, 3),):
        x, W, dy = (random.standard_normal(s).astype(dtype) for s in ((n, inputs), (inputs, outputs), (n, outputs)))
        b = random.standard_normal(outputs).astype(dtype)
        x64, W64, dy64 = (a.astype("float64") for a in (x, W, dy))
        if kind == "bias":
            factors, wanted, vector = (bench.array(x), bench.array(W)), x64 @ W64 + b, bench.array(b)
        else:
            factors, wanted = (bench.array(x).T, bench.array(dy)), x64.T @ dy64
            vector = bench.array(np.full(outputs, np.nan, dtype))
        out = bench.array(np.full(wanted.shape, np.nan, dtype))
        was_taken = cublaslt.matmul(*factors, out, precision=precision, **{kind: vector})
        taken[f"{n}x{inputs}x{outputs}"] = was_taken
        if was_taken:
            errors.append(relative(to_numpy(out), wanted))
        if was_taken and kind == "column_sum":
            errors.append(relative(to_numpy(vector), dy64.sum(0)))
    note = "taken" if all(taken.values()) else "refused" if not any(taken.values()) else "taken at some shapes"
    worst = float(np.max(errors))  # NaN if there is one
    return {"taken": taken, "error": worst, "note": note, "ok": worst <= BARS[dtype, precision]}


def fitted(bench: Bench, name: str, batches: int, **options: Any) -> Trainer:
    """A trainer after ``fit`` with that many full batches in an epoch."""
    step = STEPS[name]
    sizes, batch = (step.sizes, step.batch) if bench.real else (step.small, 4)
    random = np.random.default_rng(3)
    x = bench.array(random.random((batches * batch, sizes[0]), np.float32))
    t = bench.array(random.integers(0, sizes[-1], batches * batch))
    trainer = Trainer(mlp(sizes, backend=bench.place), OPTIMIZERS[step.optimizer]())
    options = {"max_epoch": 1, "eval_interval": None, "graph": True} | options
    trainer.fit(x, t, batch_size=batch, max_grad=step.clip, **options)
    bench.wait()
    return trainer


@contextmanager
def watched() -> Iterator[tuple[list[Any], Counter[str]]]:
    """The graphs that are captured meanwhile, and by name what was launched during the captures."""
    graphs: list[Any] = []
    launches: Counter[str] = Counter()
    capturing = False
    real_lane, real_launch, real_matmul = device.Lane, device.launch, cublaslt.matmul

    def lane() -> Any:
        made = real_lane()
        real_capture = made.capture

        def capture(work: Any) -> Any:
            nonlocal capturing
            capturing = True
            try:
                graphs.append(real_capture(work))
            finally:
                capturing = False
            return graphs[-1]

        made.capture = capture
        return made

    def launch(name: str, *args: Any) -> None:
        real_launch(name, *args)
        launches[name] += capturing

    def matmul(*args: Any, **options: Any) -> bool:
        taken = real_matmul(*args, **options)
        launches["matmul"] += capturing and taken
        return taken

    with (
        patch.object(device, "Lane", lane),
        patch.object(device, "launch", launch),
        patch.object(cublaslt, "matmul", matmul),
    ):
        yield graphs, launches


def count_nodes(bench: Bench, name: str) -> Result:
    """The nodes of the captured step, by kind, beside what was launched; a product may be more than one node."""
    wanted = STEPS[name].nodes
    with watched() as (graphs, launches):
        fitted(bench, name, 6)
    launches = +launches
    found = driver.read(graphs[0].graph.graph) if bench.real else rig_nodes(graphs[0])
    kinds, names = found["kinds"], found["names"]
    own = {n.removeprefix("xp_"): k for n, k in names.items() if n.startswith("xp_")}
    total, of_libraries = sum(kinds.values()), sum(names.values()) - sum(own.values())
    launched, sums = sum(launches.values()), launches["column_sum"]  # a sum by itself: BGRAD was refused
    ok = launched - sums <= wanted and kinds.keys() <= {"kernel", "memset"}
    ok = ok and not any(n.startswith("cupy") for n in names)
    if found["named"]:
        ours = {n: k for n, k in launches.items() if n != "matmul"}
        ok = ok and own == ours and of_libraries >= launches["matmul"]
    note = f"{total} nodes, {launched} launches, at most {wanted} wanted" + f" and {sums} sums" * bool(sums)
    return {
        "graphs": len(graphs), "nodes": total, "kinds": kinds, "names": names, "launched": launched,
        "by_name": dict(launches), "wanted": wanted, "sums_alone": sums, "equal": total == launched, "ok": ok,
        "note": note,
    }  # fmt: skip


def rig_nodes(graph: Any) -> dict[str, Any]:
    """What ``driver.read`` would give, of a graph of the rig."""
    names = Counter()
    for name, count in graph.nodes().items():
        kind, _, word = name.partition(" ")
        names[f"xp_{word}" if kind == "kernel" else word] += count
    return {"kinds": {"kernel": sum(names.values())}, "names": dict(names), "named": True}
