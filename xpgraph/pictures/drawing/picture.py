"""A picture as plain data, before the layout: vertices, and edges with their two texts; and how a node looks in it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from ...arrays.libraries import is_array
from .values import Block, text_width

# Sizes in pixels. Of text: names of variables, operators' signs, titles of layers, words in a box, names of wires,
# small print.
NAME, SIGN, TITLE, WORD, WIRE, NOTE = 15.0, 19.0, 14.0, 13.0, 13.0, 10.5
RADIUS, DOT = 19.0, 5.0  # of an operator, of a branch
HALF_GAP = 2.8  # half the distance between an edge's two lines, forward and back

_SIGNS = {"Add": "+", "Subtract": "−", "Multiply": "×", "Divide": "÷", "MatMul": "·", "Dot": "·", "Sum": "Σ"}
_WORDS = ("Exp", "Log", "Max", "Mean", "Transpose", "Reshape", "Concat", "Split", "Repeat")
_ORDERED = ("Subtract", "Divide", "Dot", "Concat")  # the order of their inputs matters
_LONGEST_NOTE = 26  # characters
_SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


@dataclass(frozen=True)
class Vertex:
    """What edges connect. ``kind``: input, parameter, output, operator, word, layer or branch.

    An operator is a circle with a sign, a word a rounded box, a layer a box with a bold title, a branch a dot.
    """

    kind: str
    text: str = ""
    note: str = ""  # small print under the text
    about: str = ""  # for a tooltip and for screen readers
    ordered: bool = False  # do its inputs have an order that matters, as in x - y?

    @property
    def source(self) -> bool:
        return self.kind in ("input", "parameter")

    @property
    def step(self) -> float:
        """The distance between two edges that arrive on one side."""
        return {"branch": 0.0, "operator": 13.0, "word": 14.0, "layer": 17.0}.get(self.kind, 14.0)

    @property
    def width(self) -> float:
        if self.kind == "branch":
            return 12.0
        if self.kind == "operator":
            return 2 * RADIUS
        size = {"layer": TITLE, "word": WORD}.get(self.kind, NAME)
        words = max(text_width(self.text, size, self.kind == "layer"), text_width(self.note, NOTE))
        return words + {"layer": 26.0, "word": 26.0, "parameter": 18.0}.get(self.kind, 6.0 if words else 0.0)

    @property
    def half_height(self) -> float:
        """Half its height; many edges on one side may need more."""
        note = 6.5 if self.note else 0.0
        return {"branch": 6.0, "operator": RADIUS, "word": 15.0, "layer": 19.0}.get(self.kind, 12.0) + note


@dataclass(frozen=True)
class Edge:
    """From vertex ``tail`` to vertex ``head``: the value goes forward, the gradient comes back."""

    tail: int
    head: int
    value: Block | None = None
    gradient: Block | None = None
    note: str = ""  # above the value: the wire's name, or Wᵀ
    name: str = ""  # of the wire or the parameter, for tooltips

    @property
    def width(self) -> float:
        blocks = [b.width for b in (self.value, self.gradient) if b]
        note = text_width(self.note, WIRE)
        return max([*blocks, note]) + 10 if blocks or note else 0.0

    @property
    def up(self) -> float:
        """The height of what stands above the edge."""
        height = self.value.height + 4 if self.value else 0.0
        return HALF_GAP + 4 + height + (WIRE * 1.4 if self.note else 0.0)

    @property
    def down(self) -> float:
        return HALF_GAP + 4 + (self.gradient.height + 4 if self.gradient else 0.0)


@dataclass
class Picture:
    """Vertices by number, and edges in the order of the inputs that they lead to."""

    title: str = "Computational graph"
    vertices: list[Vertex] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)

    def add(self, vertex: Vertex) -> int:
        """Add a vertex; return its number."""
        self.vertices.append(vertex)
        return len(self.vertices) - 1

    @property
    def description(self) -> str:
        """The picture in one sentence, for screen readers."""
        nodes = [v.text or v.kind for v in self.vertices if v.kind in ("operator", "word", "layer")]
        listed = ", ".join(nodes[:30]) + (f" and {len(nodes) - 30} more" if len(nodes) > 30 else "")
        parts = [f"{len(nodes)} {'node' if len(nodes) == 1 else 'nodes'}: {listed}" if nodes else "no nodes"]
        for kind in ("input", "parameter", "output"):
            names = [v.text for v in self.vertices if v.kind == kind and v.text]
            parts += [f"{kind}s: {', '.join(names)}"] if names else []
        return "; ".join(parts)


# --- how a node looks: a sign in a circle, a word, or a box with the name of its class ---


def vertex(node: Any, hidden: int = 0) -> Vertex:
    """The vertex for a node; ``hidden``: the number of its parameters if the picture does not draw them."""
    kind, about = type(node).__name__, " ".join(repr(node).split())
    if kind in _SIGNS:
        return Vertex("operator", _SIGNS[kind], about=about, ordered=kind in _ORDERED)
    if kind == "Branch":
        return Vertex("branch", about=about)
    if hidden:
        return Vertex("layer", kind, f"{hidden} parameters", about)
    if kind == "Repeat":
        return Vertex("word", f"repeat {_times(node)}".strip(), about=about)
    if kind == "Power":
        p = getattr(node, "p", None)
        if isinstance(p, int) and len(str(p)) < 3:
            return Vertex("operator", f"x{str(p).translate(_SUPERSCRIPTS)}", about=about)
        return Vertex("word", f"x^{p}", about=about)
    if kind in _WORDS:
        return Vertex("word", kind.lower(), _options(node), about, kind in _ORDERED)
    params = list(getattr(node, "params", ()))
    if len(params) and len(shape := tuple(params[0].shape)) == 2:
        return Vertex("layer", kind, " → ".join(map(str, shape)), about)
    return Vertex("layer", kind, _options(node), about, True)


def _options(node: Any) -> str:
    """The node's options, such as ``axis=1``; empty if they are too long for a note."""
    options = [(name, getattr(node, name, None)) for name in getattr(node, "options", ())]
    text = ", ".join(f"{name}={v}" for name, v in options if not (v is None or isinstance(v, bool) or is_array(v)))
    return text if len(text) <= _LONGEST_NOTE else ""


def _times(node: Any) -> str:
    """How often a Repeat repeats: its option n, or the number in its last run; empty before the first."""
    n, shape, x = getattr(node, "n", None), getattr(node, "shape", None), getattr(node, "x", None)
    if n is None and shape is not None and x is not None and 0 not in shape:
        n = math.prod(shape) // math.prod(x.shape)
    return "" if n is None else f"×{n}"
