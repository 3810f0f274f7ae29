"""Is a node right? Checks for any object with ``forward`` and ``backward``; no base class is needed.

assert check_node(Square(), inputs=np.ones((3, 4))) == []
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from ...arrays.libraries import Place, place
from ...graph.gradient_check import check_slope, host, weighted
from ..findings import Finding
from .contract import inputs_untouched, keeps_dtype, owns_results, repeatable
from .extremes import extreme_values, more_axes
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
        yield _not_a_loss(subject, outputs)
    if subject.is_function:
        return
    found = subject.backward(node, subject.douts(outputs))
    needed = subject.floating[:1] if subject.first_only else subject.floating
    have = [i for i in needed if i < len(found.inputs) and found.inputs[i] is not None]
    if len(have) != len(needed) or len(found.inputs) > len(subject.inputs):
        number = str(sum(d is not None for d in found.inputs))
        hint = "Return a gradient for each floating input from backward, in order."
        yield subject.finding("number of gradients", f"{len(needed)}, one for each input", number, hint)
    yield from _shapes(subject, params_of(node), found)
    if len(grads) != len(grads_of(node)) or any(a is not b for a, b in zip(grads, grads_of(node), strict=True)):
        hint = "Write self.grads[0][...] = dW: whoever collected the arrays from grads must see the new numbers."
        yield subject.finding("gradients in place", "the arrays in grads overwritten", "other arrays in grads", hint)


def _not_a_loss(subject: Subject, outputs: list[Any]) -> Finding:
    y = host(outputs[0])
    rows = y.ndim > 0 and y.dtype.kind == "f" and np.allclose(y.sum(axis=-1), 1)
    found = f"an array {y.shape}" + (" whose rows sum to 1: the probabilities" if rows else "")
    hint = "Return loss: a Trainer adds up what forward returns. Keep the probabilities in self.y."
    return subject.finding("forward returns the loss", "one number, the mean loss", found, hint)


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
