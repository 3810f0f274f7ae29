"""Checklist: whole trainings with captured steps: the bits of eager ones, no wait, and microseconds a step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import cupy

from xpgraph import precision, to_numpy
from xpgraph.arrays.libraries import LIBRARIES
from xpgraph.training.callbacks.report import Report

from .captured import STEPS, fitted
from .results import Result, Rows
from .timing import Bench
from .training import at_each_line

SPIN = 'extern "C" __global__ void spin(long long n) { long long s = clock64(); while (clock64() - s < n) {} }'
CYCLES = 400_000_000  # of the spin: about a fifth of a second
NO_WAIT = 0.08  # seconds of the host for the steps between two lines, while the device spins
EVERY = 20  # steps from line to line


def add_rows(bench: Bench, rows: Rows) -> None:
    """What is right or wrong, then microseconds a step."""
    for graph in (True, False):
        rows.row(f"no sync between log lines, {'graph' if graph else 'eager'}", no_sync, bench, graph)
    meanwhile = {"report": at_each_line(lambda: foreign_work(bench)), "eval_interval": 2}
    rows.row("captured is eager, bit for bit", same_bits, bench, {"graph": False}, {"graph": True})
    rows.row("foreign work between replays", same_bits, bench, {}, meanwhile)
    for name in STEPS:
        for kind in ("fp32", "tf32"):
            for graph in (True, False):
                rows.row(f"step ({name}), {kind}, {'graph' if graph else 'eager'}", speed, bench, name, kind, graph)


def speed(bench: Bench, name: str, kind: str, graph: bool) -> Result:
    """Microseconds a step, in the best epoch but the first, its end and the reading of its losses included."""
    batches = 300 if bench.real else 5
    with precision(kind):
        trainer = fitted(bench, name, batches, max_epoch=4 if bench.real else 2, graph=graph)
    times = [record["seconds"] / batches * 1e6 for record in trainer.history]
    best = min(times[1:])
    return {"us_per_step": round(best, 2), "epochs_us": times, "note": f"{best:.1f} µs"}


def same_bits(bench: Bench, one: dict[str, Any], other: dict[str, Any]) -> Result:
    """Are the parameters of two trainings (52 steps on a device) equal, bit for bit?"""
    ends = []
    for options in (one, other):
        trainer = fitted(bench, "b, clipped", 13, max_epoch=4 if bench.real else 1, **options)
        ends.append([to_numpy(p).tobytes() for p in trainer.model.params])
    return {"steps": trainer.steps, "ok": ends[0] == ends[1]}


def foreign_work(bench: Bench) -> None:
    """What another user of CuPy might do meanwhile: allocate, fill, multiply, sort, free memory."""
    junk = [cupy.empty(1 << k, "float32") for k in range(4, 22 if bench.real else 10)]
    if bench.real:
        for a in junk:
            a.fill(float("nan"))
        cupy.random.standard_normal((300, 300)).sort()
        b = cupy.random.standard_normal((256, 256))
        cupy.matmul(b, b)
        del junk, a, b
        cupy.get_default_memory_pool().free_all_blocks()


def no_sync(bench: Bench, graph: bool) -> Result:
    """Keep the device busy after each line: does the host wait for anything before the next one?

    The copies to the host are counted, too: one for each line, and one at the end of an epoch.
    """
    keep_busy = spinning(bench)
    events: list[tuple[str, int, float]] = []  # (what, epoch, when)

    class Watch(Report):
        def step(self, progress: Any) -> None:
            events.append(("line", progress.epoch, time.perf_counter()))
            keep_busy()

        def epoch(self, record: dict[str, Any]) -> None:
            events.append(("epoch", record["epoch"], 0.0))

    batches = 3 * EVERY if bench.real else EVERY + 1
    with each_read(lambda: events.append(("read", 0, time.perf_counter()))):
        fitted(bench, "b", batches, max_epoch=3 if bench.real else 2, eval_interval=EVERY, report=Watch(), graph=graph)
    host, too_many = [], 0
    for i, (what, epoch, when) in enumerate(events):
        later = events[i + 1 :]
        reads = next((k for k, event in enumerate(later) if event[0] != "read"), len(later))
        if what != "line" or reads == len(later) or later[reads][0] != "line":
            continue  # the end of an epoch reads what is left
        too_many += reads != 1
        if epoch > 1 and reads:  # in the first epoch kernels are compiled, and the step is captured
            host.append(later[0][2] - when)
    slowest = max(host, default=0.0)
    kinds = [event[0] for event in events]
    reads = kinds.count("read")
    return {
        "lines": kinds.count("line"), "reads": reads, "host_seconds": host,
        "ok": too_many == 0 and reads > 0 and (slowest < NO_WAIT or not bench.real),
        "note": f"{reads} reads; the host took {slowest * 1e3:.1f} ms for {EVERY} steps",
    }  # fmt: skip


def spinning(bench: Bench) -> Callable[[], None]:
    """A call that keeps the device busy; in a rehearsal it does nothing."""
    if not bench.real:
        return lambda: None
    kernel = cupy.RawModule(code=SPIN, backend="nvrtc").get_function("spin")
    return lambda: kernel((1,), (1,), (CYCLES,))


@contextmanager
def each_read(call: Callable[[], None]) -> Iterator[None]:
    """``call`` before each copy of a CuPy array to the host that the library makes."""
    row = LIBRARIES["cupy"]
    to_host = row.to_host

    def told(a: Any) -> Any:
        call()
        return to_host(a)

    object.__setattr__(row, "to_host", told)  # a row is frozen, and several tables hold it
    try:
        yield
    finally:
        object.__setattr__(row, "to_host", to_host)
