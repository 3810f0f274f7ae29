"""The update rules of the optimizers, in the letters of the papers. One call updates all parameters in place.

``params``, ``grads`` and the state (v, h, m) are parallel lists of arrays. ``clip``: a 0-d factor that multiplies every
g first, or None.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..arrays.kernels import kernel
from ..arrays.libraries import Array


@kernel
def sgd(xp: Any, params: list[Array], grads: list[Array], lr: float, clip: Array | None = None) -> None:
    """θ ← θ - η g"""
    for p, g in zip(params, _clipped(xp, grads, clip), strict=True):
        p -= lr * g


@kernel
def momentum(
    xp: Any, params: list[Array], grads: list[Array], v: list[Array], lr: float, mu: float, clip: Array | None = None
) -> None:
    """v ← μ v - η g;  θ ← θ + v"""
    for p, g, vi in zip(params, _clipped(xp, grads, clip), v, strict=True):
        vi *= mu
        vi -= lr * g
        p += vi


@kernel
def adagrad(
    xp: Any, params: list[Array], grads: list[Array], h: list[Array], lr: float, eps: float, clip: Array | None = None
) -> None:
    """h ← h + g²;  θ ← θ - η g / (√h + ε)"""
    for p, g, hi in zip(params, _clipped(xp, grads, clip), h, strict=True):
        hi += g * g
        p -= lr * g / (xp.sqrt(hi) + eps)


@kernel
def rmsprop(
    xp: Any,
    params: list[Array],
    grads: list[Array],
    h: list[Array],
    lr: float,
    rho: float,
    eps: float,
    clip: Array | None = None,
) -> None:
    """h ← ρ h + (1-ρ) g²;  θ ← θ - η g / (√h + ε)"""
    for p, g, hi in zip(params, _clipped(xp, grads, clip), h, strict=True):
        hi *= rho
        hi += (1.0 - rho) * (g * g)
        p -= lr * g / (xp.sqrt(hi) + eps)


@kernel
def adam(
    xp: Any,
    params: list[Array],
    grads: list[Array],
    m: list[Array],
    v: list[Array],
    alpha: float,
    beta1: float,
    beta2: float,
    eps: float,
    clip: Array | None = None,
) -> None:
    """m ← β₁ m + (1-β₁) g;  v ← β₂ v + (1-β₂) g²;  θ ← θ - α m / (√v + ε). α and ε include the bias correction."""
    for p, g, mi, vi in zip(params, _clipped(xp, grads, clip), m, v, strict=True):
        mi *= beta1
        mi += (1.0 - beta1) * g
        square = g * g  # in place from here on: new memory for each term takes longer than its arithmetic
        square *= 1.0 - beta2
        vi *= beta2
        vi += square
        root = xp.sqrt(vi)
        root += eps
        step = mi / root
        step *= alpha
        p -= step


def _clipped(xp: Any, grads: list[Array], clip: Array | None) -> Iterator[Array]:
    return iter(grads) if clip is None else (g * xp.astype(clip, g.dtype, copy=False) for g in grads)
