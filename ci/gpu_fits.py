"""Part of ci/gpu, the checklist: whole trainings by graph: the same bits as eagerly, no wait, and µs a step."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from gpu_graphs import fitted
from gpu_timing import Bench, Rows

SPIN = 'extern "C" __global__ void spin(long long n) { long long s = clock64(); while (clock64() - s < n) {} }'
CYCLES = 400_000_000  # of the spin: about a fifth of a second
NO_WAIT = 0.08  # seconds of the host for the steps between two lines, while the device spins
EVERY = 20  # steps from line to line


def correctness(bench: Bench, rows: Rows) -> None:
    """Rows that are right or wrong."""
    for graph in (True, False):
        name = "graph" if graph else "eager"
        rows.row(f"no sync between log lines, {name}", lambda g=graph: no_sync(bench, g))
    rows.row("captured is eager, bit for bit", lambda: same_bits(bench, {"graph": False}, {"graph": True}))
    rows.row("foreign work between replays", lambda: same_bits(bench, {}, between(lambda: foreign(bench))))


def speed(bench: Bench, rows: Rows) -> None:
    """µs a step in the last epoch of a fit without a report, its end and the reading of its losses included."""
    from xpgraph import precision

    def run(name: str, kind: str, graph: bool) -> dict[str, Any]:
        batches = 300 if bench.real else 5
        with precision(kind):
            trainer = fitted(bench, name, batches, max_epoch=4 if bench.real else 2, graph=graph)
        times = [record["seconds"] / batches * 1e6 for record in trainer.history]
        return {"us_per_step": round(min(times[1:]), 2), "epochs_us": times, "note": f"{min(times[1:]):.1f} µs"}

    for name in ("a", "b", "b, clipped"):
        for kind in ("fp32", "tf32"):
            for graph in (True, False):
                words = f"step ({name}), {kind}, {'graph' if graph else 'eager'}"
                rows.row(words, lambda n=name, k=kind, g=graph: run(n, k, g))


# --- the same bits --------------------------------------------------------------------------------------------


def same_bits(bench: Bench, one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Are the parameters of two trainings (52 steps on a device) equal, bit for bit?"""
    from xpgraph import to_numpy

    ends = []
    for more in (one, other):
        trainer = fitted(bench, "b, clipped", 13, max_epoch=4 if bench.real else 1, **more)
        ends.append([to_numpy(p).tobytes() for p in trainer.model.params])
    return {"steps": trainer.steps, "ok": ends[0] == ends[1]}


def between(work: Callable[[], None]) -> dict[str, Any]:
    """What ``fit`` is told so that ``work`` is done between steps."""
    from xpgraph.training.callbacks.report import Report

    class Between(Report):
        def step(self, progress: Any) -> None:
            work()

    return {"report": Between(), "eval_interval": 2}


def foreign(bench: Bench) -> None:
    """What another user of CuPy might do meanwhile: allocate, fill, multiply, sort, give memory back."""
    import cupy

    junk = [cupy.empty(1 << k, "float32") for k in range(4, 22 if bench.real else 10)]
    if bench.real:
        for a in junk:
            a.fill(float("nan"))
        cupy.random.standard_normal((300, 300)).sort()
        b = cupy.random.standard_normal((256, 256))
        cupy.matmul(b, b)
        del junk, a, b
        cupy.get_default_memory_pool().free_all_blocks()


# --- no wait --------------------------------------------------------------------------------------------------


def no_sync(bench: Bench, graph: bool) -> dict[str, Any]:
    """After each line the device is kept busy; if the host waits for anything before the next, it is seen.

    Counted, too: one copy to the host for each line, and one at the end of an epoch.
    """
    from xpgraph.training.callbacks.report import Report

    spin = spinning(bench)
    events: list[tuple[str, int, float]] = []  # (what, epoch, when)

    class Lines(Report):
        def step(self, progress: Any) -> None:
            events.append(("line", progress.epoch, time.perf_counter()))
            spin()

        def epoch(self, record: dict[str, Any]) -> None:
            events.append(("epoch", record["epoch"], 0.0))

    batches = 3 * EVERY if bench.real else EVERY + 1
    with reading(lambda: events.append(("read", 0, time.perf_counter()))):
        fitted(bench, "b", batches, max_epoch=3 if bench.real else 2, eval_interval=EVERY, report=Lines(), graph=graph)
    host, too_many = [], 0
    for i, (what, epoch, when) in enumerate(events):
        later = events[i + 1 :]
        until = next((k for k, event in enumerate(later) if event[0] != "read"), len(later))
        if what != "line" or until == len(later) or later[until][0] != "line":
            continue  # the end of an epoch reads what is left
        too_many += until != 1
        if epoch > 1 and until:  # in the first epoch kernels are compiled, and the step is captured
            host.append(later[0][2] - when)
    slowest = max(host, default=0.0)
    reads = sum(event[0] == "read" for event in events)
    return {
        "lines": sum(event[0] == "line" for event in events), "reads": reads, "host_seconds": host,
        "ok": too_many == 0 and reads > 0 and (slowest < NO_WAIT or not bench.real),
        "note": f"{reads} reads; the host took {slowest * 1e3:.1f} ms for {EVERY} steps",
    }  # fmt: skip


def spinning(bench: Bench) -> Callable[[], None]:
    """What keeps the device busy; nothing in a rehearsal."""
    if not bench.real:
        return lambda: None
    import cupy

    kernel = cupy.RawModule(code=SPIN, backend="nvrtc").get_function("spin")
    return lambda: kernel((1,), (1,), (CYCLES,))


@contextmanager
def reading(told: Callable[[], None]) -> Iterator[None]:
    """``told`` before each copy of a CuPy array to the host that the library makes."""
    import cupy

    namespace = importlib.import_module("xpgraph.arrays.libraries")
    rows, names, types = namespace.LIBRARIES, namespace._BY_NAMESPACE, namespace._BY_TYPE
    row = rows["cupy"]
    before = [(held, key, held.get(key)) for held, key in
              ((rows, "cupy"), (names, "array_api_compat.cupy"), (types, cupy.ndarray))]  # fmt: skip

    def to_host(a: Any) -> Any:
        told()
        return row.to_host(a)

    mine = replace(row, to_host=to_host)
    for held, key, _ in before:
        held[key] = mine
    try:
        yield
    finally:
        for held, key, value in before:
            if value is None:
                held.pop(key, None)
            else:
                held[key] = value
