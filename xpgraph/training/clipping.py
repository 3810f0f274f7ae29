"""Gradient clipping: the joint norm of all gradients, and the factor that scales them down to a largest norm."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

from ..arrays.kernels import kernel
from ..arrays.libraries import Array, dtype_name
from ..nodes.checks import check_floating


@kernel
def global_norm(xp: Any, grads: list[Array]) -> Array:
    """√ΣΣ g², the joint L2 norm, 0-d; summed in float32 or wider."""
    total = None
    for g in grads:
        if dtype_name(g) not in ("float32", "float64"):
            g = xp.astype(g, xp.float32)
        square = xp.sum(g * g)
        total = square if total is None else total + square
    return xp.sqrt(total)


@kernel
def scale(xp: Any, grads: list[Array], rate: Array) -> None:
    """g ← g · rate, in place; computed in the dtype of ``rate``, because a small rate is 0 in float16."""
    for g in grads:
        g[...] = xp.astype(xp.astype(g, rate.dtype, copy=False) * rate, g.dtype, copy=False)


@kernel
def clip_rate(xp: Any, grads: list[Array], max_norm: float) -> tuple[Array, Array]:
    """(rate, norm), both 0-d: rate = min(1, max_norm / (norm + 1e-6)), or NaN if the joint norm is not finite."""
    norm = global_norm(grads)
    rate = max_norm / (norm + 1e-6)
    rate = xp.where(rate > 1.0, xp.ones_like(rate), rate)
    return xp.where(xp.isfinite(norm), rate, xp.full_like(rate, math.nan)), norm


def clip_grads(grads: list[Array], max_norm: float) -> Array:
    """Scale all gradients in place so that their joint L2 norm is at most ``max_norm``. (Pascanu et al. 2013)

    g ← g · min(1, max_norm / (norm + 1e-6)), as in the chapter, but without a branch, so that no value is read from
    the device. If the norm is not finite, every gradient becomes NaN, so that the error cannot go unnoticed.

    Returns the norm before clipping, a 0-d array. Raises ValueError for a ``max_norm`` that is not positive and finite,
    DTypeError for a gradient that is not a floating array.
    """
    if isinstance(max_norm, bool) or not isinstance(max_norm, Real) or not 0 < max_norm < math.inf:
        raise ValueError(f"clip_grads: max_norm is {max_norm!r}; give a positive number.")
    for i, g in enumerate(grads):
        check_floating("clip_grads: ", f"grads[{i}]", g)
    rate, norm = clip_rate(grads, float(max_norm))
    scale(grads, rate)
    return norm
