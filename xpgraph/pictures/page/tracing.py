"""Run a graph forward and backward, and record what each call of a node's backward was given and returned."""

from __future__ import annotations

import contextlib
from typing import Any, NamedTuple

from ...arrays.libraries import is_array, namespace_of
from ...graph.graph import Graph
from ...graph.network import Network
from ...nodes.copying import namespace_copy, twin
from ...nodes.wires import node_name
from ..drawing.graph_reader import backward_to_inputs

# One element of the output depends on one element of each input, so the derivative is an array of the same shape.
_ELEMENTWISE = {"Add", "Subtract", "Multiply", "Divide", "Exp", "Log", "Power", "Sigmoid", "ReLU", "Tanh"}


class BackwardCall(NamedTuple):
    """Backward of call ``call``: it was given ``douts`` and returned ``dxs``, one for each input (None for labels)."""

    call: int
    douts: tuple[Any, ...]
    dxs: list[Any]


class _Recorder:
    """Stands in for a node during a run and records its backward."""

    def __init__(self, node: Any, call: int, n_inputs: int, record: list[BackwardCall]) -> None:
        self._node, self._call, self._n_inputs, self._record = node, call, n_inputs, record

    def __getattr__(self, name: str) -> Any:
        return getattr(self._node, name)

    def __repr__(self) -> str:
        return node_name(self._node)

    def backward(self, *douts: Any, **options: Any) -> Any:
        dx = self._node.backward(*douts, **options)
        dxs = list(dx) if isinstance(dx, tuple | list) else [dx]
        self._record.append(BackwardCall(self._call, douts, dxs + [None] * (self._n_inputs - len(dxs))))
        return dx


def trace_backward(graph: Graph, inputs: tuple[Any, ...]) -> list[BackwardCall]:
    """Run ``graph.trace``; return the calls of backward in the order in which they ran."""
    record: list[BackwardCall] = []
    steps, _ = graph.wiring.steps, graph.calls  # graph.calls now: made later, they would hold the recorders
    nodes = graph.nodes
    graph.nodes = [_Recorder(node, k, len(steps[k][0]), record) for k, node in enumerate(nodes)]
    try:
        graph.trace(*inputs)
    finally:
        graph.nodes = nodes
    return record


def local_derivatives(node: Any, inputs: list[Any], outputs: list[Any]) -> list[Any] | None:
    """∂y/∂x for each input, if each is an array of y's shape (or a number); else None, and only the formula says it."""
    if len(outputs) != 1 or isinstance(node, Network):
        return None
    y = outputs[0]
    only_numbers = all(is_array(a) and not a.shape for a in (*inputs, y)) and not len(getattr(node, "params", ()))
    if not only_numbers and type(node).__name__ not in _ELEMENTWISE:
        return None
    with contextlib.suppress(Exception):  # a user's own node may do anything; the page then shows the formula alone
        xp, again = namespace_of(y), twin(node)
        again.forward(*(xp.asarray(xp.broadcast_to(x, y.shape), copy=True) for x in inputs))
        dxs = backward_to_inputs(again, [xp.ones_like(y)])
        return [namespace_copy(d) for d in dxs] if len(dxs) == len(inputs) else None
    return None
