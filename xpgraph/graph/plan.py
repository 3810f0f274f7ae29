"""Floor 4: the order of a graph, worked out once: wires become slots with numbers, calls become steps between slots.

Nothing here holds a node or an array, so that copies of a graph share it; and nothing recurses, so that a graph may be
thousands of nodes deep.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple

from ..arrays.libraries import Array
from ..nodes.losses import SoftmaxWithLoss
from ..nodes.wires import Call, Wire
from .network import Network


class Wires(NamedTuple):
    """A graph as its author sees it: every wire by the number of its slot, and the calls in order."""

    all: tuple[Wire, ...]
    calls: tuple[Call, ...]


class Back(NamedTuple):
    """One step of backward. ``source``: one slot, or the slots of several inputs; ``target`` likewise of outputs."""

    node: int
    input_grad: bool | None  # None: the node's backward takes no such argument
    wanted: bool  # does anybody need the gradients of the inputs?
    source: Any
    target: Any


@dataclass(frozen=True)
class Wiring:
    """Slots: the inputs, the parameters (``held``), then what the steps compute, in order."""

    inputs: int
    held: tuple[str, ...]  # the parameters' names
    names: tuple[str | None, ...]  # of all slots
    steps: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]  # (slots of the inputs, slots of the outputs)
    outputs: tuple[int, ...]
    order: tuple[int, ...]  # of params: the number of a node, or ~number of a parameter wire
    twins: dict[int, int]  # number of a node: number of the one that it repeats
    fetch: tuple[tuple[int, Any, Any], ...]  # of forward: how many inputs, where they are, where the result goes
    back: dict[bool, tuple[Back, ...]]  # by input_grad, in the order of backward
    kept: tuple[int, ...]  # slots whose shapes backward must know
    read: frozenset[int]  # slots that are an input of some step
    copied: frozenset[int]  # outputs that are read inside too: the caller gets a copy
    loss: bool  # is the one output that of a loss, whose backward takes a number?


def ordered(outputs: Sequence[Wire]) -> list[Call]:
    """The calls that outputs depend on, in the order in which they were made: none before its inputs."""
    found: dict[int, Call] = {}
    todo = [w.call for w in outputs if w.call is not None]
    while todo:
        call = todo.pop()
        if call.number not in found:
            found[call.number] = call
            todo += [w.call for w in call.inputs if w.call is not None]
    return [found[number] for number in sorted(found)]


def check(inputs: Sequence[Any], outputs: Sequence[Any]) -> list[Call]:
    """The calls in order; TypeError or ValueError, which names the wire, for what makes no graph."""
    for kind, wires in (("inputs", inputs), ("outputs", outputs)):
        if not wires:
            raise ValueError(f"Graph: there are no {kind}; give at least one wire.")
        for i, w in enumerate(wires):
            if not isinstance(w, Wire):
                raise TypeError(f"Graph: {kind}[{i}] is {w!r}, which is no wire; give what wire or a call returned.")
            if any(w is other for other in wires[:i]):
                advice = "name it once." if kind == "inputs" else "name it once, or call Branch on it."
                raise ValueError(f"Graph: {w!r} stands twice in {kind}; {advice}")
    for w in inputs:
        if w.call is not None or w.array is not None:
            what = "is computed" if w.array is None else "is a parameter, which the graph finds by itself"
            raise ValueError(f"Graph: inputs: {w!r} {what}; inputs are wires that xpgraph.wire made.")
    calls, given = ordered(outputs), set(inputs)
    for call in calls:
        for i, w in enumerate(call.inputs):
            if w.call is None and w.array is None and w not in given:
                raise ValueError(
                    f"Graph: input {i} of {call!r} is {w!r}, which is not among the inputs "
                    f"({', '.join(map(repr, inputs))}); name it in inputs=."
                )
    depends = set(inputs)
    for call in calls:
        if any(w in depends for w in call.inputs):
            depends.update(call.outputs)
    for w in outputs:
        if w.call is None:
            raise ValueError(f"Graph: outputs: {w!r} is not computed; give what a call of a node returned.")
        if w not in depends:
            raise ValueError(f"Graph: outputs: {w!r} depends on none of the inputs; leave it out, or compute it apart.")
    return calls


def collect(inputs: Sequence[Wire], calls: Sequence[Call]) -> tuple[Wires, list[Wire]]:
    """All wires in the order of their slots, and the parameters among them in the order of first use."""
    held = list(dict.fromkeys(w for call in calls for w in call.inputs if w.array is not None))
    return Wires((*inputs, *held, *(w for call in calls for w in call.outputs)), tuple(calls)), held


def lay(
    wires: Wires, held: Sequence[Wire], n_inputs: int, outputs: Sequence[Wire], nodes: Sequence[Any], twins: Any
) -> Wiring:
    """The wiring of checked and collected wires; ``nodes`` are those that will run, one for each call."""
    slot = {w: i for i, w in enumerate(wires.all)}
    steps = tuple((tuple(slot[w] for w in c.inputs), tuple(slot[w] for w in c.outputs)) for c in wires.calls)
    out = tuple(slot[w] for w in outputs)
    read = frozenset(s for ins, _ in steps for s in ins)
    producers = {s: k for k, (_, outs) in enumerate(steps) for s in outs}
    unnamed = iter(range(len(held)))
    return Wiring(
        inputs=n_inputs,
        held=tuple(f"parameter{next(unnamed)}" if w.name is None else w.name for w in held),
        names=tuple(w.name for w in wires.all),
        steps=steps,
        outputs=out,
        order=_order(steps, range(n_inputs, n_inputs + len(held))),
        twins=twins,
        fetch=tuple(_fetch(ins, outs) for ins, outs in steps),
        back={wanted: tuple(_backward(steps, nodes, n_inputs, len(held), wanted)) for wanted in (True, False)},
        kept=tuple(dict.fromkeys((*range(n_inputs), *out, *(s for _, outs in steps if len(outs) > 1 for s in outs)))),
        read=read,
        copied=frozenset(out) & read,
        loss=len(out) == 1 and out[0] not in read and is_loss(nodes[producers[out[0]]]),
    )


def is_loss(node: Any) -> bool:
    """Does it end in a SoftmaxWithLoss: the node itself, a Chain with a loss, or a Graph of one?"""
    return isinstance(node, SoftmaxWithLoss) or (isinstance(node, Network) and node.loss is not None)


def _order(steps: Any, held: range) -> tuple[int, ...]:
    """Where the lists of parameters come from: each parameter wire before the first node that uses it."""
    order: list[int] = []
    seen: set[int] = set()
    for k, (ins, _) in enumerate(steps):
        for s in ins:
            if s in held and s not in seen:
                seen.add(s)
                order.append(~(s - held.start))
        order.append(k)
    return tuple(order)


def _one(slots: tuple[int, ...]) -> int | tuple[int, ...]:
    return slots[0] if len(slots) == 1 else slots


def _fetch(ins: tuple[int, ...], outs: tuple[int, ...]) -> tuple[int, Any, Any]:
    """One and two inputs are the usual numbers; a getter fetches more in one call."""
    return len(ins), ins if len(ins) == 2 else ins[0] if len(ins) == 1 else itemgetter(*ins), _one(outs)


def _backward(
    steps: Sequence[Any], nodes: Sequence[Any], n_inputs: int, n_held: int, input_grad: bool
) -> Iterable[Back]:
    """The steps, last first, less those that lead to no parameter (nor, with ``input_grad``, to an input)."""
    needed = set(range(0 if input_grad else n_inputs, n_inputs + n_held))
    found = []
    for k, ((ins, outs), node) in enumerate(zip(steps, nodes, strict=True)):
        wanted = not needed.isdisjoint(ins)
        if wanted or len(getattr(node, "params", ())):
            needed.update(outs)
            takes = takes_input_grad(node.backward)
            found.append(Back(k, wanted if takes else None, wanted, _one(ins), _one(outs)))
    return reversed(found)


def takes_input_grad(backward: Callable[..., Any]) -> bool:
    """Can a node be told to leave out the gradients of its inputs?"""
    try:
        return "input_grad" in inspect.signature(backward).parameters
    except (TypeError, ValueError):
        return False


def rewire(wiring: Wiring, nodes: Sequence[Any], held: Sequence[Array]) -> Wires:
    """New wires and calls for a copy of a graph, with the copy's nodes and arrays."""
    arrays = [None] * wiring.inputs + list(held)
    wires = [Wire(name, array=a) for name, a in zip(wiring.names[: len(arrays)], arrays, strict=True)]
    calls = []
    for k, (ins, outs) in enumerate(wiring.steps):
        call = Call(nodes[wiring.twins.get(k, k)], tuple(wires[s] for s in ins), len(outs))
        for w, s in zip(call.outputs, outs, strict=True):
            w.name = wiring.names[s]
        wires += call.outputs
        calls.append(call)
    return Wires(tuple(wires), tuple(calls))
