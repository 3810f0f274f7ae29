"""Floor 4: parameters that are one, and gradients that are too long.

Two slots that hold the same memory are one parameter: as it is (a shared layer) or transposed (tied weights).
Memory decides, never the values: two matrices of zeros are two parameters.
"""

from __future__ import annotations

import math
from numbers import Real
from typing import Any, NamedTuple

from .errors import ShapeError
from .kernel import kernel
from .namespace import Array, dtype_name, layout, library_of, namespace_of
from .nodes import add


@kernel
def global_norm(xp: Any, grads: list[Array]) -> Array:
    """√ΣΣ g², accumulated in float32 or better; 0-d."""
    total = None
    for g in grads:
        if dtype_name(g) not in ("float32", "float64"):
            g = xp.astype(g, xp.float32)
        square = xp.sum(g * g)
        total = square if total is None else total + square
    return xp.sqrt(total)


@kernel
def scale(xp: Any, grads: list[Array], rate: Array) -> None:
    """g ← g · rate, in place; rounded once, since a small rate is 0 in float16."""
    for g in grads:
        if g.dtype == rate.dtype:
            g *= rate
        else:
            g[...] = xp.astype(xp.astype(g, rate.dtype) * rate, g.dtype)


class Slot(NamedTuple):
    """Where the gradient of a slot belongs: to parameter ``first`` (a slot number), transposed or as it is."""

    first: int
    transposed: bool


def plan(params: list[Array]) -> list[Slot]:
    """For each slot, the first slot with the same memory (itself, if it is the first)."""
    seen: dict[Any, int] = {}
    slots = []
    for i, p in enumerate(params):
        if 0 in p.shape:
            slots.append(Slot(i, False))
            continue
        address, shape, strides = layout(p)
        where = (library_of(p).name, p.dtype, address)
        same = (*where, tuple(shape), _long(shape, strides))
        tied = (*where, tuple(shape)[::-1], _long(shape, strides)[::-1]) if p.ndim == 2 else None
        if same in seen:
            slots.append(Slot(seen[same], False))
        elif tied in seen:
            slots.append(Slot(seen[tied], True))
        else:
            seen[same] = i
            slots.append(Slot(i, False))
    return slots


def _long(shape: tuple[int, ...], strides: tuple[int, ...]) -> tuple[int, ...]:
    """The strides that matter: an axis of length 1 may have any."""
    return tuple(0 if n == 1 else s for n, s in zip(shape, strides, strict=True))


def merge(slots: list[Slot], params: list[Array], grads: list[Array]) -> tuple[list[Array], list[Array]]:
    """Each parameter once, with the sum of the gradients of its slots, written into that of its first slot."""
    if len(params) != len(slots) or len(grads) != len(slots):
        raise ShapeError(
            f"sharing: {len(params)} params and {len(grads)} grads; two parallel lists of {len(slots)} are needed."
        )
    for i, (first, transposed) in enumerate(slots):
        if (
            first != i and layout(grads[i]).address != layout(grads[first]).address
        ):  # one array listed twice counts once
            grads[first][...] = add(grads[first], grads[i].T if transposed else grads[i])
    kept = [i for i, (first, _) in enumerate(slots) if first == i]
    return [params[i] for i in kept], [grads[i] for i in kept]


def remove_duplicates(params: list[Array], grads: list[Array]) -> tuple[list[Array], list[Array]]:
    """The two lists without the slots that share memory with an earlier one, their gradients summed.

    As in the chapter, the sum is written into the gradient array of the first slot, so call it once per backward.
    Unlike the chapter, arrays are one parameter when they are the same memory (equal, or transposed, address, shape
    and strides), not when their values happen to be equal. Nothing is read from the device.
    """
    return merge(plan(params), params, grads)


def clip_grads(grads: list[Array], max_norm: float) -> Array:
    """Scale the gradients in place so that their joint L2 norm is at most ``max_norm``; 0-d norm before clipping.

    g ← g · min(1, max_norm / (norm + 1e-6)), as in the chapter, with no branch: nothing is read from the device.
    A norm that is not finite makes every gradient NaN, so that it cannot pass unseen. (Pascanu et al. 2013)
    """
    if isinstance(max_norm, bool) or not isinstance(max_norm, Real) or not 0 < max_norm < math.inf:
        raise ValueError(f"clip_grads: max_norm is {max_norm!r}; give a positive number.")
    norm = global_norm(grads)
    shrink(grads, norm, max_norm)
    return norm


def shrink(grads: list[Array], norm: Array, max_norm: float) -> None:
    """The second half of ``clip_grads``: scale gradients whose joint norm is known."""
    xp = namespace_of(norm)
    rate = float(max_norm) / (norm + 1e-6)
    rate = xp.where(rate > 1.0, xp.ones_like(rate), rate)
    scale(grads, xp.where(xp.isfinite(norm), rate, xp.full_like(rate, math.nan)))
