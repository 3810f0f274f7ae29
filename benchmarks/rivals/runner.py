"""Starts the contenders, checks that they compute the same losses, and lets them work one at a time, in turns."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .machine import Others
from .workloads import Workload, write_task

ROOT = Path(__file__).parents[2]
# Environment variables that would set threads, kernels, memory or precision of a library to other than its defaults.
OVERRIDES = (
    "OPENBLAS_", "GOTO_", "BLIS_", "MKL_", "OMP_", "GOMP_", "KMP_", "VECLIB_", "NUMEXPR_", "NPY_", "NUMPY_", "XLA_",
    "JAX_", "TORCHINDUCTOR_", "TORCHDYNAMO_", "TORCH_ALLOW_", "ATEN_", "PYTORCH_", "DNNL_", "ONEDNN_", "MALLOC_",
    "GLIBC_TUNABLES", "XPGRAPH_", "NVIDIA_TF32", "CUPY_", "CUBLAS",
)  # fmt: skip
TOLERANCE = {"float32": 1e-4, "float64": 1e-9, "tf32": 5e-3}  # relative, of a loss; of the products: tf32
LIMIT = 420.0  # seconds for one answer: torch.compile on a slow machine


@dataclass(frozen=True)
class Settings:
    """How to measure. ``seconds``: the least duration of a timed call; ``pause``: seconds until spinning threads sleep.

    ``patience``: seconds that may be spent on repeating turns that other programs disturbed.
    """

    device: str = "cpu"
    dtype: str = "float32"
    precision: str = "fp32"
    rounds: int = 7
    calls: int = 3
    seconds: float = 0.01
    pause: float = 0.1
    patience: float = 60.0


class Refused(Exception):
    """A contender cannot run, or broke; the message is the reason."""


class Worker:
    """A contender's process, as seen from outside."""

    def __init__(self, name: str, workload: Workload, folder: Path, settings: Settings) -> None:
        self.name, self.log = name, folder / f"{name.replace(':', '-')}.log"
        with self.log.open("w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", f"{__package__}.worker"], cwd=ROOT, env=clean_environment(), text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
            )  # fmt: skip
        try:
            self.about = self.ask(
                "start", name=name, workload=dataclasses.asdict(workload), folder=str(folder), device=settings.device,
                dtype=settings.dtype, precision=settings.precision,
            )  # fmt: skip
        except Refused:
            self.end()
            raise

    def ask(self, what: str, **more: Any) -> dict[str, Any]:
        """Send a request, wait for its answer. Refused if there is none, or if it is an error."""
        assert self.process.stdin and self.process.stdout
        late = threading.Timer(LIMIT, self.process.kill)
        late.start()
        try:
            print(json.dumps({"do": what, **more}), file=self.process.stdin, flush=True)
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            late.cancel()
        if not line:
            said = self.log.read_text("utf-8", errors="replace").split("\n")
            last = next((line.strip() for line in reversed(said) if line.strip()), "")
            raise Refused(f"{what}: its process ended ({self.process.wait()}) {last}"[:300])
        answer = json.loads(line)
        if "missing" in answer:
            raise Refused(answer["missing"])
        if "error" in answer:
            raise Refused(f"{what}: {answer['error']}")
        return answer

    def end(self) -> None:
        """Close its stdin, which ends it."""
        assert self.process.stdin and self.process.stdout
        try:
            self.process.stdin.close()
            self.process.wait(timeout=20)
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


def clean_environment() -> dict[str, str]:
    """The environment of this process without the variables of OVERRIDES."""
    return {k: v for k, v in os.environ.items() if not k.startswith(OVERRIDES)}


def compare(
    workload: Workload, names: list[str], settings: Settings, say: Callable[[str], Any] = print
) -> dict[str, Any]:
    """One workload's results: a row for each contender that computes the same losses, and why others are left out."""
    with tempfile.TemporaryDirectory(prefix="rivals-") as place:
        folder = Path(place)
        write_task(workload, folder)
        tolerance = TOLERANCE["tf32" if settings.precision == "tf32" else settings.dtype]
        result: dict[str, Any] = {
            "workload": dataclasses.asdict(workload), "words": str(workload), **dataclasses.asdict(settings),
            "tolerance": tolerance, "reference": reference(workload, folder), "rows": [], "left_out": {},
            "turns": 0, "disturbed": 0,
        }  # fmt: skip
        workers: list[Worker] = []
        try:
            for name in names:
                try:
                    workers.append(enter(name, workload, folder, settings, result))
                    say(f"{workload.name}: {name} is ready")
                except Refused as reason:
                    result["left_out"][name] = str(reason)
                    say(f"{workload.name}: {name} is left out: {reason}")
            result["rows"] = rounds(workers, settings, result, lambda text: say(f"{workload.name}: {text}"))
        finally:
            for worker in workers:
                worker.end()
    add_ratios(result["rows"])
    return result


