"""Part of ci/gpu: the machine: is there a GPU, which, with which driver, clocks and libraries. Asked, never set."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import time
from pathlib import Path
from typing import Any

from gpu_packages import commit, commit_date, said

QUERY = ("name", "driver_version", "pstate", "clocks.sm", "clocks.max.sm", "clocks.mem", "clocks.max.mem",
         "temperature.gpu", "power.draw", "power.limit", "compute_mode", "persistence_mode")  # fmt: skip
IMPORTED = ("numpy", "array_api_compat", "xpgraph", "pytest", "hypothesis")
INSTALLED = ("torch", "jax", "triton", "scipy", "ml_dtypes", "nvidia-cublas", "nvidia-cuda-nvrtc", "threadpoolctl")


def find_gpu() -> Any:
    """CuPy, if it has a GPU; else a sentence why not."""
    try:
        import cupy

        return cupy if cupy.cuda.is_available() else f"cupy {cupy.__version__} finds no usable GPU"
    except Exception as error:  # a broken installation can fail in any way
        return f"cupy does not import ({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''})"


def facts(cupy: Any) -> dict[str, Any]:
    """What was measured where; ``cupy`` is None in a rehearsal."""
    libraries = {} if cupy is None else {"cupy": cupy.__version__}
    for name in IMPORTED:
        try:
            libraries[name] = str(getattr(importlib.import_module(name), "__version__", "unknown"))
        except ImportError:
            libraries[name] = "not installed"
    for name in INSTALLED:
        try:
            libraries[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    found = {
        "commit": commit(), "commit_date": commit_date(), "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "started_ms": round(time.time() * 1000), "libraries": libraries, "python": platform.python_version(),
        "platform": platform.platform(), "system": f"{platform.system()} {platform.release()}",
        "arch": platform.machine(), "cpu": cpu(), "cpus": os.cpu_count(), "ram": memory(),
    }  # fmt: skip
    if cupy is None:
        return found
    runtime = cupy.cuda.runtime
    gpu = runtime.getDeviceProperties(cupy.cuda.Device().id)
    return found | {
        "gpu": gpu["name"].decode(), "gpu_memory": gpu["totalGlobalMem"],
        "compute_capability": f"{gpu['major']}.{gpu['minor']}",
        "multiprocessors": gpu.get("multiProcessorCount"), "l2": gpu.get("l2CacheSize"),
        "driver": clocks().get("driver_version", "unknown"), "driver_cuda": runtime.driverGetVersion(),
        "cuda_runtime": runtime.runtimeGetVersion(), "clocks": clocks(),
    }  # fmt: skip


def clocks() -> dict[str, str]:
    """What nvidia-smi tells of the first GPU now; nothing where it is not there."""
    line = said("nvidia-smi", f"--query-gpu={','.join(QUERY)}", "--format=csv,noheader").split("\n")[0]
    return dict(zip(QUERY, (value.strip() for value in line.split(",")), strict=False)) if line else {}


def cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def memory() -> int:
    """Bytes of the host."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0
