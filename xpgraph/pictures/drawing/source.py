"""From a Graph to its picture: which vertices there are, and what stands on each edge."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ...arrays.libraries import Array, is_array, namespace_of
from ...graph.chain import in_a_row
from ...graph.graph import Graph
from ...graph.network import Network
from ...nodes.basic import add, matmul
from ...nodes.copying import namespace_copy, twin
from ...nodes.node import takes_input_grad
from ...nodes.shapes import like_rows, rows
from ...nodes.sharing import plan
from ...nodes.wires import Wire
from .picture import Edge, Picture, Vertex
from .signs import vertex
from .values import block

_MANY = 6  # parameters of one node that are drawn; more are counted


@dataclass
class Use:
    """One end of a line: the vertex that it leads to, and what comes back from there."""

    head: int
    position: int
    part: Any = None
    value: Any = None
    transposed: bool = False


@dataclass
class Line:
    """A value on its way from the vertex that makes it to those that use it."""

    maker: int
    value: Any = None
    gradient: Any = None
    name: str = ""
    uses: list[Use] = field(default_factory=list)


def picture_of(graph: Graph, open: Sequence[str] | bool = ()) -> Picture:
    """The picture of a graph with what is known of its last run. ``open``: classes drawn by their inside."""
    reader = _Reader(open)
    reader.graph(graph)
    return reader.finish()


def traced(model: Any, inputs: Sequence[Array]) -> Graph:
    """The graph of a model; if there are ``inputs``, with a run on them, which changes nothing in a Chain."""
    graph = model if isinstance(model, Graph) else chain_graph(model, *inputs)
    if inputs:
        graph.trace(*inputs)
    return graph


def chain_graph(chain: Any, *inputs: Array) -> Graph:
    """A Chain as a Graph of twins: its arrays, and nothing of it is touched when the graph runs."""
    if not isinstance(chain, Network) or not hasattr(chain, "nodes"):
        raise TypeError(f"draw: found a {type(chain).__name__}; give a Graph or a Chain.")
    copied: Any = twin(chain)
    return in_a_row(copied.nodes, copied.loss, len(inputs) - (copied.loss is not None) if inputs else None, "L")


class _Reader:
    """Reads a graph into lines, and these into a picture."""

    def __init__(self, open: Sequence[str] | bool) -> None:
        self.all = open is True
        self.open = {open} if isinstance(open, str) else set() if isinstance(open, bool) else set(open)
        self.picture, self.lines = Picture(), []  # type: tuple[Picture, list[Line]]
        self.slots: list[tuple[Array, str, Use, bool]] = []  # parameters: array, name, use, is the name its own?

    # --- a graph --------------------------------------------------------------------------------------------------

    def graph(self, graph: Graph) -> None:
        given = []
        for w in graph.inputs:
            given.append(self.line(self.picture.add(Vertex("input", w.name or ""))))
        ends = self.walk(graph, given)
        for w, line in zip(graph.outputs, ends, strict=True):
            # The name stands at the end of the line, not on it.
            line.name = "" if line.name == (w.name or "") else line.name
            self.use(line, self.picture.add(Vertex("output", w.name or "")), 0, None)
            line.uses[-1].part = self.rest(line)

    def walk(self, graph: Graph, given: list[Line]) -> list[Line]:
        """The calls of a graph on these lines; returns the lines of its outputs."""
        values, gradients, calls = graph.values, graph.gradients, graph.calls
        lines: dict[Wire, Line] = {}
        for w, line in zip(graph.inputs, given, strict=True):
            line.value = values.get(w) if line.value is None else line.value
            line.gradient = gradients.get(w) if line.gradient is None else line.gradient
            lines[w] = line
        count: dict[Wire, int] = {}
        for w in [w for call in calls for w in call.inputs] + list(graph.outputs):
            count[w] = count.get(w, 0) + 1
        for call, node in zip(calls, graph.nodes, strict=True):
            outs = [self.line(-1, values.get(w), gradients.get(w), w.name or "") for w in call.outputs]
            parts = [gradients.get(w) for w in call.inputs]
            if any(count[w] > 1 for w in call.inputs) and any(line.gradient is not None for line in outs):
                parts = _parts(node, [values.get(w) for w in call.inputs], [line.gradient for line in outs], parts)
            ins: list[tuple[Line | Wire, Any]] = [
                (lines.get(w, w), part) for w, part in zip(call.inputs, parts, strict=True)
            ]
            lines |= dict(zip(call.outputs, self.call(node, ins, outs), strict=True))
        return [lines[w] for w in graph.outputs]

    def call(self, node: Any, ins: list[tuple[Line | Wire, Any]], outs: list[Line]) -> list[Line]:
        """One call: its vertex, or what is inside it. Returns the lines of its outputs."""
        kind = type(node).__name__
        if self.all or kind in self.open:
            if kind == "Affine" and len(ins) == len(outs) == 1:
                return self.affine(node, ins[0], outs[0])
            given = [each for each, _ in ins if isinstance(each, Line)]
            inner = _inside(node, given, outs) if len(given) == len(ins) else None
            if inner is not None:
                ends = self.walk(inner, given)
                for end, out in zip(ends, outs, strict=True):
                    end.name = out.name or end.name
                return ends
        params, grads = list(getattr(node, "params", ())), list(getattr(node, "grads", ()))
        many = len(params) > _MANY or (isinstance(node, Network) and len(params) > 0)
        v = self.picture.add(vertex(node, len(params) if many else 0))
        for i, (line, part) in enumerate(ins):
            self.use(line, v, i, part)
        known = any(line.gradient is not None for line in outs)
        names = getattr(node, "names", ())
        for k, p in enumerate(() if many else params):
            name = names[k] if k < len(names) else f"p{k}"
            self.parameter(p, name, Use(v, len(ins) + k, grads[k] if known and k < len(grads) else None))
        for line in outs:
            line.maker = v
        return outs

    def affine(self, node: Any, given: tuple[Line | Wire, Any], out: Line) -> list[Line]:
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
        self.use(given[0], product, 0, given[1])
        self.parameter(W, "W", Use(product, 1, None if dy is None else dW))
        self.parameter(b, "b", Use(repeat, 0, None if dy is None else db))
        self.use(self.line(product, xW, dy), total, 0, dy)
        self.use(self.line(repeat, B, dy), total, 1, dy)
        out.maker = total
        return [out]

    # --- lines ----------------------------------------------------------------------------------------------------

    def line(self, maker: int, value: Any = None, gradient: Any = None, name: str = "") -> Line:
        self.lines.append(Line(maker, value, gradient, name))
        return self.lines[-1]

    def use(self, line: Line | Wire, head: int, position: int, part: Any) -> None:
        if isinstance(line, Wire):
            self.parameter(line.array, line.name or "p", Use(head, position, part), line.name is not None)
        else:
            line.uses.append(Use(head, position, part))

    def parameter(self, array: Array, name: str, use: Use, own: bool = False) -> None:
        self.slots.append((array, name, use, own))

    def rest(self, line: Line) -> Any:
        """What comes back from outside on a line that is used inside too: the whole less the other parts."""
        others = [u.part for u in line.uses[:-1]]
        if not others or line.gradient is None or any(part is None for part in others):
            return line.gradient if not others else None
        left = namespace_copy(line.gradient)
        for part in others:
            left = left - part
        return left

    def join(self) -> None:
        """Parameters that are one become one line."""
        found: dict[int, Line] = {}
        base: dict[str, list[int]] = {}
        for i, ((array, name, use, own), slot) in enumerate(
            zip(self.slots, plan([array for array, *_ in self.slots]), strict=True)
        ):
            if slot.first == i:
                found[i] = self.line(self.picture.add(Vertex("parameter", name)), array)
                if not own:
                    base.setdefault(name, []).append(found[i].maker)
            use.value, use.transposed = array, slot.transposed
            found[slot.first].uses.append(use)
        for name, made in base.items():
            for k, v in enumerate(made if len(made) > 1 else ()):
                self.picture.vertices[v] = replace(self.picture.vertices[v], text=f"{name}{k + 1}")
        for line in found.values():
            parts = [namespace_of(u.part).matrix_transpose(u.part) if u.transposed else u.part
                     for u in line.uses if u.part is not None]  # fmt: skip
            for part in parts:
                line.gradient = part if line.gradient is None else add(line.gradient, part)

    def finish(self) -> Picture:
        """All lines as edges; a line that is used twice gets a branch."""
        self.join()
        edges: list[tuple[int, int, Edge]] = []
        tell = _once(block)
        for line in (line for line in self.lines if line.uses):
            value, gradient = tell(line.value), tell(line.gradient)
            tail, name = line.maker, line.name
            called = self.picture.vertices[tail].text if self.picture.vertices[tail].source else name
            if len(line.uses) > 1:
                dot = self.picture.add(Vertex("branch", about="branch: the gradients that come back are added"))
                edges.append((dot, 0, Edge(tail, dot, value, gradient, name, called)))
                tail, name = dot, ""
            for u in line.uses:
                shown = tell(u.value) if u.transposed else value
                note = f"{called}ᵀ" if u.transposed else name
                part = gradient if len(line.uses) == 1 else tell(u.part)
                edges.append((u.head, u.position, Edge(tail, u.head, shown, part, note, called)))
        self.picture.edges = [edge for *_, edge in sorted(edges, key=lambda e: e[:2])]
        return self.picture


def _once(work: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The text of each array is made once; None stays None."""
    known: dict[int, tuple[Any, Any]] = {}

    def remembered(a: Any) -> Any:
        if a is None:
            return None
        if id(a) not in known:
            known[id(a)] = (a, work(a))  # kept with the array, so that its id stays its own
        return known[id(a)][1]

    return remembered