def reference(workload: Workload, folder: Path) -> list[float]:
    """The losses of the first steps as the chapter's NumPy computes them in float64."""
    worker = Worker("chapter", workload, folder, Settings(dtype="float64"))
    try:
        return worker.ask("losses", steps=min(workload.checked, workload.batches))["losses"]
    finally:
        worker.end()


def enter(name: str, workload: Workload, folder: Path, settings: Settings, result: dict[str, Any]) -> Worker:
    """Start a contender, check its losses, find out how many steps make a call. Refused, and ended, if it fails."""
    worker = Worker(name, workload, folder, settings)
    try:
        if worker.about["trains"]:
            wanted = result["reference"]
            found = worker.ask("losses", steps=len(wanted))["losses"]
            slack = max(worker.about["slack"] or 0.0, result["tolerance"])
            apart = difference(found, wanted)
            if not apart <= slack:
                raise Refused(f"different losses: {apart:.1e} apart, {slack:.0e} allowed: {_few(found)}")
            worker.about |= {"losses": found, "losses_apart": apart, "losses_allowed": slack}
        worker.about["steps"] = worker.ask("calibrate", seconds=settings.seconds)["steps"]
    except Refused:
        worker.end()
        raise
    time.sleep(settings.pause)
    return worker


def difference(found: list[float], wanted: list[float]) -> float:
    """The largest relative difference; infinite for losses that are missing or not finite."""
    if len(found) != len(wanted) or not all(map(math.isfinite, found)):
        return math.inf
    return max(abs(a - b) / abs(b) for a, b in zip(found, wanted, strict=True))


def _few(losses: list[float]) -> str:
    return ", ".join(f"{loss:.6g}" for loss in losses[:3])


def rounds(
    workers: list[Worker], settings: Settings, result: dict[str, Any], say: Callable[[str], Any]
) -> list[dict[str, Any]]:
    """Let the contenders take turns; one that breaks is left out from then on. A row for each of the others."""
    calls: dict[str, list[float]] = {worker.name: [] for worker in workers}
    singles: dict[str, list[float]] = {worker.name: [] for worker in workers}
    left = [settings.patience]
    for r in range(settings.rounds):
        start = r % max(len(workers), 1)
        for worker in workers[start:] + workers[:start]:
            if worker.name in result["left_out"]:
                continue
            try:
                answer = turn(worker, settings, left)
                result["turns"] += 1
                result["disturbed"] += answer["disturbed"]
                calls[worker.name] += answer["calls"]
                singles[worker.name] += answer["singles"]
            except Refused as reason:
                result["left_out"][worker.name] = str(reason)
                say(f"{worker.name} is left out: {reason}")
        say(f"round {r + 1} of {settings.rounds}")
    rows = []
    for worker in workers:
        try:
            if calls[worker.name] and worker.name not in result["left_out"]:
                described = worker.ask("describe")
                times = summary("", calls[worker.name]) | summary("single_", singles[worker.name])
                rows.append({**worker.about, "name": worker.name, **times, "about": described})
        except Refused as reason:
            result["left_out"][worker.name] = str(reason)
    return rows


def turn(worker: Worker, settings: Settings, left: list[float]) -> dict[str, Any]:
    """One turn of a contender, repeated if other programs worked meanwhile, as long as ``left`` (seconds) allows.

    It is repeated with more steps if calls were too short, which happens if finding their number was disturbed.
    """
    while True:
        others, begin = Others(worker.process.pid), time.perf_counter()
        answer = worker.ask("measure", steps=worker.about["steps"], calls=settings.calls)
        answer["disturbed"] = others.disturbed()
        time.sleep(settings.pause)
        lasted = min(answer["calls"]) * worker.about["steps"]
        if lasted < 0.7 * settings.seconds:
            worker.about["steps"] *= math.ceil(settings.seconds / lasted)
        elif not answer["disturbed"] or left[0] <= 0:
            return answer
        else:
            while left[0] > time.perf_counter() - begin and not quiet():
                pass
            left[0] -= time.perf_counter() - begin


def quiet() -> bool:
    """Is the machine idle now?"""
    others = Others()
    time.sleep(0.3)
    return not others.disturbed()


def summary(prefix: str, seconds: list[float]) -> dict[str, Any]:
    """Median and quartiles of seconds per step."""
    low, _, high = statistics.quantiles(seconds, n=4, method="inclusive") if len(seconds) > 1 else seconds * 3
    return {
        f"{prefix}seconds": statistics.median(seconds), f"{prefix}low": low, f"{prefix}high": high,
        f"{prefix}samples": seconds,
    }  # fmt: skip


def add_ratios(rows: list[dict[str, Any]]) -> None:
    """To each row: its time over that of the fastest products of the run, and over those of its own library."""
    products = {row["library"]: row for row in rows if not row["trains"]}
    fastest = min(products.values(), key=lambda row: row["seconds"], default=None)
    for row in rows:
        own = products.get(row["library"])
        row["ratio"] = None if fastest is None else row["seconds"] / fastest["seconds"]
        row["ratio_own"] = None if own is None else row["seconds"] / own["seconds"]
        row["fastest_gemm"] = None if fastest is None else fastest["name"]
