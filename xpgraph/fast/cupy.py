"""Bodies for CuPy: our own CUDA kernels and cuBLASLt products, one launch each, without reading a value on the host.

Arrays that a body does not take (other dtypes, with gaps, empty) go to the generic body, in which CuPy launches a
kernel for each operation. ``cuda/`` holds the CUDA sources and what launches and captures them.
"""

from __future__ import annotations

import math
import warnings
from functools import cache
from typing import Any

import cupy
import numpy as np

from ..arrays.matmul_precision import current_precision
from ..nodes import basic, layers, losses
from ..training import clipping, replay, update_rules
from .cuda import capture, cublaslt, device
from .cuda.update import pieces, run_update


def generic(function: Any, *args: Any) -> Any:
    """The generic body, for arrays that the fast body does not take."""
    return function.row.body("cupy", generic=True)(*args)


@basic.matmul.fast("cupy")
def matmul(a, b, out=None):
    product = _product(a, b, out)
    if product is None:
        return generic(basic.matmul, a, b, out)
    return product


@layers.affine.fast("cupy")
def affine(x, W, b):
    if b.dtype == x.dtype and b.ndim == 1 and b.flags.c_contiguous:
        y = _product(x, W, None, bias=b)
        if y is not None:
            return y
    y = matmul(x, W)
    if not (_one_real_dtype(y, b) and b.shape == y.shape[1:] and y.flags.c_contiguous):
        y += b
    elif y.size:
        b = cupy.ascontiguousarray(b)
        device.launch("add_bias", y.dtype.name, _grid(y.size), 256, (y.data.ptr, b.data.ptr, *y.shape))
    return y


@layers.affine_grad.fast("cupy")
def affine_grad(x, dy, dW, db):
    if not (db.dtype == dy.dtype and db.flags.c_contiguous and _product(x.T, dy, dW, column_sum=db) is not None):
        matmul(x.T, dy, dW)
        sum_to(dy, db.shape, db)


def _product(a: Any, b: Any, out: Any, **epilogue: Any) -> Any:
    """a @ b by cuBLASLt, into ``out`` if given; None, with nothing computed, where cuBLASLt cannot."""
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0] or not _one_real_dtype(a, b) or not _loaded():
        return None
    shape = (a.shape[0], b.shape[1])
    if out is not None and (out.shape != shape or out.dtype != a.dtype):
        return None
    y = cupy.empty(shape, a.dtype) if out is None else out
    for _ in range(2):
        if cublaslt.matmul(a, b, y, precision=current_precision(), **epilogue):
            return y
        if epilogue or not a.size or not b.size:
            return None
        a, b = cupy.ascontiguousarray(a), cupy.ascontiguousarray(b)  # reversed or strided: copy, and try again
    return None


@cache
def _loaded() -> bool:
    reason = cublaslt.available()
    if reason is not None:
        warnings.warn(
            f"xpgraph: cuBLASLt cannot be loaded ({reason}); cupy.matmul is used, and steps are not captured as CUDA "
            "graphs. pip install nvidia-cublas (CUDA 13) or nvidia-cublas-cu12 brings it.",
            RuntimeWarning,
            stacklevel=2,
        )
    return reason is None


def _elementwise(function: Any) -> None:
    """Declare a body for a kernel of one or two arrays of one shape; it launches the CUDA kernel of the same name."""
    name = function.row.name

    def of_one_array(x):
        return _map(name, function, x)

    def of_two_arrays(dy, x):
        return _map(name, function, dy, x)

    function.fast("cupy")(of_two_arrays if len(function.row.parameters) == 2 else of_one_array)


def _map(name: str, function: Any, *arrays: Any) -> Any:
    """Launch kernel ``name`` on arrays of one shape; the generic body of ``function`` on others."""
    first = arrays[0]
    if not _one_real_dtype(*arrays) or any(a.shape != first.shape for a in arrays):
        return generic(function, *arrays)
    arrays = tuple(cupy.ascontiguousarray(a) for a in arrays)
    out = cupy.empty(first.shape, first.dtype)
    if out.size:
        args = (*(a.data.ptr for a in arrays), out.data.ptr, out.size)
        device.launch(name, out.dtype.name, _grid(out.size), 256, args)
    return out


for _function in (layers.sigmoid, layers.sigmoid_grad, layers.relu, layers.relu_grad, layers.tanh, layers.tanh_grad):
    _elementwise(_function)