def _parts(node: Any, values: list[Any], douts: list[Any], whole: list[Any]) -> list[Any]:
    """The gradient of each input of one call by itself; unknown (None) where the node cannot say it a second time."""
    if any(d is None for d in douts):
        return [None] * len(whole)
    with contextlib.suppress(Exception):  # a reader's own node may do anything; the picture is drawn all the same
        if isinstance(node, Network):
            again = twin(node)
            again.forward(*values)
        else:
            again = copy.copy(node)  # with what forward kept
            if hasattr(node, "grads"):
                again.grads = [namespace_copy(g) for g in node.grads]
        options = {"input_grad": True} if takes_input_grad(again.backward) else {}
        dx = again.backward(*douts, **options)
        found = list(dx) if isinstance(dx, tuple | list) and not is_array(dx) else [dx]
        return found + [None] * (len(whole) - len(found))
    return [None] * len(whole)


def _inside(node: Any, given: list[Line], outs: list[Line]) -> Graph | None:
    """The graph in a node that has one, with the values of its last run."""
    values = [line.value for line in given]
    if isinstance(node, Graph):
        return node
    if not isinstance(node, Network) or not hasattr(node, "nodes"):
        return None
    graph = chain_graph(node, *values)  # of which it takes the number
    if all(v is not None for v in values):
        graph.forward(*values)
        if all(line.gradient is not None for line in outs):
            graph.backward(*(line.gradient for line in outs), input_grad=True)
    return graph
