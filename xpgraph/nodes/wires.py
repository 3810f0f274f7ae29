"""Wires, the edges of a computational graph, and the calls of nodes on them.

    x = wire("x")
    y = Sigmoid()(Affine(W, b)(x))      # nothing is computed: each wire knows the call whose output it is
    g = Graph(inputs=x, outputs=y)

A node without the base class Node is called by ``record(node, x)``.
"""

from __future__ import annotations

import inspect
import itertools
from typing import Any

from ..arrays.libraries import Array, dtype_name, home, is_array, namespace_of
from ..errors import DTypeError

_numbers = itertools.count()


class Wire:
    """An edge: an input (``call`` and ``array`` are None), a parameter (``array``), or output ``port`` of ``call``.

    ``name`` may be given at any time before the Graph is made; pictures and messages use it.
    """

    __slots__ = ("array", "call", "name", "port")

    def __init__(self, name: str | None = None, call: Call | None = None, port: int = 0, array: Array = None) -> None:
        self.name, self.call, self.port, self.array = name, call, port, array

    def __repr__(self) -> str:
        if self.name is not None:
            return self.name
        if self.call is None:
            return "an unnamed input" if self.array is None else f"an unnamed parameter {tuple(self.array.shape)}"
        several = len(self.call.outputs) > 1
        return f"output {self.port} of {node_name(self.call.node)}" if several else f"{node_name(self.call.node)}"


class Call:
    """One use of a node: ``node``, ``inputs`` and ``outputs``, tuples of Wire; ``number`` tells the order of calls."""

    __slots__ = ("inputs", "node", "number", "outputs")

    def __init__(self, node: Any, inputs: tuple[Wire, ...], outputs: int) -> None:
        self.node, self.inputs, self.number = node, inputs, next(_numbers)
        self.outputs = tuple(Wire(None, self, port) for port in range(outputs))

    def __repr__(self) -> str:
        return f"{node_name(self.node)}({', '.join(map(repr, self.inputs))})"


def wire(name: str | None = None) -> Wire:
    """A wire for data that comes from outside: an input of a Graph."""
    if name is not None and not isinstance(name, str):
        raise TypeError(f"wire: the name is {name!r}; give a string. An array that is trained: parameter(array, name).")
    return Wire(name)


def parameter(array: Array, name: str | None = None) -> Wire:
    """A wire with an array of its own, which is trained: the Graph lists it in ``params``, and updates write into it.

    Raises DTypeError unless it is an array of real floating numbers, TypeError or ValueError for a name that a model
    file cannot hold.
    """
    check_name("parameter", name)
    who = f"parameter{'' if name is None else f' {name!r}'}: "
    if not is_array(array):
        raise DTypeError(f"{who}found a {type(array).__name__}; give an array, such as numpy.asarray(1.1).")
    if not namespace_of(array).isdtype(array.dtype, "real floating"):
        raise DTypeError(f"{who}it is {dtype_name(array)}; convert it to a real floating dtype, such as float32.")
    return Wire(name, array=array)


def check_name(who: str, name: Any) -> None:
    """TypeError or ValueError for a name that cannot be part of a path, such as 0.b, and a key in a model file."""
    if name is not None and not isinstance(name, str):
        raise TypeError(f"{who}: the name is {name!r}; give a string, or None.")
    if name is not None and (not name or "." in name or name == "__metadata__"):
        needs = "a file of weights needs one that is not empty, without a dot, and not '__metadata__'"
        raise ValueError(f"{who}: the name is {name!r}; {needs}. Give another, such as 'b'.")


def record(node: Any, *wires: Wire, outputs: int | None = None) -> Any:
    """Call a node on wires: the wire of its output, or a tuple of wires if there are several ``outputs``.

    ``node``: any object with forward and backward. ``outputs`` defaults to its ``n_outputs``, else 1.
    Raises TypeError for what is no wire, and for a number of wires that ``forward`` does not take.
    """
    who = node_name(node)
    wrong = next((i for i, w in enumerate(wires) if not isinstance(w, Wire)), None)
    if wrong is not None:
        thing: Any = wires[wrong]
        no_wires = not any(isinstance(w, Wire) for w in wires)
        kind = f"array ({home(thing)}, {tuple(thing.shape)})" if is_array(thing) else type(thing).__name__
        advice = (
            f"for arrays use {who}.forward(...), for a graph make wires with xpgraph.wire."
            if no_wires
            else "wrap an array that is trained in xpgraph.parameter, or make it an input with xpgraph.wire."
        )
        raise TypeError(f"{who}: input {wrong} is no wire: found {kind}; {advice}")
    _check_number(node, who, wires)
    n = getattr(node, "n_outputs", 1) if outputs is None else outputs
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise TypeError(f"{who}: the number of outputs is {n!r}; give a whole number from 1 up.")
    results = Call(node, tuple(wires), n).outputs
    return results if n > 1 else results[0]


def _check_number(node: Any, who: str, wires: tuple[Wire, ...]) -> None:
    """TypeError unless the node's forward takes as many inputs as there are wires."""
    if isinstance(node, type) or not callable(getattr(node, "forward", None)):
        raise TypeError(f"{who}: it has no forward to run; give an object with forward and backward.")
    takes = getattr(node, "n_inputs", None)
    words = f"it takes {takes}"
    if takes is None:
        try:
            signature = inspect.signature(node.forward)
        except (TypeError, ValueError):  # a forward written in C does not tell
            return
        words = f"forward takes {signature}"
        try:
            signature.bind(*wires)
            takes = len(wires) or -1
        except TypeError:
            takes = -1
    if len(wires) != takes:
        came = ", ".join(map(repr, wires)) or "none"
        raise TypeError(f"{who}: wires came: {came}; {words}; give one wire for each.")


def node_name(node: Any) -> str:
    """What a message calls a node: its repr, or its class where that is all its repr would tell."""
    if isinstance(node, type):
        return node.__name__
    return f"{type(node).__name__}()" if type(node).__repr__ is object.__repr__ else repr(node)
