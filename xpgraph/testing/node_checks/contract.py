"""What a node may do with arrays: which it may change, which it may return; and that a second run gives the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ...arrays.libraries import dtype_name, is_array, layout, together
from ...graph.gradient_check import host
from ..findings import Finding
from ..tape import as_list
from .subject import Subject, grads_of, params_of


def inputs_untouched(subject: Subject) -> Iterator[Finding]:
    """Forward and backward leave the inputs, the incoming gradients and the parameters as they are."""

    def touched(expected: str, found: str) -> Finding:
        hint = "Write x = x - m instead of x -= m: the array belongs to whoever passed it in."
        return subject.finding("inputs untouched", expected, found, hint)

    node = subject.fresh()
    given = [subject.put(a) for a in subject.inputs]
    params = [host(p) for p in params_of(node)]
    outputs = as_list(node.forward(*given))
    after = [host(a) for a in given]
    for i, a in enumerate(subject.inputs):
        if not _same([after[i]], [a]):
            yield touched(f"input {i} as it was", "forward writes into it")
    if not subject.is_function:
        douts = subject.douts(outputs)
        before = [host(d) for d in douts]
        subject.call_backward(node, douts)
        for i, d in enumerate(douts):
            if not np.array_equal(host(d), before[i]):
                yield touched(f"gradient {i} as it was", "backward writes into it")
        if not _same([host(a) for a in given], after):
            yield touched("the inputs as they were", "backward writes into them")
    if not _same([host(p) for p in params_of(node)], params):
        yield touched("the parameters as they were", "other numbers")


def repeatable(subject: Subject) -> Iterator[Finding]:
    """A second backward and a second forward give the same bits, and backward(2g) is twice backward(g)."""
    node = subject.fresh()
    outputs = subject.forward(node, subject.inputs)
    once = [host(y) for y in outputs]
    if not subject.is_function:
        first = subject.backward(node, subject.douts(outputs)).arrays()
        second = subject.backward(node, subject.douts(outputs)).arrays()
        if not _same(first, second):
            hint = "Overwrite grads with grads[0][...] = dW; do not add to them, or change what forward kept."
            yield subject.finding("backward twice", "the same gradients", "others", hint)
        elif subject.takes_douts:
            doubled = subject.backward(node, subject.douts(outputs, 2.0)).arrays()
            if not all(map(_doubled, second, doubled)):
                hint = "backward is linear in the gradient that comes in; multiply by it once."
                yield subject.finding("backward(2g)", "twice backward(g), exactly", "something else", hint)
    if not _same(once, [host(y) for y in subject.forward(node, subject.inputs)]):
        hint = "Let forward depend on its inputs alone."
        yield subject.finding("forward twice", "the same outputs", "others", hint)


def keeps_dtype(subject: Subject) -> Iterator[Finding]:
    """Results have the dtype of the inputs, in float32 and float64, and lie in the same library and on its device."""
    for dtype in ("float32", "float64"):
        node = subject.fresh(dtype)
        given = [subject.put(a, dtype) for a in subject.inputs]
        outputs = as_list(node.forward(*given))
        results = [("outputs", outputs)]
        if not subject.is_function:
            dins = subject.call_backward(node, subject.douts(outputs, dtype=dtype))
            results.append(("gradients", [d for d in (*dins, *grads_of(node)) if d is not None]))
        for what, arrays in results:
            typed = [a for a in arrays if not isinstance(a, float)]  # a Python number has no dtype to keep
            wrong = {dtype_name(a) if hasattr(a, "dtype") else type(a).__name__ for a in typed} - {dtype}
            if subject.floating and wrong:
                hint = "Use Python numbers as constants, and zeros_like for new arrays."
                yield subject.finding("dtype", f"{dtype} {what} from {dtype} inputs", ", ".join(sorted(wrong)), hint)
            if given and any(is_array(a) and not together(a, given[0]) for a in arrays):
                hint = "Make new arrays with the library and the device of the inputs."
                yield subject.finding("device", f"{what} on {subject.where}", "another place", hint)


def owns_results(subject: Subject) -> Iterator[Finding]:
    """What forward and backward return is memory of its own: the caller may write into it."""
    if subject.is_function:
        return
    node = subject.fresh()
    given = [subject.put(a) for a in subject.inputs]
    outputs = as_list(node.forward(*given))
    douts = subject.douts(outputs)
    dins = [d for d in subject.call_backward(node, douts) if d is not None]
    own = [*params_of(node), *grads_of(node)]
    for what, new, old in (("forward", outputs, [*given, *own]), ("backward", dins, [*douts, *own])):
        if any(overlap(a, b) for k, a in enumerate(new) for b in (*old, *new[:k])):
            hint = "Return copies: whoever changes one must not change the other."
            yield subject.finding("aliasing", f"{what} returns arrays of its own", "memory of another array", hint)
    kept, wiped = (subject.backward(_after_forward(subject, wipe), douts).arrays() for wipe in (False, True))
    if not _same(wiped, kept):
        expected = "backward as before after the caller wrote into forward's result"
        hint = "Keep a copy of what backward needs; what forward returned belongs to its caller."
        yield subject.finding("aliasing", expected, "another gradient", hint)


def _after_forward(subject: Subject, wipe: bool) -> Any:
    """A node after its forward; ``wipe``: the caller then wrote zeros into the results."""
    node = subject.fresh()
    for y in subject.forward(node, subject.inputs):
        if wipe and is_array(y) and len(y.shape):
            y[...] = y * 0.0
    return node


def overlap(a: Any, b: Any) -> bool:
    """Do two arrays share memory? In other libraries than NumPy also true for views with alternating elements.

    False for numbers, and for arrays without elements.
    """
    if not all(is_array(each) and 0 not in each.shape for each in (a, b)):
        return False
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return bool(np.shares_memory(a, b))
    (start_a, end_a), (start_b, end_b) = _extent(a), _extent(b)
    return start_a < end_b and start_b < end_a


def _extent(a: Any) -> tuple[int, int]:
    """[first byte, last byte + 1) that an array reaches."""
    address, shape, strides = layout(a)
    reach = [(n - 1) * s for n, s in zip(shape, strides, strict=True)]
    width = host(a).dtype.itemsize
    return address + sum(r for r in reach if r < 0), address + sum(r for r in reach if r > 0) + width


def _doubled(a: np.ndarray, b: np.ndarray) -> bool:
    """b = 2a to the bit, but for numbers so small that a is rounded to a coarser grid than b."""
    small = np.abs(b) <= 4 * np.finfo(np.float64).smallest_normal
    return bool(np.all((b == 2 * a) | small | (np.isnan(a) & np.isnan(b))))


def _same(first: list[np.ndarray], second: list[np.ndarray]) -> bool:
    return len(first) == len(second) and all(
        np.array_equal(x, y, equal_nan=x.dtype.kind == "f") for x, y in zip(first, second, strict=True)
    )
