"""Bodies for NumPy arrays that numba compiles, where it is installed (the extra ``numba``): one pass over the memory.

Loops run on one thread, or on those of ``blocks``: numba's own would fight those of BLAS. What a loop is not made for
(other dtypes, arrays with gaps) goes to the body in numpy.py. Compiled code is kept beside this file or in the user's
cache folder, so only the first run waits for the compiler. e^x is of the Cephes library's kind; in float64 it is the C
library's, for the few numbers of a loss, and NumPy's for the activations, which gain nothing here.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numba import extending

from ..nodes import layers, losses
from ..training import update_rules
from . import numpy as plain
from .blocks import pieces, spread_over, together
from .buffers import fresh

if getattr(numba.config, "DISABLE_JIT", 0):
    raise ImportError("NUMBA_DISABLE_JIT is set: the loops would run as Python")

F32, F64 = np.dtype(np.float32), np.dtype(np.float64)
FLOATS = (F32, F64)
THREADED = 1 << 21  # parameters: fewer are updated sooner than a thread wakes that shares its core with one of BLAS


def compiled(function):
    """The loop as machine code; kept on the disk where there is a folder for it."""

    def to_be(cache):
        jit = numba.njit(nogil=True, error_model="numpy", fastmath={"contract", "nsz"}, cache=cache)
        return jit(function)

    try:
        return to_be(cache=True)
    except RuntimeError:  # no folder that can be written
        return to_be(cache=False)


def _packed(a, kinds=(F32,)):
    """Of these dtypes, in C order, with an axis at least?"""
    return a.dtype in kinds and a.flags.c_contiguous and a.ndim > 0


# --- e^x in float32 -------------------------------------------------------------------------------------------

# x = n ln 2 + r, e^x = 2^n e^r; the constants are those of Cephes' expf (Moshier, netlib.org/cephes).
# Added to n, ROUND leaves n in the lowest bits: no conversion, which NaN would not survive.
ROUND = np.float32(1.5 * 2**23)
ROUND_BITS = np.int32(0x4B400000)
LOG2_E, LN2_HIGH, LN2_LOW = np.float32(1.44269504), np.float32(0.693359375), np.float32(-2.12194440e-4)
P0, P1, P2 = np.float32(1.9875691500e-4), np.float32(1.3981999507e-3), np.float32(8.3334519073e-3)
P3, P4, P5 = np.float32(4.1665795894e-2), np.float32(1.6666665459e-1), np.float32(5.0000001201e-1)
LEAST = np.float32(-104)  # e^x is 0 below
ONE, ZERO = np.float32(1), np.float32(0)


@numba.njit(inline="always")
def _power_of_two(n):
    return np.int32((n + 127) << 23).view(np.float32)


@numba.njit(inline="always")
def _exp(x):
    """e^x from LEAST to 88, NaN for NaN; 2^n in two factors, since a result may be subnormal."""
    shifted = x * LOG2_E + ROUND
    n = shifted - ROUND
    r = x - n * LN2_HIGH
    r = r - n * LN2_LOW
    p = ((((P0 * r + P1) * r + P2) * r + P3) * r + P4) * r + P5
    p = p * (r * r) + r + ONE
    whole = np.int32(np.float32(shifted).view(np.int32) - ROUND_BITS)
    half = np.int32(whole >> 1)
    return p * _power_of_two(half) * _power_of_two(np.int32(whole - half))


def _falling(x):
    """e^x for x up to 0, as a loop of either kind calls it; compiled only."""


@extending.overload(_falling, inline="always")
def _compiled_falling(x):
    if x == numba.float32:
        return lambda x: _exp(max(x, LEAST)) if x == x else x
    return lambda x: math.exp(x)


# --- layers ---------------------------------------------------------------------------------------------------


@compiled
def _add_row(y, b):
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            y[i, j] += b[j]


@compiled
def _sum_rows(dy, db):
    for j in range(db.size):
        db[j] = 0
    for i in range(dy.shape[0]):
        for j in range(db.size):
            db[j] += dy[i, j]


@layers.affine.fast("numpy", compiler="numba")
def affine(x, W, b):
    if not x.dtype == W.dtype == b.dtype or x.dtype not in FLOATS or b.shape != W.shape[1:]:
        return plain.affine(x, W, b)
    y = np.matmul(x, W, out=plain._for_product(x, W))
    _add_row(y, b)
    return y


@layers.affine_grad.fast("numpy", compiler="numba")
def affine_grad(x, dy, dW, db):
    np.matmul(x.T, dy, out=dW)
    if dy.dtype != db.dtype or dy.dtype not in FLOATS or db.shape != dy.shape[1:] or not db.flags.writeable:
        np.add.reduce(dy, axis=0, out=db)
    else:
        _sum_rows(dy, db)


@compiled
def _sigmoid(x, y):
    x, y = x.reshape(-1), y.reshape(-1)
    for i in range(x.size):
        a = -abs(x[i])
        if a < LEAST:
            a = LEAST
        z = _exp(a)
        y[i] = (ONE if x[i] >= ZERO else z) / (ONE + z)


@layers.sigmoid.fast("numpy", compiler="numba")
def sigmoid(x):
    if not _packed(x):
        return plain.sigmoid(x)
    y = fresh(x.shape, F32)
    spread_over(_sigmoid, x, y)
    return y


@compiled
def _sigmoid_grad(dy, x, dx):
    dy, x, dx = dy.reshape(-1), x.reshape(-1), dx.reshape(-1)
    for i in range(x.size):
        a = -abs(x[i])
        if a < LEAST:
            a = LEAST
        z = _exp(a)
        s = ONE + z
        dx[i] = dy[i] * (z / (s * s))


@layers.sigmoid_grad.fast("numpy", compiler="numba")
def sigmoid_grad(dy, x):
    if not (_packed(x) and _packed(dy) and x.shape == dy.shape):
        return plain.sigmoid_grad(dy, x)
    dx = fresh(x.shape, F32)
    spread_over(_sigmoid_grad, dy, x, dx)
    return dx


# --- the loss -------------------------------------------------------------------------------------------------


@compiled
def _softmax_cross_entropy(x, t, y, dx):
    """The mean loss; NaN for a label out of range. Passes over all rows, so that e^x is worked out side by side."""
    rows, classes = x.shape
    total = 0.0
    for i in range(rows):
        if not 0 <= t[i] < classes:
            return math.nan
        most = x[i, 0]
        for j in range(1, classes):
            if not x[i, j] <= most:  # NaN too
                most = x[i, j]
        for j in range(classes):
            y[i, j] = x[i, j] - most
        total -= y[i, t[i]]
    flat, grads = y.reshape(-1), dx.reshape(-1)
    for k in range(flat.size):
        flat[k] = _falling(flat[k])
    one = x.dtype.type(1)
    part = one / x.dtype.type(rows)
    for i in range(rows):
        s = 0.0  # in float64: one after the other, many classes would cost many digits
        for j in range(classes):
            s += y[i, j]
        total += math.log(s)
        r = x.dtype.type(1.0 / s)
        for j in range(classes):
            y[i, j] *= r
    for k in range(flat.size):
        grads[k] = flat[k] * part
    for i in range(rows):
        dx[i, t[i]] = (y[i, t[i]] - one) * part
    return total / rows


@losses.softmax_cross_entropy.fast("numpy", compiler="numba")
def softmax_cross_entropy(x, t):
    if t.ndim != x.ndim - 1 or t.ndim == 0 or t.dtype != np.int64 or not _packed(x, FLOATS):
        return plain.softmax_cross_entropy(x, t)
    y, dx = fresh(x.shape, x.dtype), fresh(x.shape, x.dtype)
    given = x, t, y, dx
    flat = given if x.ndim == 2 else [a.reshape(-1, *a.shape[x.ndim - 1 :]) for a in given]
    loss = _softmax_cross_entropy(*flat)
    if loss != loss:  # a label out of range, or a score that is not finite
        return plain.softmax_cross_entropy(x, t)
    return x.dtype.type(loss), y, dx


# --- the updates ----------------------------------------------------------------------------------------------


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
def _rmsprop(p, g, h, clip, lr, rho, rest, eps):
    for i in range(p.size):
        a = g[i] * clip
        h[i] = rho * h[i] + rest * (a * a)
        p[i] -= lr * a / (math.sqrt(h[i]) + eps)


@compiled
def _adam(p, g, m, v, clip, alpha, beta1, rest1, beta2, rest2, eps):
    for i in range(p.size):
        a = g[i] * clip
        m[i] = beta1 * m[i] + rest1 * a
        v[i] = beta2 * v[i] + rest2 * (a * a)
        p[i] -= alpha * (m[i] / (math.sqrt(v[i]) + eps))


def _update(loop, body, lists, numbers, rests, clip):
    """``loop`` on every parameter, many in blocks on threads; NumPy's ``body`` if an array is of another kind.

    ``rests``: which of the numbers are followed by what they lack of 1.
    """
    kind, total = lists[0][0].dtype, 0
    for i, arrays in enumerate(lists):
        for a, p in zip(arrays, lists[0], strict=True):
            flags = a.flags  # a loop looks at no bounds, and writes into all but the gradients
            fits = a.dtype == kind and a.shape == p.shape and flags.c_contiguous and (i == 1 or flags.writeable)
            if not fits or kind not in FLOATS:
                body(*lists, *numbers, clip)
                return
            total += a.size
    told = [kind.type(1 if clip is None else clip)]
    for i, n in enumerate(numbers):
        told += [kind.type(n), kind.type(1.0 - n)] if i in rests else [kind.type(n)]

    def work(piece):
        loop(*[a if a.ndim == 1 else a.reshape(-1) for a in piece], *told)

    if total < THREADED * len(lists):
        for piece in zip(*lists, strict=True):
            work(piece)
    else:
        together(pieces(*lists, block=1 << 18), work, total // len(lists))


@update_rules.momentum.fast("numpy", compiler="numba")
def momentum(params, grads, v, lr, mu, clip=None):
    _update(_momentum, plain.momentum, (params, grads, v), (lr, mu), (), clip)


@update_rules.adagrad.fast("numpy", compiler="numba")
def adagrad(params, grads, h, lr, eps, clip=None):
    _update(_adagrad, plain.adagrad, (params, grads, h), (lr, eps), (), clip)


@update_rules.rmsprop.fast("numpy", compiler="numba")
def rmsprop(params, grads, h, lr, rho, eps, clip=None):
    _update(_rmsprop, plain.rmsprop, (params, grads, h), (lr, rho, eps), (1,), clip)


@update_rules.adam.fast("numpy", compiler="numba")
def adam(params, grads, m, v, alpha, beta1, beta2, eps, clip=None):
    _update(_adam, plain.adam, (params, grads, m, v), (alpha, beta1, beta2, eps), (1, 2), clip)
