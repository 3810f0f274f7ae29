"""Bodies for NumPy of the kernels in xpgraph/nodes: products, activations and the loss."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from ...nodes import basic, layers, losses
from ..blocks import each_block
from ..buffers import fresh, fresh_product

FLOATS = (np.float32, np.float64)


def _generic(function: Any, *args: Any) -> Any:
    """The generic body, for arrays that the fast body does not take."""
    return function.row.body("numpy", generic=True)(*args)


def _packed(*arrays: np.ndarray) -> bool:
    """Are all in C order without gaps, of one shape, and all float32 or all float64?"""
    first = arrays[0]
    return first.dtype.type in FLOATS and all(
        a.flags.c_contiguous and a.dtype == first.dtype and a.shape == first.shape for a in arrays
    )


@basic.matmul.fast("numpy")
def matmul(a, b, out=None):
    return np.matmul(a, b, out=fresh_product(a, b) if out is None else out)


@layers.affine.fast("numpy")
def affine(x, W, b):
    y = np.matmul(x, W, out=fresh_product(x, W))
    y += b
    return y


@layers.affine_grad.fast("numpy")
def affine_grad(x, dy, dW, db):
    np.matmul(x.T, dy, out=dW)
    np.matmul(_ones(dy.shape[0], dy.dtype), dy, out=db)  # a sum over rows, at the speed of a product


@lru_cache(maxsize=8)
def _ones(n, dtype):
    return np.ones(n, dtype)


@layers.sigmoid.fast("numpy")
def sigmoid(x):
    if not _packed(x):
        return _generic(layers.sigmoid, x)
    y = fresh(x.shape, x.dtype)
    each_block(_sigmoid, x, y)
    return y


def _sigmoid(x, s):
    np.negative(x, out=s)
    with np.errstate(over="ignore"):  # e^-x overflows to infinity where y is 0
        np.exp(s, out=s)
    s += 1
    np.reciprocal(s, out=s)


@layers.sigmoid_grad.fast("numpy")
def sigmoid_grad(dy, x):
    if not _packed(dy, x):
        return _generic(layers.sigmoid_grad, dy, x)
    dx = fresh(x.shape, x.dtype)
    each_block(_sigmoid_grad, dy, x, dx)
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
    each_block(_relu_grad, dy, x, dx)
    return dx


def _relu_grad(dy, x, dx):
    mask = np.less_equal(x, 0).view(np.int8)
    mask -= 1  # 0 where x <= 0, else -1, which is all bits set: a branch would be mispredicted half the time
    bits = f"i{x.itemsize}"
    np.bitwise_and(dy.view(bits), mask, out=dx.view(bits))


@layers.tanh.fast("numpy")
def tanh(x):
    if not _packed(x):
        return _generic(layers.tanh, x)
    y = fresh(x.shape, x.dtype)
    each_block(np.tanh, x, y)
    return y


@layers.tanh_grad.fast("numpy")
def tanh_grad(dy, x):
    if not _packed(dy, x):
        return _generic(layers.tanh_grad, dy, x)
    dx = fresh(x.shape, x.dtype)
    each_block(_tanh_grad, dy, x, dx)
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


@losses.softmax_cross_entropy.fast("numpy")
def softmax_cross_entropy(x, t):
    if x.ndim != 2 or t.ndim != 1 or x.dtype.type not in FLOATS:
        return _generic(losses.softmax_cross_entropy, x, t)
    n, classes = x.shape
    if t.dtype != np.int64 or not np.maximum.reduce(t.view(np.uint64)) < classes:  # as uint64, -1 is huge
        return _generic(losses.softmax_cross_entropy, x, t)
    labels = np.arange(0, n * classes, classes)  # where the label of each row stands in the flat array
    labels += t
    y = np.subtract(x, np.maximum.reduce(x, axis=1, keepdims=True), out=fresh(x.shape, x.dtype))
    scores = y.take(labels)
    np.exp(y, out=y)
    s = np.add.reduce(y, axis=1, keepdims=True)
    y /= s
    dx = fresh(x.shape, x.dtype)
    dx[...] = y
    dx.reshape(-1)[labels] -= 1
    dx *= 1.0 / n
    s = np.log(s, out=s).reshape(-1)
    s -= scores
    return np.add.reduce(s) / x.dtype.type(n), y, dx
