"""Child processes: each in a process group of its own, ended with all its children when its time is up."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from .packages import ROOT, packed_paths
from .results import Failed

PYTHON = sys.executable
running: set[subprocess.Popen[bytes]] = set()


class Ended(NamedTuple):
    """How a command ended: its exit status (None: it was ended at the limit) and everything that it printed."""

    status: int | None
    text: str


def run_all(commands: dict[str, list[str]], log: Path, seconds: float, **environment: str) -> dict[str, Ended]:
    """Run commands side by side for at most ``seconds``; append what each printed to ``log``, under its name."""
    end, logs, processes = time.perf_counter() + seconds, {}, {}
    variables = child_environment(**environment)
    for i, (name, command) in enumerate(commands.items()):
        logs[name] = log.with_name(f"{log.stem}-{i}.log")
        with logs[name].open("wb") as out:
            processes[name] = subprocess.Popen(
                command, cwd=ROOT, env=variables, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                start_new_session=True,
            )  # fmt: skip
        running.add(processes[name])
    ended = {}
    for name, process in processes.items():
        status: int | None = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = process.wait(timeout=max(0.1, end - time.perf_counter()))
        end_group(process)
        ended[name] = Ended(status, logs[name].read_text("utf-8", errors="replace"))
        logs[name].unlink()
        with log.open("a", encoding="utf-8") as whole:
            whole.write(f"=== {name}\n{ended[name].text}\n")
    return ended


def run(name: str, command: list[str], log: Path, seconds: float, **environment: str) -> None:
    """Run one command; Failed if it ends badly or runs past its limit."""
    status = run_all({name: command}, log, seconds, **environment)[name].status
    if status is None:
        raise Failed(f"ran past {seconds:.0f} s; see {log.name}")
    if status:
        raise Failed(f"exit status {status}; see {log.name}")


def measure(name: str, command: list[str], log: Path, seconds: float, **environment: str) -> Any:
    """Run one command with ``--json FILE`` added; the value that it wrote there."""
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch, "result.json")
        run(name, [*command, "--json", str(file)], log, seconds, **environment)
        return json.loads(file.read_text("utf-8"))


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process and every process that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    running.discard(process)


def end_everything() -> None:
    """End all that is running, when ci/gpu itself is interrupted."""
    for process in list(running):
        end_group(process)


def child_environment(**more: str) -> dict[str, str]:
    """This process's environment, for a Python that finds the checkout, gpu_run and the packed packages."""
    paths = [ROOT, ROOT / "ci", *packed_paths(), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), **more}
