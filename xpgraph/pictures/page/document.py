"""The page as data: its steps, its picture, and how it shows the wires, parameters and arrays of the graph."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from html import escape
from itertools import islice, product
from typing import Any, NamedTuple

from ...arrays.libraries import Array, dtype_name, is_array, namespace_of, on_device, to_numpy
from ...graph.graph import Graph
from ...graph.network import Network
from ..drawing.graph_reader import picture_of
from ..drawing.values import block, is_bad, number_text
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
        """An array as HTML (see the function ``figure``), cut to what a page of this size can hold."""
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


# --- an array as HTML: the number, or its statistics and a table of its first rows and columns ---


_ALL = 120  # an array of so many numbers has no statistics; it is shown in full if the limits allow it


class Limits(NamedTuple):
    """The size of the largest table."""

    rows: int
    columns: int

    @classmethod
    def of_page(cls, figures: int) -> Limits:
        """Smaller tables for a page with many figures, so that the file stays small."""
        return cls(8, 10) if figures < 150 else cls(4, 6) if figures < 1000 else cls(1, 3)


def figure(a: Any, letter: str, name: str, colour: str, limits: Limits) -> str:
    """An array with its letter and its name. ``colour``: value, gradient or local."""
    label = f"<b>{escape(letter)}</b>" + (f" <span>{escape(name)}</span>" if name and name != letter else "")
    table_name = escape(" ".join(filter(None, (letter, name if name != letter else ""))), quote=True)
    return f'<figure class="{colour}"><figcaption>{label}</figcaption>{_body(a, table_name, limits)}</figure>'


def scalar_text(a: Any) -> str | None:
    """A single number with four significant digits; None for anything else."""
    if a is None or (is_array(a) and a.shape):
        return None
    shown = block(a)
    return shown.text if shown.kind == "number" else None


def spoken(a: Any) -> str:
    """A value in a few words, for screen readers."""
    return scalar_text(a) or (f"{_shape(a)} array" if is_array(a) else "none")


def _body(a: Any, table_name: str, limits: Limits) -> str:
    if not is_array(a) or not a.shape:
        shown = block(a)
        return f'<p class="number{" bad" if shown.bad else ""}">{escape(shown.text)}</p>'
    facts = [f"{_shape(a)} {dtype_name(a)}"]
    if math.prod(a.shape) > _ALL:
        shown = block(a)
        facts = [row[0] for row in shown.rows] if shown.kind == "lines" else facts
    about = "".join(f"<li>{escape(fact)}</li>" for fact in facts)
    return f'<ul class="facts">{about}</ul>{_table(a, table_name, limits) if 0 not in a.shape else ""}'


def _shape(a: Array) -> str:
    return " × ".join(map(str, a.shape)) or "empty"


def _table(a: Array, name: str, limits: Limits) -> str:
    """The first rows and columns. The last axis runs across, all others run down."""
    size, across = math.prod(a.shape), a.shape[-1]
    down = size // across
    everything = size <= min(_ALL, limits.rows * limits.columns) and across <= 2 * limits.columns
    rows, columns = (down, across) if everything else (min(down, limits.rows), min(across, limits.columns))
    with on_device(a):
        grid = namespace_of(a).reshape(a, (down, across))[:rows, :columns]
    numbers = to_numpy(grid).tolist()  # sync
    index = _indices(a.shape[:-1], rows)
    gap = '<td class="more">…</td>' if columns < across else ""
    head = "".join(f'<th scope="col">{j}</th>' for j in range(columns)) + gap
    body = [
        f'<tr><th scope="row">{i}</th>{"".join(map(_cell, row))}{gap}</tr>'
        for i, row in zip(index, numbers, strict=True)
    ]
    if len(a.shape) == 1:
        body = [f'<tr><th scope="row"></th>{"".join(map(_cell, numbers[0]))}{gap}</tr>']
    if rows < down:
        body.append(f'<tr><th scope="row">…</th><td class="more" colspan="{columns + bool(gap)}"></td></tr>')
    left = size - rows * columns
    shown = _range(rows, down, "Row") + _range(columns, across, "Column")
    note = f'<p class="left">{shown}{left:,} numbers left out.</p>' if left else ""
    return (
        f'<div class="scroll" role="region" aria-label="{name}" tabindex="0"><table><thead><tr><th></th>{head}</tr>'
        f"</thead><tbody>{''.join(body)}</tbody></table></div>{note}"
    )


def _range(shown: int, total: int, what: str) -> str:
    return f"{what}s 0 to {shown - 1} of {total:,}. " if shown < total else ""


def _indices(shape: tuple[int, ...], n: int) -> list[str]:
    """The first n indices of an array of this shape in row-major order, such as "0, 1"."""
    indices = product(*(range(min(length, n)) for length in shape))
    return [", ".join(map(str, index)) for index in islice(indices, n)]


def _cell(v: Any) -> str:
    return f"<td{' class=bad' if is_bad(v) else ''}>{escape(number_text(v))}</td>"
