"""The gradient check: backward against central differences, along random directions and along the axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from ..findings import Finding
from .subject import Subject, grads_of, host

EPS = 1e-6  # of central differences: their error is about EPS² from the curve and 1e-16 / EPS from rounding
ABSOLUTE, RELATIVE = 1e-6, 1e-5
ROUNDING = 1e-15  # a few u of float64, of the numbers whose difference is taken
AXES = 24  # so many single elements are checked


class Slopes:
    """(s(x + εv) - s(x - εv)) / 2ε against Σ v·dx, where s = Σ r·y for random r."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        node = subject.fresh()
        outputs = subject.forward(node, subject.inputs)
        douts = subject.douts(outputs)
        self.weights = [host(d) for d in douts]
        self.gradients = subject.backward(node, douts)
        self.grads = len(grads_of(node))

    def findings(self) -> Iterator[Finding]:
        subject = self.subject
        for i, gradient in enumerate(self.gradients.inputs[: len(subject.inputs)]):
            if gradient is not None and i in subject.floating and gradient.shape == subject.inputs[i].shape:
                yield from self._compare(f"of input {i}", gradient, partial(self._total, i, None))
        for j, gradient in enumerate(self.gradients.params):
            yield from self._compare(f"of parameter {j}", gradient, partial(self._total, None, j))

    def _compare(
        self, what: str, gradient: np.ndarray, total: Callable[[np.ndarray], tuple[float, float]]
    ) -> Iterator[Finding]:
        here, size = total(np.zeros(gradient.shape))
        for v in _directions(gradient.shape):
            (up, _), (down, _) = total(EPS * v), total(-EPS * v)
            numeric, exact = (up - down) / (2 * EPS), float(np.sum(v * gradient))
            room = ABSOLUTE + RELATIVE * abs(numeric) + ROUNDING * size / EPS
            if abs(numeric - exact) <= room:
                continue
            left, right = (here - down) / EPS, (up - here) / EPS
            if abs(right - left) > 1e3 * room and min(left, right) - room <= exact <= max(left, right) + room:
                continue  # a kink, as that of ReLU at 0: any slope between the two is one
            yield Finding(
                self.subject.name, f"gradient {what}", f"{numeric:.6g} along a direction", f"{exact:.6g}",
                "Compare backward with the derivative of what forward returns.",
            )  # fmt: skip
            return

    def _total(self, i: int | None, j: int | None, step: np.ndarray) -> tuple[float, float]:
        """(Σ r·y, Σ|r·y|) with a step added to input i or to parameter j."""
        subject = self.subject
        node, inputs = subject.fresh(), list(subject.inputs)
        if i is not None:
            inputs[i] = inputs[i] + step
        if j is not None:
            node.params[j][...] = subject.put(host(node.params[j]) + step)
        terms = [r * host(y) for r, y in zip(self.weights, subject.forward(node, inputs), strict=True)]
        return math.fsum(float(np.sum(a)) for a in terms), math.fsum(float(np.sum(np.abs(a))) for a in terms)


def _directions(shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    rng = np.random.Generator(np.random.Philox(2))
    if 0 in shape:
        return
    for _ in range(2):
        yield np.asarray(rng.standard_normal(shape))
    for place in rng.permutation(math.prod(shape))[:AXES]:
        axis = np.zeros(shape)
        axis.reshape(-1)[place] = 1.0
        yield axis
