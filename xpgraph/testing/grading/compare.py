"""Found numbers against true ones, and the mistakes that would explain the difference."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..findings import Finding

CLOSE = 1e-6  # of the largest true number: room for float32-like formulas and for the book's 1e-7, not for mistakes

Explanations = Iterable[tuple[Any, str]]  # (what a mistake would give, the hint)

_TRANSPOSED = "This is the transpose: dW = xᵀ dy, so that W's axes come in W's order."
_NAMES = {
    "n": ("n", "k", "num", "number", "times", "repeats", "count", "copies", "branches", "reps", "rows"),
    "d": ("d", "columns", "width"),
    "axis": ("axis", "axes", "dim"),
    "keepdims": ("keepdims", "keepdim", "keep_dims"),
}


def as_numbers(found: Any) -> np.ndarray | None:
    """An array of floats, or None for what is none."""
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


def compare(
    name: str, check: str, found: Any, truth: np.ndarray, explanations: Explanations = (), hint: str = ""
) -> Finding | None:
    """None if the numbers agree; else a finding with the largest difference and the mistake that explains it."""
    a = as_numbers(found)
    if a is None:
        words = "nothing" if found is None else f"a {type(found).__name__}"
        return Finding(name, check, f"an array {truth.shape}", words, "Return the array.")
    if close(a, truth):
        return None
    why = explain(a, truth, explanations) or hint or "Compare this line with the formula of the book."
    if a.shape != truth.shape:
        return Finding(name, check, f"shape {truth.shape}", f"shape {a.shape}", why)
    with np.errstate(all="ignore"):
        off = np.abs(a - truth)
        place = np.unravel_index(int(np.argmax(np.where(np.isnan(off), np.inf, off))), truth.shape)
    where = f" at {[int(i) for i in place]}" if place else ""
    return Finding(name, check, f"{float(truth[place]):.6g}{where}", f"{float(a[place]):.6g}{where}", why)


def explain(a: np.ndarray, truth: np.ndarray, explanations: Explanations) -> str:
    """The hint of the first mistake that gives these very numbers; "" if none does."""
    for wrong, hint in explanations:
        if wrong is not None and close(a, np.asarray(wrong, np.float64)):
            return hint
    general = [
        (-truth, "The sign is turned around."),
        (2 * truth, "This is twice what it should be: it was counted two times."),
        (truth.T if truth.ndim == 2 else None, _TRANSPOSED),
        (0 * truth if np.any(truth) else None, "It is all zeros: it was never written."),
    ]
    for wrong, hint in general:
        if wrong is not None and close(a, wrong):
            return hint
    if a.ndim == truth.ndim == 2 and a.shape == truth.shape[::-1] != truth.shape:
        return _TRANSPOSED
    return "It is not a number: look for a division by zero or a logarithm of zero." if np.isnan(a).any() else ""


def construct(cls: type, wanted: dict[str, Any], also: dict[str, Any] | None = None) -> Any:
    """An object of a student's class from the arguments that it may want, by their names or in their order.

    ``also``: values that only some ask for, by name alone. Raises what the constructor raised, when no way of calling
    it works.
    """
    named = _by_name(cls, wanted, also or {})
    ways = [] if named is None else [lambda: cls(**named)]
    return _first([*ways, *in_order(cls, list(wanted.values()))])


def in_order(cls: type, values: list[Any]) -> list[Callable[[], Any]]:
    """Calls with all values by position, then with one less each."""
    return [lambda k=k: cls(*values[:k]) for k in range(len(values), -1, -1)]  # type: ignore[misc]


def _first(ways: list[Callable[[], Any]]) -> Any:
    """What the first call that works gives; raises what the first one raised if none does."""
    first: Exception | None = None
    for way in ways:
        try:
            return way()
        except Exception as error:
            first = first or error
    assert first is not None
    raise first


def _by_name(cls: type, wanted: dict[str, Any], also: dict[str, Any]) -> dict[str, Any] | None:
    """The wanted arguments under the constructor's own names, unknown names in their order; None if one is left."""
    try:
        parameters = list(inspect.signature(cls).parameters.values())
    except (TypeError, ValueError):
        return None
    known = {**also, **wanted}
    keys: dict[str, str] = {}
    unknown: list[inspect.Parameter] = []
    for p in parameters:
        key = next((k for k in known if p.name.lower() in _NAMES.get(k, (k.lower(),))), None)
        if key is not None:
            keys[p.name] = key
        elif p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            unknown.append(p)
    for p in unknown:
        key = next((k for k, v in wanted.items() if k not in keys.values() and _fits(p.default, v)), None)
        if key is not None:
            keys[p.name] = key
        elif p.default is p.empty:
            return None
    return {name: known[key] for name, key in keys.items()}


def _fits(default: Any, value: Any) -> bool:
    """May an argument with this default be the one that the value is for?"""
    return default is None or default is inspect.Parameter.empty or type(default) is type(value)
