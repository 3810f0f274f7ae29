"""The machine: its GPU, driver, clocks and libraries. Nothing is changed."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import time
from typing import Any

from .packages import commit, commit_date, output

QUERY = ("name", "driver_version", "pstate", "clocks.sm", "clocks.max.sm", "clocks.mem", "clocks.max.mem",
         "temperature.gpu", "power.draw", "power.limit", "compute_mode", "persistence_mode")  # fmt: skip
INSTALLED = ("numpy", "array-api-compat", "pytest", "hypothesis", "torch", "jax", "triton", "scipy", "ml_dtypes",
             "nvidia-cublas", "nvidia-cuda-nvrtc", "threadpoolctl")  # fmt: skip


def find_gpu() -> Any:
    """CuPy if it finds a GPU, otherwise a sentence that says why not."""
    try:
        import cupy

        return cupy if cupy.cuda.is_available() else f"cupy {cupy.__version__} finds no usable GPU"
    except Exception as error:  # a broken installation can fail in any way
        return f"cupy does not import ({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''})"


def facts(cupy: Any) -> dict[str, Any]:
    """Everything about the machine that results depend on; ``cupy`` is None in a rehearsal."""
    from benchmarks.rivals.machine import cpu_model
    from xpgraph import __version__

    libraries = ({} if cupy is None else {"cupy": cupy.__version__}) | {"xpgraph": __version__}
    for name in INSTALLED:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            libraries[name] = importlib.metadata.version(name)
    found = {
        "commit": commit(), "commit_date": commit_date(), "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "started_ms": round(time.time() * 1000), "libraries": libraries, "python": platform.python_version(),
        "platform": platform.platform(), "system": f"{platform.system()} {platform.release()}",
        "arch": platform.machine(), "cpu": cpu_model(), "cpus": os.cpu_count(), "ram": memory(),
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
    """What nvidia-smi says now about the first GPU; empty without nvidia-smi."""
    line = output("nvidia-smi", f"--query-gpu={','.join(QUERY)}", "--format=csv,noheader").split("\n")[0]
    return dict(zip(QUERY, (value.strip() for value in line.split(",")), strict=False)) if line else {}


def memory() -> int:
    """Bytes of the host's memory; 0 if the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0
