"""Shared and tied parameters.

A slot is a place in the parallel lists ``params`` and ``grads``. Two slots with the same memory are one parameter: as
it is (a shared layer) or transposed (tied weights). Memory decides, never the values: two matrices of zeros are two
parameters.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..arrays.libraries import Array, layout, library_of
from ..errors import ShapeError
from .basic import accumulate


class Slot(NamedTuple):
    """Whose parameter a slot has: ``first``, the index of the first slot with that memory; as it is, or transposed."""

    first: int
    transposed: bool


def plan(params: list[Array]) -> list[Slot]:
    """For each slot, the first slot with the same memory: itself, where no earlier one has it."""
    seen: dict[Any, int] = {}  # {memory: index of its first slot}
    slots = []
    for i, p in enumerate(params):
        if 0 in p.shape:  # no memory that could be shared
            slots.append(Slot(i, False))
            continue
        address, shape, strides = layout(p)
        where = (library_of(p).name, p.dtype, address)
        memory = (*where, tuple(shape), _strides_that_matter(shape, strides))
        transposed = (*where, tuple(shape)[::-1], _strides_that_matter(shape, strides)[::-1]) if p.ndim == 2 else None
        if memory in seen:
            slots.append(Slot(seen[memory], False))
        elif transposed in seen:
            slots.append(Slot(seen[transposed], True))
        else:
            seen[memory] = i
            slots.append(Slot(i, False))
    return slots


def _strides_that_matter(shape: tuple[int, ...], strides: tuple[int, ...]) -> tuple[int, ...]:
    """The strides; 0 for an axis of length 1, which may have any."""
    return tuple(0 if n == 1 else s for n, s in zip(shape, strides, strict=True))


def merge(slots: list[Slot], params: list[Array], grads: list[Array]) -> tuple[list[Array], list[Array]]:
    """Each parameter once, with the sum of its slots' gradients, written into the gradient array of its first slot."""
    if len(params) != len(slots) or len(grads) != len(slots):
        found = f"there are {len(params)} params and {len(grads)} grads"
        raise ShapeError(f"Merging gradients: {found}; give two parallel lists of {len(slots)}.")
    for i, (first, transposed) in enumerate(slots):
        if first != i and layout(grads[i]).address != layout(grads[first]).address:  # one array, listed twice: once
            accumulate(grads[first], grads[i].T if transposed else grads[i])
    firsts = [i for i, (first, _) in enumerate(slots) if first == i]
    return [params[i] for i in firsts], [grads[i] for i in firsts]


def remove_duplicates(params: list[Array], grads: list[Array]) -> tuple[list[Array], list[Array]]:
    """The two lists with each parameter once: the gradients of slots that share memory are summed.

    As in the chapter, the sum is written into the gradient array of the first slot, so call it once per backward.
    Unlike the chapter, arrays are one parameter when they have the same memory (equal address, shape and strides, or
    transposed), not when their values happen to be equal. Nothing is read from the device.
    """
    return merge(plan(params), params, grads)
