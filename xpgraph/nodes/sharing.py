"""Floor 4: parameters that are one.

Two slots that hold the same memory are one parameter: as it is (a shared layer) or transposed (tied weights).
Memory decides, never the values: two matrices of zeros are two parameters.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..arrays.libraries import Array, layout, library_of
from ..errors import ShapeError
from .basic import accumulate


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
            accumulate(grads[first], grads[i].T if transposed else grads[i])
    kept = [i for i, (first, _) in enumerate(slots) if first == i]
    return [params[i] for i in kept], [grads[i] for i in kept]


def remove_duplicates(params: list[Array], grads: list[Array]) -> tuple[list[Array], list[Array]]:
    """The two lists without the slots that share memory with an earlier one, their gradients summed.

    As in the chapter, the sum is written into the gradient array of the first slot, so call it once per backward.
    Unlike the chapter, arrays are one parameter when they are the same memory (equal, or transposed, address, shape
    and strides), not when their values happen to be equal. Nothing is read from the device.
    """
    return merge(plan(params), params, grads)
