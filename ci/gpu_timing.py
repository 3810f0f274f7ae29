"""Part of ci/gpu: rows that fail one by one, a deadline, and seconds by CUDA events, or by the clock in a rehearsal."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from typing import Any

PASS, FAIL, LEFT_OUT = "pass", "fail", "left out"


class LeftOut(Exception):
    """A measurement that cannot be had here; the message is the reason."""


class Bench:
    """Where the checks run: the place of the arrays, whether this is a rehearsal, and when time is up."""

    def __init__(self, place: Any, seconds: float, rig: Any = None) -> None:
        self.place, self.rig, self.end = place, rig, time.perf_counter() + seconds

    @property
    def real(self) -> bool:
        """Is there a device?"""
        return self.rig is None

    def left(self) -> float:
        return self.end - time.perf_counter()

    def need_device(self) -> None:
        if not self.real:
            raise LeftOut("needs a device")

    def array(self, host: Any) -> Any:
        """A host array on the device."""
        return self.place.asarray(host)

    def wait(self) -> None:
        """Until the device has done all that it was given."""
        if self.real:
            import cupy

            cupy.cuda.Device().synchronize()

    def seconds(self, work: Callable[[], Any]) -> float:
        """How long the device works at what ``work`` gives to the current stream, from its first call on."""
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
        """Seconds of one call: the median over batches that last at least so long; calls are numbered through.

        Two calls warm up. In a rehearsal a batch is one call.
        """
        call(0), call(1)
        self.wait()
        once = self.seconds(lambda: call(2))
        count = max(1, min(400, round(least / max(once, 1e-7)))) if self.real else 1
        found = []
        for k in range(batches if self.real else 1):
            found.append(self.seconds(lambda k=k: [call(3 + k * count + i) for i in range(count)]) / count)
            if self.left() < 0:
                break
        return {"seconds": statistics.median(found), "low": min(found), "high": max(found), "calls": count}

    def host(self, call: Callable[[], Any], calls: int = 200, batches: int = 15) -> dict[str, Any]:
        """µs of the host's time for one call: the median over batches, each begun with an idle device."""
        if not self.real:
            calls, batches = 2, 1
        for _ in range(3):
            call()
        found = []
        for _ in range(batches):
            self.wait()
            found.append(wall(lambda: [call() for _ in range(calls)]) / calls * 1e6)
        self.wait()
        numbers = {"host_us": statistics.median(found), "low": min(found), "high": max(found)}
        return {key: round(number, 3) for key, number in numbers.items()}


def plain(value: Any) -> Any:
    """What JSON can hold: NumPy's numbers as Python's, a NaN or an infinity as a word, keys as words."""
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if hasattr(value, "item") and not isinstance(value, int | float | str):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def wall(work: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


class Rows:
    """Named measurements, each guarded by itself: what fails costs its own row."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.rows = bench, {}

    def row(self, name: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """``work`` gives numbers, and "ok" where they were judged; LeftOut says why there are none."""
        start = time.perf_counter()
        try:
            if self.bench.left() < 0:
                raise LeftOut("no time was left for it")
            found = work()
            judged = found.pop("ok", True)
            row = {"status": PASS if judged else FAIL, **found}
        except LeftOut as reason:
            row = {"status": LEFT_OUT, "note": str(reason)}
        except Exception as error:  # whatever a library or a driver raises
            if self.bench.rig is not None and type(error).__name__ == "CUDARuntimeError":
                row = {"status": LEFT_OUT, "note": "needs a device"}
            else:
                row = {"status": FAIL, "note": words(error)}
        self.rows[name] = row | {"took": round(time.perf_counter() - start, 2)}
        return self.rows[name]

    def result(self, note: str = "") -> dict[str, Any]:
        """The whole as one part of the record."""
        return result_of(self.rows, note)


def result_of(rows: dict[str, dict[str, Any]], note: str = "") -> dict[str, Any]:
    """A part made of rows: fails if one does, is left out if all are."""
    by = {status: [name for name, row in rows.items() if row["status"] == status] for status in (PASS, FAIL, LEFT_OUT)}
    status = FAIL if by[FAIL] else PASS if by[PASS] else LEFT_OUT
    words = [f"{name}: {rows[name].get('note') or 'not as it must be'}" for name in by[FAIL]]
    reasons: dict[str, list[str]] = {}
    for name in by[LEFT_OUT]:
        reasons.setdefault(rows[name].get("note", ""), []).append(name)
    words += [f"left out: {', '.join(names)}: {reason}" for reason, names in reasons.items()]
    counted = f"{len(by[PASS])} of {len(rows)} rows" if rows else "nothing to do"
    return {"status": status, "note": "; ".join(filter(None, [note or counted, *words]))[:1500], "rows": rows}


def words(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:400]
