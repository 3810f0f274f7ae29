"""The arguments that every kernel is tested with, and its tolerances: one row of SAMPLES for each kernel.

The rows for operators.py and axes.py stand in samples_formulas.py, those for xpgraph/training in samples_training.py.
"""

from __future__ import annotations

import math

import numpy as np
from samples_formulas import FORMULA_SAMPLES
from samples_training import TRAINING_SAMPLES
from sampling import EXACT, ROUNDED, Sample, Tolerance, elementwise, pairs, shapes

from xpgraph.testing.formulas.textbook import one_hot, reach, softmax


def _sums_to(rng, n):
    shapes = [((n, 5), (5,)), ((n, 5), (n, 1)), ((n, 5), (n, 5)), ((2, n, 3), (1, n, 1)), ((2, n, 3), ()), ((n,), (1,))]
    for shape, to in shapes:
        yield rng.standard_normal(shape), to


def _sums_over(rng, n):
    for shape, axes in [((n, 5), (0,)), ((n, 5), (1,)), ((2, n, 3), (0, 2)), ((n, 4), ()), ((n, 4), (0, 1))]:
        yield rng.standard_normal(shape), axes, True
        yield rng.standard_normal(shape), axes, False


def _products(rng, n):
    for k, m in [(5, 3), (1, 1), (64, 2), (300, 4), (0, 2)]:
        yield rng.standard_normal((n, k)), rng.standard_normal((k, m))


def _logits(rng, n):
    for shape, size in [((n, 10), 1), ((n, 3), 30), ((2, n, 4), 5), ((n, 1), 5)]:
        yield rng.standard_normal(shape) * size


def _labelled(rng, n, probabilities=False):
    for x in _logits(rng, n):
        x = softmax(x / 5) if probabilities else x  # / 5: no float32 below the normal numbers
        yield x, rng.integers(0, x.shape[-1], x.shape[:-1])
        yield x, softmax(rng.standard_normal(x.shape))
        yield x, np.eye(x.shape[-1])[rng.integers(0, x.shape[-1], x.shape[:-1])]


def _loss_scale(x, t):
    rows = np.sum(one_hot(t, x) * (np.log(np.sum(np.exp(x), axis=-1, keepdims=True)) - x), axis=-1)
    mean = np.mean(np.abs(rows)) * (rows.size + x.shape[-1] + 4) / 4  # the mean, as a Sum: 2 (K + 4) u Σ|rows| / N
    y, total = softmax(x) * reach(x), np.sum(one_hot(t, x), axis=-1, keepdims=True)
    return np.max(reach(x)) + mean, y, (y * total * (1 + x.shape[-1] / 8) + one_hot(t, x)) / rows.size


def _cross_entropy_scale(y, t, eps):
    rows = np.sum(one_hot(t, y) * np.abs(np.log(y + (eps or 0))), axis=-1)
    return (1 + np.mean(rows) * (rows.size + y.shape[-1] + 4) / 2,)


_by_analogy = "not named there; held to the tolerance of sigmoid and its gradient, its nearest neighbours"
_mean = "the mean over no rows is not a number"

