"""Walk through what a node is made of, and copy it: as it is, to another place, or as a twin.

A twin is a second use of a node: the same parameters, but gradients and saved values of its own.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ..arrays.libraries import Array, Place, is_array, layout, namespace_of


def is_node(thing: Any) -> bool:
    """Has it forward and backward? A user's own class needs no base class."""
    return callable(getattr(thing, "forward", None)) and callable(getattr(thing, "backward", None))


def parts(thing: Any, seen: set[int] | None = None) -> Iterator[Any]:
    """Every node inside ``thing``, itself included, each once: attributes, lists, tuples and dicts are searched."""
    seen = set() if seen is None else seen
    if id(thing) in seen or is_array(thing):
        return
    seen.add(id(thing))
    if is_node(thing):
        yield thing
        inside: Any = vars(thing).values() if hasattr(thing, "__dict__") else ()
    elif isinstance(thing, list | tuple):
        inside = thing
    elif isinstance(thing, dict):
        inside = thing.values()
    else:
        return
    for part in inside:
        yield from parts(part, seen)


def rebuild(thing: Any, replace: Callable[[Array], Array], memo: dict[int, Any]) -> Any:
    """A copy of a node with every array ``a`` replaced by ``replace(a)``; what forward saved is None in it.

    ``memo``: {id of an object: its copy}, so that what is one object stays one; entries given stand for their copies.
    """
    if id(thing) in memo:
        return memo[id(thing)]
    new: Any = thing
    if is_array(thing):
        new = replace(thing)
    elif isinstance(thing, list):
        new = [rebuild(part, replace, memo) for part in thing]
    elif type(thing) is tuple:
        new = tuple(rebuild(part, replace, memo) for part in thing)
    elif isinstance(thing, dict):
        new = {key: rebuild(part, replace, memo) for key, part in thing.items()}
    elif is_node(thing) and not isinstance(thing, type) and hasattr(thing, "__dict__"):
        new = copy.copy(thing)
        memo[id(thing)] = new  # before its parts: a part may point back
        saved = getattr(thing, "saved", ())
        for key, part in vars(thing).items():
            setattr(new, key, None if key in saved else rebuild(part, replace, memo))
    memo[id(thing)] = new
    return new


def twin(node: Any) -> Any:
    """The same parameters used a second time: the same arrays, with gradients and saved values of its own."""
    params = {id(p): p for p in getattr(node, "params", ())}
    return rebuild(node, namespace_copy, params)


def uses(nodes: Iterable[Any]) -> tuple[list[Any], dict[int, int]]:
    """The nodes as they run beside each other, a second use replaced by a twin; {index of a twin: of the first use}."""
    running: list[Any] = []
    twins: dict[int, int] = {}
    first_use: dict[int, int] = {}
    seen: set[int] = set()
    for i, node in enumerate(nodes):
        inside = {id(part) for part in parts(node)}
        if id(node) in first_use:
            twins[i] = first_use[id(node)]
        first_use.setdefault(id(node), i)
        running.append(node if seen.isdisjoint(inside) else twin(node))
        seen |= inside
    return running, twins


def namespace_copy(a: Array) -> Array:
    """A copy of an array, in its own library and on its own device."""
    return namespace_of(a).asarray(a, copy=True)


def move(node: Any, where: Place, dtype: str | None = None) -> Any:
    """A copy of a node in another place, its floating arrays as ``dtype`` if given.

    Arrays that share memory, as they are or transposed, share it there.
    """
    moved: dict[Any, Array] = {}  # by the layout of the original

    def moved_array(a: Array) -> Array:
        floating = dtype is not None and namespace_of(a).isdtype(a.dtype, "real floating")
        return where.asarray(a, dtype if floating else None, copy=True)

    def replace(a: Array) -> Array:
        here = layout(a)
        if 0 in a.shape:  # no memory that could be shared
            return moved_array(a)
        if here not in moved:
            moved[here] = moved_array(a)
            if a.ndim == 2:
                transposed = type(here)(here.address, here.shape[::-1], here.strides[::-1])
                moved.setdefault(transposed, where.xp.matrix_transpose(moved[here]))
        return moved[here]

    return rebuild(node, replace, {})
