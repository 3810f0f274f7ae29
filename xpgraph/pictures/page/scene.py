"""The picture of a graph on the page: which vertices and edges belong to which call, and when each appears.

drawing/graph_reader.py adds the vertices in an order on which this file relies: inputs, calls, outputs, then parameters
and implicit branches (of values that are used several times). The edges into a call are in the order of its inputs,
then of its parameters.
"""

from __future__ import annotations

import re

from ...graph.graph import Graph
from ..drawing.picture import Picture
from ..drawing.svg import render

NEVER = 1 << 30  # a step that no page has


class Scene:
    """The steps at which the edges' values and gradients appear, and those to which a click on a vertex leads."""

    def __init__(self, graph: Graph, picture: Picture) -> None:
        self.graph, self.picture = graph, picture
        self.value_steps = [0] * len(picture.edges)
        self.gradient_steps = [NEVER] * len(picture.edges)
        self.leads: list[list[int]] = [[] for _ in picture.vertices]
        self._n_inputs = graph.wiring.inputs
        self._first_output = self._n_inputs + len(graph.nodes)
        self._first_added = self._first_output + len(graph.wiring.outputs)
        self._into: dict[int, list[int]] = {}
        self._out_of: dict[int, list[int]] = {}
        for e, edge in enumerate(picture.edges):
            self._into.setdefault(edge.head, []).append(e)
            self._out_of.setdefault(edge.tail, []).append(e)

    def call(self, k: int) -> int:
        """The vertex of call k."""
        return self._n_inputs + k

    def output(self, j: int) -> int:
        """The vertex of output j."""
        return self._first_output + j

    def edges_into(self, vertex: int) -> list[int]:
        return self._into.get(vertex, [])

    def edges_out_of(self, vertex: int) -> list[int]:
        return self._out_of.get(vertex, [])

    def origin(self, e: int) -> int:
        """The vertex from which an edge's value comes, before an implicit branch."""
        branch = self.branch(e)
        return self.picture.edges[e if branch is None else self._into[branch][0]].tail

    def branch(self, e: int) -> int | None:
        """The implicit branch from which an edge comes, or None."""
        tail = self.picture.edges[e].tail
        return tail if tail >= self._first_added and self.picture.vertices[tail].kind == "branch" else None

    def slot_edges(self, slot: int) -> list[int]:
        """The edges by which a wire reaches the calls and the outputs that use it."""
        w = self.graph.wiring
        to_calls = [
            self._into[self.call(k)][i] for k, (ins, _) in enumerate(w.steps) for i, s in enumerate(ins) if s == slot
        ]
        return to_calls + [self._into[self.output(j)][0] for j, s in enumerate(w.outputs) if s == slot]

    def parameter_edges(self, k: int) -> list[int]:
        """The edges of the parameters of a call's node; empty where the picture only gives their number."""
        return self.edges_into(self.call(k))[len(self.graph.wiring.steps[k][0]) :]

    def set_steps(self, values: dict[int, int], gradients: dict[tuple[int, int], int], start: int) -> None:
        """Say when the edges' values and gradients appear.

        values: by slot. gradients: by (call, number of its input or parameter). start: where backward starts.
        """
        w = self.graph.wiring
        for k, (ins, _) in enumerate(w.steps):
            for i, e in enumerate(self.edges_into(self.call(k))):
                self.value_steps[e] = values.get(ins[i], 0) if i < len(ins) else 0
                self.gradient_steps[e] = gradients.get((k, i), NEVER)
        for j, slot in enumerate(w.outputs):
            e = self._into[self.output(j)][0]
            self.value_steps[e], self.gradient_steps[e] = values.get(slot, 0), start
        for branch in {b for e in range(len(self.picture.edges)) if (b := self.branch(e)) is not None}:
            self.set_branch_step(branch, max(self.leads[branch], default=None))

    def set_branch_step(self, branch: int, step: int | None) -> None:
        """Set the steps of the edge into a branch: its gradient appears at ``step`` (None: with its last part)."""
        (e,) = self._into[branch]
        after = self._out_of[branch]
        self.value_steps[e] = min(self.value_steps[out] for out in after)
        known = [self.gradient_steps[out] for out in after if self.gradient_steps[out] != NEVER]
        self.gradient_steps[e] = max(known, default=NEVER) if step is None else step

    def svg(self) -> str:
        """The picture for the page: a group of buttons, without the tooltips that would give away later steps."""
        text = render(self.picture).replace('role="img"', 'role="group"', 1)
        text = re.sub(r'(<g data-edge="\d+">)<title>[^<]*</title>', r"\1", text)
        return re.sub(r"<(title|desc)>[^<]*</\1>\n", "", text)
