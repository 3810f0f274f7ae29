"""Floor 2: what does the arithmetic of the CPU here: BLAS, its kernels and threads, and which bodies a kernel gets."""

from __future__ import annotations

import os
from importlib import metadata
from typing import Any

from .kernels import helper


def blas() -> list[dict[str, Any]]:
    """What threadpoolctl says of each BLAS in this process, NumPy's own first."""
    from threadpoolctl import threadpool_info

    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    return sorted(pools, key=lambda pool: "numpy" not in pool["filepath"])


def arithmetic() -> dict[str, str]:
    """What the last bits of a result on the CPU depend on, versions apart."""
    pools = blas()
    first = pools[0] if pools else {}
    kernels = " ".join(str(first[key]) for key in ("internal_api", "version", "architecture") if first.get(key))
    generic = os.environ.get("XPGRAPH_GENERIC", "0") not in ("", "0")
    helped = helper("numpy")
    bodies = "generic" if generic else f"with {helped} {metadata.version(helped)}" if helped else "without a compiler"
    return {"BLAS": kernels or "unknown", "BLAS threads": str(first.get("num_threads", "unknown")), "bodies": bodies}
