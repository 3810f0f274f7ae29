"""The lines of a picture: each value from the vertex that computes it to those that use it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from ...arrays.libraries import Array, namespace_of
from ...nodes.basic import add
from ...nodes.copying import namespace_copy
from ...nodes.sharing import plan
from .picture import Edge, Picture, Vertex
from .values import Block, block


@dataclass
class Use:
    """One end of a line: input ``position`` of vertex ``head``.

    ``gradient`` is what came back from there alone. ``value`` is set for parameters only; ``transposed`` where the
    vertex uses the transpose of the line's first array.
    """

    head: int
    position: int
    gradient: Any = None
    value: Any = None
    transposed: bool = False


@dataclass
class Line:
    """A value from its vertex ``tail`` to its uses; ``gradient`` is the sum over them."""

    tail: int
    value: Any = None
    gradient: Any = None
    name: str = ""
    uses: list[Use] = field(default_factory=list)

    def rest_of_gradient(self) -> Any:
        """What the last use adds to the gradient: all of it less the other uses; None where one of them is unknown."""
        others = [use.gradient for use in self.uses[:-1]]
        if not others or self.gradient is None or any(d is None for d in others):
            return None if others else self.gradient
        rest = namespace_copy(self.gradient)
        for d in others:
            rest = rest - d
        return rest


@dataclass(frozen=True)
class _Parameter:
    array: Array
    name: str
    use: Use
    numbered: bool  # of several parameters with this name, each gets a number: W1, W2


class Lines:
    """Collects the vertices and lines of a picture, then makes its edges."""

    def __init__(self) -> None:
        self.picture = Picture()
        self.lines: list[Line] = []
        self._parameters: list[_Parameter] = []

    def add(self, tail: int, value: Any = None, gradient: Any = None, name: str = "") -> Line:
        self.lines.append(Line(tail, value, gradient, name))
        return self.lines[-1]

    def add_parameter(self, array: Array, name: str, use: Use, numbered: bool = True) -> None:
        self._parameters.append(_Parameter(array, name, use, numbered))

    def finish(self) -> Picture:
        """The picture with all edges, sorted by the inputs that they lead to; several uses of a line get a branch."""
        self._join_parameters()
        edges: list[tuple[int, int, Edge]] = []
        blocks: dict[int, Block] = {}  # by id: an array that stands on several edges is read from its device once

        def text_of(a: Any) -> Block | None:
            if a is not None and id(a) not in blocks:
                blocks[id(a)] = block(a)
            return None if a is None else blocks[id(a)]

        for line in (line for line in self.lines if line.uses):
            value, gradient = text_of(line.value), text_of(line.gradient)
            tail, note = line.tail, line.name
            name = self.picture.vertices[tail].text if self.picture.vertices[tail].source else note
            if len(line.uses) > 1:
                branch = self.picture.add(Vertex("branch", about="branch: the gradients that come back are added"))
                edges.append((branch, 0, Edge(tail, branch, value, gradient, note, name)))
                tail, note = branch, ""
            for use in line.uses:
                value_here = text_of(use.value) if use.transposed else value
                gradient_here = gradient if len(line.uses) == 1 else text_of(use.gradient)
                edge = Edge(tail, use.head, value_here, gradient_here, f"{name}ᵀ" if use.transposed else note, name)
                edges.append((use.head, use.position, edge))
        self.picture.edges = [edge for *_, edge in sorted(edges, key=lambda e: e[:2])]
        return self.picture

    def _join_parameters(self) -> None:
        """One line for each parameter, however often it is used: shared and tied parameters have several uses."""
        lines: dict[int, Line] = {}
        to_number: dict[str, list[int]] = {}
        slots = plan([p.array for p in self._parameters])
        for i, (p, slot) in enumerate(zip(self._parameters, slots, strict=True)):
            if slot.first == i:
                lines[i] = self.add(self.picture.add(Vertex("parameter", p.name)), p.array)
                if p.numbered:
                    to_number.setdefault(p.name, []).append(lines[i].tail)
            p.use.value, p.use.transposed = p.array, slot.transposed
            lines[slot.first].uses.append(p.use)
        for name, vertices in to_number.items():
            for k, v in enumerate(vertices if len(vertices) > 1 else ()):
                self.picture.vertices[v] = replace(self.picture.vertices[v], text=f"{name}{k + 1}")
        for line in lines.values():
            for use in line.uses:
                if use.gradient is not None:
                    d = use.gradient
                    d = namespace_of(d).matrix_transpose(d) if use.transposed else d
                    line.gradient = d if line.gradient is None else add(line.gradient, d)
