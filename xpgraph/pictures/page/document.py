"""The page as data: its steps, its picture, and how the steps show the wires, parameters and arrays of the graph."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from html import escape
from typing import Any

from ...graph.graph import Graph
from ...graph.network import Network
from ..drawing.graph_reader import picture_of
from .figures import Limits, figure, scalar_text, spoken
from .scene import Scene

_MOST_PARAMETERS = 12  # of one node that a step lists


@dataclass
class Step:
    """One step of the page, which points at ``vertices`` and ``edges``. ``body``: HTML; ``say``: for screen readers."""

    phase: str  # start, forward, backward, update or end
    title: str
    body: str
    say: str
    vertices: list[int] = field(default_factory=list)
    edges: list[int] = field(default_factory=list)


class Page:
    """The page for a graph that has been traced. Wires go by their slots, nodes by the numbers of their calls."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.steps: list[Step] = []
        self.scene = Scene(graph, picture_of(graph))
        self.titles = _numbered([type(node).__name__ for node in graph.nodes])
        self._values, self._gradients = graph.values, graph.gradients
        self._makers = {slot: k for k, (_, outs) in enumerate(graph.wiring.steps) for slot in outs}
        self._limits = Limits.of_page(6 * len(graph.nodes) + 3 * len(graph.params))

    def value(self, slot: int) -> Any:
        return self._values.get(self.graph.wires[slot])

    def gradient(self, slot: int) -> Any:
        return self._gradients.get(self.graph.wires[slot])

    def name(self, slot: int) -> str:
        """What the page calls a wire."""
        w = self.graph.wires[slot]
        if w.name is not None:
            return w.name
        if slot in self._makers:
            return f"result of {self.titles[self._makers[slot]]}"
        return "input" if w.array is None else "parameter"

    def parameters(self, k: int) -> list[tuple[str, Any, Any]]:
        """(name, value, gradient) of the parameters of a call's node."""
        return named_parameters(self.graph.nodes[k])[:_MOST_PARAMETERS]

    def figure(self, a: Any, letter: str, name: str = "", colour: str = "value") -> str:
        """An array as HTML (see ``figures.figure``), cut to what a page of this size can hold."""
        return figure(a, letter, name, colour, self._limits)

    def add(self, step: Step, vertex: int | None = None) -> int:
        """Add a step, which points at ``vertex`` too; return its number."""
        self.steps.append(step)
        for v in (vertex,) if vertex is not None else ():
            self.point_at(v)
        return len(self.steps) - 1

    def point_at(self, vertex: int) -> None:
        """Let the last step point at a vertex, and a click on the vertex lead to the step."""
        self.steps[-1].vertices.append(vertex)
        self.scene.leads[vertex].append(len(self.steps) - 1)

    def add_sum(self, title: str, letter: str, parts: list[tuple[str, Any]], total: Any, edges: list[int]) -> None:
        """Add the step that sums the gradients of several uses. ``parts``: (where it came from, gradient)."""
        summands = [self.figure(d, letter, where, "gradient") for where, d in parts]
        numbers = [scalar_text(d) for _, d in parts]
        body = formula_line(f"{letter} = Σ {letter}ᵢ, the sum over the uses")
        if None not in numbers:
            body += formula_line(f"{scalar_text(total)} = {' + '.join(map(str, numbers))}")
        body += group("Gradient in", summands) + group("Sum", [self.figure(total, letter, "", "gradient")])
        step = Step("backward", f"Sum: {title}", body, f"Sum of gradients: {title}. {letter} is {spoken(total)}.")
        branch = next((b for e in edges if (b := self.scene.branch(e)) is not None), None)
        step.edges += edges + (self.scene.edges_into(branch) if branch is not None else [])
        self.add(step, branch)


def named_parameters(node: Any) -> list[tuple[str, Any, Any]]:
    """(name, value, gradient) of each entry of ``node.params``: shared parameters once for each use."""
    if isinstance(node, Network):
        return node.named_parameters(remove_duplicate=False)
    params, grads, names = (list(getattr(node, part, ())) for part in ("params", "grads", "names"))
    names += [f"p{i}" for i in range(len(names), len(params))]
    return list(zip(names, params, grads, strict=False))


def _numbered(classes: list[str]) -> list[str]:
    """The titles of nodes: the names of their classes, with a number where there are several of one class."""
    total, seen = Counter(classes), Counter[str]()
    titles = []
    for name in classes:
        seen[name] += 1
        titles.append(name if total[name] == 1 else f"{name} {seen[name]}")
    return titles


def group(title: str, figures: list[str]) -> str:
    """Figures under a title, as HTML; empty without figures."""
    return f'<section class="group"><h3>{escape(title)}</h3><div>{"".join(figures)}</div></section>' if figures else ""


def formula_line(text: str) -> str:
    return f'<p class="formula">{escape(text)}</p>' if text else ""
