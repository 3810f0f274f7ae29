"""The order of a graph, worked out once: wires become slots with numbers, calls become steps between slots.

Nothing here stores a node or an array, so that copies of a graph share it; and nothing recurses, so that a graph may be
thousands of nodes deep.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple

from ..arrays.libraries import Array
from ..nodes.node import takes_input_grad
from ..nodes.wires import Call, Wire

Slots = tuple[int, ...]


class Wires(NamedTuple):
    """A graph as its author sees it: every wire by the number of its slot, and the calls in order."""

    all: tuple[Wire, ...]
    calls: tuple[Call, ...]


class BackwardStep(NamedTuple):
    """One step of backward. ``source``: one slot, or the slots of several inputs; ``target`` likewise of outputs."""

    node: int
    input_grad: bool | None  # None: the node's backward has no such option
    wanted: bool  # are the gradients of the inputs needed further on?
    source: Any
    target: Any


@dataclass(frozen=True)
class Wiring:
    """Slots: the inputs, the graph's own parameters (``parameters``), then what the steps compute, in order."""

    inputs: int  # how many
    parameters: tuple[str, ...]  # names of the graph's own parameters
    names: tuple[str | None, ...]  # of all slots
    steps: tuple[tuple[Slots, Slots], ...]  # (slots of the inputs, slots of the outputs)
    outputs: Slots
    order: tuple[int, ...]  # of ``params``: k for the parameters of node k, ~i for own parameter i
    twins: dict[int, int]  # number of a node: number of the node that it repeats
    fetch: tuple[tuple[int, Any, Any], ...]  # of forward: how many inputs, where they are, where the result goes
    back: dict[bool, tuple[BackwardStep, ...]]  # by input_grad, in the order of backward
    saved: Slots  # slots whose values backward must know: their shape, dtype and library
    read: frozenset[int]  # slots that are an input of some step
    copied: frozenset[int]  # outputs that are read inside too: the caller gets a copy
    loss: bool  # is the one output that of a loss, whose backward takes a number?


def ordered(outputs: Sequence[Wire]) -> list[Call]:
    """The calls that outputs depend on, in the order in which they were made: none before its inputs."""
    calls: dict[int, Call] = {}
    todo = [w.call for w in outputs if w.call is not None]
    while todo:
        call = todo.pop()
        if call.number not in calls:
            calls[call.number] = call
            todo += [w.call for w in call.inputs if w.call is not None]
    return [calls[number] for number in sorted(calls)]


def check_wires(inputs: Sequence[Any], outputs: Sequence[Any]) -> list[Call]:
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
    calls = ordered(outputs)
    _check_inputs_are_named(inputs, calls)
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


def _check_inputs_are_named(inputs: Sequence[Wire], calls: Sequence[Call]) -> None:
    """ValueError for a call that reads an input wire which the graph does not name."""
    named = set(inputs)
    for call in calls:
        for i, w in enumerate(call.inputs):
            if w.call is None and w.array is None and w not in named:
                among = f"is not among the inputs ({', '.join(map(repr, inputs))})"
                raise ValueError(f"Graph: input {i} of {call!r} is {w!r}, which {among}; name it in inputs=.")


def collect(inputs: Sequence[Wire], calls: Sequence[Call]) -> tuple[Wires, list[Wire]]:
    """All wires in the order of their slots, and the parameters among them in the order of first use."""
    parameters = list(dict.fromkeys(w for call in calls for w in call.inputs if w.array is not None))
    return Wires((*inputs, *parameters, *(w for call in calls for w in call.outputs)), tuple(calls)), parameters


def make_wiring(
    wires: Wires, parameters: Sequence[Wire], n_inputs: int, outputs: Sequence[Wire], nodes: Sequence[Any], twins: Any
) -> Wiring:
    """The wiring of checked and collected wires; ``nodes`` are those that will run, one for each call."""
    slot = {w: i for i, w in enumerate(wires.all)}
    steps = tuple((tuple(slot[w] for w in c.inputs), tuple(slot[w] for w in c.outputs)) for c in wires.calls)
    out = tuple(slot[w] for w in outputs)
    read = frozenset(s for ins, _ in steps for s in ins)
    producers = {s: k for k, (_, outs) in enumerate(steps) for s in outs}
    numbers = iter(range(len(parameters)))
    of_several = (s for _, outs in steps if len(outs) > 1 for s in outs)
    return Wiring(
        inputs=n_inputs,
        parameters=tuple(f"parameter{next(numbers)}" if w.name is None else w.name for w in parameters),
        names=tuple(w.name for w in wires.all),
        steps=steps,
        outputs=out,
        order=_parameter_order(steps, range(n_inputs, n_inputs + len(parameters))),
        twins=twins,
        fetch=tuple(_fetch(ins, outs) for ins, outs in steps),
        back={grad: tuple(_backward(steps, nodes, n_inputs, len(parameters), grad)) for grad in (True, False)},
        saved=tuple(dict.fromkeys((*range(n_inputs), *out, *of_several))),
        read=read,
        copied=frozenset(out) & read,
        loss=len(out) == 1 and out[0] not in read and bool(getattr(nodes[producers[out[0]]], "is_loss", False)),
    )


def _parameter_order(steps: Sequence[tuple[Slots, Slots]], parameters: range) -> tuple[int, ...]:
    """``Wiring.order``: each own parameter stands before the first node that uses it."""
    order: list[int] = []
    seen: set[int] = set()
    for k, (ins, _) in enumerate(steps):
        for s in ins:
            if s in parameters and s not in seen:
                seen.add(s)
                order.append(~(s - parameters.start))
        order.append(k)
    return tuple(order)


def _one_or_several(slots: Slots) -> int | Slots:
    return slots[0] if len(slots) == 1 else slots


def _fetch(ins: Slots, outs: Slots) -> tuple[int, Any, Any]:
    """``Wiring.fetch`` of one step. One and two inputs are the usual numbers; a getter fetches more in one call."""
    return len(ins), ins if len(ins) == 2 else ins[0] if len(ins) == 1 else itemgetter(*ins), _one_or_several(outs)


def _backward(
    steps: Sequence[tuple[Slots, Slots]], nodes: Sequence[Any], n_inputs: int, n_parameters: int, input_grad: bool
) -> Iterable[BackwardStep]:
    """The steps from the last to the first, without those that lead to no parameter (nor, on demand, to an input)."""
    needed = set(range(0 if input_grad else n_inputs, n_inputs + n_parameters))
    back = []
    for k, ((ins, outs), node) in enumerate(zip(steps, nodes, strict=True)):
        wanted = not needed.isdisjoint(ins)
        if wanted or len(getattr(node, "params", ())):
            needed.update(outs)
            option = wanted if takes_input_grad(node.backward) else None
            back.append(BackwardStep(k, option, wanted, _one_or_several(ins), _one_or_several(outs)))
    return reversed(back)


def rewire(wiring: Wiring, nodes: Sequence[Any], parameters: Sequence[Array]) -> Wires:
    """New wires and calls for a copy of a graph, with the copy's nodes and its own parameters."""
    arrays = [None] * wiring.inputs + list(parameters)
    wires = [Wire(name, array=a) for name, a in zip(wiring.names[: len(arrays)], arrays, strict=True)]
    calls = []
    for k, (ins, outs) in enumerate(wiring.steps):
        call = Call(nodes[wiring.twins.get(k, k)], tuple(wires[s] for s in ins), len(outs))
        for w, s in zip(call.outputs, outs, strict=True):
            w.name = wiring.names[s]
        wires += call.outputs
        calls.append(call)
    return Wires(tuple(wires), tuple(calls))