SAMPLES: dict[str, Sample] = {
    "add": Sample(pairs, (ROUNDED,)),
    "accumulate": Sample(
        lambda rng, n: ((rng.standard_normal(s), rng.standard_normal(s)) for s in shapes(n)),
        (ROUNDED,),
        updates=(0,),
        reason="one sum each",
    ),
    "multiply": Sample(pairs, (ROUNDED,)),
    "sum_to": Sample(
        _sums_to,
        (Tolerance("sum", 2),),
        lambda dz, to: (_spread_sum(dz, to),),
        lambda dz, to: dz.size // max(1, math.prod(to)),
    ),
    "repeat": Sample(
        lambda rng, n: ((x, k, 0) for k in (1, 3) for x in (rng.standard_normal((n, 5)), rng.standard_normal(n))),
        (EXACT,),
        reason="copies",
    ),
    "repeat_grad": Sample(
        lambda rng, n: ((rng.standard_normal((2, n * k)), k, 1) for k in (1, 3)),
        (Tolerance("sum", 2),),
        lambda dy, k, axis: (np.sum(np.abs(dy).reshape(2, -1, k), axis=2),),
        lambda dy, k, axis: k,
    ),
    "sum_over": Sample(
        _sums_over,
        (Tolerance("sum", 2),),
        lambda x, axes, keep: (np.sum(np.abs(x), axis=axes, keepdims=keep),),
        lambda x, axes, keep: math.prod(x.shape[a] for a in axes),
    ),
    "spread": Sample(
        lambda rng, n: ((rng.standard_normal(a), b) for a, b in [((1, 5), (n, 5)), ((n, 1), (n, 4)), ((n,), (n,))]),
        (EXACT,),
        reason="copies",
    ),
    "matmul": Sample(
        _products, (Tolerance("sum", 2),), lambda a, b: (np.abs(a) @ np.abs(b),), lambda a, b: a.shape[-1]
    ),
    "affine": Sample(
        lambda rng, n: ((x, W, rng.standard_normal(W.shape[1])) for x, W in _products(rng, n)),
        (Tolerance("sum", 2),),
        lambda x, W, b: (np.abs(x) @ np.abs(W) + np.abs(b),),  # b is one more row of W, times 1
        lambda x, W, b: x.shape[-1] + 1,
    ),
    "affine_grad": Sample(
        lambda rng, n: (
            (x, rng.standard_normal((n, W.shape[1])), np.zeros(W.shape), np.zeros(W.shape[1]))
            for x, W in _products(rng, n)
        ),
        (Tolerance("sum", 2), Tolerance("sum", 2)),
        lambda x, dy, dW, db: (np.abs(x).T @ np.abs(dy), np.sum(np.abs(dy), axis=0)),
        lambda x, dy, dW, db: x.shape[0],
        updates=(2, 3),
    ),
    "sigmoid": Sample(elementwise(87), (Tolerance("ulp", 4),)),
    "sigmoid_grad": Sample(elementwise(87, gradient=True), (Tolerance("ulp", 8),)),
    "relu": Sample(elementwise(3), (EXACT,), reason="copies"),
    "relu_grad": Sample(elementwise(3, gradient=True), (EXACT,), reason="copies"),
    "tanh": Sample(elementwise(10), (Tolerance("ulp", 4),), reason=_by_analogy),
    "tanh_grad": Sample(elementwise(43, gradient=True), (Tolerance("ulp", 8),), reason=_by_analogy),
    "stable_softmax": Sample(
        lambda rng, n: ((x,) for x in _logits(rng, n)), (Tolerance("terms", 8),), lambda x: (softmax(x) * reach(x),)
    ),
    "softmax_grad": Sample(
        lambda rng, n: ((rng.standard_normal(x.shape), softmax(x)) for x in _logits(rng, n)),
        (Tolerance("sum", 2),),
        lambda dy, y: (y * (np.abs(dy) + np.sum(np.abs(dy * y), axis=-1, keepdims=True)),),
        lambda dy, y: y.shape[-1],
        reason="a summed gradient",
    ),
    "softmax_cross_entropy": Sample(
        _labelled, (Tolerance("terms", 8), Tolerance("terms", 8), Tolerance("terms", 8)), _loss_scale, no_empty=_mean
    ),
    "softmax_cross_entropy_grad": Sample(
        lambda rng, n: ((y, t, d) for y, t in _labelled(rng, n, True) for d in (1.0, np.array(0.7))),
        (Tolerance("sum", 2),),
        lambda y, t, dout: (
            (y * np.sum(one_hot(t, y), axis=-1, keepdims=True) + one_hot(t, y)) * dout / math.prod(y.shape[:-1]),
        ),
        lambda y, t, dout: y.shape[-1],
        no_empty=_mean,
        reason="a summed gradient: y Σt - t",
    ),
    "cross_entropy": Sample(
        lambda rng, n: ((y, t, eps) for y, t in _labelled(rng, n, True) for eps in (None, 1e-7)),
        (Tolerance("terms", 4),),
        _cross_entropy_scale,
        no_empty=_mean,
        reason="y + eps is rounded before the logarithm, an absolute error of u; then a mean of N rows",
    ),
    **FORMULA_SAMPLES,
    **TRAINING_SAMPLES,
}


def _spread_sum(dz, to):
    """Σ|dz| over the axes that ``to`` lacks or has as length 1."""
    extra = dz.ndim - len(to)
    axes = tuple(range(extra)) + tuple(i + extra for i, m in enumerate(to) if m == 1)
    return np.sum(np.abs(dz), axis=axes).reshape(to)
