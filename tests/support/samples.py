"""For every kernel: arguments to call it with, and its tolerance. arrays/test_kernels.py runs them all.

The cases of a kernel are NumPy arguments, for n rows.
"""

from __future__ import annotations

import math

import numpy as np
from bars import EXACT, ROUNDED, Bar
from samples_formulas import FORMULA_SAMPLES
from sampling import Sample, elementwise, pairs, shapes

from xpgraph.testing.formulas.textbook import one_hot, reach, softmax
from xpgraph.testing.formulas.update_rules import norm


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


def _steps(state: int, *hyper: float):
    """Parameters, gradients and as many lists of state as ``state`` says, of several shapes."""

    def cases(rng, n):
        shapes = [(n, 5), (n,), (2, n, 3), (n, 10_000)]  # the last is longer than a block of any body
        params, grads = ([rng.standard_normal(s) for s in shapes] for _ in range(2))
        state_arrays = [[np.abs(rng.standard_normal(s)) for s in shapes] for _ in range(state)]
        yield params, grads, *state_arrays, *hyper
        yield params, grads, *state_arrays, *hyper, np.array(0.25)  # clip

    return cases


def _adaptive(p, g, h, lr, eps):
    return abs(p) + abs(lr * g / (np.sqrt(h) + eps))


def _each(f):
    """The scale of a kernel over lists: f of each parameter, with its gradient clipped; a list for each output."""

    def scale(params, grads, *rest):
        clip = rest[-1] if isinstance(rest[-1], np.ndarray) else 1.0
        args = params, [g * clip for g in grads], *(a for a in rest if not isinstance(a, np.ndarray))
        rows = (f(*(a[i] if isinstance(a, list) else a for a in args)) for i in range(len(params)))
        return tuple(list(column) for column in zip(*rows, strict=True))

    return scale


def _norms(rng, n):
    yield ([rng.standard_normal((n, 5)), rng.standard_normal(n)],)


def _grown(rng, n):
    yield [rng.standard_normal((n, 5)), rng.standard_normal(n)], np.array(0.37)


