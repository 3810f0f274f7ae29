"""The update of all parameters in one launch: cut into pieces, whose addresses a table on the device holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import cupy
import numpy as np

from . import device

SHORT, LONG, MANY = 2048, 16384, 1 << 23  # elements of a piece; of a long one, used from MANY elements in all on
MAX_TABLES = 16  # kept, because the arrays of a model lie at the same addresses in every step
# The numbers that a CUDA kernel takes, made from those of the rule: 1 - n is computed here, in double precision.
NUMBERS: dict[str, Callable[..., tuple[float, ...]]] = {
    "rmsprop": lambda lr, rho, eps: (lr, rho, 1.0 - rho, eps),
    "adam": lambda alpha, beta1, beta2, eps: (alpha, beta1, 1.0 - beta1, beta2, 1.0 - beta2, eps),
}
_tables: dict[tuple[int, ...], Any] = {}


class Feed(NamedTuple):
    """Takes the place of each number of a rule in a step whose kernel reads the numbers on the device.

    ``table``: a row of numbers for each step. ``cells``: two int64, the next step and this one. The kernel writes
    ``loss`` to ``losses[this step]`` and counts the step.
    """

    table: Any
    cells: Any
    loss: Any
    losses: Any


def expand(rule: Any, numbers: Sequence[float]) -> tuple[float, ...]:
    """The numbers of a rule (lr, ...) as its CUDA kernel takes them."""
    name = rule.row.name
    return NUMBERS[name](*numbers) if name in NUMBERS else tuple(numbers)


def fits(lists: Sequence[Sequence[Any]]) -> bool:
    """Can one kernel update these parallel lists (parameters, gradients, states)?

    It can if all arrays are float32, or all float64, and those of one parameter have the same memory order.
    """
    dtype = lists[0][0].dtype
    if dtype.name not in device.REALS or any(a.dtype != dtype for arrays in lists for a in arrays):
        return False
    flags = [[a.flags for a in arrays] for arrays in zip(*lists, strict=True)]
    return all(all(f.c_contiguous for f in each) or all(f.f_contiguous for f in each) for each in flags)


def run_update(rule: Any, lists: Sequence[Sequence[Any]], numbers: Sequence[Any], clip: Any) -> None:
    """One step of ``rule`` on all parameters, in place; by the generic body where the kernel cannot.

    ``lists``: parameters, gradients, states. ``numbers``: the rule's, or a Feed in place of each. ``clip``: None, or a
    0-d array by which the kernel multiplies every gradient.
    """
    dtype = lists[0][0].dtype
    feed = numbers[0] if isinstance(numbers[0], Feed) else None
    if feed is None and (not fits(lists) or (clip is not None and clip.dtype != dtype)):
        rule.row.body("cupy", generic=True)(*lists, *numbers, clip)
        return
    table = pieces(lists)
    if not len(table) and feed is None:
        return
    count = len(expand(rule, [0.0] * len(numbers)))
    scalars = [0.0] * count if feed is not None else expand(rule, numbers)
    addresses = (0, 0, 0, 0) if feed is None else tuple(a.data.ptr for a in feed)
    device.launch(
        rule.row.name, dtype.name, len(table), 256,
        (table.data.ptr, *(dtype.type(n) for n in scalars), 0 if clip is None else clip.data.ptr, *addresses),
    )  # fmt: skip


def pieces(lists: Sequence[Sequence[Any]]) -> Any:
    """The table of an update, on the device: int64 (pieces, 5), each row a ``Piece`` of prelude.cu.

    Its numbers are the addresses of parameter, gradient and up to two states, and the length.
    """
    places = (number for arrays in lists for a in arrays for number in (a.data.ptr, a.size))
    key = (len(lists), lists[0][0].dtype.itemsize, *places)  # an address may be reused for an array of another dtype
    table = _tables.get(key)
    if table is None:
        rows = _rows(lists)
        with cupy.cuda.using_allocator(cupy.get_default_memory_pool().malloc):  # it may outlive the pool of a lane
            table = cupy.empty(rows.shape, np.int64)
        if rows.size:
            device.upload(table, rows)
        while len(_tables) >= MAX_TABLES:
            _tables.pop(next(iter(_tables)))
        _tables[key] = table
    return table


def tables() -> list[Any]:
    """The tables made so far. A captured step keeps them, because its graph holds their addresses."""
    return list(_tables.values())


def _rows(lists: Sequence[Sequence[Any]]) -> np.ndarray:
    total = sum(a.size for a in lists[0])
    longest = LONG if total >= MANY else SHORT
    rows = []
    for arrays in zip(*lists, strict=True):
        size, item = arrays[0].size, arrays[0].dtype.itemsize
        for start in range(0, size, longest):
            addresses = [a.data.ptr + start * item for a in arrays]
            rows.append([*addresses, *[0] * (4 - len(addresses)), min(longest, size - start)])
    return np.array(rows, np.int64).reshape(-1, 5)
