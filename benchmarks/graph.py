"""The cost of a Graph for each node, beside a loop that calls the same nodes."""

from __future__ import annotations

from typing import Any

from xpgraph import Graph, record, wire
from xpgraph.arrays.libraries import place

from .common import call_seconds

NODES = 1000


class Nothing:
    """y = x without any work, so that only the time of the Graph is measured."""

    def forward(self, x: Any) -> Any:
        return x

    def backward(self, dy: Any) -> Any:
        return dy


class Pair:
    """The same with two inputs."""

    def forward(self, x: Any, y: Any) -> Any:
        return x

    def backward(self, dy: Any) -> Any:
        return dy, None


class RunGraph:
    """Forward and backward of 1,000 nodes in a row. ``inputs``: of each node; a second one gets no gradient."""

    version = "1"
    params = ((1, 2),)
    param_names = ("inputs",)

    def setup(self, inputs: int) -> None:
        self.x = place("numpy").asarray([1.0], "float32")
        x = wire("x")
        h = x
        self.nodes = [Nothing() if inputs == 1 else Pair() for _ in range(NODES)]
        for node in self.nodes:
            h = record(node, h) if inputs == 1 else record(node, h, x)
        self.graph = Graph(x, h)
        self.time_thousand_nodes(inputs)

    def time_thousand_nodes(self, inputs: int) -> None:
        """Seconds for forward and backward of 1,000 nodes that do nothing."""
        self.graph.forward(self.x)
        self.graph.backward(self.x)

    def by_hand(self, inputs: int) -> None:
        """The loop that somebody would write without a Graph."""
        h = x = self.x
        if inputs == 1:
            for node in self.nodes:
                h = node.forward(h)
            for node in reversed(self.nodes):
                h = node.backward(h)
        else:
            for node in self.nodes:
                h = node.forward(h, x)
            for node in reversed(self.nodes):
                h, _ = node.backward(h)

    def track_seconds_of_a_node(self, inputs: int) -> float:
        """Seconds for each node by which the Graph takes longer than the loop; lower is better."""
        mine, theirs = (min(call_seconds(lambda f=f: f(inputs))) for f in (self.time_thousand_nodes, self.by_hand))
        return float(f"{max(mine - theirs, 1e-12) / NODES:.3g}")

    track_seconds_of_a_node.unit = "s"  # type: ignore[attr-defined]
