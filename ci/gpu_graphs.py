"""Part of ci/gpu, the checklist: what a captured step holds, and whether it is right."""

from __future__ import annotations

import ctypes
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gpu_timing import Bench, LeftOut, Rows

NODE_TYPES = {0: "kernel", 1: "memcpy", 2: "memset", 3: "host", 4: "child graph", 5: "empty", 6: "wait event",
              7: "event record", 10: "malloc", 11: "free", 13: "conditional"}  # fmt: skip
STEPS = {  # name: sizes, the same in a rehearsal, batch, optimizer, clipping, nodes wanted
    "a": ((784, 500, 10), (6, 5, 3), 100, "sgd", None, 10),
    "b": ((784, 512, 512, 10), (6, 5, 5, 3), 128, "adam", None, 15),
    "b, clipped": ((784, 512, 512, 10), (6, 5, 5, 3), 128, "adam", 1.0, 16),
}
# Largest |error| over the largest |value| of the exact product, with headroom over what the arithmetic gives.
BARS = {("float32", "fp32"): 1e-5, ("float32", "tf32"): 3e-3, ("float64", "fp32"): 1e-13}
EPILOGUES = ((100, 784, 500), (128, 784, 512), (128, 512, 10))  # rows, in, out


def correctness(bench: Bench, rows: Rows) -> None:
    """Rows that are right or wrong."""
    for dtype, precision in BARS:
        rows.row(f"lt.matmul in a graph, {dtype} {precision}", lambda d=dtype, p=precision: in_capture(bench, d, p))
        for kind in ("bias", "column_sum"):
            rows.row(f"epilogue {kind}, {dtype} {precision}",
                     lambda d=dtype, p=precision, k=kind: epilogue(bench, d, p, k))  # fmt: skip
    for name in STEPS:
        rows.row(f"nodes of step ({name})", lambda n=name: nodes(bench, n))


def in_capture(bench: Bench, dtype: str, precision: str) -> dict[str, Any]:
    """Captured, replayed three times into poisoned memory, compared with the call itself."""
    import numpy as np

    from xpgraph import to_numpy
    from xpgraph.fast.cuda import cublaslt as lt
    from xpgraph.fast.cuda import device

    random = np.random.default_rng(1)
    a, b = (bench.array(random.standard_normal(shape).astype(dtype)) for shape in ((96, 200), (200, 64)))
    poison = np.full((96, 64), np.nan, dtype)
    out = bench.array(poison)
    lane = device.Lane()
    with lane.enter():
        taken = lt.matmul(a, b, out, precision=precision)
    lane.join()
    if not taken:
        raise LeftOut("cuBLASLt has no algorithm for it")
    wanted = to_numpy(out).copy()
    graph = lane.capture(lambda: lt.matmul(a, b, out, precision=precision))
    lane.join()
    equal = []
    for _ in range(3):
        device.upload(out, poison)
        lane.fork()
        graph.launch()
        lane.join()
        equal.append(to_numpy(out).tobytes() == wanted.tobytes())
    exact = to_numpy(a).astype("float64") @ to_numpy(b).astype("float64")
    error = float(abs(wanted - exact).max() / abs(exact).max())
    return {"replays_equal": equal, "error": error, "ok": all(equal) and error <= BARS[dtype, precision]}


def epilogue(bench: Bench, dtype: str, precision: str, kind: str) -> dict[str, Any]:
    """Is it taken at the shapes of a step, and how exact is it? Refused is an answer, and no fault."""
    import numpy as np

    from xpgraph import to_numpy
    from xpgraph.fast.cuda import cublaslt as lt

    taken, errors = {}, []
    random = np.random.default_rng(2)
    for n, inputs, outputs in EPILOGUES if bench.real else ((4, 5, 3),):
        x, W, dy = (random.standard_normal(s).astype(dtype) for s in ((n, inputs), (inputs, outputs), (n, outputs)))
        vector = random.standard_normal(outputs).astype(dtype)
        exact = [m.astype("float64") for m in (x, W, dy)]
        if kind == "bias":
            a, b, wanted, sums = x, W, exact[0] @ exact[1] + vector, None
        else:
            a, b, wanted, sums = x, dy, exact[0].T @ exact[2], exact[2].sum(0)
        a, b = bench.array(a), bench.array(b)
        a = a if kind == "bias" else a.T
        out = bench.array(np.full(wanted.shape, np.nan, dtype))
        v = bench.array(vector if kind == "bias" else np.full(outputs, np.nan, dtype))
        taken[f"{n}x{inputs}x{outputs}"] = was = lt.matmul(a, b, out, precision=precision, **{kind: v})
        if was:
            errors.append(float(abs(to_numpy(out) - wanted).max() / abs(wanted).max()))
            if sums is not None:
                errors.append(float(abs(to_numpy(v) - sums).max() / abs(sums).max()))
    worst = max(errors, default=0.0)
    note = "taken" if all(taken.values()) else "refused" if not any(taken.values()) else "taken at some shapes"
    return {"taken": taken, "error": worst, "note": note, "ok": worst <= BARS[dtype, precision]}


# --- a training, captured -------------------------------------------------------------------------------------


def data(bench: Bench, sizes: tuple[int, ...], rows: int) -> tuple[Any, Any]:
    import numpy as np

    random = np.random.default_rng(3)
    x = random.random((rows, sizes[0]), np.float32)
    return bench.array(x), bench.array(random.integers(0, sizes[-1], rows))


def shape_of(bench: Bench, name: str) -> tuple[tuple[int, ...], int, Any, float | None, int]:
    from xpgraph.training.optimizers import OPTIMIZERS

    sizes, small, batch, optimizer, clip, wanted = STEPS[name]
    return sizes if bench.real else small, batch if bench.real else 4, OPTIMIZERS[optimizer], clip, wanted


