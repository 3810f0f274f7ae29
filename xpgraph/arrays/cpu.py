"""What computes on this CPU: the BLAS libraries, their kernels and threads, and the kernel bodies for NumPy."""

from __future__ import annotations

from importlib import metadata
from typing import Any

from .kernels import compiler_for, generic_only


def blas() -> list[dict[str, Any]]:
    """What threadpoolctl says about each BLAS in this process, NumPy's own first."""
    from threadpoolctl import threadpool_info

    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    return sorted(pools, key=lambda pool: "numpy" not in pool["filepath"])


def arithmetic() -> dict[str, str]:
    """What the last bits of a result on the CPU depend on, besides the versions of the libraries."""
    pool = (blas() or [{}])[0]
    kernels = " ".join(str(pool[key]) for key in ("internal_api", "version", "architecture") if pool.get(key))
    compiler = compiler_for("numpy")
    bodies = f"with {compiler} {metadata.version(compiler)}" if compiler else "without a compiler"
    bodies = "generic" if generic_only() else bodies
    return {"BLAS": kernels or "unknown", "BLAS threads": str(pool.get("num_threads", "unknown")), "bodies": bodies}
