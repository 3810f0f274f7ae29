"""Rows of samples.py for the kernels of nodes/operators.py and nodes/axes.py, which formulas are written with."""

from __future__ import annotations

import math

import numpy as np
from sampling import EXACT, ROUNDED, Sample, Tolerance, elementwise, pairs

_few = "a handful of roundings"
_libm = "the library's own function; held to the tolerance of sigmoid and its gradient, which are made of it"


def _quotients(rng, n):
    for x, y in pairs(rng, n):
        yield x, np.copysign(0.5 + np.abs(y), y)


def _powers(gradient):
    def cases(rng, n):
        for p in (2, 3, 1, 0, -1, 0.5, 2.5):
            for shape in ((n, 5), (2, n, 3), (n,)):
                x = rng.uniform(0.5, 3.0, shape)
                yield (rng.standard_normal(shape), x, p) if gradient else (x, p)

    return cases


def _reduced(rng, n):
    for shape, axes in [((n, 5), (1,)), ((2, n, 3), (0, 2)), ((n, 4), ()), ((n, 1), (1,))]:
        for keep in (True, False):
            yield rng.standard_normal(shape), axes, keep


def _maxima(rng, n):
    for x, axes, keep in _reduced(rng, n):
        x = np.round(2 * x)  # with ties
        if keep:
            yield rng.standard_normal(np.max(x, axis=axes, keepdims=True).shape if axes else x.shape), x, axes


FORMULA_SAMPLES: dict[str, Sample] = {
    "subtract": Sample(pairs, (ROUNDED,)),
    "negative": Sample(elementwise(3), (EXACT,), reason="copies"),
    "divide": Sample(_quotients, (ROUNDED,)),
    "divide_grad": Sample(
        lambda rng, n: (
            (rng.standard_normal(np.broadcast_shapes(x.shape, y.shape)), x, y) for x, y in _quotients(rng, n)
        ),
        (Tolerance("terms", 6),),
        lambda dz, x, y: (np.abs(dz * x / y**2),),
        reason=_few,
    ),
    "exp": Sample(elementwise(80), (Tolerance("ulp", 4),), reason=_libm),
    "exp_grad": Sample(elementwise(80, gradient=True), (Tolerance("ulp", 8),), reason=_libm),
    "log": Sample(
        lambda rng, n: ((rng.uniform(1e-3, 9, s),) for s in ((n, 5), (2, n, 3), (n,))),
        (Tolerance("ulp", 4),),
        reason=_libm,
    ),
    "power": Sample(_powers(False), (Tolerance("ulp", 4),), reason=_libm),
    "power_grad": Sample(_powers(True), (Tolerance("ulp", 8),), reason=_libm),
    "max_over": Sample(_reduced, (EXACT,), reason="copies"),
    "max_grad": Sample(_maxima, (Tolerance("ulp", 0.5),), reason="one quotient"),
    "mean_over": Sample(
        _reduced,
        (Tolerance("sum", 2),),
        lambda x, axes, keep: (np.mean(np.abs(x), axis=axes, keepdims=keep),),
        lambda x, axes, keep: math.prod(x.shape[a] for a in axes),
    ),
    "permute": Sample(
        lambda rng, n: (
            (rng.standard_normal(s), a) for s, a in [((n, 5), (1, 0)), ((2, n, 3), (1, 2, 0)), ((n, 5), (0, 1))]
        ),
        (EXACT,),
        reason="copies",
    ),
    "reshape": Sample(
        lambda rng, n: (
            (rng.standard_normal(s), t) for s, t in [((n, 6), (n, 2, 3)), ((2, n, 3), (6 * n,)), ((n, 5), (n, 5))]
        ),
        (EXACT,),
        reason="copies",
    ),
    "concat": Sample(
        lambda rng, n: (
            ([rng.standard_normal((n, 5)), rng.standard_normal((n, 2))], 1),
            ([rng.standard_normal((2, n, 3)), rng.standard_normal((1, n, 3)), rng.standard_normal((1, n, 3))], 0),
            ([rng.standard_normal((n, 5))], 0),
        ),
        (EXACT,),
        reason="copies",
    ),
    "split_at": Sample(
        lambda rng, n: (
            (rng.standard_normal(s), sizes, axis) for s, sizes, axis in [((n, 5), (2, 3), 1), ((4, n), (1, 3), 0)]
        ),
        (EXACT, EXACT),
        reason="copies",
    ),
}
