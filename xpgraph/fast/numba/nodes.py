"""Bodies compiled by numba of the kernels in xpgraph/nodes: Affine, sigmoid and the loss.

e^x in float32 follows Cephes' expf. In float64 the loss calls the C library, for its few numbers; the activations leave
float64 to NumPy, where a loop of our own gains nothing. The exponential stands in this file because numba's cache only
watches the file of the loop it compiled: after a change elsewhere it would go on using the old code.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import extending

from ...nodes import layers, losses
from ..blocks import each_block
from ..buffers import fresh, fresh_product
from ..numpy import nodes as numpys

if getattr(numba.config, "DISABLE_JIT", 0):
    raise ImportError("NUMBA_DISABLE_JIT is set: the loops would run as Python")

F32, F64 = np.dtype(np.float32), np.dtype(np.float64)
FLOATS = (F32, F64)


def compiled(function: Callable[..., Any]) -> Any:
    """The loop as machine code, compiled at its first call for each combination of dtypes.

    numba keeps the code beside the source file or in the user's cache folder, so only the first run waits for the
    compiler. Where neither folder can be written to, every process compiles again.
    """

    def compile_with(cache: bool) -> Any:
        compiler = numba.njit(nogil=True, error_model="numpy", fastmath={"contract", "nsz"}, cache=cache)
        return compiler(function)

    try:
        return compile_with(cache=True)
    except RuntimeError:  # no folder that can be written to
        return compile_with(cache=False)


def _packed(a, dtypes=(F32,)):
    """Is ``a`` of one of these dtypes, in C order, with at least one axis?"""
    return a.dtype in dtypes and a.flags.c_contiguous and a.ndim > 0


# --- e^x in float32 -------------------------------------------------------------------------------------------

# x = n ln 2 + r, e^x = 2^n e^r; the constants are those of Cephes' expf (Moshier, netlib.org/cephes).
# Adding ROUND to n leaves n in the lowest bits of the sum: no conversion to an integer, which NaN would not survive.
ROUND = np.float32(1.5 * 2**23)
ROUND_BITS = np.int32(0x4B400000)
LOG2_E, LN2_HIGH, LN2_LOW = np.float32(1.44269504), np.float32(0.693359375), np.float32(-2.12194440e-4)
P0, P1, P2 = np.float32(1.9875691500e-4), np.float32(1.3981999507e-3), np.float32(8.3334519073e-3)
P3, P4, P5 = np.float32(4.1665795894e-2), np.float32(1.6666665459e-1), np.float32(5.0000001201e-1)
UNDERFLOW = np.float32(-104)  # below this, e^x is 0
ONE, ZERO = np.float32(1), np.float32(0)


@numba.njit(inline="always")
def _power_of_two(n):
    return np.int32((n + 127) << 23).view(np.float32)


@numba.njit(inline="always")
def exp_float32(x):
    """e^x for x from UNDERFLOW to 88, NaN for NaN. 2^n is split into two factors because a result may be subnormal."""
    shifted = x * LOG2_E + ROUND
    n = shifted - ROUND
    r = x - n * LN2_HIGH
    r = r - n * LN2_LOW
    p = ((((P0 * r + P1) * r + P2) * r + P3) * r + P4) * r + P5
    p = p * (r * r) + r + ONE
    whole = np.int32(np.float32(shifted).view(np.int32) - ROUND_BITS)
    half = np.int32(whole >> 1)
    return p * _power_of_two(half) * _power_of_two(np.int32(whole - half))


def _exp_nonpositive(x):
    """e^x for x <= 0, in float32 or float64; exists only inside compiled loops."""


@extending.overload(_exp_nonpositive, inline="always")
def _compile_exp_nonpositive(x):
    if x == numba.float32:
        return lambda x: exp_float32(max(x, UNDERFLOW)) if x == x else x
    return lambda x: math.exp(x)


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
        return numpys.affine(x, W, b)
    y = np.matmul(x, W, out=fresh_product(x, W))
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
        if a < UNDERFLOW:
            a = UNDERFLOW
        z = exp_float32(a)
        y[i] = (ONE if x[i] >= ZERO else z) / (ONE + z)


@layers.sigmoid.fast("numpy", compiler="numba")
def sigmoid(x):
    if not _packed(x):
        return numpys.sigmoid(x)
    y = fresh(x.shape, F32)
    each_block(_sigmoid, x, y)
    return y


@compiled
def _sigmoid_grad(dy, x, dx):
    dy, x, dx = dy.reshape(-1), x.reshape(-1), dx.reshape(-1)
    for i in range(x.size):
        a = -abs(x[i])
        if a < UNDERFLOW:
            a = UNDERFLOW
        z = exp_float32(a)
        s = ONE + z
        dx[i] = dy[i] * (z / (s * s))


@layers.sigmoid_grad.fast("numpy", compiler="numba")
def sigmoid_grad(dy, x):
    if not (_packed(x) and _packed(dy) and x.shape == dy.shape):
        return numpys.sigmoid_grad(dy, x)
    dx = fresh(x.shape, F32)
    each_block(_sigmoid_grad, dy, x, dx)
    return dx


@compiled
def _softmax_cross_entropy(x, t, y, dx):
    """The mean loss; NaN for a label out of range.

    Each step is a pass over all rows, so that the compiler computes several exponentials side by side.
    """
    rows, classes = x.shape
    total = 0.0
    for i in range(rows):
        if not 0 <= t[i] < classes:
            return math.nan
        largest = x[i, 0]
        for j in range(1, classes):
            if not x[i, j] <= largest:  # NaN too
                largest = x[i, j]
        for j in range(classes):
            y[i, j] = x[i, j] - largest
        total -= y[i, t[i]]
    flat, grads = y.reshape(-1), dx.reshape(-1)
    for k in range(flat.size):
        flat[k] = _exp_nonpositive(flat[k])
    one = x.dtype.type(1)
    share = one / x.dtype.type(rows)
    for i in range(rows):
        s = 0.0  # in float64: many classes, added one after the other, would cost many digits
        for j in range(classes):
            s += y[i, j]
        total += math.log(s)
        r = x.dtype.type(1.0 / s)
        for j in range(classes):
            y[i, j] *= r
    for k in range(flat.size):
        grads[k] = flat[k] * share
    for i in range(rows):
        dx[i, t[i]] = (y[i, t[i]] - one) * share
    return total / rows


@losses.softmax_cross_entropy.fast("numpy", compiler="numba")
def softmax_cross_entropy(x, t):
    if t.ndim != x.ndim - 1 or t.ndim == 0 or t.dtype != np.int64 or not _packed(x, FLOATS):
        return numpys.softmax_cross_entropy(x, t)
    y, dx = fresh(x.shape, x.dtype), fresh(x.shape, x.dtype)
    arrays = x, t, y, dx
    rows = arrays if x.ndim == 2 else [a.reshape(-1, *a.shape[x.ndim - 1 :]) for a in arrays]
    loss = _softmax_cross_entropy(*rows)
    if loss != loss:  # a label out of range, or a score that is not finite
        return numpys.softmax_cross_entropy(x, t)
    return x.dtype.type(loss), y, dx
