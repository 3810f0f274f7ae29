"""What every part is given (a context) and what it returns (a result, often made of rows)."""

from __future__ import annotations

import importlib.util
import json
import math
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PASS, FAIL, LEFT_OUT, NOT_RUN = "pass", "fail", "left out", "not run"
NO_TIME = "no time was left for it"
Result = dict[str, Any]  # "status", "note" and a part's or row's own figures


class LeftOut(Exception):
    """Something that cannot be checked or measured here; the message is the reason."""


class Failed(Exception):
    """Something that went wrong in a known way; the message says how."""


@dataclass(frozen=True)
class Context:
    """What a part is given. ``end`` is its deadline on the clock of ``time.perf_counter``."""

    folder: Path  # of gpu.json and the logs
    rehearsal: bool = False  # no GPU: do the same steps, smaller
    mnist: Path | None = None  # folder of MNIST's four IDX files
    record: Result = field(default_factory=dict)  # becomes gpu.json
    end: float = math.inf

    def left(self) -> float:
        """Seconds until the deadline."""
        return self.end - time.perf_counter()

    def log(self, part: str) -> Path:
        """The part's log file, without what an earlier run wrote into it."""
        path = self.folder / f"{part}.log"
        path.unlink(missing_ok=True)
        return path


def need(*names: str) -> None:
    """LeftOut unless these modules are installed."""
    missing = [name for name in names if not installed(name)]
    if missing:
        raise LeftOut(f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed")


def installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def guarded(work: Callable[..., Result], *args: Any, rehearsal: bool = False) -> Result:
    """The result of ``work(*args)`` with a status; an exception costs this result and no other.

    ``work`` returns figures, and "ok" or "status" if it judged them. In a rehearsal, what only a device or a package
    that is not installed can do is left out.
    """
    try:
        result = dict(work(*args))
        return {"status": PASS if result.pop("ok", True) else FAIL, **result}
    except (LeftOut, Failed) as reason:
        return {"status": LEFT_OUT if isinstance(reason, LeftOut) else FAIL, "note": str(reason)}
    except Exception as error:  # whatever a library or a driver raises
        if rehearsal and type(error).__name__ == "CUDARuntimeError":
            return {"status": LEFT_OUT, "note": "needs a device"}
        if isinstance(error, ModuleNotFoundError):
            return {"status": LEFT_OUT if rehearsal else FAIL, "note": f"{error.name} is not installed"}
        traceback.print_exc()
        return {"status": FAIL, "note": f"{type(error).__name__}: {' '.join(str(error).split())}"[:400]}


class Rows:
    """The rows of a part, each guarded by itself; a row that would have less than ``least`` seconds is left out."""

    def __init__(self, context: Context, least: float = 0.0) -> None:
        self.context, self.least = context, least
        self.rows: dict[str, Result] = {}

    def row(self, name: str, work: Callable[..., Result], *args: Any) -> Result:
        """Add the result of ``work(*args)``, see ``guarded``, and return it."""
        start = time.perf_counter()
        if self.context.left() < self.least:
            found: Result = {"status": LEFT_OUT, "note": NO_TIME}
        else:
            found = guarded(work, *args, rehearsal=self.context.rehearsal)
        self.rows[name] = found | {"took": round(time.perf_counter() - start, 2)}
        return self.rows[name]

    def result(self, note: str = "") -> Result:
        """The result of the part: it fails if a row does, and is left out if all rows are."""
        by = {s: [name for name, row in self.rows.items() if row["status"] == s] for s in (PASS, FAIL, LEFT_OUT)}
        notes = [note or (f"{len(by[PASS])} of {len(self.rows)} rows" if self.rows else "nothing to do")]
        notes += [f"{name}: {self.rows[name].get('note') or 'not as it must be'}" for name in by[FAIL]]
        reasons = by_reason({name: self.rows[name]["note"] for name in by[LEFT_OUT]})
        notes += [f"left out: {', '.join(names)}: {reason}" for reason, names in reasons.items()]
        status = FAIL if by[FAIL] else PASS if by[PASS] else LEFT_OUT
        return {"status": status, "note": "; ".join(notes)[:1500], "rows": self.rows}


def by_reason(notes: dict[str, str]) -> dict[str, list[str]]:
    """The names that share a note, under that note."""
    found: dict[str, list[str]] = {}
    for name, note in notes.items():
        found.setdefault(note, []).append(name)
    return found


def plain(value: Any) -> Any:
    """``value`` as JSON can hold it: NumPy's numbers as Python's, NaN and infinities as words, keys as strings."""
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if hasattr(value, "item") and not isinstance(value, int | float | str):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def write(path: Path, value: Any) -> None:
    """Write a value as JSON."""
    path.write_text(json.dumps(plain(value), indent=1, allow_nan=False) + "\n", "utf-8")
