"""compute-sanitizer over every kernel; and the program that it watches, which runs each of our CUDA kernels.

compute-sanitizer --tool memcheck python -m gpu_run.sanitizer      on a device, at odd sizes, in float32 and float64
python -m gpu_run.sanitizer --rehearse                             in the emulator of the tests: fewer sizes
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from xpgraph import Trainer, mlp, to_numpy
from xpgraph.nodes import basic as nodes
from xpgraph.nodes import layers, losses
from xpgraph.training import clipping, optimizers, replay
from xpgraph.training.optimizers import OPTIMIZERS

from . import children
from .results import FAIL, LEFT_OUT, PASS, Context, LeftOut, Result
from .timing import device_place, why_no_rig

TOOLS = {  # and their options
    "memcheck": ("--report-api-errors", "no"),  # CuPy makes calls to see whether they fail; those that matter raise
    "racecheck": (),
}
ERRORS_FOUND = 9  # the exit status that we ask of it for errors


def find_tool() -> str | None:
    """Where compute-sanitizer lies."""
    homes = [Path(os.environ[name]) for name in ("CUDA_HOME", "CUDA_PATH") if os.environ.get(name)]
    homes += sorted(Path("/usr/local").glob("cuda*"), reverse=True)
    folders = [folder for home in homes for folder in (home / "bin", home / "compute-sanitizer")]
    path = os.pathsep.join([os.environ.get("PATH", ""), *map(str, folders)])
    return shutil.which("compute-sanitizer", path=path)


def run(context: Context) -> Result:
    program = [children.PYTHON, "-m", "gpu_run.sanitizer"]
    tool = None if context.rehearsal else find_tool()
    if context.rehearsal:
        if why := why_no_rig():
            raise LeftOut(why)
        commands = {"plain": [*program, "--rehearse"]}
    elif tool is None:
        raise LeftOut("compute-sanitizer is not installed")
    else:
        options = ["--error-exitcode", str(ERRORS_FOUND), "--kernel-regex", "kns=xp_", *program]
        commands = {name: [tool, "--tool", name, *more, *options] for name, more in TOOLS.items()}
    seconds = context.left()
    ended = children.run_all(commands, context.log("sanitize"), seconds)
    results = {name: judge(name, *one, seconds) for name, one in ended.items()}
    status = next(s for s in (FAIL, PASS, LEFT_OUT) if s in {one["status"] for one in results.values()})
    note = "; ".join(f"{name}: {one['note']}" for name, one in results.items())
    return {"status": status, "note": note, "tool": tool, "runs": results}


def judge(name: str, status: int | None, text: str, limit: float) -> Result:
    """The result of one tool, by its exit status and its summary."""
    lines = [line.strip("= \t") for line in text.splitlines() if line.strip()]
    summaries = [line for line in lines if re.search(r"(ERROR|RACECHECK) SUMMARY", line)]
    note = (summaries or lines or [""])[-1]
    if status is None:
        return {"status": FAIL, "note": f"ran past {limit:.0f} s; {note or 'it said nothing'}"}
    if re.search(r"[Dd]evice not supported|not supported on this (device|platform)", text):
        return {"status": LEFT_OUT, "note": "compute-sanitizer does not support this device or this machine"}
    clean = name == "plain" or any(re.search(r"SUMMARY: 0 (errors|hazards)", line) for line in summaries)
    complete = any(line.startswith("every kernel was run") for line in lines)
    if status == 0 and clean and complete:
        return {"status": PASS, "note": note}
    return {"status": FAIL, "note": f"exit status {status}; {note}; see sanitize.log"}


SIZES, ROWS, BATCH = (13, 37, 67, 5), 40, 9  # a parameter in two pieces, a short last batch


def run_kernels(place: Any, quick: bool) -> None:
    """Train eagerly and captured with each optimizer, then run each body by itself. AssertionError if one is missed."""
    from xpgraph.fast.cuda import cublaslt, device, sources

    launch, product = device.launch, cublaslt.matmul
    ran: set[str] = set()

    def counted(name: str, *args: Any) -> None:
        ran.add(name)
        launch(name, *args)

    def without_epilogues(*args: Any, **options: Any) -> bool:
        return not options.keys() & {"bias", "column_sum"} and product(*args, **options)

    with patch.object(device, "launch", counted):
        for dtype in ("float32", "float64"):
            for i, name in enumerate(OPTIMIZERS):
                activation = ("sigmoid", "relu", "tanh")[i % 3]
                for graph in (True, False):
                    train(place, dtype, name, activation, (None, 0.5)[(i + graph) % 2], graph, 1 if quick else 2)
            with patch.object(cublaslt, "matmul", without_epilogues):
                train(place, dtype, "sgd", "relu", 1.0, False, 1)
            run_bodies(place, dtype, (33,) if quick else (1, 31, 33, 257, 1025))
    missed = {name for names in sources.NAMES.values() for name in names} - ran
    assert not missed, f"never launched: {missed}"
    print(f"every kernel was run: {', '.join(sorted(ran))}")


def train(place: Any, dtype: str, name: str, activation: str, clip: float | None, graph: bool, epochs: int) -> None:
    random = np.random.default_rng(0)
    x = place.asarray(random.random((ROWS, SIZES[0])).astype(dtype))
    t = place.asarray(random.integers(0, SIZES[-1], ROWS))
    model = mlp(SIZES, activation, dtype=dtype, backend=place)
    Trainer(model, OPTIMIZERS[name]()).fit(x, t, epochs, BATCH, clip, eval_interval=None, graph=graph)
    assert all(np.isfinite(to_numpy(p)).all() for p in model.params), f"{name}: not finite"


def run_bodies(place: Any, dtype: str, lengths: tuple[int, ...]) -> None:
    """Each body at sizes around those of warps and blocks, and off the alignment of vectors."""
    random = np.random.default_rng(1)

    def new(*shape: int) -> Any:
        return place.asarray(random.random(shape).astype(dtype))

    pairs = ((layers.sigmoid, layers.sigmoid_grad), (layers.relu, layers.relu_grad), (layers.tanh, layers.tanh_grad))
    results: list[Any] = []
    for n in lengths:
        for shift in (0, 1):
            x, dy = new(n + shift)[shift:], new(n + shift)[shift:]
            results += [a for forward, grad in pairs for a in (forward(x), grad(dy, x))]
        for width in (1, 5, 33):
            results += [nodes.sum_to(new(n, width), (width,))]
            labels = place.asarray(random.integers(0, width, n))
            results += losses.softmax_cross_entropy(new(n, width), labels)
            results += losses.softmax_cross_entropy(new(n, width), new(n, width))
            results += replay.gather(new(n, width), labels, place.asarray(random.integers(0, n, 2 * n + 1)))
        lists = [[new(*shape) for shape in [(n,), (3, n), (1,)]] for _ in range(4)]
        rate, norm = clipping.clip_rate(lists[1], 0.5)
        rules: list[tuple[Callable[..., Any], int, tuple[float, ...]]] = [
            (optimizers.sgd, 2, (0.1,)), (optimizers.momentum, 3, (0.1, 0.9)), (optimizers.adagrad, 3, (0.1, 1e-7)),
            (optimizers.rmsprop, 3, (0.1, 0.9, 1e-7)), (optimizers.adam, 4, (0.1, 0.9, 0.999, 1e-7)),
        ]  # fmt: skip
        for rule, count, numbers in rules:
            for factor in (None, rate):
                rule(*lists[:count], *numbers, factor)
        results += [rate, norm, *(a for arrays in lists for a in arrays)]
    assert all(np.isfinite(to_numpy(a)).all() for a in results), "not finite"


def main() -> int:
    rehearsal = "--rehearse" in sys.argv
    with device_place(rehearsal) as place:
        import cupy

        if not rehearsal:
            cupy.cuda.set_allocator(None)  # each array is an allocation of its own: memcheck sees where it ends
        run_kernels(place, rehearsal)
        if not rehearsal:
            cupy.cuda.Device().synchronize()
    return 0


if __name__ == "__main__":
    sys.exit(main())