def fitted(bench: Bench, name: str, batches: int, **more: Any) -> Any:
    """A trainer after ``fit`` on so many full batches an epoch."""
    from xpgraph import Trainer, mlp

    sizes, batch, optimizer, clip, _ = shape_of(bench, name)
    trainer = Trainer(mlp(sizes, backend=bench.place), optimizer())
    options = {"max_epoch": 1, "eval_interval": None, "graph": True} | more
    trainer.fit(*data(bench, sizes, batches * batch), batch_size=batch, max_grad=clip, **options)
    bench.wait()
    return trainer


@contextmanager
def watched() -> Iterator[tuple[list[Any], Counter[str]]]:
    """The graphs that are captured meanwhile, and what was launched while they were, by name."""
    from xpgraph.fast.cuda import cublaslt as lt
    from xpgraph.fast.cuda import device

    graphs: list[Any] = []
    counted: Counter[str] = Counter()
    before, capturing = (device.Lane, device.launch, lt.matmul), [False]

    def lane() -> Any:
        made = before[0]()
        capture = made.capture

        def kept(work: Any) -> Any:
            capturing[0] = True
            try:
                graphs.append(capture(work))
            finally:
                capturing[0] = False
            return graphs[-1]

        made.capture = kept
        return made

    def launch(name: str, *args: Any) -> None:
        before[1](name, *args)
        counted[name] += capturing[0]

    def matmul(*args: Any, **options: Any) -> bool:
        taken = before[2](*args, **options)
        counted["matmul"] += capturing[0] and taken
        return taken

    device.Lane, device.launch, lt.matmul = lane, launch, matmul
    try:
        yield graphs, counted
    finally:
        device.Lane, device.launch, lt.matmul = before


def nodes(bench: Bench, name: str) -> dict[str, Any]:
    """The nodes of the captured step, by kind, beside what was launched; a product may be more than one node."""
    wanted = shape_of(bench, name)[-1]
    with watched() as (graphs, counted):
        fitted(bench, name, 6)
    counted = +counted
    found = read(graphs[0].graph.graph) if bench.real else rig_nodes(graphs[0])
    own = {n.removeprefix("xp_"): k for n, k in found["names"].items() if n.startswith("xp_")}
    ours = {n: k for n, k in counted.items() if n != "matmul"}
    total, library = sum(found["kinds"].values()), sum(found["names"].values()) - sum(own.values())
    launched, sums = sum(counted.values()), counted["column_sum"]  # a sum by itself: BGRAD was refused
    ok = launched - sums <= wanted and found["kinds"].keys() <= {"kernel", "memset"}
    ok = ok and not any(n.startswith("cupy") for n in found["names"])
    if found["named"]:
        ok = ok and own == ours and library >= counted["matmul"]
    return {
        "graphs": len(graphs), "nodes": total, "kinds": found["kinds"], "names": found["names"],
        "launched": launched, "by_name": dict(counted), "wanted": wanted, "sums_alone": sums,
        "equal": total == launched, "ok": ok,
        "note": f"{total} nodes, {launched} launches, at most {wanted} wanted" + f" and {sums} sums" * bool(sums),
    }  # fmt: skip


def rig_nodes(graph: Any) -> dict[str, Any]:
    names = Counter()
    for name, count in graph.nodes().items():
        kind, _, word = name.partition(" ")
        names[f"xp_{word}" if kind == "kernel" else word] += count
    return {"kinds": {"kernel": sum(names.values())}, "names": dict(names), "named": True}


class KernelNode(ctypes.Structure):
    """CUDA_KERNEL_NODE_PARAMS_v2."""

    _fields_ = (
        ("func", ctypes.c_void_p), ("sizes", ctypes.c_uint * 7), ("params", ctypes.c_void_p),
        ("extra", ctypes.c_void_p), ("kern", ctypes.c_void_p), ("ctx", ctypes.c_void_p),
    )  # fmt: skip


def read(graph: int) -> dict[str, Any]:
    """The nodes of a cudaGraph_t through the driver: how many of each kind, and the kernels' names."""
    cuda = ctypes.CDLL("libcuda.so.1")

    def ask(name: str, *args: Any) -> None:
        status = getattr(cuda, name)(*args)
        if status:
            raise RuntimeError(f"{name} returned {status}")

    count = ctypes.c_size_t()
    ask("cuGraphGetNodes", ctypes.c_void_p(graph), None, ctypes.byref(count))
    array = (ctypes.c_void_p * count.value)()
    ask("cuGraphGetNodes", ctypes.c_void_p(graph), array, ctypes.byref(count))
    kinds: Counter[str] = Counter()
    names: Counter[str] = Counter()
    for node in array:
        number = ctypes.c_int()
        ask("cuGraphNodeGetType", ctypes.c_void_p(node), ctypes.byref(number))
        kind = NODE_TYPES.get(number.value, f"type {number.value}")
        kinds[kind] += 1
        if kind == "kernel":
            names[kernel_name(ask, node)] += 1
    return {"kinds": dict(kinds), "names": dict(names), "named": "?" not in names}


def kernel_name(ask: Any, node: int) -> str:
    """Of a kernel's node; "?" where the driver does not tell (CUDA 12.3 and newer do)."""
    params, text = KernelNode(), ctypes.c_char_p()
    try:
        ask("cuGraphKernelNodeGetParams_v2", ctypes.c_void_p(node), ctypes.byref(params))
        which, handle = ("cuFuncGetName", params.func) if params.func else ("cuKernelGetName", params.kern)
        ask(which, ctypes.byref(text), ctypes.c_void_p(handle))
        return (text.value or b"?").decode(errors="replace")[:80]
    except (AttributeError, RuntimeError):
        return "?"
