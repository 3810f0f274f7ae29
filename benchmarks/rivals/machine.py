"""The machine that the times were measured on. Nothing is set here."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

GPU = ("name", "driver_version", "clocks.sm", "clocks.max.sm", "clocks.mem", "temperature.gpu", "power.limit")


def machine(device: str) -> dict[str, Any]:
    """Processor, usable cores, system; and the GPU where one is used."""
    found: dict[str, Any] = {
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
    }
    return found | {"gpu": gpu()} if device == "cuda" else found


def busy_seconds() -> float | None:
    """Seconds that all cores together were busy since the system started; None where the system does not say."""
    try:
        numbers = [int(n) for n in Path("/proc/stat").read_text("utf-8").split("\n")[0].split()[1:9]]
    except (OSError, ValueError):
        return None
    user, nice, system, _, _, irq, softirq, steal = numbers
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def process_seconds(pid: int) -> float:
    """Processor time of a process so far."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


class Others:
    """Did other programs work meanwhile? Busy seconds of all cores, less those of the one process that may work."""

    def __init__(self, pid: int | None = None) -> None:
        self.pid, self.start = pid, time.perf_counter()
        self.begin = self._now()

    def disturbed(self) -> bool:
        """Did they use more than a twentieth of a core? Clock ticks are too coarse for less in a short time."""
        return self._now() - self.begin > 0.03 + 0.05 * (time.perf_counter() - self.start)

    def _now(self) -> float:
        return (busy_seconds() or 0.0) - (0.0 if self.pid is None else process_seconds(self.pid))


def cpu_model() -> str:
    """The processor's name, and its widest vector instructions."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    told = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = told.get("flags", "").split()
    widest = next((name for name in ("avx512f", "avx2", "avx") if name in flags), "")
    named = [told.get("model name", platform.machine())]
    named += [f"family {told['cpu family']} model {told['model']}"] if {"cpu family", "model"} <= set(told) else []
    return ", ".join([*named, *filter(None, [widest])])


def gpu() -> dict[str, str]:
    """What nvidia-smi says about the first GPU; empty without it."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return {}
    command = [program, f"--query-gpu={','.join(GPU)}", "--format=csv,noheader"]
    try:
        lines = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return {}
    return dict(zip(GPU, (value.strip() for value in lines[0].split(",")), strict=False)) if lines else {}


def in_words(found: dict[str, Any]) -> list[str]:
    """The machine as lines of text."""
    lines = [f"{found['cpu']}; {found['cores']} cores; {found['system']}"]
    if found.get("gpu"):
        lines.append("; ".join(f"{key} {value}" for key, value in found["gpu"].items()))
    return lines
