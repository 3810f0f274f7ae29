"""A run of a graph, listened to: what each call's backward was given, and what it returned."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from ...arrays.libraries import is_array, namespace_of
from ...graph.graph import Graph
from ...graph.network import Network
from ...graph.plan import takes_input_grad
from ...nodes.node import namespace_copy, twin
from ...nodes.wires import node_name

# Whose output element depends on one element of each input, so that the derivative is an array like them.
ELEMENTWISE = {"Add", "Subtract", "Multiply", "Divide", "Exp", "Log", "Power", "Sigmoid", "ReLU", "Tanh"}


class Heard(NamedTuple):
    """One call of backward. ``slopes``: for each input its gradient, None for labels."""

    call: int
    douts: tuple[Any, ...]
    slopes: list[Any]


class _Listener:
    """Stands in for a node while a graph runs."""

    def __init__(self, node: Any, call: int, inputs: int, heard: list[Heard]) -> None:
        self._node, self._call, self._inputs, self._heard = node, call, inputs, heard

    def __getattr__(self, name: str) -> Any:
        return getattr(self._node, name)

    def __repr__(self) -> str:
        return node_name(self._node)

    def backward(self, *douts: Any, **options: Any) -> Any:
        dx = self._node.backward(*douts, **options)
        slopes = list(dx) if isinstance(dx, tuple | list) and not is_array(dx) else [dx]
        slopes += [None] * (self._inputs - len(slopes))
        self._heard.append(Heard(self._call, douts, slopes))
        return dx


def trace(graph: Graph, inputs: tuple[Any, ...]) -> list[Heard]:
    """``graph.trace``; every call's backward in the order in which they ran."""
    heard: list[Heard] = []
    steps, _ = graph.wiring.steps, graph.calls  # the calls first: they hold the nodes, not who listens
    nodes = graph.nodes
    graph.nodes = [_Listener(node, k, len(steps[k][0]), heard) for k, node in enumerate(nodes)]
    try:
        graph.trace(*inputs)
    finally:
        graph.nodes = nodes
    return heard


def derivatives(node: Any, inputs: list[Any], outputs: list[Any]) -> list[Any] | None:
    """∂y/∂x for each input where it is an array of y's shape (or a number); None where only a formula can say it."""
    if len(outputs) != 1 or isinstance(node, Network):
        return None
    y = outputs[0]
    numbers = all(is_array(a) and not a.shape for a in (*inputs, y)) and not len(getattr(node, "params", ()))
    if not numbers and type(node).__name__ not in ELEMENTWISE:
        return None
    with contextlib.suppress(Exception):  # a reader's own node may do anything; then the formula stands alone
        xp, again = namespace_of(y), twin(node)
        again.forward(*(xp.asarray(xp.broadcast_to(x, y.shape), copy=True) for x in inputs))
        options = {"input_grad": True} if takes_input_grad(again.backward) else {}
        dx = again.backward(xp.ones_like(y), **options)
        found = list(dx) if isinstance(dx, tuple | list) else [dx]
        return [namespace_copy(d) for d in found] if len(found) == len(inputs) else None
    return None


def uses_of(heard: list[Heard], steps: Any) -> Iterator[tuple[int, int, int, Any]]:
    """(place in ``heard``, call, slot, gradient) of every gradient that came back to a slot."""
    for at, h in enumerate(heard):
        for slot, slope in zip(steps[h.call][0], h.slopes, strict=False):
            if slope is not None:
                yield at, h.call, slot, slope
