"""The state of nodes besides their parameters: what they remember, and the random generators that they hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..nodes.copying import parts


class Stateful(NamedTuple):
    """Something in a model that has a state besides parameters: a node, or a random generator of NumPy."""

    get: Callable[[], Any]
    load: Callable[[Any], Any]
    on_host: bool  # a generator, whose state is NumPy's; the state of a node moves to where the model lives


def stateful_parts(model: Any) -> list[Stateful]:
    """The nodes of a model with ``state`` and ``load_state``, and NumPy's generators in their attributes, each once."""
    stateful: list[Stateful] = []
    seen: set[int] = set()
    for part in parts(model):
        if callable(getattr(part, "load_state", None)):
            stateful.append(Stateful(partial(getattr, part, "state"), part.load_state, on_host=False))
        for value in _flattened(vars(part).values()) if hasattr(part, "__dict__") else ():
            if not isinstance(value, np.random.Generator | np.random.RandomState):
                continue
            owner = value.bit_generator if isinstance(value, np.random.Generator) else value
            if id(owner) not in seen:
                seen.add(id(owner))
                stateful.append(_of_generator(owner))
    return stateful


def _of_generator(owner: np.random.BitGenerator | np.random.RandomState) -> Stateful:
    """A RandomState draws normal numbers in pairs, so its own state holds the second one too."""
    if isinstance(owner, np.random.RandomState):
        return Stateful(partial(owner.get_state, legacy=False), owner.set_state, on_host=True)
    return Stateful(partial(getattr, owner, "state"), partial(setattr, owner, "state"), on_host=True)


def _flattened(values: Iterable[Any]) -> Iterator[Any]:
    """The values; of lists, tuples and dicts, the values in them."""
    for value in values:
        if isinstance(value, list | tuple | dict):
            yield from _flattened(value.values() if isinstance(value, dict) else value)
        else:
            yield value
