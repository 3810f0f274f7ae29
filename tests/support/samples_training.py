"""Rows of samples.py for the kernels of xpgraph/training: rules of the optimizers, clipping, the rows of a batch."""

from __future__ import annotations

import numpy as np
from sampling import EXACT, ROUNDED, Sample, Tolerance

from xpgraph.testing.formulas.update_rules import norm

_few = "a handful of roundings; the error of each is u times a term of the sum"


def _steps(states: int, *numbers: float):
    """Parameters, gradients and ``states`` lists of squares or means, of several shapes; then the rule's numbers."""

    def cases(rng, n):
        # The last is larger than a block of any body that works in blocks.
        shapes = [(n, 5), (n,), (2, n, 3), (n, 10_000)]
        params, grads = ([rng.standard_normal(s) for s in shapes] for _ in range(2))
        more = [[np.abs(rng.standard_normal(s)) for s in shapes] for _ in range(states)]
        yield params, grads, *more, *numbers
        yield params, grads, *more, *numbers, np.array(0.25)  # clip

    return cases


def _adaptive(p, g, h, lr, eps):
    return abs(p) + abs(lr * g / (np.sqrt(h) + eps))


def _each(f):
    """The scale of a kernel over lists, a list for each output: f of one parameter at a time, its gradient clipped."""

    def scale(params, grads, *rest):
        clip = rest[-1] if isinstance(rest[-1], np.ndarray) else 1.0
        args = params, [g * clip for g in grads], *(a for a in rest if not isinstance(a, np.ndarray))
        rows = (f(*(a[i] if isinstance(a, list) else a for a in args)) for i in range(len(params)))
        return tuple(list(column) for column in zip(*rows, strict=True))

    return scale


def _norms(rng, n):
    yield ([rng.standard_normal((n, 5)), rng.standard_normal(n)],)


def _gradients_to_scale(rng, n):
    yield [rng.standard_normal((n, 5)), rng.standard_normal(n)], np.array(0.37)


TRAINING_SAMPLES: dict[str, Sample] = {
    "sgd": Sample(
        _steps(0, 0.1),
        (Tolerance("terms", 4),),
        _each(lambda p, g, lr: (abs(p) + abs(lr * g),)),
        updates=(0,),
        reason=_few,
    ),
    "momentum": Sample(
        _steps(1, 0.1, 0.9),
        (Tolerance("terms", 6), Tolerance("terms", 4)),
        _each(lambda p, g, v, lr, mu: (abs(p) + abs(mu * v) + abs(lr * g), abs(mu * v) + abs(lr * g))),
        updates=(0, 2),
        reason=_few,
    ),
    "adagrad": Sample(
        _steps(1, 0.1, 1e-7),
        (Tolerance("terms", 8), Tolerance("terms", 4)),
        _each(lambda p, g, h, lr, eps: (_adaptive(p, g, h + g * g, lr, eps), h + g * g)),
        updates=(0, 2),
        reason=_few,
    ),
    "rmsprop": Sample(
        _steps(1, 0.1, 0.99, 1e-7),
        (Tolerance("terms", 8), Tolerance("terms", 4)),
        _each(lambda p, g, h, lr, rho, eps: (_adaptive(p, g, rho * h, lr, eps), h + g * g)),
        updates=(0, 2),
        reason=_few,
    ),
    "adam": Sample(
        _steps(2, 0.1, 0.9, 0.999, 1e-8),
        (Tolerance("terms", 8), Tolerance("terms", 4), Tolerance("terms", 4)),
        _each(
            lambda p, g, m, v, a, b1, b2, eps: (_adaptive(p, abs(m) + abs(g), b2 * v, a, eps), m + abs(g), v + g * g)
        ),
        updates=(0, 2, 3),
        reason=_few,
    ),
    "global_norm": Sample(
        _norms,
        (Tolerance("sum", 2),),
        lambda grads: (norm(grads),),
        lambda grads: sum(g.size for g in grads),
        reason="a sum of squares; its root halves the relative error",
    ),
    "clip_rate": Sample(
        lambda rng, n: ((grads, bound) for (grads,) in _norms(rng, n) for bound in (0.5, 100.0)),
        (Tolerance("sum", 2), Tolerance("sum", 2)),
        lambda grads, bound: (lambda norm: (min(1.0, bound / (norm + 1e-6)), norm))(norm(grads)),
        lambda grads, bound: sum(g.size for g in grads),
        reason="the norm, and a quotient of it",
    ),
    "gather": Sample(
        lambda rng, n: (
            (rng.standard_normal((n, *shape)), t, rng.integers(0, n, size))
            for shape in [(5,), (2, 3), ()]
            for t in (rng.integers(0, 9, n), rng.standard_normal((n, 3)))
            for size in (1, 4)
        ),
        (EXACT, EXACT),
        no_empty="no row can be named",
        reason="copies",
    ),
    "scale": Sample(_gradients_to_scale, (ROUNDED,), updates=(0,), reason="one product each"),
}