_few = "a few roundings, each with an error of u times a term of the sum"
_by_analogy = "not named there; the same bar as for sigmoid and its gradient, which are like it"
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
        (Bar("sum", 2),),
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
        (Bar("sum", 2),),
        lambda dy, k, axis: (np.sum(np.abs(dy).reshape(2, -1, k), axis=2),),
        lambda dy, k, axis: k,
    ),
    "sum_over": Sample(
        _sums_over,
        (Bar("sum", 2),),
        lambda x, axes, keep: (np.sum(np.abs(x), axis=axes, keepdims=keep),),
        lambda x, axes, keep: math.prod(x.shape[a] for a in axes),
    ),
    "spread": Sample(
        lambda rng, n: ((rng.standard_normal(a), b) for a, b in [((1, 5), (n, 5)), ((n, 1), (n, 4)), ((n,), (n,))]),
        (EXACT,),
        reason="copies",
    ),
    "matmul": Sample(_products, (Bar("sum", 2),), lambda a, b: (np.abs(a) @ np.abs(b),), lambda a, b: a.shape[-1]),
    "affine": Sample(
        lambda rng, n: ((x, W, rng.standard_normal(W.shape[1])) for x, W in _products(rng, n)),
        (Bar("sum", 2),),
        lambda x, W, b: (np.abs(x) @ np.abs(W) + np.abs(b),),  # b is one more row of W, times 1
        lambda x, W, b: x.shape[-1] + 1,
    ),
    "affine_grad": Sample(
        lambda rng, n: (
            (x, rng.standard_normal((n, W.shape[1])), np.zeros(W.shape), np.zeros(W.shape[1]))
            for x, W in _products(rng, n)
        ),
        (Bar("sum", 2), Bar("sum", 2)),
        lambda x, dy, dW, db: (np.abs(x).T @ np.abs(dy), np.sum(np.abs(dy), axis=0)),
        lambda x, dy, dW, db: x.shape[0],
        updates=(2, 3),
    ),
    "sigmoid": Sample(elementwise(87), (Bar("ulp", 4),)),
    "sigmoid_grad": Sample(elementwise(87, gradient=True), (Bar("ulp", 8),)),
    "relu": Sample(elementwise(3), (EXACT,), reason="copies"),
    "relu_grad": Sample(elementwise(3, gradient=True), (EXACT,), reason="copies"),
    "tanh": Sample(elementwise(10), (Bar("ulp", 4),), reason=_by_analogy),
    "tanh_grad": Sample(elementwise(43, gradient=True), (Bar("ulp", 8),), reason=_by_analogy),
    "stable_softmax": Sample(
        lambda rng, n: ((x,) for x in _logits(rng, n)), (Bar("terms", 8),), lambda x: (softmax(x) * reach(x),)
    ),
    "softmax_grad": Sample(
        lambda rng, n: ((rng.standard_normal(x.shape), softmax(x)) for x in _logits(rng, n)),
        (Bar("sum", 2),),
        lambda dy, y: (y * (np.abs(dy) + np.sum(np.abs(dy * y), axis=-1, keepdims=True)),),
        lambda dy, y: y.shape[-1],
        reason="a summed gradient",
    ),
    "softmax_cross_entropy": Sample(
        _labelled, (Bar("terms", 8), Bar("terms", 8), Bar("terms", 8)), _loss_scale, no_empty=_mean
    ),
    "softmax_cross_entropy_grad": Sample(
        lambda rng, n: ((y, t, d) for y, t in _labelled(rng, n, True) for d in (1.0, np.array(0.7))),
        (Bar("sum", 2),),
        lambda y, t, dout: (
            (y * np.sum(one_hot(t, y), axis=-1, keepdims=True) + one_hot(t, y)) * dout / math.prod(y.shape[:-1]),
        ),
        lambda y, t, dout: y.shape[-1],
        no_empty=_mean,
        reason="a summed gradient: y Σt - t",
    ),
    "cross_entropy": Sample(
        lambda rng, n: ((y, t, eps) for y, t in _labelled(rng, n, True) for eps in (None, 1e-7)),
        (Bar("terms", 4),),
        _cross_entropy_scale,
        no_empty=_mean,
        reason="y + eps is rounded before the logarithm, an absolute error of u; then a mean of N rows",
    ),
    "sgd": Sample(
        _steps(0, 0.1), (Bar("terms", 4),), _each(lambda p, g, lr: (abs(p) + abs(lr * g),)), updates=(0,), reason=_few
    ),
    "momentum": Sample(
        _steps(1, 0.1, 0.9),
        (Bar("terms", 6), Bar("terms", 4)),
        _each(lambda p, g, v, lr, mu: (abs(p) + abs(mu * v) + abs(lr * g), abs(mu * v) + abs(lr * g))),
        updates=(0, 2),
        reason=_few,
    ),
    "adagrad": Sample(
        _steps(1, 0.1, 1e-7),
        (Bar("terms", 8), Bar("terms", 4)),
        _each(lambda p, g, h, lr, eps: (_adaptive(p, g, h + g * g, lr, eps), h + g * g)),
        updates=(0, 2),
        reason=_few,
    ),
    "rmsprop": Sample(
        _steps(1, 0.1, 0.99, 1e-7),
        (Bar("terms", 8), Bar("terms", 4)),
        _each(lambda p, g, h, lr, rho, eps: (_adaptive(p, g, rho * h, lr, eps), h + g * g)),
        updates=(0, 2),
        reason=_few,
    ),
    "adam": Sample(
        _steps(2, 0.1, 0.9, 0.999, 1e-8),
        (Bar("terms", 8), Bar("terms", 4), Bar("terms", 4)),
        _each(
            lambda p, g, m, v, a, b1, b2, eps: (_adaptive(p, abs(m) + abs(g), b2 * v, a, eps), m + abs(g), v + g * g)
        ),
        updates=(0, 2, 3),
        reason=_few,
    ),
    "global_norm": Sample(
        _norms,
        (Bar("sum", 2),),
        lambda grads: (norm(grads),),
        lambda grads: sum(g.size for g in grads),
        reason="a sum of squares; its root halves the relative error",
    ),
    "clip_rate": Sample(
        lambda rng, n: ((grads, bound) for (grads,) in _norms(rng, n) for bound in (0.5, 100.0)),
        (Bar("sum", 2), Bar("sum", 2)),
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
    "scale": Sample(_grown, (ROUNDED,), updates=(0,), reason="one product each"),
    **FORMULA_SAMPLES,
}


def _spread_sum(dz, to):
    """Σ|dz| over the axes that ``to`` lacks or has as length 1."""
    extra = dz.ndim - len(to)
    axes = tuple(range(extra)) + tuple(i + extra for i, m in enumerate(to) if m == 1)
    return np.sum(np.abs(dz), axis=axes).reshape(to)