@basic.sum_to.fast("cupy")
def sum_to(dz, shape, out=None):
    if not (dz.ndim == 2 and shape == dz.shape[1:] and dz.size and _one_real_dtype(dz) and dz.flags.c_contiguous) or (
        out is not None and not (out.dtype == dz.dtype and out.flags.c_contiguous)
    ):
        return generic(basic.sum_to, dz, shape, out)
    total = cupy.empty(shape, dz.dtype) if out is None else out
    device.launch("column_sum", dz.dtype.name, -(-shape[0] // 32), 256, (dz.data.ptr, total.data.ptr, *dz.shape))
    return total


@losses.softmax_cross_entropy.fast("cupy")
def softmax_cross_entropy(x, t):
    indices = t.ndim < x.ndim
    if indices:
        fits = t.dtype == np.int64 and t.shape == x.shape[:-1]
    else:
        fits = t.dtype == x.dtype and t.shape == x.shape
    if not (_one_real_dtype(x) and fits and x.size):
        return generic(losses.softmax_cross_entropy, x, t)
    x, t = cupy.ascontiguousarray(x), cupy.ascontiguousarray(t)
    rows, classes = math.prod(x.shape[:-1]), x.shape[-1]
    y, dx, loss, row_losses = (cupy.empty(shape, x.dtype) for shape in (x.shape, x.shape, (), rows))
    device.launch(
        "softmax_cross_entropy", x.dtype.name, -(-rows // 4), 128,
        (x.data.ptr, t.data.ptr if indices else 0, 0 if indices else t.data.ptr, y.data.ptr, dx.data.ptr,
         row_losses.data.ptr, loss.data.ptr, device.ticket().data.ptr, rows, classes),
    )  # fmt: skip
    return loss, y, dx


@replay.gather.fast("cupy")
def gather(x, t, rows):
    if not all(a.flags.c_contiguous for a in (x, t, rows)) or rows.dtype != np.int64:
        return generic(replay.gather, x, t, rows)
    return capture.gathered(x, t, rows, 0, rows.size, None)


@clipping.clip_rate.fast("cupy")
def clip_rate(grads, max_norm):
    packed = all(g.flags.c_contiguous or g.flags.f_contiguous for g in grads)
    if not any(g.size for g in grads) or not _one_real_dtype(*grads) or not packed:
        return generic(clipping.clip_rate, grads, max_norm)
    dtype = grads[0].dtype
    table = pieces([grads] * 2)
    partials, rate, norm = (cupy.empty(shape, dtype) for shape in (max(1, len(table)), (), ()))
    ticket, bound = device.ticket().data.ptr, dtype.type(max_norm)
    args = (table.data.ptr, partials.data.ptr, ticket, bound, rate.data.ptr, norm.data.ptr)
    device.launch("clip_rate", dtype.name, len(table), 256, args)
    return rate, norm


@update_rules.sgd.fast("cupy")
def sgd(params, grads, lr, clip=None):
    run_update(update_rules.sgd, (params, grads), (lr,), clip)


@update_rules.momentum.fast("cupy")
def momentum(params, grads, v, lr, mu, clip=None):
    run_update(update_rules.momentum, (params, grads, v), (lr, mu), clip)


@update_rules.adagrad.fast("cupy")
def adagrad(params, grads, h, lr, eps, clip=None):
    run_update(update_rules.adagrad, (params, grads, h), (lr, eps), clip)


@update_rules.rmsprop.fast("cupy")
def rmsprop(params, grads, h, lr, rho, eps, clip=None):
    run_update(update_rules.rmsprop, (params, grads, h), (lr, rho, eps), clip)


@update_rules.adam.fast("cupy")
def adam(params, grads, m, v, alpha, beta1, beta2, eps, clip=None):
    run_update(update_rules.adam, (params, grads, m, v), (alpha, beta1, beta2, eps), clip)


@replay.replay.fast("cupy")
def replay_steps(x, steps, graph):
    return capture.captured(steps, graph)


def _one_real_dtype(*arrays: Any) -> bool:
    """Are all arrays float32, or all float64?"""
    dtype = arrays[0].dtype
    return dtype.name in device.REALS and all(a.dtype == dtype for a in arrays)


def _grid(n: int) -> int:
    return min(-(-n // 256), 8192)  # blocks of 256; where they are too few, each thread does several elements
