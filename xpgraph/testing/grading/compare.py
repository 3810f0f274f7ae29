"""One class or function of a student, and its numbers beside the true ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from ..findings import Finding
from .source_file import Source

CLOSE = 1e-6  # of the largest true number: enough for formulas like float32 and the book's 1e-7, not for a mistake
# What a student need not do: own the memory of results, compute in float32, take ranks that the book does not.
LENIENT = ("aliasing", "dtype", "device", "3-D inputs refused")
_TRANSPOSED = "This is the transpose: dW = xᵀ dy, so that W's axes come in W's order."

Explanations = Iterable[tuple[Any, str]]  # (what a mistake would compute, the hint)


class Entry(NamedTuple):
    """A class or function that the book knows: as which kind, under which name, and the file that has it."""

    kind: str
    name: str
    thing: Any
    source: Source

    def finding(self, check: str, expected: str, found: str, hint: str) -> Finding:
        return Finding(self.name, check, expected, found, hint)

    def raised(self, check: str, error: Exception, hint: str, expected: str = "no exception", at: str = "") -> Finding:
        return self.finding(check, expected, at + self.source.words(error), hint)

    def compare(
        self, check: str, found: Any, truth: Any, explanations: Explanations = (), hint: str = ""
    ) -> Finding | None:
        """None if the numbers agree; else the largest difference, with the mistake that explains it or ``hint``."""
        a, truth = as_numbers(found), np.asarray(truth, np.float64)
        if a is None:
            words = "nothing" if found is None else f"a {type(found).__name__}"
            return self.finding(check, f"an array {truth.shape}", words, "Return the array.")
        if close(a, truth):
            return None
        why = _explain(a, truth, explanations) or hint or "Compare this line with the formula of the book."
        if a.shape != truth.shape:
            return self.finding(check, f"shape {truth.shape}", f"shape {a.shape}", why)
        with np.errstate(all="ignore"):
            off = np.abs(a - truth)
            place = np.unravel_index(int(np.argmax(np.where(np.isnan(off), np.inf, off))), truth.shape)
        where = f" at {[int(i) for i in place]}" if place else ""
        return self.finding(check, f"{float(truth[place]):.6g}{where}", f"{float(a[place]):.6g}{where}", why)


def as_numbers(found: Any) -> np.ndarray | None:
    """A float64 array; None for what cannot be one."""
    try:
        return None if found is None else np.array(found, dtype=np.float64)
    except (TypeError, ValueError):
        return None


def close(found: np.ndarray, truth: np.ndarray) -> bool:
    """Within CLOSE of the largest true number; NaN is close to nothing."""
    if found.shape != truth.shape:
        return False
    with np.errstate(all="ignore"):
        return bool(np.all(np.abs(found - truth) <= CLOSE * max(1.0, float(np.max(np.abs(truth), initial=0.0)))))


def _explain(a: np.ndarray, truth: np.ndarray, explanations: Explanations) -> str:
    """The hint of the first mistake that computes these very numbers; "" if none does."""
    general = [
        (-truth, "The sign is turned around."),
        (2 * truth, "This is twice what it should be: it was counted two times."),
        (truth.T if truth.ndim == 2 else None, _TRANSPOSED),
        (0 * truth if np.any(truth) else None, "It is all zeros: it was never written."),
    ]
    for wrong, hint in (*explanations, *general):
        if wrong is not None and close(a, np.asarray(wrong, np.float64)):
            return hint
    if a.ndim == truth.ndim == 2 and a.shape == truth.shape[::-1] != truth.shape:
        return _TRANSPOSED
    return "It is not a number: look for a division by zero or a logarithm of zero." if np.isnan(a).any() else ""
