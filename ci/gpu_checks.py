"""Part of ci/gpu, the checklist: rates of matrix products and of memory, gaps in graphs, what calls cost the host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gpu_fits
import gpu_graphs
from gpu_timing import Bench, LeftOut, Rows

SIZES = (512, 1024, 2048, 4096, 8192)
BEYOND = 256 << 20  # bytes that the operands of a row take together: several times the L2 of an H200
TINY = (8, 16)  # sizes of a rehearsal
GROUP = 32  # products in one captured graph
EMPTY = 'extern "C" __global__ void empty() {}'
PEAK = {"xpgraph fp32": "fp32", "xpgraph tf32": "tf32"}


def checklist(bench: Bench) -> dict[str, Any]:
    """Every row; what could not be measured says why."""
    rows = Rows(bench)
    gpu_graphs.correctness(bench, rows)  # first what says right or wrong
    gpu_fits.correctness(bench, rows)
    gpu_fits.speed(bench, rows)
    costs(bench, rows)
    memory(bench, rows)
    products(bench, rows)
    return rows.result(summary(rows.rows))


def summary(rows: dict[str, dict[str, Any]]) -> str:
    """The few numbers that the last table shows."""
    last = max(SIZES if any(f"gemm {SIZES[-1]} {name}" in rows for name in PEAK) else TINY)
    found = [f"{kind} {row['tflops']:.0f} TFLOP/s" for name, kind in PEAK.items()
             if "tflops" in (row := rows.get(f"gemm {last} {name}", {}))]  # fmt: skip
    for name, key, text in (
        ("copy", "tb_per_second", "copy {:.2f} TB/s"), ("graph gap, empty kernel", "us_per_node", "node {:.2f} µs"),
        ("host: launch", "host_us", "launch {:.1f} µs"), ("host: lt.matmul", "host_us", "lt.matmul {:.1f} µs"),
        ("host: cupy ufunc", "host_us", "ufunc {:.1f} µs"),
    ):  # fmt: skip
        if key in rows.get(name, {}):
            found.append(text.format(rows[name][key]))
    return ", ".join(found)


# --- matrix products ------------------------------------------------------------------------------------------


def products(bench: Bench, rows: Rows) -> None:
    """TFLOP/s of (n, n) @ (n, n) into memory that is there; operands rotate beyond the L2, random data."""
    import numpy as np

    sizes = SIZES if bench.real else TINY
    length = max(2 * sizes[-1] ** 2, BEYOND // 4) if bench.real else 4 * sizes[-1] ** 2
    block = np.random.default_rng(0).random(min(length, 1 << 25), np.float32) - np.float32(0.5)

    def flat(dtype: Any) -> Any:
        return bench.array(np.resize(block, length).astype(dtype, copy=False))

    for name, make in CONTENDERS.items():
        data: list[Any] = []
        for n in sizes:
            rows.row(f"gemm {n} {name}", lambda make=make, n=n, data=data: rate(bench, n, make(bench, n, flat, data)))
        data.clear()


def rate(bench: Bench, n: int, call: Any) -> dict[str, Any]:
    """A call with ``group`` makes so many products."""
    found = bench.each(call)
    group = getattr(call, "group", 1)
    times = {key: found[key] / group for key in ("seconds", "low", "high")}
    return {**times, "calls": found["calls"], "tflops": round(2e-12 * n**3 / times["seconds"], 3)}


def operands(n: int, flat: Any, item: int, empty: Callable[[tuple[int, int]], Any]) -> list[tuple[Any, Any, Any]]:
    """Sets (a, b, out) whose bytes together are more than a cache holds, if ``flat`` is long enough."""
    square = n * n
    sets = max(1, min(-(-BEYOND // (3 * square * item)), flat.shape[0] // (2 * square)))
    views = [flat[k * square : (k + 1) * square].reshape(n, n) for k in range(2 * sets)]
    return [(views[2 * k], views[2 * k + 1], empty((n, n))) for k in range(sets)]


def grouped(replay: Callable[[], None], kept: Any) -> Any:
    """A call that replays a graph of GROUP products; ``kept``: arrays of which the graph has only the addresses."""

    def call(i: int) -> None:
        replay()

    call.group, call.kept = GROUP, kept  # type: ignore[attr-defined]
    return call


def ours(precision: str, dtype: str = "float32", graph: bool = False) -> Any:
    """xpgraph's product; ``graph``: GROUP of them in a captured graph, so that the host does not show."""

    def make(bench: Bench, n: int, flat: Any, data: list[Any]) -> Any:
        import cupy

        from xpgraph.fast.cuda import cublaslt as lt
        from xpgraph.fast.cuda import device

        if graph and n > 2048:
            raise LeftOut("the host does not show at this size")
        data[:] = data or [flat(dtype)]
        sets = operands(n, data[0], data[0].itemsize, lambda shape: cupy.empty(shape, dtype))

        def call(i: int) -> None:
            a, b, out = sets[i % len(sets)]
            if not lt.matmul(a, b, out, precision=precision):
                raise LeftOut(f"cuBLASLt has no algorithm for {dtype} {precision}")

        if not graph:
            return call
        lane = device.Lane()
        with lane.enter():
            call(0)
        lane.join()
        captured = lane.capture(lambda: [call(i) for i in range(GROUP)])
        lane.join()

        def replay() -> None:
            lane.fork()
            captured.launch()
            lane.join()

        return grouped(replay, sets)

    return make


