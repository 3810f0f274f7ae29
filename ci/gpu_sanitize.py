"""Part of ci/gpu: every kernel of ours through its body, at odd sizes, in both dtypes; a program for compute-sanitizer.

On a device ``compute-sanitizer --tool memcheck python ci/gpu_sanitize.py``; without one ``--rig``, in the emulator.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gpu_packages import ROOT, child_environment

TOOLS = ("memcheck", "racecheck")
FOUND = 9  # its exit status for errors, by our wish
SIZES, ROWS, BATCH = (13, 37, 67, 5), 40, 9  # a parameter in two pieces, a short last batch
MIB = 1 << 20


def sanitizer() -> str | None:
    """Where compute-sanitizer lies."""
    homes = [Path(os.environ[name]) for name in ("CUDA_HOME", "CUDA_PATH") if os.environ.get(name)]
    homes += sorted(Path("/usr/local").glob("cuda*"), reverse=True)
    folders = [folder for home in homes for folder in (home / "bin", home / "compute-sanitizer")]
    path = os.pathsep.join([os.environ.get("PATH", ""), *map(str, folders)])
    return shutil.which("compute-sanitizer", path=path)


def sanitize(folder: Path, limit: float, rig: bool = False) -> dict[str, Any]:
    """Both tools side by side over this file; in a rehearsal this file alone, in the emulator."""
    script = [sys.executable, str(Path(__file__).resolve())]
    tool = sanitizer()
    if rig:
        commands = {"plain": [*script, "--rig"]}
    elif tool is None:
        return {"status": "left out", "note": "compute-sanitizer is not installed"}
    else:
        options = ["--error-exitcode", str(FOUND), "--kernel-regex", "kns=xp_"]
        # calls that CuPy makes to see whether they fail are no faults; those that matter raise
        more = {"memcheck": ["--report-api-errors", "no"]}
        commands = {name: [tool, "--tool", name, *more.get(name, []), *options, *script] for name in TOOLS}
    logs = {name: folder / f"sanitize-{name}.log" for name in commands}
    running = {}
    for name, command in commands.items():
        with logs[name].open("w", encoding="utf-8") as log:
            running[name] = subprocess.Popen(
                command, cwd=ROOT, env=child_environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
    end = time.perf_counter() + limit
    results = {}
    for name, process in running.items():
        try:
            status: int | None = process.wait(timeout=max(0.1, end - time.perf_counter()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            status = None
        results[name] = judge(name, status, logs[name].read_text("utf-8", errors="replace"), limit)
    whole = "".join(f"=== {name}\n{log.read_text('utf-8', errors='replace')}" for name, log in logs.items())
    (folder / "sanitize.log").write_text(whole, "utf-8")
    for log in logs.values():
        log.unlink()
    statuses = {one["status"] for one in results.values()}
    status_of_all = next(s for s in ("fail", "pass", "left out") if s in statuses)
    note = "; ".join(f"{name}: {one['note']}" for name, one in results.items())
    return {"status": status_of_all, "note": note, "tool": tool if not rig else None, "runs": results}


def judge(name: str, status: int | None, text: str, limit: float) -> dict[str, Any]:
    """One run by its exit status and its summary."""
    lines = [line.strip("= \t") for line in text.splitlines() if line.strip()]
    last = lines[-1] if lines else ""
    counted = [line for line in lines if re.search(r"(ERROR|RACECHECK) SUMMARY", line)]
    note = counted[-1] if counted else last
    if status is None:
        return {"status": "fail", "note": f"ran past {limit:.0f} s; {note or 'it said nothing'}"}
    if re.search(r"[Dd]evice not supported|not supported on this (device|platform)", text):
        return {"status": "left out", "note": "compute-sanitizer does not support this device or this machine"}
    clean = name == "plain" or any(re.search(r"SUMMARY: 0 (errors|hazards)", line) for line in counted)
    done = any(line.startswith("every kernel was run") for line in lines)
    if status == 0 and clean and done:
        return {"status": "pass", "note": note}
    return {"status": "fail", "note": f"exit status {status}; {note}; see sanitize.log"}


# --- the program ----------------------------------------------------------------------------------------------


def program(place: Any, quick: bool = False) -> None:
    """Trainings eager and captured, with each optimizer; then each body by itself; AssertionError if one is missed.

    ``quick``, for a rehearsal: the same calls, fewer sizes, one epoch.
    """
    from xpgraph.fast.cuda import cublaslt as lt
    from xpgraph.fast.cuda import device, sources

    ran: set[str] = set()
    launch, product = device.launch, lt.matmul

    def counted(name: str, *args: Any) -> None:
        ran.add(name)
        launch(name, *args)

    device.launch = counted
    try:
        for dtype in ("float32", "float64"):
            trainings(place, dtype, 1 if quick else 2)
            lt.matmul = lambda *args, **more: not more.keys() & {"bias", "column_sum"} and product(*args, **more)
            train(place, dtype, "sgd", "relu", 1.0, False)  # as where no epilogue is supported
            lt.matmul = product
            bodies(place, dtype, (33,) if quick else (1, 31, 33, 257, 1025))
    finally:
        device.launch, lt.matmul = launch, product
    missed = {name for names in sources.NAMES.values() for name in names} - ran
    assert not missed, f"never launched: {missed}"
    print(f"every kernel was run: {', '.join(sorted(ran))}")


def trainings(place: Any, dtype: str, epochs: int) -> None:
    from xpgraph.training.optimizers import OPTIMIZERS

    for i, name in enumerate(OPTIMIZERS):
        activation = ("sigmoid", "relu", "tanh")[i % 3]
        for graph in (True, False):
            train(place, dtype, name, activation, (None, 0.5)[(i + graph) % 2], graph, epochs)


def train(place: Any, dtype: str, name: str, activation: str, clip: float | None, graph: bool, epochs: int = 1) -> None:
    import numpy as np

    from xpgraph import Trainer, mlp, to_numpy
    from xpgraph.training.optimizers import OPTIMIZERS

    random = np.random.default_rng(0)
    x, t = random.random((ROWS, SIZES[0])).astype(dtype), random.integers(0, SIZES[-1], ROWS)
    model = mlp(SIZES, activation, dtype=dtype, backend=place)
    x, t = place.asarray(x), place.asarray(t)
    Trainer(model, OPTIMIZERS[name]()).fit(x, t, epochs, BATCH, clip, eval_interval=None, graph=graph)
    assert all(np.isfinite(to_numpy(p)).all() for p in model.params), f"{name}: not finite"


def bodies(place: Any, dtype: str, lengths: tuple[int, ...]) -> None:
    """Each body at sizes around those of warps and blocks, and off the alignment of vectors."""
    import numpy as np

    from xpgraph import to_numpy
    from xpgraph.nodes import basic as nodes
    from xpgraph.nodes import layers, losses
    from xpgraph.training import clipping, optimizers, replay

    random = np.random.default_rng(1)

    def new(*shape: int) -> Any:
        return place.asarray(random.random(shape).astype(dtype))

    pairs = ((layers.sigmoid, layers.sigmoid_grad), (layers.relu, layers.relu_grad), (layers.tanh, layers.tanh_grad))
    kept: list[Any] = []
    for n in lengths:
        for shift in (0, 1):
            x, dy = new(n + shift)[shift:], new(n + shift)[shift:]
            kept += [call for forward, grad in pairs for call in (forward(x), grad(dy, x))]
        for width in (1, 5, 33):
            kept += [nodes.sum_to(new(n, width), (width,))]
            labels = place.asarray(random.integers(0, width, n))
            kept += losses.softmax_cross_entropy(new(n, width), labels)
            kept += losses.softmax_cross_entropy(new(n, width), new(n, width))
            kept += replay.gather(new(n, width), labels, place.asarray(random.integers(0, n, 2 * n + 1)))
        shapes = [(n,), (3, n), (1,)]
        lists = [[new(*shape) for shape in shapes] for _ in range(4)]
        rate, norm = clipping.clip_rate(lists[1], 0.5)
        rules: list[tuple[Callable[..., Any], int, tuple[float, ...]]] = [
            (optimizers.sgd, 2, (0.1,)), (optimizers.momentum, 3, (0.1, 0.9)), (optimizers.adagrad, 3, (0.1, 1e-7)),
            (optimizers.rmsprop, 3, (0.1, 0.9, 1e-7)), (optimizers.adam, 4, (0.1, 0.9, 0.999, 1e-7)),
        ]  # fmt: skip
        for rule, count, numbers in rules:
            for factor in (None, rate):
                rule(*lists[:count], *numbers, factor)
        kept += [rate, norm, *(a for arrays in lists for a in arrays)]
    assert all(np.isfinite(to_numpy(a)).all() for a in kept), "not finite"


def main() -> int:
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    if "--rig" in sys.argv:
        from cuda_rig import Rig

        with Rig() as rig:
            program(rig.place, quick=True)
        return 0
    import cupy

    from xpgraph.arrays.libraries import place

    cupy.cuda.set_allocator(None)  # each array an allocation of its own: memcheck sees its ends
    program(place("cupy"))
    cupy.cuda.Device().synchronize()
    return 0


if __name__ == "__main__":
    sys.exit(main())
