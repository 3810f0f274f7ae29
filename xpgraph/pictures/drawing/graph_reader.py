"""From a graph to its picture: a vertex for each input, call and output, and what stands on the lines between them."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Sequence
from typing import Any

from ...arrays.libraries import Array, namespace_of
from ...graph.chain import in_a_row
from ...graph.graph import Graph
from ...graph.network import Network
from ...nodes.basic import matmul
from ...nodes.checks import like_rows, rows
from ...nodes.copying import namespace_copy, twin
from ...nodes.node import takes_input_grad
from ...nodes.wires import Wire
from .lines import Line, Lines, Use
from .picture import Picture, Vertex, vertex

_MOST_PARAMETERS = 6  # of one node, each as a vertex; of a node with more, the picture gives the number


def picture_of(graph: Graph, open: Sequence[str] | bool = ()) -> Picture:
    """The picture of a graph with the values and gradients of its last run. ``open``: see ``drawing.picture``."""
    return GraphReader(graph, open).finish()


def traced(model: Any, inputs: Sequence[Array]) -> Graph:
    """The graph of a model, traced on ``inputs`` if there are any; a Chain itself does not change."""
    graph = model if isinstance(model, Graph) else chain_graph(model, *inputs)
    if inputs:
        graph.trace(*inputs)
    return graph


def chain_graph(chain: Any, *inputs: Array) -> Graph:
    """A Chain as a Graph of twins, which share its parameters and leave the rest of it alone.

    Raises TypeError for what is neither Chain nor Graph.
    """
    if not isinstance(chain, Network) or not hasattr(chain, "nodes"):
        raise TypeError(f"draw: found a {type(chain).__name__}; give a Graph or a Chain.")
    copied: Any = twin(chain)
    return in_a_row(copied.nodes, copied.loss, len(inputs) - (copied.loss is not None) if inputs else None, "L")


class GraphReader:
    """Reads a graph into ``lines``: inputs, then calls in order, then outputs; page/scene.py relies on this order."""

    def __init__(self, graph: Graph, open: Sequence[str] | bool = ()) -> None:
        self.open_all = open is True
        self.open = {open} if isinstance(open, str) else set() if isinstance(open, bool) else set(open)
        self.lines = lines = Lines()
        self.picture = picture = lines.picture
        inputs = [lines.add(picture.add(Vertex("input", w.name or ""))) for w in graph.inputs]
        for w, line in zip(graph.outputs, self._read(graph, inputs), strict=True):
            # The name stands at the end of the line, not on it.
            line.name = "" if line.name == (w.name or "") else line.name
            line.uses.append(Use(picture.add(Vertex("output", w.name or "")), 0))
            line.uses[-1].gradient = line.rest_of_gradient()

    def finish(self) -> Picture:
        """The picture, once the parameters and the branches are added; to be called once."""
        return self.lines.finish()

    def _read(self, graph: Graph, inputs: list[Line]) -> list[Line]:
        """Read the calls of a graph whose inputs are these lines; return the lines of its outputs."""
        values, gradients, calls = graph.values, graph.gradients, graph.calls
        lines: dict[Wire, Line] = {}
        for w, line in zip(graph.inputs, inputs, strict=True):
            line.value = values.get(w) if line.value is None else line.value
            line.gradient = gradients.get(w) if line.gradient is None else line.gradient
            lines[w] = line
        count: dict[Wire, int] = {}
        for w in [w for call in calls for w in call.inputs] + list(graph.outputs):
            count[w] = count.get(w, 0) + 1
        for call, node in zip(calls, graph.nodes, strict=True):
            outs = [self.lines.add(-1, values.get(w), gradients.get(w), w.name or "") for w in call.outputs]
            grads = [gradients.get(w) for w in call.inputs]
            if any(count[w] > 1 for w in call.inputs) and any(line.gradient is not None for line in outs):
                grads = _input_gradients(node, [values.get(w) for w in call.inputs], [o.gradient for o in outs], grads)
            ins: list[tuple[Line | Wire, Any]] = [(lines.get(w, w), d) for w, d in zip(call.inputs, grads, strict=True)]
            lines |= dict(zip(call.outputs, self._call(node, ins, outs), strict=True))
        return [lines[w] for w in graph.outputs]

    def _call(self, node: Any, ins: list[tuple[Line | Wire, Any]], outs: list[Line]) -> list[Line]:
        """Read one call: its vertex, or what is inside it. ``ins``: each input and its gradient. Return its outputs."""
        if self.open_all or type(node).__name__ in self.open:
            if type(node).__name__ == "Affine" and len(ins) == len(outs) == 1:
                return self._affine(node, ins[0], outs[0])
            inputs = [line for line, _ in ins if isinstance(line, Line)]
            inner = _inner_graph(node, inputs, outs) if len(inputs) == len(ins) else None
            if inner is not None:
                ends = self._read(inner, inputs)
                for end, out in zip(ends, outs, strict=True):
                    end.name = out.name or end.name
                return ends
        params, grads = list(getattr(node, "params", ())), list(getattr(node, "grads", ()))
        hidden = len(params) if len(params) > _MOST_PARAMETERS or isinstance(node, Network) else 0
        v = self.picture.add(vertex(node, hidden))
        for i, (line, d) in enumerate(ins):
            self._use(line, Use(v, i, d))
        has_gradients = any(line.gradient is not None for line in outs)
        names = getattr(node, "names", ())
        for k, p in enumerate(() if hidden else params):
            name = names[k] if k < len(names) else f"p{k}"
            d = grads[k] if has_gradients and k < len(grads) else None
            self.lines.add_parameter(p, name, Use(v, len(ins) + k, d))
        for line in outs:
            line.tail = v
        return outs

    def _affine(self, node: Any, given: tuple[Line | Wire, Any], out: Line) -> list[Line]:
        """y = x W + b as the chapter explains it: a product, a repetition of b for every row, and a sum."""
        (W, b), (dW, db) = node.params, node.grads
        x = given[0].value if isinstance(given[0], Line) else given[0].array
        xW = B = None
        n = "N"
        if x is not None:
            xW = like_rows(matmul(rows(x), W), x)
            xp = namespace_of(b)
            B = xp.asarray(xp.broadcast_to(b, xW.shape), copy=True)
            n = str(rows(x).shape[0])
        dy = out.gradient
        product = self.picture.add(Vertex("operator", "·", about=f"MatMul in {node!r}"))
        repeat = self.picture.add(Vertex("word", f"repeat ×{n}", about=f"Repeat in {node!r}"))
        total = self.picture.add(Vertex("operator", "+", about=f"Add in {node!r}"))
        self._use(given[0], Use(product, 0, given[1]))
        self.lines.add_parameter(W, "W", Use(product, 1, None if dy is None else dW))
        self.lines.add_parameter(b, "b", Use(repeat, 0, None if dy is None else db))
        self.lines.add(product, xW, dy).uses.append(Use(total, 0, dy))
        self.lines.add(repeat, B, dy).uses.append(Use(total, 1, dy))
        out.tail = total
        return [out]

    def _use(self, source: Line | Wire, use: Use) -> None:
        """Let a call use a line, or the parameter of a wire that no call computes."""
        if isinstance(source, Line):
            source.uses.append(use)
        else:
            self.lines.add_parameter(source.array, source.name or "p", use, numbered=source.name is None)


def _input_gradients(node: Any, values: list[Any], douts: list[Any], whole: list[Any]) -> list[Any]:
    """The gradient of each input from this call alone, by a second backward; None for all where it fails.

    ``whole``: the gradients of the wires, which are sums over all their uses.
    """
    unknown = [None] * len(whole)
    if any(d is None for d in douts):
        return unknown
    with contextlib.suppress(Exception):  # a user's own node may do anything; the picture is drawn all the same
        if isinstance(node, Network):
            again = twin(node)
            again.forward(*values)
        else:
            again = copy.copy(node)  # with what forward kept
            if hasattr(node, "grads"):
                again.grads = [namespace_copy(g) for g in node.grads]
        grads = backward_to_inputs(again, douts)
        return grads + unknown[len(grads) :]
    return unknown


def backward_to_inputs(node: Any, douts: Sequence[Any]) -> list[Any]:
    """Run a node's backward; return the gradient of each input, also from a network that leaves them out by default."""
    dx = node.backward(*douts, **({"input_grad": True} if takes_input_grad(node.backward) else {}))
    return list(dx) if isinstance(dx, tuple | list) else [dx]


def _inner_graph(node: Any, inputs: list[Line], outs: list[Line]) -> Graph | None:
    """The graph inside a Chain or Graph, with the values and gradients of its last run; None for other nodes."""
    if isinstance(node, Graph):
        return node
    if not isinstance(node, Network) or not hasattr(node, "nodes"):
        return None
    values = [line.value for line in inputs]
    graph = chain_graph(node, *values)
    if all(v is not None for v in values):
        graph.forward(*values)
        if all(line.gradient is not None for line in outs):
            graph.backward(*(line.gradient for line in outs), input_grad=True)
    return graph
