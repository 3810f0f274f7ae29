"""Very large inputs, and inputs with one more axis."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ...graph.gradient_check import host
from ..findings import Finding
from .subject import Subject

EXTREME = 1e4  # e^EXTREME overflows in every dtype
PROBE = 30.0  # e^PROBE does not
DEGREE = 6  # a function that grows by more than PROBE^DEGREE from 1 to PROBE may overflow at EXTREME
ROWS = "rows apart by "  # every second row is moved: with one maximum for the whole array, e^x of the others is 0

_NEGATIVE = "Take e to the power of negative numbers only: e^-|x|, or e^(x - max x)."
_EACH_ROW = "Each row has its own maximum: np.max(x, axis=-1, keepdims=True), not np.max(x)."
_ANY_RANK = "Work along the last axis (axis=-1), so that there may be any number of axes before it."
_OR_REFUSE = "Work along the last axis (axis=-1), or raise an error for other ranks."


class Results(NamedTuple):
    """Of a run: its largest result, whether all are finite, and the numeric warnings."""

    largest: float
    finite: bool
    warned: list[str]


def extreme_values(subject: Subject) -> Iterator[Finding]:
    """At ±1e4, and with rows 1e4 apart, results are finite; not for functions undefined there or that grow fast."""
    for signs, hint in (("±", _NEGATIVE), ("", _NEGATIVE), ("-", _NEGATIVE), (ROWS, _EACH_ROW)):
        if signs == ROWS and not any(subject.inputs[i].ndim > 1 for i in subject.floating):
            continue
        near, far = _results(subject, signs, 1.0), _results(subject, signs, PROBE)
        if not (near.finite and far.finite) or near.warned or far.warned:
            continue  # not defined there, as log is not for negative numbers
        if far.largest > PROBE**DEGREE * max(near.largest, 1.0):
            continue  # as e^x
        at = _results(subject, signs, EXTREME)
        if not at.finite or at.warned:
            found = at.warned[0] if at.warned else "NaN or infinity"
            yield subject.finding("extreme values", f"finite results and no warning at {signs}{EXTREME:g}", found, hint)
            return


def _results(subject: Subject, signs: str, size: float) -> Results:
    scaled = subject.floating[:1] if subject.first_only else subject.floating
    inputs = list(subject.inputs)
    for i in scaled:
        if signs == ROWS:
            if inputs[i].ndim > 1:
                inputs[i] = inputs[i].copy()
                inputs[i][1::2] += size
            continue
        inputs[i] = np.full_like(inputs[i], -size if signs == "-" else size)
        if signs == "±" and i == scaled[0]:
            inputs[i].reshape(-1)[::2] *= -1
    node = subject.fresh()
    with warnings.catch_warnings(record=True) as said, np.errstate(all="warn", under="ignore"):
        warnings.simplefilter("always")
        outputs = subject.forward(node, inputs)
        results = [host(y) for y in outputs]
        if not subject.is_function:
            results += subject.backward(node, subject.douts(outputs)).arrays()
    arrays = [a.astype(np.float64) for a in results if a.dtype.kind in "fiub" and a.size]
    largest = max((float(np.max(np.abs(a))) for a in arrays), default=0.0)
    warned = [str(w.message) for w in said if issubclass(w.category, RuntimeWarning)]
    return Results(largest, bool(np.isfinite(largest)), warned)


def more_axes(subject: Subject) -> Iterator[Finding]:
    """An (N, D) input reshaped to (2, N/2, D) gives the same numbers, for a node that treats each row by itself."""
    x = subject.inputs[0] if len(subject.inputs) == 1 and subject.floating else np.zeros(())
    if x.ndim != 2 or x.shape[0] % 2 or x.size == 0 or not _rows_alone(subject, x):
        return
    deep = x.reshape(2, -1, x.shape[1])
    flat = _outputs_and_gradients(subject, x, None)
    try:
        shapes = [(2, x.shape[0] // 2, *y.shape[1:]) for y in flat[0]]
        got = _outputs_and_gradients(subject, deep, shapes)
    except Exception as error:
        words = f"{type(error).__name__}: {error}"
        yield subject.finding("3-D inputs refused", "the rows of 2-D inputs", words, _ANY_RANK)
        return
    for a, b in (pair for both in zip(flat, got, strict=True) for pair in zip(*both, strict=True)):
        if b.size != a.size or not np.allclose(b.reshape(a.shape), a, rtol=1e-9, atol=1e-12):
            found = f"other numbers, shape {b.shape}"
            yield subject.finding("3-D inputs", "the rows of 2-D inputs", found, _OR_REFUSE)
            return


def _rows_alone(subject: Subject, x: np.ndarray) -> bool:
    """Does each row of the result depend on the same row of x alone? Not in a node with an ``axis``."""
    if hasattr(subject.node, "axis"):
        return False
    half = x.shape[0] // 2
    whole = [host(y) for y in subject.forward(subject.fresh(), [x])]
    part = [host(y) for y in subject.forward(subject.fresh(), [x[:half]])]
    return all(
        a.ndim > 0 and a.shape[0] == x.shape[0] and b.shape == (half, *a.shape[1:])
        and np.allclose(a[:half], b, rtol=1e-9, atol=1e-12)
        for a, b in zip(whole, part, strict=True)
    )  # fmt: skip


def _outputs_and_gradients(subject: Subject, x: np.ndarray, shapes: Any) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Both, for one input. ``shapes``: the outputs are given the same gradients as without it, in these shapes."""
    node = subject.fresh()
    outputs = subject.forward(node, [x])
    ys = [host(y) for y in outputs]
    if subject.is_function:
        return ys, []
    rng = np.random.Generator(np.random.Philox(3))
    douts = [subject.put(rng.standard_normal(y.size).reshape(y.shape if shapes is None else shapes[i]))
             for i, y in enumerate(ys)]  # fmt: skip
    return ys, subject.backward(node, douts).arrays()
