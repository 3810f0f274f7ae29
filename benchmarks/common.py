"""What the suites share: which backend, which body of the kernels, and how long a call takes.

``backend``  numpy or cupy; n/a where the library or its device is missing.
``body``     namespace: the generic bodies, over the array API; fast: the ones declared in xpgraph/fast, n/a where a
             library has none.
"""

from __future__ import annotations

import importlib
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from xpgraph.installed import usable
from xpgraph.kernel import TABLE, load_fast
from xpgraph.namespace import Place, place

BACKENDS = ("numpy", "cupy")
BODIES = ("namespace", "fast")
BUDGET = 0.5  # seconds that a rate is measured for


def backend_place(backend: str) -> Place:
    """Where the data is made; NotImplementedError, which asv shows as n/a, when the backend is missing here."""
    found = usable(backend)
    if not found.usable:
        raise NotImplementedError(f"backend {backend!r} {found.why}")
    return place(backend)


def need_fast_body(backend: str, *names: str) -> None:
    """NotImplementedError unless one of the named kernels (of all, without names) has a fast body for the backend."""
    load_fast(backend)
    rows = [TABLE[name] for name in names] if names else TABLE.values()
    if not any(backend in row.fast_bodies for row in rows):
        raise NotImplementedError(f"none of {', '.join(names) or 'the kernels'} has a fast body for {backend}")


@contextmanager
def bodies(body: str) -> Iterator[None]:
    """Dispatch to the generic bodies ("namespace") or to the fast ones, whatever the environment says."""
    before = os.environ.get("XPGRAPH_GENERIC")
    os.environ["XPGRAPH_GENERIC"] = "1" if body == "namespace" else "0"
    _forget()
    try:
        yield
    finally:
        if before is None:
            del os.environ["XPGRAPH_GENERIC"]
        else:
            os.environ["XPGRAPH_GENERIC"] = before
        _forget()


def _forget() -> None:
    for row in TABLE.values():  # a kernel asks the environment only for types that it has not met
        row.bodies.clear()


def synchronise(backend: str) -> None:
    """Wait for the device: CuPy's calls return before their work is done."""
    if backend == "cupy":
        importlib.import_module("cupy").cuda.get_current_stream().synchronize()


def median_seconds(call: Callable[[], Any]) -> float:
    """The median time of one call, over about BUDGET seconds of calls."""
    times: list[float] = []
    end = time.perf_counter() + BUDGET
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)
