"""Checklist: TB/s of memory, what one more node of a graph costs the device, and what calls cost the host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cupy
import numpy as np

from xpgraph.fast.cuda import cublaslt, device
from xpgraph.nodes.layers import relu
from xpgraph.training import optimizers

from .captured import replay
from .results import Result, Rows
from .timing import Bench

EMPTY = 'extern "C" __global__ void empty() {}'
SHOWN = (  # in the last table: row, figure, words
    ("copy", "tb_per_second", "copy {:.2f} TB/s"), ("graph gap, empty kernel", "us_per_node", "node {:.2f} µs"),
    ("host: launch", "host_us", "launch {:.1f} µs"), ("host: cublaslt.matmul", "host_us", "cublaslt.matmul {:.1f} µs"),
    ("host: cupy ufunc", "host_us", "ufunc {:.1f} µs"),
)  # fmt: skip


def summary(rows: dict[str, Result]) -> list[str]:
    return [text.format(rows[name][key]) for name, key, text in SHOWN if key in rows.get(name, {})]


def add_rows(bench: Bench, rows: Rows) -> None:
    """Microseconds of the device for a node and of the host for a call, then memory."""
    a, b, c = (bench.array(np.full((32, 32), value, "float32")) for value in (1, 2, 3))

    def launch_relu() -> None:
        device.launch("relu", "float32", 4, 256, (a.data.ptr, c.data.ptr, a.size))

    def gap_of_empty() -> Result:
        kernel = cupy.RawModule(code=EMPTY, backend="nvrtc").get_function("empty")
        return graph_gap(bench, lambda: kernel((1,), (32,), ()))

    def cupy_matmul() -> Result:
        bench.need_device()
        return bench.host(lambda: cupy.matmul(a, b, out=c))

    def launch_graph() -> Result:
        lane, graph = graph_of(launch_relu, 10)
        lane.fork()
        found = bench.host(graph.launch)
        lane.join()
        return found

    rows.row("graph gap, empty kernel", gap_of_empty)
    rows.row("graph gap, relu of 1024", graph_gap, bench, launch_relu)
    rows.row("host: cupy ufunc", bench.host, lambda: cupy.add(a, b, out=c))
    rows.row("host: cupy.matmul", cupy_matmul)
    rows.row("host: launch", bench.host, launch_relu)
    rows.row("host: relu body", bench.host, lambda: relu(a))
    rows.row("host: cublaslt.matmul", bench.host, lambda: cublaslt.matmul(a, b, c))
    rows.row("host: graph launch, 10 nodes", launch_graph)
    rows.row("copy", copy, bench)
    rows.row("relu", relu_body, bench)
    rows.row("adam, 67 M parameters" if bench.real else "adam", adam, bench)


def graph_of(work: Callable[[], None], count: int) -> tuple[Any, Any]:
    """A lane, and a graph captured on it of ``work`` done ``count`` times."""
    lane = device.Lane()
    with lane.enter():
        work()
    return lane, lane.capture(lambda: [work() for _ in range(count)])


def graph_gap(bench: Bench, work: Callable[[], None]) -> Result:
    """Microseconds that each of 100 more nodes adds to a graph."""
    times = {}
    for count in (10, 110):
        lane, graph = graph_of(work, count)
        times[count] = bench.each(lambda i, pair=(lane, graph): replay(*pair))["seconds"] * 1e6
    return {"us_10": times[10], "us_110": times[110], "us_per_node": round((times[110] - times[10]) / 100, 4)}


def memory_speed(bench: Bench, call: Callable[[int], Any], moved: int) -> Result:
    """TB/s of a call, bytes read and bytes written counted."""
    found = bench.each(call)
    return {**found, "bytes": moved, "tb_per_second": round(moved / found["seconds"] / 1e12, 3)}


def elements(bench: Bench) -> int:
    """Of an array far beyond the L2."""
    return 1 << 28 if bench.real else 1 << 10


def copy(bench: Bench) -> Result:
    a, b = cupy.empty(elements(bench), "float32"), cupy.empty(elements(bench), "float32")
    a.fill(0.5)
    stream = cupy.cuda.get_current_stream()
    return memory_speed(bench, lambda i: b.data.copy_from_device_async(a.data, a.nbytes, stream), 2 * a.nbytes)


def relu_body(bench: Bench) -> Result:
    a = bench.array(np.resize(np.arange(-8, 8, dtype="float32"), elements(bench) // 4))
    return memory_speed(bench, lambda i: relu(a), 2 * a.nbytes)


def adam(bench: Bench) -> Result:
    shapes = [(4096, 4096), (4096,)] * 4 if bench.real else [(9, 7), (7,)]
    lists = [[bench.array(np.full(shape, value, "float32")) for shape in shapes] for value in (0.5, 0.1, 0.1, 0.1)]
    moved = 7 * sum(a.nbytes for a in lists[0])
    return memory_speed(bench, lambda i: optimizers.adam(*lists, 1e-3, 0.9, 0.999, 1e-8), moved)
