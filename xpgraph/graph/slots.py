"""What a Graph needs while it runs: results into slots, gradients to start from, the values of the last run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ..arrays.libraries import Array, namespace_of
from ..errors import Error, ShapeError
from ..nodes.basic import add
from ..nodes.checks import check_floating
from ..nodes.copying import parts
from ..nodes.wires import Wire, node_name
from .plan import BackwardStep
from .text_table import columns


class WireValues(Mapping[Wire, Array]):
    """What was on the wires of one graph in its last run; a wire without a value is not listed."""

    def __init__(self, wires: Sequence[Wire], slots: Sequence[Any]) -> None:
        self._by_wire = {w: a for w, a in zip(wires, slots, strict=False) if a is not None}

    def __getitem__(self, wire: Wire) -> Array:
        return self._by_wire[wire]

    def __iter__(self) -> Iterator[Wire]:
        return iter(self._by_wire)

    def __len__(self) -> int:
        return len(self._by_wire)


@contextmanager
def without_values(model: Any) -> Iterator[None]:
    """While the block runs, no Graph inside ``model`` stores the values and gradients of its runs; old ones go."""
    inside = [part for part in parts(model) if hasattr(part, "keep_values") and hasattr(part, "wiring")]
    graphs = [(graph, graph.keep_values) for graph in inside]
    for graph, _ in graphs:
        graph.keep_values = False
        graph.clear_values()
    try:
        yield
    finally:
        for graph, before in graphs:
            graph.keep_values = before


def is_number(d: Any) -> bool:
    """Is it a Python number? A scalar of NumPy's is an array with a dtype."""
    return isinstance(d, int | float) and not hasattr(d, "dtype")


def output_gradients(graph: Any, douts: tuple[Any, ...]) -> list[Any]:
    """The gradients by slot from which a Graph's backward starts: those of its outputs, None elsewhere."""
    w, values = graph.wiring, graph.saved_values
    gradients: list[Any] = [None] * len(w.names)
    if not douts and len(w.outputs) == 1:
        douts = (1,)
    if len(douts) != len(w.outputs):
        names = ", ".join(map(repr, graph.outputs))
        raise ShapeError(f"Graph.backward: {len(douts)} gradients came for the outputs ({names}); give each its own.")
    for s, dout in zip(w.outputs, douts, strict=True):
        shape = tuple(getattr(values[s], "shape", ()))
        if is_number(dout):
            if shape:
                name = repr(graph.wires[s])
                raise ShapeError(f"Graph.backward: {name} is {shape}; give its gradient, an array of that shape.")
            gradients[s] = dout if w.loss else gradient_like(values[s], dout)
        elif dout is not None:
            check_floating("Graph.backward: ", f"the gradient of {graph.wires[s]!r}", dout)
            gradients[s] = dout
    return gradients


def gradient_like(value: Any, d: Any) -> Any:
    """A gradient in the form of its value: a number becomes an array where the value is one."""
    return namespace_of(value).full_like(value, float(d)) if is_number(d) and hasattr(value, "dtype") else d


def zero_gradient(value: Any) -> Any:
    """The gradient of a floating value on which no output depends; None for another value, such as labels."""
    xp = namespace_of(value) if hasattr(value, "dtype") else None
    return xp.zeros_like(value) if xp and xp.isdtype(value.dtype, "real floating") else None


def zero_grads(node: Any) -> None:
    """Set the gradients of a node's parameters to 0: no output depends on what the node computed."""
    for grad in getattr(node, "grads", ()):
        grad[...] = 0.0


def several(result: Any) -> tuple[Any, ...]:
    """One thing or several, in a list or a tuple, as a tuple."""
    return tuple(result) if isinstance(result, tuple | list) else (result,)


def distribute(values: list[Any], target: int | tuple[int, ...], y: Any) -> None:
    """Write the results of a node into their slots; ShapeError if there are more or fewer than were recorded."""
    slots, results = several(target), several(y)
    if len(results) != len(slots):
        found = f"the node returned {len(results)} arrays, and was recorded with {len(slots)}"
        raise ShapeError(f"Graph.forward: {found}; set its n_outputs, or call it by record(node, ..., outputs=n).")
    for s, each in zip(slots, results, strict=True):
        values[s] = each


def add_gradients(graph: Any, gradients: list[Any], labels: set[int], step: BackwardStep, dx: Any) -> None:
    """Add what a node's backward returned to the gradients of its inputs; slots that got none go into ``labels``."""
    source, dxs = several(step.source), several(dx)
    who = f"{node_name(graph.nodes[step.node])}.backward"
    if len(dxs) > len(source):
        raise ShapeError(f"{who}: it returned {len(dxs)} gradients for {len(source)} inputs; one for each is due.")
    if dx is None and any(s >= graph.wiring.inputs for s in source):
        raise Error(f"{who}: it returned None; return the gradient of each input, labels apart.")
    for i, s in enumerate(source):
        d = dxs[i] if i < len(dxs) else None
        if d is None:
            labels.add(s)
        else:
            gradients[s] = d if gradients[s] is None else add(gradients[s], d)


def store_own_gradients(graph: Any, gradients: Sequence[Any]) -> None:
    """Write the gradients of the graph's own parameters into their arrays; 0 where there is none."""
    for i, grad in enumerate(graph.own_grads, graph.wiring.inputs):
        d = gradients[i]
        if d is not None and tuple(d.shape) != tuple(grad.shape):
            raise ShapeError(
                f"Graph.backward: the gradient of {graph.wires[i]!r} came as {tuple(d.shape)}, the parameter is "
                f"{tuple(grad.shape)}; a node that uses it must sum over what was broadcast."
            )
        grad[...] = 0.0 if d is None else d


def input_gradients(graph: Any, gradients: Sequence[Any], labels: set[int]) -> Any:
    """What a Graph's backward returns: the gradients of the inputs, without those of labels at the end."""
    dxs = [
        zero_gradient(graph.saved_values[i]) if gradients[i] is None and i not in labels else gradients[i]
        for i in range(graph.wiring.inputs)
    ]
    while dxs and dxs[-1] is None:
        dxs.pop()
    return (dxs[0] if dxs else None) if len(dxs) < 2 else tuple(dxs)


def note_call(error: Exception, graph: Any, method: str, k: int) -> None:
    """Say in a note of the error which call of the graph raised it."""
    error.add_note(f"in Graph.{method}, call {k}: {graph.calls[k]!r}")


def call_table(graph: Any) -> str:
    """A line for each call of a Graph: its node, its inputs and its outputs; a wire without a name has a number."""

    def words(slots: tuple[int, ...]) -> str:
        return " ".join(graph.wiring.names[s] or f"#{s}" for s in slots)

    rows = [("", "node", "inputs", "outputs")]
    for k, ((ins, outs), node) in enumerate(zip(graph.wiring.steps, graph.nodes, strict=True)):
        rows.append((str(k), node_name(node), words(ins), words(outs)))
    return "\n".join(columns(rows))
