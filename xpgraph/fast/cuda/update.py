"""The update of all parameters in one launch: a table of pieces on the device, one block for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import cupy
import numpy as np

from . import device

SHORT, LONG, MANY = 2048, 16384, 1 << 23  # elements of a piece, and of all parameters from which on pieces are long
KEPT = 16  # tables: a model's gradients lie at the same addresses in each step
# What a kernel takes, from what the rule takes: differences from 1 are made in double precision here.
NUMBERS: dict[str, Callable[..., tuple[float, ...]]] = {
    "rmsprop": lambda lr, rho, eps: (lr, rho, 1.0 - rho, eps),
    "adam": lambda alpha, beta1, beta2, eps: (alpha, beta1, 1.0 - beta1, beta2, 1.0 - beta2, eps),
}
_tables: dict[tuple[int, ...], Any] = {}


class Feed(NamedTuple):
    """What stands in for each number of a rule in a step that reads them from the device.

    ``table``: a row of numbers for each step; ``cells``: int64 (next step, this step); ``losses[this step]`` gets
    ``loss``.
    """

    table: Any
    cells: Any
    loss: Any
    losses: Any


def expand(rule: Any, numbers: Sequence[float]) -> tuple[float, ...]:
    """The numbers of a rule as its CUDA kernel takes them."""
    name = rule.row.name
    return NUMBERS[name](*numbers) if name in NUMBERS else tuple(numbers)


def fits(lists: Sequence[Sequence[Any]]) -> bool:
    """Can these parallel lists (parameters, gradients, state) be updated by one kernel?"""
    kind = lists[0][0].dtype
    if kind.name not in device.REALS or any(a.dtype != kind for arrays in lists for a in arrays):
        return False
    for arrays in zip(*lists, strict=True):
        orders = [(a.flags.c_contiguous, a.flags.f_contiguous) for a in arrays]
        if not all(c for c, _ in orders) and not all(f for _, f in orders):
            return False
    return True


def run_update(rule: Any, lists: Sequence[Sequence[Any]], numbers: Sequence[Any], clip: Any) -> None:
    """One step of ``rule`` on all parameters; the generic body where the kernel cannot."""
    kind = lists[0][0].dtype
    feed = numbers[0] if isinstance(numbers[0], Feed) else None
    if feed is None and (not fits(lists) or (clip is not None and clip.dtype != kind)):
        rule.row.body("cupy", generic=True)(*lists, *numbers, clip)
        return
    table = pieces(lists)
    if not len(table) and feed is None:
        return
    count = len(expand(rule, [0.0] * len(numbers)))
    scalars = [0.0] * count if feed is not None else expand(rule, numbers)
    ends = (0, 0, 0, 0) if feed is None else tuple(a.data.ptr for a in feed)
    device.launch(
        rule.row.name, kind.name, len(table), 256,
        (table.data.ptr, *(kind.type(n) for n in scalars), 0 if clip is None else clip.data.ptr, *ends),
    )  # fmt: skip


def pieces(lists: Sequence[Sequence[Any]]) -> Any:
    """The table of an update: int64 (pieces, 5), the addresses p, g, a, b and the length; ``Piece`` in prelude.cu."""
    numbers = (number for arrays in lists for a in arrays for number in (a.data.ptr, a.size))
    key = (len(lists), lists[0][0].dtype.itemsize, *numbers)  # addresses are given out again, to other dtypes too
    table = _tables.get(key)
    if table is None:
        rows = _rows(lists)
        with cupy.cuda.using_allocator(cupy.get_default_memory_pool().malloc):  # it may outlive a private pool
            table = cupy.empty(rows.shape, np.int64)
        if rows.size:
            device.upload(table, rows)
        while len(_tables) >= KEPT:
            _tables.pop(next(iter(_tables)))
        _tables[key] = table
    return table


def tables() -> list[Any]:
    """The tables at hand; who captures a step keeps them."""
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
