"""Seconds by CUDA events, or by the clock in a rehearsal; and the rig that stands in for a device."""

from __future__ import annotations

import contextlib
import gc
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from .packages import ROOT
from .results import Context, LeftOut, Result, installed


class Bench:
    """The place of the arrays, and what waits for it and times it."""

    def __init__(self, place: Any, context: Context) -> None:
        self.place, self.context, self.real = place, context, not context.rehearsal

    def need_device(self) -> None:
        if not self.real:
            raise LeftOut("needs a device")

    def array(self, host: Any) -> Any:
        """A host array on the device."""
        return self.place.asarray(host)

    def wait(self) -> None:
        """Wait until the device has finished all its work."""
        if self.real:
            import cupy

            cupy.cuda.Device().synchronize()

    def seconds(self, work: Callable[[], Any]) -> float:
        """Seconds that the device needs for what ``work`` gives to the current stream."""
        if not self.real:
            return wall(work)
        import cupy

        begin, end = cupy.cuda.Event(), cupy.cuda.Event()
        begin.record()
        work()
        end.record()
        end.synchronize()
        return cupy.cuda.get_elapsed_time(begin, end) / 1000

    def each(self, call: Callable[[int], Any], least: float = 0.01, batches: int = 5) -> dict[str, Any]:
        """Seconds of one call: the median over batches of at least ``least`` seconds; ``call`` gets its number.

        Two calls warm up. In a rehearsal there is one batch of one call.
        """
        call(0), call(1)
        self.wait()
        once = self.seconds(lambda: call(2))
        count = max(1, min(400, round(least / max(once, 1e-7)))) if self.real else 1
        times = []
        for k in range(batches if self.real else 1):
            times.append(self.seconds(lambda k=k: [call(3 + k * count + i) for i in range(count)]) / count)
            if self.context.left() < 0:
                break
        return {"seconds": statistics.median(times), "low": min(times), "high": max(times), "calls": count}

    def host(self, call: Callable[[], Any], calls: int = 200, batches: int = 15) -> dict[str, Any]:
        """Microseconds of the host for one call: the median over batches, each started with an idle device."""
        if not self.real:
            calls, batches = 2, 1
        for _ in range(3):
            call()
        times = []
        for _ in range(batches):
            self.wait()
            times.append(wall(lambda: [call() for _ in range(calls)]) / calls * 1e6)
        self.wait()
        numbers = {"host_us": statistics.median(times), "low": min(times), "high": max(times)}
        return {key: round(number, 3) for key, number in numbers.items()}


def product_rate(bench: Bench, n: int, call: Callable[[int], Any], group: int = 1) -> Result:
    """TFLOP/s of (n, n) @ (n, n), if a call makes ``group`` of them."""
    found = bench.each(call)
    times = {key: found[key] / group for key in ("seconds", "low", "high")}
    return {**times, "calls": found["calls"], "tflops": round(2e-12 * n**3 / times["seconds"], 3)}


def wall(work: Callable[[], Any]) -> float:
    """Seconds by the clock."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def free_memory() -> None:
    """Give back the device memory that this process holds in its pools, before other processes measure."""
    gc.collect()
    with contextlib.suppress(Exception):
        sys.modules["cupy"].get_default_memory_pool().free_all_blocks()
    with contextlib.suppress(Exception):
        sys.modules["torch"].cuda.empty_cache()


@cache
def why_no_rig() -> str:
    """Why CuPy's path cannot be rehearsed here; empty if it can. Imports CuPy."""
    if not (ROOT / "tests" / "support" / "cuda_rig.py").is_file():
        return "tests/support/cuda_rig.py is not there"
    if not installed("pytest"):
        return "pytest is not installed, which the rig needs"
    sys.path.insert(0, str(ROOT / "tests" / "support"))
    from cuda_rig import why_not

    return why_not()


@contextlib.contextmanager
def device_place(rehearsal: bool) -> Iterator[Any]:
    """The place for CuPy arrays: the GPU, or in a rehearsal the rig of the tests (CuPy arrays over host memory)."""
    if not rehearsal:
        from xpgraph.arrays.libraries import place

        yield place("cupy")
        return
    if why := why_no_rig():
        raise LeftOut(why)
    from cuda_rig import Rig

    with Rig() as rig:
        yield rig.place
