"""The picture of a graph, told apart: which of its vertices and edges belong to which call, wire and parameter.

drawing/source.py adds the vertices in an order that is read back here: inputs, calls, outputs, then parameters and the
branches of what is used twice; and the edges into a call stand in the order of its inputs, then of its parameters.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ...graph.graph import Graph
from ..drawing.picture import Picture
from ..drawing.svg import render

NEVER = 1 << 30  # a step that no page has


@dataclass
class Scene:
    """When each part of the picture is known, by the numbers of steps, and where a click on a vertex leads."""

    graph: Graph
    picture: Picture
    values: list[int] = field(default_factory=list)  # by edge
    gradients: list[int] = field(default_factory=list)
    leads: list[list[int]] = field(default_factory=list)  # by vertex: its steps

    def __post_init__(self) -> None:
        self.values = [0] * len(self.picture.edges)
        self.gradients = [NEVER] * len(self.picture.edges)
        self.leads = [[] for _ in self.picture.vertices]
        self.n_inputs, self.n_calls = self.graph.wiring.inputs, len(self.graph.nodes)
        self.first_output = self.n_inputs + self.n_calls
        self.first_other = self.first_output + len(self.graph.wiring.outputs)
        self.into: dict[int, list[int]] = {}  # edges by the vertex that they lead to
        self.out: dict[int, list[int]] = {}
        for e, edge in enumerate(self.picture.edges):
            self.into.setdefault(edge.head, []).append(e)
            self.out.setdefault(edge.tail, []).append(e)

    def call(self, k: int) -> int:
        return self.n_inputs + k

    def output(self, j: int) -> int:
        return self.first_output + j

    def origin(self, e: int) -> int:
        """The vertex that an edge's value comes from, behind a branch."""
        tail = self.picture.edges[e].tail
        implicit = tail >= self.first_other and self.picture.vertices[tail].kind == "branch"
        return self.picture.edges[self.into[tail][0]].tail if implicit else tail

    def branch(self, e: int) -> int | None:
        """The implicit branch that an edge comes from."""
        tail = self.picture.edges[e].tail
        return tail if tail != self.origin(e) else None

    def slot_edges(self, slot: int) -> list[int]:
        """The edges by which a wire reaches the calls and the outputs that use it."""
        w = self.graph.wiring
        found = [
            self.into[self.call(k)][i] for k, (ins, _) in enumerate(w.steps) for i, s in enumerate(ins) if s == slot
        ]
        return found + [self.into[self.output(j)][0] for j, s in enumerate(w.outputs) if s == slot]

    def parameter_edges(self, k: int) -> list[int]:
        """The edges of a call's own parameters; empty where the picture only counts them."""
        return self.into.get(self.call(k), [])[len(self.graph.wiring.steps[k][0]) :]

    def settle(self, values: dict[int, int], gradients: dict[tuple[int, int], int], seeded: int) -> None:
        """Put the steps in: of each slot's value, and of the gradient that call k gives its input or parameter i."""
        w = self.graph.wiring
        for k, (ins, _) in enumerate(w.steps):
            for i, e in enumerate(self.into.get(self.call(k), [])):
                self.values[e] = values.get(ins[i], 0) if i < len(ins) else 0
                self.gradients[e] = gradients.get((k, i), NEVER)
        for j, slot in enumerate(w.outputs):
            e = self.into[self.output(j)][0]
            self.values[e], self.gradients[e] = values.get(slot, 0), seeded

    def gather(self, vertex: int, step: int | None = None) -> None:
        """The edge into a branch: its value as behind it, its gradient when the sum is known."""
        (e,) = self.into[vertex]
        self.values[e] = min(self.values[out] for out in self.out[vertex])
        known = [self.gradients[out] for out in self.out[vertex] if self.gradients[out] != NEVER]
        self.gradients[e] = max(known, default=NEVER) if step is None else step

    def svg(self) -> str:
        """The picture for the page: a group that is clicked on, without the words that would tell what comes later."""
        text = render(self.picture).replace('role="img"', 'role="group"', 1)
        text = re.sub(r'(<g data-edge="\d+">)<title>[^<]*</title>', r"\1", text)
        return re.sub(r"<(title|desc)>[^<]*</\1>\n", "", text)
