"""Is a node right? Checks for any object with ``forward`` and ``backward``; no base class is needed.

assert check_node(Square(), inputs=np.ones((3, 4))) == []
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ...arrays.libraries import Place, place
from ...graph.gradient_check import check_slope, host, weighted
from ..findings import Finding
from .contract import inputs_untouched, keeps_dtype, owns_results, repeatable
from .subject import Gradients, Subject, grads_of, params_of


def check_node(
    node: Any, inputs: Any = None, *, backend: str | Place = "numpy", name: str | None = None
) -> list[Finding]:
    """What is wrong with a node: gradients, purity, repeatability, linearity, dtype and shape, aliasing, extremes.

    ``node``: an object with ``forward`` and ``backward``, a class or factory that makes one without arguments, or a
    plain function of arrays, which gets the checks that need no ``backward``. ``inputs``: one NumPy array or a tuple,
    as ``forward`` takes them, floating ones in float64; integer arrays are labels and have no gradient. Without
    inputs, four rows are drawn that fit the parameters. A node that returns one number is a loss: its other inputs
    need no gradient. ``backend``: where it runs. Returns findings, [] if all is right; an exception in the node is a
    finding. The node itself is not run: copies are. Raises TypeError for a class that cannot be made without arguments
    or has no ``forward``, BackendError for a backend that cannot be used.
    """
    subject = Subject(node, inputs, backend if isinstance(backend, Place) else place(backend), name)
    return list(dict.fromkeys(_run(subject)))


def _run(subject: Subject) -> Iterator[Finding]:
    """All checks in order. Where the node cannot run at all, the first one is the last."""
    checks: list[tuple[str, Callable[[Subject], Iterator[Finding]]]] = [
        ("forward and backward", _runs),
        ("inputs untouched", inputs_untouched),
        ("gradient", _gradients),
        ("backward twice", repeatable),
        ("dtype", keeps_dtype),
        ("aliasing", owns_results),
        ("extreme values", extreme_values),
        ("3-D inputs", more_axes),
    ]
    for name, check in checks:
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                yield from check(subject)
        except Exception as error:
            yield subject.finding(name, "no exception", f"{type(error).__name__}: {error}", "Make this case work.")
            if check is _runs:
                return


def _runs(subject: Subject) -> Iterator[Finding]:
    """Forward, then backward: how many results there are, and of which shapes."""
    node = subject.fresh()
    grads = grads_of(node)
    outputs = subject.forward(node, subject.inputs)
    subject.note_loss(outputs)
    if subject.hides_loss:
        y = host(outputs[0])
        rows = y.ndim > 0 and y.dtype.kind == "f" and np.allclose(y.sum(axis=-1), 1)
        found = f"an array {y.shape}" + (" whose rows sum to 1: the probabilities" if rows else "")
        hint = "Return loss: a Trainer adds up what forward returns. Keep the probabilities in self.y."
        yield subject.finding("forward returns the loss", "one number, the mean loss", found, hint)
    if subject.is_function:
        return
    gradients = subject.backward(node, subject.douts(outputs))
    needed = subject.floating[:1] if subject.first_only else subject.floating
    have = [i for i in needed if i < len(gradients.inputs) and gradients.inputs[i] is not None]
    if len(have) != len(needed) or len(gradients.inputs) > len(subject.inputs):
        number = str(sum(d is not None for d in gradients.inputs))
        hint = "Return a gradient for each floating input from backward, in order."
        yield subject.finding("number of gradients", f"{len(needed)}, one for each input", number, hint)
    yield from _shapes(subject, params_of(node), gradients)
    if len(grads) != len(grads_of(node)) or any(a is not b for a, b in zip(grads, grads_of(node), strict=True)):
        hint = "Write self.grads[0][...] = dW: whoever collected the arrays from grads must see the new numbers."
        yield subject.finding("gradients in place", "the arrays in grads overwritten", "other arrays in grads", hint)


def _shapes(subject: Subject, params: list[Any], found: Gradients) -> Iterator[Finding]:
    if len(params) != len(found.params):
        hint = "Keep two parallel lists: self.params = [W], self.grads = [zeros_like(W)]."
        expected = f"{len(params)} grads for {len(params)} params"
        yield subject.finding("params and grads", expected, str(len(found.params)), hint)
    for what, gradients, like in (("input", found.inputs, subject.inputs), ("parameter", found.params, params)):
        for i, (g, a) in enumerate(zip(gradients, like, strict=False)):
            if g is not None and g.shape != tuple(a.shape):
                hint = "A gradient has the shape of what it belongs to; sum over the axes that were broadcast."
                yield subject.finding("shape of gradient", f"{tuple(a.shape)} for {what} {i}", str(g.shape), hint)


def _gradients(subject: Subject) -> Iterator[Finding]:
    """Central differences, on a fresh copy for each forward. Gradients of a wrong shape are left to ``_shapes``."""
    if subject.is_function or subject.hides_loss:
        return
    node = subject.fresh()
    douts = subject.douts(subject.forward(node, subject.inputs))
    weights = [host(d) for d in douts]  # before backward, which may write into them
    found = subject.backward(node, douts)

    def step_input(i: int, step: np.ndarray) -> tuple[float, float]:
        inputs = [a + step if k == i else a for k, a in enumerate(subject.inputs)]
        return weighted(weights, subject.forward(subject.fresh(), inputs))

    def step_parameter(j: int, step: np.ndarray) -> tuple[float, float]:
        copy = subject.fresh()
        copy.params[j][...] = subject.put(host(copy.params[j]) + step)
        return weighted(weights, subject.forward(copy, subject.inputs))

    given = dict(zip(subject.floating, (subject.inputs[i] for i in subject.floating), strict=True))
    rows = [(f"input {i}", given.get(i), g, partial(step_input, i)) for i, g in enumerate(found.inputs)]
    pairs = zip(params_of(node), found.params, strict=False)
    rows += [(f"parameter {j}", p, g, partial(step_parameter, j)) for j, (p, g) in enumerate(pairs)]
    for name, a, gradient, total in rows:
        if a is not None and gradient is not None and gradient.shape == tuple(a.shape):
            edge = check_slope(name, gradient.shape, gradient, total)
            if not edge.right:
                expected = f"{edge.differences:.6g} along a direction"
                hint = "Compare backward with the derivative of what forward returns."
                yield subject.finding(f"gradient of {name}", expected, f"{edge.backward:.6g}", hint)


# --- very large inputs, and inputs with one more axis ---


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
