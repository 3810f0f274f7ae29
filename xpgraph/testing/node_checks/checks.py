"""Is a node right? Checks for any object with ``forward`` and ``backward``; no base class is needed.

assert check_node(Square(), inputs=np.ones((3, 4))) == []
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ...arrays.libraries import Place, dtype_name, is_array, layout, place, together
from ..findings import Finding
from ..tape import as_list
from .extremes import extremes, more_axes
from .slopes import Slopes
from .subject import Gradients, Subject, grads_of, host


def check_node(
    node: Any, inputs: Any = None, *, backend: str | Place = "numpy", name: str | None = None
) -> list[Finding]:
    """What is wrong with a node: gradients, purity, repeatability, linearity, dtype and shape, aliasing, extremes.

    ``node``: an object with ``forward`` and ``backward``, a class or factory that makes one without arguments, or a
    plain function of arrays, which gets the checks that need no ``backward``. ``inputs``: one NumPy array or a tuple,
    as ``forward`` takes them, floating ones in float64; integer arrays are labels and have no gradient. Without
    inputs, four rows are drawn that fit the parameters. A node that returns one number is a loss: its other inputs
    need no gradient. ``backend``: where it runs. Returns findings, [] if nothing was found; an exception in the node
    is one. The node itself is not run: copies are. Raises TypeError for what cannot be made without arguments or has
    no ``forward``, BackendError for a backend that cannot be used.
    """
    subject = Subject(node, inputs, backend if isinstance(backend, Place) else place(backend), name)
    return list(dict.fromkeys(_run(subject)))


def _run(subject: Subject) -> Iterator[Finding]:
    stages: list[tuple[str, Callable[[Subject], Iterator[Finding]]]] = [
        ("forward and backward", _runs),
        ("inputs untouched", _untouched),
        ("gradient", _gradients),
        ("backward twice", _repeats),
        ("dtype", _keeps),
        ("aliasing", _aliases),
        ("extreme values", extremes),
        ("3-D inputs", more_axes),
    ]
    for check, stage in stages:
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                yield from stage(subject)
        except Exception as error:
            words = f"{type(error).__name__}: {error}"
            yield Finding(subject.name, check, "no exception", words, "Make this case work.")
            if stage is _runs:
                return


def _runs(subject: Subject) -> Iterator[Finding]:
    node = subject.fresh()
    grads = grads_of(node)
    outputs = subject.forward(node, subject.inputs)
    subject.look(outputs)
    if subject.hides_loss:
        yield _not_a_loss(subject, outputs)
    if subject.is_function:
        return
    found = subject.backward(node, subject.douts(outputs))
    needed = subject.floating[:1] if subject.first_only else subject.floating
    have = [i for i in needed if i < len(found.inputs) and found.inputs[i] is not None]
    if len(have) != len(needed) or len(found.inputs) > len(subject.inputs):
        yield Finding(
            subject.name, "number of gradients", f"{len(needed)}, one for each input",
            str(sum(d is not None for d in found.inputs)),
            "Return a gradient for each floating input from backward, in order.",
        )  # fmt: skip
    yield from _shapes(subject, node, found)
    if len(grads) != len(grads_of(node)) or any(a is not b for a, b in zip(grads, grads_of(node), strict=True)):
        yield Finding(
            subject.name, "gradients in place", "the arrays in grads overwritten", "other arrays in grads",
            "Write self.grads[0][...] = dW: whoever collected the arrays from grads must see the new numbers.",
        )  # fmt: skip


def _not_a_loss(subject: Subject, outputs: list[Any]) -> Finding:
    y = host(outputs[0])
    rows = y.ndim > 0 and y.dtype.kind == "f" and np.allclose(y.sum(axis=-1), 1)
    return Finding(
        subject.name, "forward returns the loss", "one number, the mean loss",
        f"an array {y.shape}" + (" whose rows sum to 1: the probabilities" if rows else ""),
        "Return loss: a Trainer adds up what forward returns. Keep the probabilities in self.y.",
    )  # fmt: skip


def _shapes(subject: Subject, node: Any, found: Gradients) -> Iterator[Finding]:
    params = list(getattr(node, "params", ()))
    if len(params) != len(found.params):
        yield Finding(
            subject.name, "params and grads", f"{len(params)} grads for {len(params)} params", str(len(found.params)),
            "Keep two parallel lists: self.params = [W], self.grads = [zeros_like(W)].",
        )  # fmt: skip
    for what, gradients, like in (("input", found.inputs, subject.inputs), ("parameter", found.params, params)):
        for i, (g, a) in enumerate(zip(gradients, like, strict=False)):
            if g is not None and g.shape != tuple(a.shape):
                yield Finding(
                    subject.name, "shape of gradient", f"{tuple(a.shape)} for {what} {i}", str(g.shape),
                    "A gradient has the shape of what it belongs to; sum over the axes that were broadcast.",
                )  # fmt: skip


def _untouched(subject: Subject) -> Iterator[Finding]:
    node = subject.fresh()
    given = [subject.put(a) for a in subject.inputs]
    params = [host(p) for p in getattr(node, "params", ())]
    outputs = as_list(node.forward(*given))
    after = [host(a) for a in given]
    for i, a in enumerate(subject.inputs):
        if not np.array_equal(after[i], a, equal_nan=a.dtype.kind == "f"):
            yield _touched(subject, f"input {i} as it was", "forward writes into it")
    if not subject.is_function:
        douts = subject.douts(outputs)
        before = [host(d) for d in douts]
        subject.call_backward(node, douts)
        for i, d in enumerate(douts):
            if not np.array_equal(host(d), before[i]):
                yield _touched(subject, f"gradient {i} as it was", "backward writes into it")
        if not _same([host(a) for a in given], after):
            yield _touched(subject, "the inputs as they were", "backward writes into them")
    if not _same([host(p) for p in getattr(node, "params", ())], params):
        yield _touched(subject, "the parameters as they were", "other numbers")


def _touched(subject: Subject, expected: str, found: str) -> Finding:
    hint = "Write x = x - m instead of x -= m: the array belongs to whoever passed it in."
    return Finding(subject.name, "inputs untouched", expected, found, hint)


def _gradients(subject: Subject) -> Iterator[Finding]:
    if not subject.is_function and not subject.hides_loss:
        yield from Slopes(subject).findings()


def _repeats(subject: Subject) -> Iterator[Finding]:
    node = subject.fresh()
    outputs = subject.forward(node, subject.inputs)
    first_outputs = [host(y) for y in outputs]
    if not subject.is_function:
        first = subject.backward(node, subject.douts(outputs)).arrays()
        second = subject.backward(node, subject.douts(outputs)).arrays()
        if not _same(first, second):
            yield Finding(
                subject.name, "backward twice", "the same gradients", "others",
                "Overwrite grads with grads[0][...] = dW; do not add to them, or change what forward kept.",
            )  # fmt: skip
        elif subject.takes_douts:
            doubled = subject.backward(node, subject.douts(outputs, 2.0)).arrays()
            if not all(map(_doubled, second, doubled)):
                yield Finding(
                    subject.name, "backward(2g)", "twice backward(g), exactly", "something else",
                    "backward is linear in the gradient that comes in; multiply by it once.",
                )  # fmt: skip
    again = [host(y) for y in subject.forward(node, subject.inputs)]
    if not _same(first_outputs, again):
        yield Finding(
            subject.name, "forward twice", "the same outputs", "others", "Let forward depend on its inputs alone."
        )


def _keeps(subject: Subject) -> Iterator[Finding]:
    for dtype in ("float32", "float64"):
        node = subject.fresh(dtype)
        given = [subject.put(a, dtype) for a in subject.inputs]
        outputs = as_list(node.forward(*given))
        results = [("outputs", outputs)]
        if not subject.is_function:
            dins = subject.call_backward(node, subject.douts(outputs, dtype=dtype))
            results.append(("gradients", [d for d in (*dins, *grads_of(node)) if d is not None]))
        for what, arrays in results:
            floats = [a for a in arrays if not isinstance(a, float)]  # a Python number has no dtype to keep
            found = {dtype_name(a) if hasattr(a, "dtype") else type(a).__name__ for a in floats}
            if subject.floating and found - {dtype}:
                yield Finding(
                    subject.name, "dtype", f"{dtype} {what} from {dtype} inputs", ", ".join(sorted(found - {dtype})),
                    "Use Python numbers as constants, and zeros_like for new arrays.",
                )  # fmt: skip
            if given and any(is_array(a) and not together(a, given[0]) for a in arrays):
                hint = "Make new arrays with the library and the device of the inputs."
                yield Finding(subject.name, "device", f"{what} on {subject.where}", "another place", hint)


def _aliases(subject: Subject) -> Iterator[Finding]:
    if subject.is_function:
        return
    node = subject.fresh()
    given = [subject.put(a) for a in subject.inputs]
    outputs = as_list(node.forward(*given))
    douts = subject.douts(outputs)
    dins = [d for d in subject.call_backward(node, douts) if d is not None]
    own = [*getattr(node, "params", ()), *grads_of(node)]
    for what, new, old in (("forward", outputs, [*given, *own]), ("backward", dins, [*douts, *own])):
        arrays = [a for a in new if is_array(a) and 0 not in a.shape]
        others = [a for a in old if is_array(a) and 0 not in a.shape]
        pairs = [(a, b) for k, a in enumerate(arrays) for b in (*others, *arrays[:k])]
        if any(_overlap(a, b) for a, b in pairs):
            yield Finding(
                subject.name, "aliasing", f"{what} returns arrays of its own", "memory of another array",
                "Return copies: whoever changes one must not change the other.",
            )  # fmt: skip
    truth = subject.backward(_ran(subject, wipe=False), douts).arrays()
    if not _same(subject.backward(_ran(subject, wipe=True), douts).arrays(), truth):
        yield Finding(
            subject.name, "aliasing", "backward as before after the caller wrote into forward's result",
            "another gradient", "Keep a copy of what backward needs; what forward returned belongs to its caller.",
        )  # fmt: skip


def _ran(subject: Subject, wipe: bool) -> Any:
    """A node after its forward; ``wipe``: the caller then wrote zeros into the results."""
    node = subject.fresh()
    for y in subject.forward(node, subject.inputs):
        if wipe and is_array(y) and len(y.shape):
            y[...] = y * 0.0
    return node


def _overlap(a: Any, b: Any) -> bool:
    """Do two arrays lie on common bytes (or between each other's: views of one array)?"""
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
