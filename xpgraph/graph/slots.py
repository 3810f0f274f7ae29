"""Floor 4: what a Graph needs while it runs: results into slots, the gradients to start from, the record of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..arrays.libraries import Array, is_array, namespace_of
from ..errors import Error, ShapeError
from ..nodes.basic import add
from ..nodes.node import check_floating, parts
from ..nodes.wires import Wire, node_name
from .text_table import columns

if TYPE_CHECKING:
    from .plan import Back


class Record(Mapping[Wire, Array]):
    """What was on the wires of one graph in its last run; wires without a value are left out."""

    def __init__(self, wires: Sequence[Wire], slots: Sequence[Any]) -> None:
        self._of = {w: a for w, a in zip(wires, slots, strict=False) if a is not None}

    def __getitem__(self, wire: Wire) -> Array:
        return self._of[wire]

    def __iter__(self) -> Iterator[Wire]:
        return iter(self._of)

    def __len__(self) -> int:
        return len(self._of)


@contextmanager
def nothing_kept(model: Any) -> Iterator[None]:
    """Let no Graph inside a model keep values and gradients while the block runs; what they kept is let go."""
    graphs = [(part, part.keeps) for part in parts(model) if hasattr(part, "keeps") and hasattr(part, "wiring")]
    for graph, _ in graphs:
        graph.keeps, graph._values, graph._gradients = False, None, None
    try:
        yield
    finally:
        for graph, before in graphs:
            graph.keeps = before


def is_number(d: Any) -> bool:
    """A Python number, not NumPy's scalar, which is an array of a dtype."""
    return isinstance(d, int | float) and not hasattr(d, "dtype")


def seeds(graph: Any, douts: tuple[Any, ...]) -> list[Any]:
    """The gradients of the outputs, from which a Graph's backward starts, in their slots."""
    w, kept = graph.wiring, graph._kept
    slopes: list[Any] = [None] * len(w.names)
    if not douts and len(w.outputs) == 1:
        douts = (1,)
    if len(douts) != len(w.outputs):
        names = ", ".join(map(repr, graph.outputs))
        raise ShapeError(f"Graph.backward: {len(douts)} gradients came for the outputs ({names}); give each its own.")
    for s, dout in zip(w.outputs, douts, strict=True):
        shape = tuple(getattr(kept[s], "shape", ()))
        if is_number(dout):
            if shape:
                name = repr(graph.wires[s])
                raise ShapeError(f"Graph.backward: {name} is {shape}; give its gradient, an array of that shape.")
            slopes[s] = dout if w.loss else full(kept[s], dout)
        elif dout is not None:
            check_floating("Graph.backward: ", f"the gradient of {graph.wires[s]!r}", dout)
            slopes[s] = dout
    return slopes


def table(graph: Any) -> str:
    """A line for each call of a Graph: its node, its inputs and its outputs; wires without a name have numbers."""

    def words(slots: tuple[int, ...]) -> str:
        return " ".join(graph.wiring.names[s] or f"#{s}" for s in slots)

    rows = [("", "node", "inputs", "outputs")]
    for k, ((ins, outs), node) in enumerate(zip(graph.wiring.steps, graph.nodes, strict=True)):
        rows.append((str(k), node_name(node), words(ins), words(outs)))
    return "\n".join(columns(rows))


def full(value: Any, d: Any) -> Any:
    """A gradient in the form of its value: a loss is given a plain 1."""
    return namespace_of(value).full_like(value, float(d)) if is_number(d) and hasattr(value, "dtype") else d


def add_up(graph: Any, slopes: list[Any], labels: set[int], back: Back, dx: Any) -> None:
    """The gradients of several inputs into their slots; labels, for which none came, are noted."""
    source = (back.source,) if isinstance(back.source, int) else back.source
    found = tuple(dx) if isinstance(dx, tuple | list) else (dx,)
    who = f"{node_name(graph.nodes[back.node])}.backward"
    if len(found) > len(source):
        raise ShapeError(f"{who}: it returned {len(found)} gradients for {len(source)} inputs; one for each is due.")
    if dx is None and any(s >= graph.wiring.inputs for s in source):
        raise Error(f"{who}: it returned None; return the gradient of each input, labels apart.")
    for i, s in enumerate(source):
        d = found[i] if i < len(found) else None
        if d is None:
            labels.add(s)
        else:
            slopes[s] = d if slopes[s] is None else add(slopes[s], d)


def forget(node: Any) -> None:
    """Nothing depends on what this node computed: the gradients of its parameters are 0."""
    for grad in getattr(node, "grads", ()):
        grad[...] = 0.0


def distribute(values: list[Any], target: int | tuple[int, ...], y: Any) -> None:
    """Several results into their slots; their number must be the one that the call was recorded with."""
    slots = (target,) if isinstance(target, int) else target
    found = tuple(y) if isinstance(y, tuple | list) and not is_array(y) else (y,)
    if len(found) != len(slots):
        raise ShapeError(
            f"Graph.forward: the node returned {len(found)} arrays, and was recorded with {len(slots)}; "
            "set its n_outputs, or call it by record(node, ..., outputs=n)."
        )
    for s, each in zip(slots, found, strict=True):
        values[s] = each
