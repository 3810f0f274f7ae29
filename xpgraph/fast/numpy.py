"""Bodies for NumPy: the same mathematics with fewer temporaries, because memory, not arithmetic, sets the pace.

Long arrays are worked through in blocks that stay in the second-level cache, by as many threads as pay. Each body is
shown beside the generic one on the asv board (``body`` = namespace, fast); one that stops paying goes.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..nodes import basic as nodes
from ..nodes import layers, losses
from ..training import clipping, replay, update_rules
from .blas import SHARED, axpy
from .blocks import in_blocks, spread_over
from .buffers import fresh

REALS = (np.float32, np.float64)


@nodes.matmul.fast("numpy")
def matmul(a, b, out=None):
    return np.matmul(a, b, out=_for_product(a, b) if out is None else out)


def _for_product(a, b):
    return fresh((a.shape[0], b.shape[1]), a.dtype) if a.dtype == b.dtype and a.ndim == b.ndim == 2 else None


def _generic(function, *args):
    """The body over the namespace, for what is not taken here."""
    return function.row.body("numpy", generic=True)(*args)


@layers.affine_grad.fast("numpy")
def affine_grad(x, dy, dW, db):
    np.matmul(x.T, dy, out=dW)
    np.matmul(_ones(dy.shape[0], dy.dtype), dy, out=db)  # a sum over rows, at the speed of a product


@lru_cache(maxsize=8)
def _ones(n, dtype):
    return np.ones(n, dtype)


@layers.affine.fast("numpy")
def affine(x, W, b):
    y = np.matmul(x, W, out=_for_product(x, W))
    y += b
    return y


# --- elementwise ----------------------------------------------------------------------------------------------


def _packed(*arrays):
    first = arrays[0]
    return first.dtype.type in REALS and all(
        a.flags.c_contiguous and a.dtype == first.dtype and a.shape == first.shape for a in arrays
    )


@layers.sigmoid.fast("numpy")
def sigmoid(x):
    if not _packed(x):
        return _generic(layers.sigmoid, x)
    y = fresh(x.shape, x.dtype)
    spread_over(_sigmoid, x, y)
    return y


def _sigmoid(x, s):
    np.negative(x, out=s)
    with np.errstate(over="ignore"):  # e^-x is infinite where y is 0
        np.exp(s, out=s)
    s += 1
    np.reciprocal(s, out=s)


@layers.sigmoid_grad.fast("numpy")
def sigmoid_grad(dy, x):
    if not _packed(dy, x):
        return _generic(layers.sigmoid_grad, dy, x)
    dx = fresh(x.shape, x.dtype)
    spread_over(_sigmoid_grad, dy, x, dx)
    return dx


def _sigmoid_grad(dy, x, z):
    np.abs(x, out=z)
    np.negative(z, out=z)
    np.exp(z, out=z)
    s = np.add(z, 1, out=fresh(z.shape, z.dtype))
    s *= s
    z *= dy
    z /= s


@layers.relu.fast("numpy")
def relu(x):
    if not _packed(x):
        return _generic(layers.relu, x)
    return np.maximum(x, 0, out=fresh(x.shape, x.dtype))


@layers.relu_grad.fast("numpy")
def relu_grad(dy, x):
    if not _packed(dy, x):
        return _generic(layers.relu_grad, dy, x)
    dx = fresh(x.shape, x.dtype)
    spread_over(_relu_grad, dy, x, dx)
    return dx


def _relu_grad(dy, x, dx):
    kept = np.less_equal(x, 0).view(np.int8)
    kept -= 1  # no bits where x <= 0, all of them elsewhere: a branch would be guessed wrong half the time
    bits = f"i{x.itemsize}"
    np.bitwise_and(dy.view(bits), kept, out=dx.view(bits))


@layers.tanh.fast("numpy")
def tanh(x):
    if not _packed(x):
        return _generic(layers.tanh, x)
    y = fresh(x.shape, x.dtype)
    spread_over(np.tanh, x, y)
    return y


@layers.tanh_grad.fast("numpy")
def tanh_grad(dy, x):
    if not _packed(dy, x):
        return _generic(layers.tanh_grad, dy, x)
    dx = fresh(x.shape, x.dtype)
    spread_over(_tanh_grad, dy, x, dx)
    return dx


def _tanh_grad(dy, x, z):
    np.abs(x, out=z)
    z *= -2
    np.exp(z, out=z)
    s = np.add(z, 1, out=fresh(z.shape, z.dtype))
    s *= s
    z *= 4
    z *= dy
    z /= s


# --- the loss -------------------------------------------------------------------------------------------------


@losses.softmax_cross_entropy.fast("numpy")
def softmax_cross_entropy(x, t):
    if x.ndim != 2 or t.ndim != 1 or x.dtype.type not in REALS:
        return _generic(losses.softmax_cross_entropy, x, t)
    n, classes = x.shape
    if t.dtype != np.int64 or not np.maximum.reduce(t.view(np.uint64)) < classes:  # below 0, it is huge
        return _generic(losses.softmax_cross_entropy, x, t)
    at = np.arange(0, n * classes, classes)
    at += t
    y = np.subtract(x, np.maximum.reduce(x, axis=1, keepdims=True), out=fresh(x.shape, x.dtype))
    picked = y.take(at)
    np.exp(y, out=y)
    s = np.add.reduce(y, axis=1, keepdims=True)
    y /= s
    dx = fresh(x.shape, x.dtype)
    dx[...] = y
    dx.reshape(-1)[at] -= 1
    dx *= 1.0 / n
    s = np.log(s, out=s).reshape(-1)
    s -= picked
    return np.add.reduce(s) / x.dtype.type(n), y, dx


# --- a batch, and the updates ---------------------------------------------------------------------------------


@replay.gather.fast("numpy")
def gather(x, t, rows):
    if not x.flags.c_contiguous:
        return x.take(rows, axis=0), t.take(rows, axis=0)
    bx = fresh((rows.size, *x.shape[1:]), x.dtype)  # rows are there: without "clip", take makes a copy of its own first
    return x.take(rows, axis=0, out=bx, mode="clip"), t.take(rows, axis=0)


@clipping.global_norm.fast("numpy")
def global_norm(grads):
    if not all(g.flags.c_contiguous and g.dtype.type in REALS for g in grads):
        return _generic(clipping.global_norm, grads)
    return np.sqrt(sum(np.vdot(g, g) for g in grads))


@update_rules.sgd.fast("numpy")
def sgd(params, grads, lr, clip=None):
    def update(p, g):
        p -= np.multiply(g, lr, out=fresh(g.shape, g.dtype))

    rate, left = -lr if clip is None else -lr * float(clip), []
    for p, g in zip(params, grads, strict=True):
        if p.size < SHARED:
            p += rate * g
        elif not axpy(rate, g, p):
            left.append((p, g))
    if left:
        in_blocks(update, clip, *map(list, zip(*left, strict=True)))


@update_rules.momentum.fast("numpy")
def momentum(params, grads, v, lr, mu, clip=None):
    def update(p, g, v):
        v *= mu
        v -= np.multiply(g, lr, out=fresh(g.shape, g.dtype))
        p += v

    in_blocks(update, clip, params, grads, v)


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

    in_blocks(update, clip, params, grads, h)


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

    in_blocks(update, clip, params, grads, h)


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

    in_blocks(update, clip, params, grads, m, v)
