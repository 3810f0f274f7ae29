"""Checks at the edge: very large inputs, and inputs with one more axis."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ..findings import Finding
from .subject import Subject, host

EXTREME = 1e4  # e^EXTREME overflows in every dtype
PROBE = 30.0  # e^PROBE does not
DEGREE = 6  # a function that grows from 1 to PROBE by more than PROBE^DEGREE has no finite value at EXTREME to ask for

ROWS = "rows apart by "  # every second row is moved: one maximum of the whole array leaves nothing of the others

_NEGATIVE = "Take e to the power of negative numbers only: e^-|x|, or e^(x - max x)."
_EACH_ROW = "Each row has its own maximum: np.max(x, axis=-1, keepdims=True), not np.max(x)."
_ANY_RANK = "Work along the last axis (axis=-1), so that there may be any number of axes before it."
_OR_REFUSE = "Work along the last axis (axis=-1), or raise an error for other ranks."


class Reach(NamedTuple):
    """How large the results of a run are, whether all are finite, and which numeric warnings came."""

    largest: float
    finite: bool
    warned: list[str]


def extremes(subject: Subject) -> Iterator[Finding]:
    """At ±1e4, and in rows 1e4 apart, all is finite where the function itself is defined and grows slowly."""
    for signs, hint in (("±", _NEGATIVE), ("", _NEGATIVE), ("-", _NEGATIVE), (ROWS, _EACH_ROW)):
        if signs == ROWS and not any(subject.inputs[i].ndim > 1 for i in subject.floating):
            continue
        near, far = _reach(subject, signs, 1.0), _reach(subject, signs, PROBE)
        if not (near.finite and far.finite) or near.warned or far.warned:
            continue  # not defined there, as log is not for negative numbers
        if far.largest > PROBE**DEGREE * max(near.largest, 1.0):
            continue  # as e^x
        at = _reach(subject, signs, EXTREME)
        if not at.finite or at.warned:
            yield Finding(
                subject.name, "extreme values", f"finite results and no warning at {signs}{EXTREME:g}",
                at.warned[0] if at.warned else "NaN or infinity", hint,
            )  # fmt: skip
            return


def _reach(subject: Subject, signs: str, size: float) -> Reach:
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
    return Reach(largest, bool(np.isfinite(largest)), warned)


def more_axes(subject: Subject) -> Iterator[Finding]:
    """Rows on two axes give the same rows, for a node of one (N, D) input whose rows do not know each other."""
    x = subject.inputs[0] if len(subject.inputs) == 1 and subject.floating else np.zeros(())
    if x.ndim != 2 or x.shape[0] % 2 or x.size == 0 or not _rows_alone(subject, x):
        return
    deep = x.reshape(2, -1, x.shape[1])
    outputs, gradients = _both(subject, x, None)
    try:
        found, found_gradients = _both(subject, deep, [(2, x.shape[0] // 2, *y.shape[1:]) for y in outputs])
    except Exception as error:
        words = f"{type(error).__name__}: {error}"
        yield Finding(subject.name, "3-D inputs refused", "the rows of 2-D inputs", words, _ANY_RANK)
        return
    pairs = [*zip(outputs, found, strict=True), *zip(gradients, found_gradients, strict=True)]
    for flat, b in pairs:
        if b.size != flat.size or not np.allclose(b.reshape(flat.shape), flat, rtol=1e-9, atol=1e-12):
            yield Finding(
                subject.name, "3-D inputs", "the rows of 2-D inputs", f"other numbers, shape {b.shape}", _OR_REFUSE
            )
            return


def _rows_alone(subject: Subject, x: np.ndarray) -> bool:
    """Does each row of the result come from one row of x? Not where axes are chosen or rows are mixed."""
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


def _both(subject: Subject, x: np.ndarray, shapes: Any) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """(outputs, gradients) for an input; gradients of the outputs are those of the flat ones in other shapes."""
    node = subject.fresh()
    outputs = subject.forward(node, [x])
    ys = [host(y) for y in outputs]
    if subject.is_function:
        return ys, []
    rng = np.random.Generator(np.random.Philox(3))
    douts = [subject.put(rng.standard_normal(y.size).reshape(y.shape if shapes is None else shapes[i]))
             for i, y in enumerate(ys)]  # fmt: skip
    return ys, subject.backward(node, douts).arrays()
