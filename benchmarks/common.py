"""What the suites share: which backend, which body of the kernels, and how long a call takes.

``backend``  numpy, cupy, or torch as a witness; n/a where the library or its device is missing.
``body``     which implementation of the kernels runs. namespace: the generic bodies, over the array API; fast: those
             of xpgraph/fast; numba: those that numba compiles, too. n/a where there is none.

XPGRAPH_BENCH_QUICK=1, which ci/bench sets, leaves out PyTorch and what is not installed, and measures rates for a
shorter time.
"""

from __future__ import annotations

import importlib
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import xpgraph  # noqa: F401  (fills the table)
from xpgraph.arrays.installed import usable
from xpgraph.arrays.kernels import TABLE, load_fast
from xpgraph.arrays.libraries import Place, place

QUICK = os.environ.get("XPGRAPH_BENCH_QUICK", "0") not in ("", "0")
BACKENDS = ("numpy", "cupy", "torch") if not QUICK else ("numpy", *(["cupy"] if find_spec("cupy") else []))
BODIES = ("namespace", "fast", "numba")
BUDGET = 0.1 if QUICK else 0.5  # seconds that a rate is measured for


def backend_place(backend: str) -> Place:
    """Where the arrays of a backend live. Raises NotImplementedError, which asv shows as n/a, if it is missing."""
    found = usable(backend)
    if not found.usable:
        raise NotImplementedError(f"backend {backend!r} {found.why}")
    return place(backend)


def need_body(backend: str, body: str, *names: str) -> None:
    """Raise NotImplementedError unless one of these kernels (of all, without names) has such a body for the backend."""
    if body == "namespace":
        return
    with bodies(body):
        load_fast(backend)
    wanted = backend if body == "fast" else f"{backend}+{body}"
    rows = [TABLE[name] for name in names] if names else TABLE.values()
    if not any(wanted in row.fast_bodies for row in rows):
        raise NotImplementedError(f"no kernel that is timed here has a body {body} for {backend}")


@contextmanager
def bodies(body: str) -> Iterator[None]:
    """Run the generic bodies ("namespace"), the fast ones or numba's, whatever the environment says."""
    chosen = {"XPGRAPH_GENERIC": str(int(body == "namespace")), "XPGRAPH_NUMBA": str(int(body == "numba"))}
    before = {name: os.environ.get(name) for name in chosen}
    os.environ.update(chosen)
    forget_bodies()
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        forget_bodies()


def forget_bodies() -> None:
    """Let each kernel look its body up anew: it reads the environment only at the first array of a type."""
    for row in TABLE.values():
        row.bodies.clear()


def synchronise(backend: str) -> None:
    """Wait for the device: CuPy's calls return before their work is done."""
    if backend == "cupy":
        importlib.import_module("cupy").cuda.get_current_stream().synchronize()


def call_seconds(call: Callable[[], Any]) -> list[float]:
    """The time of each call, over about BUDGET seconds of calls."""
    times: list[float] = []
    end = time.perf_counter() + BUDGET
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return times


def median_seconds(call: Callable[[], Any]) -> float:
    """The median time of one call."""
    return statistics.median(call_seconds(call))
