"""A picture as a Graphviz file, for those who have Graphviz."""

from __future__ import annotations

from .picture import Edge, Picture, Vertex
from .style import PALETTE
from .svg import escape
from .values import Block

_SHAPES = {
    "operator": 'shape=circle, margin="0.02"',
    "word": 'shape=box, style="rounded"',
    "layer": f'shape=box, style="filled", fillcolor="{PALETTE["layer"].light}"',
    "parameter": f'shape=box, style="rounded,filled", fillcolor="{PALETTE["parameter"].light}"',
    "branch": "shape=point, width=0.1",
    "input": "shape=plaintext",
    "output": "shape=plaintext",
}


def render(picture: Picture) -> str:
    """The text of a .dot file: on each edge, the value above the gradient."""
    lines = [
        "digraph {",
        f"  label={_quoted(picture.title)}; labelloc=b; rankdir=LR;",
        '  node [fontname="Helvetica"]; edge [fontname="Helvetica", fontsize=10];',
    ]
    lines += [f"  n{i} [{_vertex(v)}];" for i, v in enumerate(picture.vertices)]
    lines += [f"  n{e.tail} -> n{e.head}{_edge(e)};" for e in picture.edges]
    return "\n".join([*lines, "}", ""])


def _vertex(v: Vertex) -> str:
    label = "" if v.kind == "branch" else "\n".join(filter(None, (v.text, v.note)))
    return f"label={_quoted(label)}, {_SHAPES[v.kind]}, tooltip={_quoted(v.about or v.text or v.kind)}"


def _edge(e: Edge) -> str:
    """An HTML-like label, the only kind in which Graphviz can colour parts."""
    parts = [_coloured(e.note, "soft")] if e.note else []
    parts += [_block(e.value, "value")] if e.value else []
    parts += [_block(e.gradient, "gradient")] if e.gradient else []
    both = ", dir=both, arrowtail=empty" if e.gradient else ""
    return f" [label=<{'<br/>'.join(parts)}>{both}]" if parts else ""


def _block(block: Block, colour: str) -> str:
    lines = []
    for i, row in enumerate(block.rows):
        words = []
        for j, cell in enumerate(row):
            bad = (i, j) in block.bad
            words.append(f"<b>{_coloured(cell, 'bad')}</b>" if bad else _coloured(cell, colour))
        line = _coloured("  ", colour).join(words)
        lines.append(f"{_coloured('[', colour)}{line}{_coloured(']', colour)}" if block.kind == "matrix" else line)
    text = "<br/>".join(lines)
    return f"<i>{text}</i>" if colour == "gradient" else text


def _coloured(text: str, colour: str) -> str:
    return f'<font color="{PALETTE[colour].light}">{escape(text)}</font>'


def _quoted(text: str) -> str:
    safe = text.replace("\0", "\ufffd").replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{safe}"'
