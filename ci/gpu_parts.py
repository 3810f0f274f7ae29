"""Part of ci/gpu: its parts in their order, as they are on a device and as they are rehearsed without one."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import gpu_asv
import gpu_rivals
import gpu_sanitize
import gpu_suite
import gpu_training
from gpu_packages import ROOT, child_environment
from gpu_timing import Bench

Result = dict[str, Any]


class Part(NamedTuple):
    """``work(limit)`` gives a result within so many seconds. ``least`` is kept for it; ``beside``: a process apart,
    which may run while another such part does."""

    name: str
    least: float
    work: Callable[[float], Result]
    beside: bool = False


def parts(folder: Path, mnist: Path | None, record: Result) -> list[Part]:
    """On a device. Those beside each other only say right or wrong; what is timed has the machine for itself."""
    from xpgraph.arrays.libraries import place

    def train(name: str) -> Callable[[float], Result]:
        return lambda limit: gpu_training.compare(name, gpu_training.TRAININGS[name], gpu_training.BACKENDS, mnist)

    def checklist(limit: float) -> Result:
        import gpu_checks

        try:
            return gpu_checks.checklist(Bench(place("cupy"), limit))
        finally:
            give_back()

    return [
        Part("suite", 130, lambda limit: gpu_suite.suite("cupy", folder, limit), True),
        Part("sanitizer", 60, lambda limit: gpu_sanitize.sanitize(folder, limit), True),
        *(Part(f"train {name}", 12, train(name)) for name in gpu_training.TRAININGS),
        Part("verify", 25, lambda limit: gpu_suite.certificate(gpu_training.BACKENDS, folder)),
        Part("checklist", 70, checklist),
        Part("rivals", 130, lambda limit: gpu_rivals.rivals(folder, limit)),
        Part("jobs", 45, lambda limit: gpu_rivals.jobs(folder, limit, mnist)),
        Part("board", 45, lambda limit: board(record, limit)),
    ]


def rehearsal(folder: Path, mnist: Path | None, record: Result) -> list[Part]:
    """The same without a device: other backends, tiny sizes, one round; CuPy's path on the rig of the tests."""
    witness = next((name for name in ("array_api_strict", "torch") if here(name)), None)
    pair = ("numpy", witness or "numpy")
    why = no_rig()  # imports CuPy: before there are threads

    def train(name: str) -> Callable[[float], Result]:
        def work(limit: float) -> Result:
            gpu_training.RANDOM_ROWS = (300, 60)
            short = gpu_training.TRAININGS[name]._replace(epochs=1)
            return gpu_training.compare(name, short, pair, None)

        return work

    def verify(limit: float) -> Result:
        if witness is None:
            return left_out("neither array_api_strict nor torch is installed")
        return gpu_suite.certificate(pair, folder, 1)

    def checklist(limit: float) -> Result:
        if why:
            return left_out(why)
        import gpu_checks
        from cuda_rig import Rig

        with Rig() as rig:
            return gpu_checks.checklist(Bench(rig.place, limit, rig))

    def sanitizer(limit: float) -> Result:
        return left_out(why) if why else gpu_sanitize.sanitize(folder, limit, rig=True)

    def suite(limit: float) -> Result:
        lacking = [name for name in ("pytest", "hypothesis") if not here(name)]
        if lacking:
            return left_out(f"{' and '.join(lacking)} not installed")
        return gpu_suite.suite("numpy", folder, limit, ("tests/nodes/test_sharing.py",))

    return [
        Part("suite", 1, suite, True),
        Part("sanitizer", 1, sanitizer, True),
        *(Part(f"train {name}", 1, train(name)) for name in gpu_training.TRAININGS),
        Part("verify", 1, verify),
        Part("checklist", 1, checklist),
        Part("rivals", 1, lambda limit: gpu_rivals.rivals(folder, limit, rehearsal=True), True),
        Part("jobs", 1, lambda limit: gpu_rivals.jobs(folder, limit, None, rehearsal=True), True),
        Part("board", 1, lambda limit: board(record, limit, quick=True)),
    ]


def board(record: Result, limit: float, quick: bool = False) -> Result:
    """The suites of the asv board into the record, and the converter over it, into a folder that is thrown away."""
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch, "board.json")
        command = [sys.executable, str(ROOT / "ci" / "gpu_board.py"), *(["--quick"] if quick else []), str(file)]
        ended = subprocess.run(
            command, cwd=ROOT, env=child_environment(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1"),
            capture_output=True, text=True, timeout=limit, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if ended.returncode:
            return {"status": "fail", "note": f"exit status {ended.returncode}: {ended.stderr.strip()[-300:]}"}
        record["board"] = json.loads(file.read_text("utf-8"))
        written = gpu_asv.convert_one(json.loads(json.dumps(record)), Path(scratch, "results"))
    values = [value for entry in record["board"] for value in entry["values"]]
    reasons = sorted({reason for entry in record["board"] for reason in entry["reasons"] if reason})
    broken = [reason for reason in reasons if "Error: " in reason]
    note = f"{sum(v is not None for v in values)} of {len(values)} values; converted into {len(written)} files"
    return {"status": "fail" if broken else "pass", "note": "; ".join([note, *broken]), "left_out": reasons}


def give_back() -> None:
    """The memory that this process keeps on the device, before others measure."""
    import gc

    gc.collect()
    with contextlib.suppress(Exception):
        sys.modules["cupy"].get_default_memory_pool().free_all_blocks()
    with contextlib.suppress(Exception):
        sys.modules["torch"].cuda.empty_cache()


def left_out(why: str) -> Result:
    return {"status": "left out", "note": why}


def here(name: str) -> bool:
    with contextlib.suppress(ImportError, ValueError):
        return importlib.util.find_spec(name) is not None
    return False


def no_rig() -> str:
    """Why CuPy's path cannot be rehearsed; empty if it can."""
    if not (ROOT / "tests" / "cuda_rig.py").is_file():
        return "tests/support/cuda_rig.py is not there"
    if not here("pytest"):
        return "pytest is not installed, which the rig is made with"
    from cuda_rig import why_not

    return why_not()
