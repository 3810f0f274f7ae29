"""One side of ``benchmarks.compare``: a process that imports one version of xpgraph and times its cases on request.

Requests and answers are lines of JSON. What is timed is the processor time of this process, all threads together, with
one BLAS thread: time that other programs take is not in it.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import xpgraph

if __package__:
    from .samples import SAMPLES, STEPS, every_array, square_matrices
else:  # run as a worker: sys.path leads to one version of xpgraph, but not to these benchmarks
    sys.path.append(str(Path(__file__).parent))
    from samples import SAMPLES, STEPS, every_array, square_matrices

BATCH = 1_000_000  # nanoseconds that a batch of calls takes at least
BATCHES = 3  # for each answer; the shortest counts
PRODUCTS = {f"matmul {n} {dtype} {layout}": (n, dtype, layout) for n, dtype, layout in [
    (256, "float32", "plain"), (512, "float32", "plain"), (512, "float32", "a.T"), (512, "float32", "b.T"),
    (512, "float64", "plain"),
]}  # fmt: skip
CASES = (*(f"step {name}" for name in STEPS), *PRODUCTS, *SAMPLES)

Call = Callable[[], Any]


def table() -> dict[str, Any]:
    """The table of kernels of the version that was imported; older ones keep it in xpgraph.kernel."""
    try:
        return importlib.import_module("xpgraph.arrays.kernels").TABLE
    except ModuleNotFoundError:
        return importlib.import_module("xpgraph.kernel").TABLE


TABLE = table()


def make_call(case: str, data: dict[str, Any], seed: int) -> Call:
    """The call to time, on arrays at new addresses: where they lie changes the time by some per cent.

    ``data``: what was drawn for this case before, or {}.
    """
    random = np.random.default_rng(seed)
    if case.startswith("step "):
        return training_step(case.removeprefix("step "), data)
    if "args" not in data:
        data["args"] = square_matrices(*PRODUCTS[case]) if case in PRODUCTS else SAMPLES[case](np.random.default_rng(0))
    args = every_array(lambda a: moved(a, random), data["args"])
    body = TABLE[case.partition(" ")[0]].body("numpy")
    return lambda: body(*args)


def moved(a: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A copy in the same memory order that starts at a random multiple of 64 bytes within a page."""
    if a.ndim == 2 and a.flags.f_contiguous and not a.flags.c_contiguous:
        return moved(a.T, random).T
    room = np.empty(a.nbytes + 8192, np.uint8)
    start = -room.ctypes.data % 4096 + 64 * int(random.integers(64))
    new = room[start : start + a.nbytes].view(a.dtype).reshape(a.shape)
    new[...] = a
    return new


def training_step(name: str, data: dict[str, Any]) -> Call:
    sizes, rows, optimizer_name, numbers = STEPS[name]
    if not data:
        random = np.random.default_rng(0)
        data["x"] = random.random((rows, sizes[0]), dtype=np.float32)
        data["t"] = random.integers(0, sizes[-1], rows)
    x, t, model = data["x"].copy(), data["t"], xpgraph.mlp(sizes)
    optimizer = getattr(xpgraph, optimizer_name)(**numbers)

    def step() -> None:
        model.forward(x, t)
        model.backward()
        optimizer.update(model.params, model.grads)

    return step


def batch(call: Call, calls: int) -> int:
    """Nanoseconds of processor time for ``calls`` calls."""
    start = time.process_time_ns()
    for _ in range(calls):
        call()
    return time.process_time_ns() - start


def answer(request: dict[str, Any], data: dict[str, dict[str, Any]]) -> Any:
    """Nanoseconds of one call; or, for a request without ``calls``, how many calls make a batch."""
    case = request["case"]
    if request.get("core") is not None:
        os.sched_setaffinity(0, {request["core"]})
    if case not in data:
        data.clear()  # the arrays of one case are enough
    # Small and large allocations in random places, so that the results of the calls lie elsewhere too.
    random = np.random.default_rng(request["seed"] + 1000)
    gaps = [bytearray(16 * int(n)) for n in (*random.integers(1, 256, 64), *random.integers(1 << 10, 1 << 16, 8))]
    call = make_call(case, data.setdefault(case, {}), request["seed"])
    del gaps[::2]
    freed = [bytearray(16 * n) for n in range(1, 257)]  # takes the small blocks of every size that the last turn freed
    calls = request.get("calls")
    if calls is None:
        call()
        calls = 1
        while (spent := batch(call, calls)) < BATCH:
            calls = max(2 * calls, min(64 * calls, calls * BATCH // max(spent, 1)))
        return calls
    batch(call, max(1, calls // 4))
    gc.collect(0)
    shortest = min(batch(call, calls) for _ in range(BATCHES))
    del gaps, freed
    return shortest / calls


def main() -> None:
    gc.disable()
    out, sys.stdout = sys.stdout, sys.stderr  # so that what a version prints is not taken for an answer
    print(json.dumps(str(Path(xpgraph.__file__).parents[1])), file=out, flush=True)
    data: dict[str, dict[str, Any]] = {}
    for line in sys.stdin:
        try:
            reply = {"value": answer(json.loads(line), data)}
        except Exception as error:  # a case that this version does not know must not end the worker
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), file=out, flush=True)


if __name__ == "__main__":
    main()
