"""The picture as plain data, before it has a place on the page: vertices, and edges with their two labels."""

from __future__ import annotations

from dataclasses import dataclass, field

from .layout.widths import text_width
from .values import Block

NAME, SIGN, TITLE, NOTE = 15.0, 19.0, 14.0, 10.5  # sizes of text: variables, operators' signs, layers, small print
REMARK = 13.0  # the name of a wire, above its value
RADIUS, DOT = 19.0, 5.0  # of an operator, of a branch
LINES = 2.8  # half the distance between an edge's way forward and its way back


@dataclass(frozen=True)
class Vertex:
    """Something that edges lead to. ``kind``: input, parameter, output, operator, word, layer or branch.

    An operator is a circle with a sign, a word the same with more letters, a layer a box, a branch a dot.
    """

    kind: str
    text: str = ""
    note: str = ""  # a remark in small print, under the text
    about: str = ""  # what a reader of the screen, or the mouse, is told
    ordered: bool = False  # do its inputs have an order that a reader must know?

    @property
    def source(self) -> bool:
        return self.kind in ("input", "parameter")

    @property
    def step(self) -> float:
        """Between two edges that arrive on one side."""
        return {"branch": 0.0, "operator": 13.0, "word": 14.0, "layer": 17.0}.get(self.kind, 14.0)

    @property
    def width(self) -> float:
        if self.kind == "branch":
            return 12.0
        if self.kind == "operator":
            return 2 * RADIUS
        size = {"layer": TITLE, "word": 13.0}.get(self.kind, NAME)
        words = max(text_width(self.text, size, self.kind == "layer"), text_width(self.note, NOTE))
        return words + {"layer": 26.0, "word": 26.0, "parameter": 18.0}.get(self.kind, 6.0 if words else 0.0)

    @property
    def half(self) -> float:
        """Half its height, before the edges that arrive ask for more."""
        more = 6.5 if self.note else 0.0
        return {"branch": 6.0, "operator": RADIUS, "word": 15.0, "layer": 19.0}.get(self.kind, 12.0) + more


@dataclass(frozen=True)
class Edge:
    """From one vertex to another: the value that goes forward, the gradient that comes back."""

    tail: int
    head: int
    value: Block | None = None
    gradient: Block | None = None
    note: str = ""  # before the value, such as "Wᵀ ="
    name: str = ""  # of the wire

    @property
    def width(self) -> float:
        blocks = [b.width for b in (self.value, self.gradient) if b]
        note = text_width(self.note, REMARK)
        return max([*blocks, note]) + 10 if blocks or note else 0.0

    @property
    def up(self) -> float:
        """Height of what stands above the line."""
        height = self.value.height + 4 if self.value else 0.0
        return LINES + 4 + height + (REMARK * 1.4 if self.note else 0.0)

    @property
    def down(self) -> float:
        return LINES + 4 + (self.gradient.height + 4 if self.gradient else 0.0)


@dataclass
class Picture:
    """Vertices by number, and the edges between them in the order in which they are to be read."""

    title: str = "Computational graph"
    vertices: list[Vertex] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)

    def add(self, vertex: Vertex) -> int:
        self.vertices.append(vertex)
        return len(self.vertices) - 1

    def join(self, edge: Edge) -> None:
        self.edges.append(edge)

    @property
    def words(self) -> str:
        """The picture told in a sentence, for those who do not see it."""
        kinds = [v.kind for v in self.vertices]
        nodes = [v.text or v.kind for v in self.vertices if v.kind in ("operator", "word", "layer")]
        told = ", ".join(nodes[:30]) + (f" and {len(nodes) - 30} more" if len(nodes) > 30 else "")
        ends = [
            f"{word}: {', '.join(v.text for v in self.vertices if v.kind == kind and v.text)}"
            for kind, word in (("input", "inputs"), ("parameter", "parameters"), ("output", "outputs"))
            if kind in kinds and any(v.text for v in self.vertices if v.kind == kind)
        ]
        return "; ".join(
            [f"{len(nodes)} {'node' if len(nodes) == 1 else 'nodes'}: {told}" if nodes else "no nodes", *ends]
        )
