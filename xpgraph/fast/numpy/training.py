"""Bodies for NumPy of the kernels in xpgraph/training: the rows of a batch, the norm, the rules of the optimizers."""

from __future__ import annotations

import numpy as np

from ...training import clipping, replay, update_rules
from ..blas import THREADED, axpy
from ..blocks import update_blocks
from ..buffers import fresh


@replay.gather.fast("numpy")
def gather(x, t, rows):
    if not x.flags.c_contiguous:
        return x.take(rows, axis=0), t.take(rows, axis=0)
    bx = fresh((rows.size, *x.shape[1:]), x.dtype)
    # No row is out of range. But only with mode="clip" does take write into bx directly, without a copy of its own.
    return x.take(rows, axis=0, out=bx, mode="clip"), t.take(rows, axis=0)


@clipping.global_norm.fast("numpy")
def global_norm(grads):
    if not all(g.flags.c_contiguous and g.dtype.type in (np.float32, np.float64) for g in grads):
        return clipping.global_norm.row.body("numpy", generic=True)(grads)
    return np.sqrt(sum(np.vdot(g, g) for g in grads))


@update_rules.sgd.fast("numpy")
def sgd(params, grads, lr, clip=None):
    def update(p, g):
        p -= np.multiply(g, lr, out=fresh(g.shape, g.dtype))

    factor = -lr if clip is None else -lr * float(clip)
    without_blas = []
    for p, g in zip(params, grads, strict=True):
        if p.size < THREADED:
            p += factor * g
        elif not axpy(factor, g, p):
            without_blas.append((p, g))
    if without_blas:
        update_blocks(update, clip, *map(list, zip(*without_blas, strict=True)))


@update_rules.momentum.fast("numpy")
def momentum(params, grads, v, lr, mu, clip=None):
    def update(p, g, v):
        v *= mu
        v -= np.multiply(g, lr, out=fresh(g.shape, g.dtype))
        p += v

    update_blocks(update, clip, params, grads, v)


@update_rules.adagrad.fast("numpy")
def adagrad(params, grads, h, lr, eps, clip=None):
    def update(p, g, h):
        s = np.multiply(g, g, out=fresh(g.shape, g.dtype))
        h += s
        np.sqrt(h, out=s)
        s += eps
        np.divide(g, s, out=s)
        s *= lr
        p -= s

    update_blocks(update, clip, params, grads, h)


@update_rules.rmsprop.fast("numpy")
def rmsprop(params, grads, h, lr, rho, eps, clip=None):
    def update(p, g, h):
        s = np.multiply(g, g, out=fresh(g.shape, g.dtype))
        s *= 1.0 - rho
        h *= rho
        h += s
        np.sqrt(h, out=s)
        s += eps
        np.divide(g, s, out=s)
        s *= lr
        p -= s

    update_blocks(update, clip, params, grads, h)


@update_rules.adam.fast("numpy")
def adam(params, grads, m, v, alpha, beta1, beta2, eps, clip=None):
    def update(p, g, m, v):
        s = np.multiply(g, 1.0 - beta1, out=fresh(g.shape, g.dtype))
        m *= beta1
        m += s
        np.multiply(g, g, out=s)
        s *= 1.0 - beta2
        v *= beta2
        v += s
        np.sqrt(v, out=s)
        s += eps
        np.divide(m, s, out=s)
        s *= alpha
        p -= s

    update_blocks(update, clip, params, grads, m, v)