def cupys(dtype: str) -> Any:
    """cupy.matmul; bf16 where ml_dtypes is there."""

    def make(bench: Bench, n: int, flat: Any, data: list[Any]) -> Any:
        import cupy

        if dtype == "bfloat16":
            try:
                kind = __import__("ml_dtypes").bfloat16
            except ImportError as error:
                raise LeftOut("ml_dtypes is not installed") from error
        else:
            kind = dtype
        data[:] = data or [flat(kind)]
        sets = operands(n, data[0], data[0].itemsize, lambda shape: cupy.empty(shape, kind))
        bench.need_device()

        def call(i: int) -> None:
            a, b, out = sets[i % len(sets)]
            cupy.matmul(a, b, out=out)

        return call

    return make


def torchs(precision: str, dtype: str = "float32", graph: bool = False) -> Any:
    """torch.mm; ``graph`` as above. In a rehearsal on the CPU."""

    def make(bench: Bench, n: int, flat: Any, data: list[Any]) -> Any:
        try:
            import torch
        except ImportError as error:
            raise LeftOut("torch is not installed") from error
        if graph and n > 2048:
            raise LeftOut("the host does not show at this size")
        torch.set_float32_matmul_precision(precision)
        kind, where = getattr(torch, dtype), "cuda" if bench.real else "cpu"
        length = max(2 * SIZES[-1] ** 2, BEYOND // 4) if bench.real else 4 * TINY[-1] ** 2
        data[:] = data or [torch.empty(length, device=where).uniform_(-0.5, 0.5).to(kind)]
        sets = operands(n, data[0], data[0].element_size(), lambda shape: torch.empty(shape, dtype=kind, device=where))

        def call(i: int) -> None:
            a, b, out = sets[i % len(sets)]
            torch.mm(a, b, out=out)

        if not graph:
            return call
        bench.need_device()
        call(0)
        torch.cuda.synchronize()
        captured = torch.cuda.CUDAGraph()
        with torch.cuda.graph(captured):
            for i in range(GROUP):
                call(i)
        return grouped(captured.replay, sets)

    return make


CONTENDERS = {
    "xpgraph fp32": ours("fp32"), "xpgraph tf32": ours("tf32"), "xpgraph fp64": ours("fp32", "float64"),
    "xpgraph fp32, graph": ours("fp32", graph=True), "xpgraph tf32, graph": ours("tf32", graph=True),
    "cupy fp32": cupys("float32"), "cupy bf16": cupys("bfloat16"),
    "torch fp32": torchs("highest"), "torch tf32": torchs("high"), "torch bf16": torchs("highest", "bfloat16"),
    "torch fp32, graph": torchs("highest", graph=True), "torch tf32, graph": torchs("high", graph=True),
}  # fmt: skip


# --- memory, gaps, the host -----------------------------------------------------------------------------------


def memory(bench: Bench, rows: Rows) -> None:
    """TB/s, bytes read and bytes written counted, of arrays far beyond the L2; Adam's also in seconds."""
    import cupy

    from xpgraph.nodes.layers import relu
    from xpgraph.training import optimizers

    size = 1 << 28 if bench.real else 1 << 10

    def speed(call: Any, moved: int) -> dict[str, Any]:
        found = bench.each(call)
        return {**found, "bytes": moved, "tb_per_second": round(moved / found["seconds"] / 1e12, 3)}

    def copy() -> dict[str, Any]:
        a, b = cupy.empty(size, "float32"), cupy.empty(size, "float32")
        a.fill(0.5)
        return speed(lambda i: b.data.copy_from_device_async(a.data, a.nbytes, cupy.cuda.get_current_stream()),
                     2 * a.nbytes)  # fmt: skip

    def own() -> dict[str, Any]:
        import numpy as np

        a = bench.array(np.resize(np.arange(-8, 8, dtype="float32"), size // 4))
        return speed(lambda i: relu(a), 2 * a.nbytes)

    def adam() -> dict[str, Any]:
        import numpy as np

        shapes = [(4096, 4096), (4096,)] * 4 if bench.real else [(9, 7), (7,)]
        lists = [[bench.array(np.full(shape, value, "float32")) for shape in shapes] for value in (0.5, 0.1, 0.1, 0.1)]
        moved = 7 * sum(a.nbytes for a in lists[0])
        return speed(lambda i: optimizers.adam(*lists, 1e-3, 0.9, 0.999, 1e-8), moved)

    rows.row("copy", copy)
    rows.row("relu", own)
    rows.row("adam, 67 M parameters" if bench.real else "adam", adam)


def costs(bench: Bench, rows: Rows) -> None:
    """µs of the host for one call, and µs of the device for one more node of a graph."""
    import cupy
    import numpy as np

    from xpgraph.fast.cuda import cublaslt as lt
    from xpgraph.fast.cuda import device
    from xpgraph.nodes.layers import relu

    a, b, c = (bench.array(np.full((32, 32), value, "float32")) for value in (1, 2, 3))
    args = (a.data.ptr, c.data.ptr, a.size)

    def node() -> None:
        device.launch("relu", "float32", 4, 256, args)

    def nodes_of(work: Any, count: int) -> tuple[Any, Any]:
        lane = device.Lane()
        with lane.enter():
            work()
        graph = lane.capture(lambda: [work() for _ in range(count)])
        return lane, graph

    def replay(lane: Any, graph: Any) -> None:
        lane.fork()
        graph.launch()
        lane.join()

    def gap(work: Any) -> dict[str, Any]:
        times = {}
        for count in (10, 110):
            lane, graph = nodes_of(work, count)
            times[count] = bench.each(lambda i, pair=(lane, graph): replay(*pair))["seconds"] * 1e6
        return {"us_10": times[10], "us_110": times[110], "us_per_node": round((times[110] - times[10]) / 100, 4)}

    def empty() -> dict[str, Any]:
        kernel = cupy.RawModule(code=EMPTY, backend="nvrtc").get_function("empty")
        return gap(lambda: kernel((1,), (32,), ()))

    def launch() -> dict[str, Any]:
        lane, graph = nodes_of(node, 10)
        lane.fork()
        found = bench.host(graph.launch)
        lane.join()
        return found

    def matmul() -> bool:
        return lt.matmul(a, b, c)

    def cupys_matmul() -> dict[str, Any]:
        bench.need_device()
        return bench.host(lambda: cupy.matmul(a, b, out=c))

    rows.row("graph gap, empty kernel", empty)
    rows.row("graph gap, relu of 1024", lambda: gap(node))
    rows.row("host: cupy ufunc", lambda: bench.host(lambda: cupy.add(a, b, out=c)))
    rows.row("host: cupy.matmul", cupys_matmul)
    rows.row("host: launch", lambda: bench.host(node))
    rows.row("host: relu body", lambda: bench.host(lambda: relu(a)))
    rows.row("host: lt.matmul", lambda: bench.host(matmul))
    rows.row("host: graph launch, 10 nodes", launch)
