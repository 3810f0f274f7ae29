"""Graph, any network of nodes, made of nodes that were called on wires.

x, z = wire("x"), wire("z")
h = Affine(W, b)(x)
y = Add()(h, Multiply()(h, z))
g = Graph(inputs=(x, z), outputs=y)
g.forward(x, z);  dx, dz = g.backward(dy)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..arrays.libraries import namespace_of
from ..errors import Error
from ..nodes.basic import add
from ..nodes.copying import namespace_copy
from ..nodes.wires import Wire
from .evaluation import graph_loss_and_scores, graph_scores
from .gradient_check import Edge, check_edges
from .slots import (
    WireValues,
    add_gradients,
    distribute,
    gradient_like,
    input_gradients,
    note_call,
    output_gradients,
    several,
    store_own_gradients,
    zero_gradient,
    zero_grads,
)
from .wired import WiredNetwork

_SEVERAL = (tuple, list)


class Graph(WiredNetwork):
    """A network of nodes from ``inputs`` to ``outputs``, each a Wire or a tuple of them; itself a Node, so graphs nest.

    ``forward(*inputs)`` and ``backward(*douts)`` take and return the bare array for one, a tuple in order for several.
    A wire that is used k times gets the sum of its k gradients. A node object called twice is one set of parameters
    used twice (see Chain), and a wire made by ``parameter`` is a parameter of the graph. The calls run in the order in
    which they were made; those that no output depends on do not run.

    ``backward`` returns the gradients of the inputs: zeros for an input that no output depends on; none for labels (an
    input for which its node returns no gradient), which are left out at the end and None elsewhere. ``backward()``
    without arguments starts from 1 where the one output is 0-d. Where that output is a SoftmaxWithLoss's, ``backward``
    computes the parameters' gradients only and returns None, unless ``input_grad=True``, as a Chain with a loss does.

    ``values`` and ``gradients`` show the last run, by wire; with ``keep_values = False`` it is not stored. Raises
    TypeError or ValueError for what makes no graph; an error inside a run carries a note that names the call.
    """

    saved = ("_wires", "_values", "_gradients", "saved_values")

    def __init__(self, inputs: Wire | Sequence[Wire], outputs: Wire | Sequence[Wire]) -> None:
        super().__init__(several(inputs), several(outputs))
        self.saved_values: Any = None  # of the last forward, {slot: value}: what backward needs the shape of
        self.keep_values = True  # store the values and gradients of the last run?
        self._values: Any = None  # by slot
        self._gradients: Any = None

    @property
    def capturable(self) -> bool:  # type: ignore[override]
        return all(getattr(node, "capturable", False) for node in self.nodes)

    def forward(self, *inputs: Any) -> Any:
        w = self.wiring
        if len(inputs) != w.inputs:
            names = ", ".join(map(repr, self.inputs))
            raise TypeError(f"Graph.forward: {len(inputs)} arrays came for the inputs ({names}); give one for each.")
        self.saved_values = self._values = self._gradients = None  # after a run that fails, backward is refused
        values: list[Any] = [*inputs, *self.own_params]
        values += [None] * (len(w.names) - len(values))
        try:
            for node, step in zip(self.nodes, w.fetch, strict=True):
                n, source, target = step
                if n == 1:
                    y = node.forward(values[source])
                elif n == 2:
                    y = node.forward(values[source[0]], values[source[1]])
                else:
                    y = node.forward(*source(values))
                if target.__class__ is int and y.__class__ is not tuple:
                    values[target] = y
                else:
                    distribute(values, target, y)
        except Exception as error:
            note_call(error, self, "forward", next(k for k, other in enumerate(w.fetch) if other is step))
            raise
        self.saved_values = {s: values[s] for s in w.saved}
        if self.keep_values:
            self._values = values
        ys = tuple(namespace_copy(values[s]) if s in w.copied else values[s] for s in w.outputs)
        return ys if len(ys) > 1 else ys[0]

    def scores(self, *inputs: Any) -> Any:
        return graph_scores(self, *inputs)

    def loss_and_scores(self, *inputs: Any) -> tuple[Any, Any, Any]:
        return graph_loss_and_scores(self, *inputs)

    def backward(self, *douts: Any, input_grad: bool | None = None) -> Any:
        w, nodes, keep = self.wiring, self.nodes, self.keep_values
        if self.saved_values is None:
            raise Error("Graph.backward: forward has not been called; call it before backward.")
        input_grad = not w.loss if input_grad is None else bool(input_grad)
        gradients = output_gradients(self, douts)
        labels: set[int] = set()  # slots of inputs for which no gradient came
        try:
            for step in w.back[input_grad]:
                k, option, wanted, source, target = step
                node = nodes[k]
                if target.__class__ is int:
                    dy = gradients[target]
                    if dy is None:
                        zero_grads(node)
                        continue
                    dx = node.backward(dy) if option is None else node.backward(dy, input_grad=option)
                    if not keep:
                        gradients[target] = None
                elif all(gradients[s] is None for s in target):
                    zero_grads(node)
                    continue
                else:
                    saved = self.saved_values
                    dys = [zero_gradient(saved[s]) if gradients[s] is None else gradients[s] for s in target]
                    dx = node.backward(*dys) if option is None else node.backward(*dys, input_grad=option)
                if not wanted:
                    continue
                if source.__class__ is int and dx.__class__ not in _SEVERAL and dx is not None:
                    before = gradients[source]
                    gradients[source] = dx if before is None else add(before, dx)
                elif dx.__class__ is tuple and source.__class__ is tuple and len(dx) == len(source):
                    for s, d in zip(source, dx):  # noqa: B905  (strict= costs as much as the rest of the line)
                        if d is None:
                            labels.add(s)
                        else:
                            before = gradients[s]
                            gradients[s] = d if before is None else add(before, d)
                else:
                    add_gradients(self, gradients, labels, step, dx)
        except Exception as error:
            note_call(error, self, "backward", step.node)
            raise
        store_own_gradients(self, gradients)
        if keep:
            self._gradients = gradients
        return input_gradients(self, gradients, labels) if input_grad else None

    @property
    def values(self) -> WireValues:
        """The value on each wire in the last forward; empty before it, in a copy, and without ``keep_values``."""
        return WireValues(self.wires, self._values or ())

    @property
    def gradients(self) -> WireValues:
        """The gradient on each wire in the last backward, summed over the wire's uses."""
        gradients = [gradient_like(v, d) for v, d in zip(self._values or (), self._gradients or (), strict=False)]
        return WireValues(self.wires, gradients)

    def clear_values(self) -> None:
        """Drop the values and gradients of the last run."""
        self._values = self._gradients = None

    def trace(self, *inputs: Any) -> Any:
        """Run forward, then backward from ones; ``values`` and ``gradients`` have the run. Returns the outputs.

        The gradients of the parameters are overwritten, as by any backward.
        """
        before, self.keep_values = self.keep_values, True
        try:
            y = self.forward(*inputs)
            ones = [namespace_of(v).ones_like(v) if getattr(v, "shape", ()) else 1 for v in several(y)]
            self.backward(*ones, input_grad=True)
            return y
        finally:
            self.keep_values = before

    def check_gradients(self, *inputs: Any) -> list[Edge]:
        """Compare every edge and parameter with central differences in float64; the largest error comes first.

        Each node is checked by itself, with the values and the gradients that reach it in this graph, so that a wrong
        node is named and not those before it. ``edges[0].error`` is relative; ``edges[0].right``: does it pass?
        """
        return check_edges(self, inputs)
