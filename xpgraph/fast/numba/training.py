"""Bodies compiled by numba of the kernels in xpgraph/training: the rules of the optimizers."""

from __future__ import annotations

import math

from ...training import update_rules
from ..blocks import cut, on_threads
from ..numpy import training as numpys
from .nodes import FLOATS, compiled

THREADED = 1 << 21  # parameters: fewer are updated sooner than a thread wakes that shares its core with one of BLAS
BLOCK = 1 << 18  # elements


@compiled
def _momentum(p, g, v, clip, lr, mu):
    for i in range(p.size):
        v[i] = mu * v[i] - lr * (g[i] * clip)
        p[i] += v[i]


@compiled
def _adagrad(p, g, h, clip, lr, eps):
    for i in range(p.size):
        a = g[i] * clip
        h[i] += a * a
        p[i] -= lr * a / (math.sqrt(h[i]) + eps)


@compiled
def _rmsprop(p, g, h, clip, lr, rho, one_minus_rho, eps):
    for i in range(p.size):
        a = g[i] * clip
        h[i] = rho * h[i] + one_minus_rho * (a * a)
        p[i] -= lr * a / (math.sqrt(h[i]) + eps)


@compiled
def _adam(p, g, m, v, clip, alpha, beta1, one_minus_beta1, beta2, one_minus_beta2, eps):
    for i in range(p.size):
        a = g[i] * clip
        m[i] = beta1 * m[i] + one_minus_beta1 * a
        v[i] = beta2 * v[i] + one_minus_beta2 * (a * a)
        p[i] -= alpha * (m[i] / (math.sqrt(v[i]) + eps))


def _update(loop, body, lists, numbers, complements, clip):
    """Run ``loop`` on every parameter; NumPy's ``body`` on all of them if one array is not as the loop needs it.

    ``lists``: parameters, gradients and states, parallel. ``numbers``: the rule's; the loop gets n, 1 - n for those
    whose index is in ``complements``. Many parameters are updated in blocks, on threads.
    """
    dtype, total = lists[0][0].dtype, 0
    for i, arrays in enumerate(lists):
        for a, p in zip(arrays, lists[0], strict=True):
            flags = a.flags  # a loop checks no bounds, and writes into all arrays but the gradients
            fits = a.dtype == dtype and a.shape == p.shape and flags.c_contiguous and (i == 1 or flags.writeable)
            if not fits or dtype not in FLOATS:
                body(*lists, *numbers, clip)
                return
            total += a.size
    scalars = [dtype.type(1 if clip is None else clip)]
    for i, n in enumerate(numbers):
        scalars += [dtype.type(n), dtype.type(1.0 - n)] if i in complements else [dtype.type(n)]

    def work(block):
        loop(*[a if a.ndim == 1 else a.reshape(-1) for a in block], *scalars)

    if total < THREADED * len(lists):
        for arrays in zip(*lists, strict=True):
            work(arrays)
    else:
        on_threads(cut(*lists, block=BLOCK), work, total // len(lists))


@update_rules.momentum.fast("numpy", compiler="numba")
def momentum(params, grads, v, lr, mu, clip=None):
    _update(_momentum, numpys.momentum, (params, grads, v), (lr, mu), (), clip)


@update_rules.adagrad.fast("numpy", compiler="numba")
def adagrad(params, grads, h, lr, eps, clip=None):
    _update(_adagrad, numpys.adagrad, (params, grads, h), (lr, eps), (), clip)


@update_rules.rmsprop.fast("numpy", compiler="numba")
def rmsprop(params, grads, h, lr, rho, eps, clip=None):
    _update(_rmsprop, numpys.rmsprop, (params, grads, h), (lr, rho, eps), (1,), clip)


@update_rules.adam.fast("numpy", compiler="numba")
def adam(params, grads, m, v, alpha, beta1, beta2, eps, clip=None):
    _update(_adam, numpys.adam, (params, grads, m, v), (alpha, beta1, beta2, eps), (1, 2), clip)
