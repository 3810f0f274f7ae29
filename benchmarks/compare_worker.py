"""One side of ``benchmarks.compare``: a process that holds one version of xpgraph and times its cases when asked.

A request is a line of JSON, and so is the answer. What is timed is processor time of this process, all threads
counted, with one thread in the BLAS: other programs on the machine take none of it.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import xpgraph
from xpgraph.arrays.kernels import TABLE

if __package__:
    from .samples import SAMPLES, STEPS, every_array, square_matrices
else:  # a worker: its path leads to the xpgraph of one version, and not to these benchmarks
    sys.path.append(str(Path(__file__).parent))
    from samples import SAMPLES, STEPS, every_array, square_matrices

BATCH = 1_000_000  # nanoseconds that a batch of calls takes at least
BATCHES = 3  # in a slot; the shortest counts
PRODUCTS = {f"matmul {n} {dtype} {layout}": (n, dtype, layout) for n, dtype, layout in [
    (256, "float32", "plain"), (512, "float32", "plain"), (512, "float32", "a.T"), (512, "float32", "b.T"),
    (512, "float64", "plain"),
]}  # fmt: skip
CASES = (*(f"step {name}" for name in STEPS), *PRODUCTS, *SAMPLES)

Call = Callable[[], Any]


def fresh(case: str, kept: dict[str, Any], seed: int) -> Call:
    """The call that is timed, with arrays at new places in memory: where they lie alone is worth some per cent."""
    random = np.random.default_rng(seed)
    if case.startswith("step "):
        return training_step(case.removeprefix("step "), kept)
    if "args" not in kept:
        kept["args"] = square_matrices(*PRODUCTS[case]) if case in PRODUCTS else SAMPLES[case](np.random.default_rng(0))
    args = every_array(lambda a: placed(a, random), kept["args"])
    body = TABLE[case.partition(" ")[0]].body("numpy")
    return lambda: body(*args)


def placed(a: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A copy, in the same order of its axes, that begins at any multiple of 64 bytes within a page."""
    if a.ndim == 2 and a.flags.f_contiguous and not a.flags.c_contiguous:
        return placed(a.T, random).T
    room = np.empty(a.nbytes + 8192, np.uint8)
    start = -room.ctypes.data % 4096 + 64 * int(random.integers(64))
    new = room[start : start + a.nbytes].view(a.dtype).reshape(a.shape)
    new[...] = a
    return new


def training_step(name: str, kept: dict[str, Any]) -> Call:
    sizes, rows, optimizer_name, numbers = STEPS[name]
    if not kept:
        random = np.random.default_rng(0)
        kept["x"] = random.random((rows, sizes[0]), dtype=np.float32)
        kept["t"] = random.integers(0, sizes[-1], rows)
    x, t, model = kept["x"].copy(), kept["t"], xpgraph.mlp(sizes)
    optimizer = getattr(xpgraph, optimizer_name)(**numbers)

    def step() -> None:
        model.forward(x, t)
        model.backward()
        optimizer.update(model.params, model.grads)

    return step


def batch(call: Call, calls: int) -> int:
    """Nanoseconds of processor time for so many calls."""
    start = time.process_time_ns()
    for _ in range(calls):
        call()
    return time.process_time_ns() - start


def answer(request: dict[str, Any], kept: dict[str, dict[str, Any]]) -> Any:
    case = request["case"]
    if request.get("core") is not None:
        os.sched_setaffinity(0, {request["core"]})
    if case not in kept:
        kept.clear()  # the arrays of one case are enough
    shifts = np.random.default_rng(request["seed"] + 1000)  # so that results lie elsewhere, too, small and large ones
    held = [bytearray(16 * int(n)) for n in (*shifts.integers(1, 256, 64), *shifts.integers(1 << 10, 1 << 16, 8))]
    call = fresh(case, kept.setdefault(case, {}), request["seed"])
    del held[::2]
    taken = [bytearray(16 * n) for n in range(1, 257)]  # what the last turn gave back, of every small size
    calls = request.get("calls")
    if calls is None:  # how many make a batch?
        call()
        calls = 1
        while (spent := batch(call, calls)) < BATCH:
            calls = max(2 * calls, min(64 * calls, calls * BATCH // max(spent, 1)))
        return calls
    batch(call, max(1, calls // 4))
    gc.collect(0)
    shortest = min(batch(call, calls) for _ in range(BATCHES))
    del held, taken
    return shortest / calls


def main() -> None:
    gc.disable()
    out, sys.stdout = sys.stdout, sys.stderr  # what a version prints is no answer
    print(json.dumps(str(Path(xpgraph.__file__).parents[1])), file=out, flush=True)
    kept: dict[str, dict[str, Any]] = {}
    for line in sys.stdin:
        try:
            reply = {"value": answer(json.loads(line), kept)}
        except Exception as error:  # a case that one version does not know is not the end
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), file=out, flush=True)


if __name__ == "__main__":
    main()
