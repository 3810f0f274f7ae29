"""Bodies for NumPy: the same mathematics with fewer temporaries, because memory, not arithmetic, sets the pace.

Each is shown beside the generic body on the asv board (``body`` = namespace, fast); one that stops paying goes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .. import layers, nodes, optimizers

BLOCK = 1 << 16  # elements: a block of each array of an update stays in the second-level cache


@nodes.matmul.fast("numpy")
def matmul(a, b, out=None):
    return np.matmul(a, b, out=out)


@layers.affine.fast("numpy")
def affine(x, W, b):
    y = np.matmul(x, W)
    y += b
    return y


@layers.sigmoid.fast("numpy")
def sigmoid(x):
    z = _exp_minus_abs(x)
    y = np.where(x >= 0, x.dtype.type(1), z)
    z += 1
    return np.divide(y, z, out=z)


@layers.sigmoid_grad.fast("numpy")
def sigmoid_grad(dy, x):
    z = _exp_minus_abs(x)
    s = z + 1
    z /= s
    z /= s
    z *= dy
    return z


def _exp_minus_abs(x):
    z = np.abs(x, out=np.empty(x.shape, x.dtype))
    np.negative(z, out=z)
    return np.exp(z, out=z)


@optimizers.sgd.fast("numpy")
def sgd(params, grads, lr, clip=None):
    for p, g, s in _blocks(clip, params, grads):
        np.multiply(g, lr, out=s)
        p -= s


@optimizers.momentum.fast("numpy")
def momentum(params, grads, v, lr, mu, clip=None):
    for p, g, vi, s in _blocks(clip, params, grads, v):
        vi *= mu
        np.multiply(g, lr, out=s)
        vi -= s
        p += vi


@optimizers.adam.fast("numpy")
def adam(params, grads, m, v, alpha, beta1, beta2, eps, clip=None):
    for p, g, mi, vi, s in _blocks(clip, params, grads, m, v):
        np.multiply(g, 1.0 - beta1, out=s)
        mi *= beta1
        mi += s
        np.multiply(g, g, out=s)
        s *= 1.0 - beta2
        vi *= beta2
        vi += s
        np.sqrt(vi, out=s)
        s += eps
        np.divide(mi, s, out=s)
        s *= alpha
        p -= s


def _blocks(clip: np.ndarray | None, *lists: list[np.ndarray]) -> Iterator[tuple[np.ndarray, ...]]:
    """Matching pieces of parallel lists (parameters, gradients, state), the gradients clipped, and scratch like them.

    Pieces of a flat view, where there can be one.
    """
    for arrays in zip(*lists, strict=True):
        if arrays[0].size <= BLOCK or not all(a.flags.c_contiguous for a in arrays):
            p, g, *state = arrays
            yield p, _times(g, clip, None), *state, np.empty_like(g)  # the gradient is never narrower than float32
            continue
        flat = [a.reshape(-1) for a in arrays]
        scratch, clipped = np.empty(BLOCK, flat[1].dtype), None if clip is None else np.empty(BLOCK, flat[1].dtype)
        for i in range(0, flat[0].size, BLOCK):
            p, g, *state = (a[i : i + BLOCK] for a in flat)
            yield p, _times(g, clip, clipped), *state, scratch[: g.size]


def _times(g: np.ndarray, clip: np.ndarray | None, out: np.ndarray | None) -> np.ndarray:
    return g if clip is None else np.multiply(g, clip.astype(g.dtype), out=None if out is None else out[: g.size])
