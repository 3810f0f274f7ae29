"""A picture as an SVG file that refers to no other file; the same picture gives the same bytes."""

from __future__ import annotations

import html
import math
import re
from itertools import pairwise

from .layout.place import Placed, place
from .picture import DOT, HALF_GAP, NAME, NOTE, SIGN, TITLE, WIRE, WORD, Edge, Picture, Vertex
from .style import SANS, SERIF, fill, fill_and_stroke, stroke, style_sheet
from .values import COLUMN_GAP, Block

MARGIN = 16.0
_ARROW, _ARROW_HALF = 8.0, 3.3  # length and half the width of an arrow head
_STRAIGHT = 10.0  # of a line before it bends: the arrow head lies on it
_CENTRED = ' text-anchor="middle"'
_SLANTED = f' font-family="{SERIF}" font-style="italic"{_CENTRED}'
_STROKES = {  # signs drawn as lines: their letters stand at another height in every font
    "+": "M{l} {y}H{r}M{x} {t}V{b}",
    "−": "M{l} {y}H{r}",
    "×": "M{w} {n}L{e} {s}M{w} {s}L{e} {n}",
    "÷": "M{l} {y}H{r}",
}
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # in XML 1.0


def render(picture: Picture) -> str:
    """The text of an SVG file."""
    placed = place(picture)
    width, height = placed.width + 2 * MARGIN, placed.height + 2 * MARGIN
    title, about = escape(picture.title), escape(picture.description)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_n(width)}" height="{_n(height)}" '
        f'viewBox="0 0 {_n(width)} {_n(height)}" role="img" aria-label="{title}. {about}" font-family="{SANS}">',
        f"<title>{title}</title>",
        f"<desc>{about}. Values stand above the lines, gradients below.</desc>",
        f"<style>{style_sheet()}</style>",
        f'<rect {fill("paper")} width="{_n(width)}" height="{_n(height)}" rx="6"/>',
        f'<g transform="translate({_n(MARGIN)} {_n(MARGIN)})">',
    ]
    parts += [_edge(placed, e) for e in range(len(picture.edges))]
    parts += [_vertex(placed, v) for v in range(len(picture.vertices))]
    return "\n".join([*parts, "</g>", "</svg>", ""])


# --- edges ----------------------------------------------------------------------------------------------------


def _edge(placed: Placed, e: int) -> str:
    edge = placed.picture.edges[e]
    x, y = placed.labels[e]
    parts = [f'<g data-edge="{e}">', f"<title>{escape(_tooltip(placed.picture, edge))}</title>", '<g data-way="value">']
    parts.append(_line(placed, e, -HALF_GAP if edge.gradient else 0.0, "value", forward=True))
    top = y - HALF_GAP - 4
    if edge.value:
        top -= edge.value.height
        parts.append(_block(edge.value, x, top, "value"))
    parts.append("</g>")
    if edge.note:
        parts.append(_text(edge.note, x, top - 4, WIRE, "ink", _SLANTED))
    if edge.gradient:
        line = _line(placed, e, HALF_GAP, "gradient", forward=False)
        parts += ['<g data-way="gradient">', line, _block(edge.gradient, x, y + HALF_GAP + 4, "gradient"), "</g>"]
    return "".join([*parts, "</g>"])


def _tooltip(picture: Picture, edge: Edge) -> str:
    """An edge in words: its name, its value and its gradient."""
    tail, head = (v.about or v.text or v.kind for v in (picture.vertices[edge.tail], picture.vertices[edge.head]))
    name = edge.name or f"{tail} to {head}"
    about = f" ({edge.value.about})" if edge.value and edge.value.about and edge.value.kind != "lines" else ""
    value = f": {edge.value.text}{about}" if edge.value else ""
    return f"{name}{value}{f'; gradient {edge.gradient.text}' if edge.gradient else ''}"


def _line(placed: Placed, e: int, shift: float, colour: str, forward: bool) -> str:
    """The line for one direction, ``shift`` below the middle of the edge, and its arrow head."""
    edge, route = placed.picture.edges[e], placed.routes[e]
    tail, head = edge.tail, edge.head
    x0 = placed.x[tail] + _reach(placed, tail, route[0][2] + shift) + 1
    x1 = placed.x[head] - _reach(placed, head, route[-1][2] + shift) - 1
    start, end = (x0, x1 - _ARROW + 1) if forward else (x0 + _ARROW - 1, x1)
    path = [f"M{_n(start)} {_n(route[0][2] + shift)}"]
    for k, ((_, right, y), (left, _, below)) in enumerate(pairwise(route)):
        if abs(below - y) < 0.05:
            continue
        right += _STRAIGHT if k == 0 and edge.gradient else 0.0
        left -= _STRAIGHT if k == len(route) - 2 else 0.0
        # A steep bend would bring the two lines together; moving the middle sideways keeps them apart.
        lean = -math.copysign(1.3, below - y) * shift * min(1.0, abs(below - y) / (left - right))
        middle = _n((left + right) / 2 + lean)
        path.append(
            f"H{_n(right)}C{middle} {_n(y + shift)} {middle} {_n(below + shift)} {_n(left)} {_n(below + shift)}"
        )
    path.append(f"H{_n(end)}")
    tip, y = (x1, route[-1][2] + shift) if forward else (x0, route[0][2] + shift)
    back = tip - _ARROW if forward else tip + _ARROW
    dashes = "" if forward else ' stroke-dasharray="5 3"'
    return (
        f'<path {stroke(colour)} d="{"".join(path)}" fill="none" stroke-width="1.4"{dashes}/>'
        f'<path {fill(colour)} d="M{_n(tip)} {_n(y)}L{_n(back)} {_n(y - _ARROW_HALF)}V{_n(y + _ARROW_HALF)}Z"/>'
    )


def _reach(placed: Placed, v: int, y: float) -> float:
    """The distance from a vertex's middle to its outline, at height y."""
    vertex, half = placed.picture.vertices[v], placed.half[v]
    dy = min(abs(y - placed.y[v]), half)
    if vertex.kind in ("operator", "branch"):
        r = DOT if vertex.kind == "branch" else half
        return math.sqrt(max(0.0, r * r - dy * dy))
    width = vertex.width / 2
    if vertex.kind == "word":
        r = min(half, 15.0, width)
        over = max(0.0, dy - (half - r))
        return width - r + math.sqrt(max(0.0, r * r - over * over))
    return width


# --- text -----------------------------------------------------------------------------------------------------


def _block(block: Block, x: float, top: float, colour: str) -> str:
    """The text for a value, centred at x."""
    parts, size, left = [], block.size, x - block.width / 2
    slant = ' font-style="italic"' if colour == "gradient" else ""
    if block.bad:
        parts.append(
            f'<rect {fill("alarm")} x="{_n(left - 3)}" y="{_n(top - 1)}" width="{_n(block.width + 6)}" '
            f'height="{_n(block.height + 1)}" rx="3"/>'
        )
    if block.kind == "matrix":
        low, right = top + block.height - 1, x + block.width / 2
        bracket = "".join(
            f"M{_n(at + side * 3.5)} {_n(top)}H{_n(at)}V{_n(low)}H{_n(at + side * 3.5)}"
            for at, side in ((left, 1), (right, -1))
        )
        parts.append(f'<path {stroke(colour)} d="{bracket}" fill="none"/>')
    for i, row in enumerate(block.rows):
        y = top + i * block.pitch + (block.pitch + 0.72 * size) / 2
        edge = left + 5
        for j, (text, width) in enumerate(zip(row, block.columns, strict=True)):
            bad = (i, j) in block.bad
            kind = "bad" if bad else colour
            weight = ' font-weight="bold"' if bad else ""
            if block.kind == "matrix":
                edge += width
                parts.append(_text(text, edge, y, size, kind, f'{slant}{weight} text-anchor="end"'))
                edge += COLUMN_GAP
            else:
                parts.append(_text(text, x, y, size, kind, f"{slant}{weight}{_CENTRED}"))
    return "".join(parts)


def _text(text: str, x: float, y: float, size: float, colour: str, more: str = _CENTRED) -> str:
    return f'<text {fill(colour)} x="{_n(x)}" y="{_n(y)}" font-size="{_n(size)}"{more}>{escape(text)}</text>'


def _name(text: str, x: float, y: float) -> str:
    """A variable: letters in italics, a number after them as an index."""
    inside = escape(text)
    if indexed := re.fullmatch(r"([^\W\d_]+)(\d+)", text):
        index = f'<tspan dy="3.5" font-size="{_n(NAME * 0.7)}" font-style="normal">{indexed[2]}</tspan>'
        inside = escape(indexed[1]) + index
    return f'<text {fill("ink")} x="{_n(x)}" y="{_n(y + 4.5)}" font-size="{_n(NAME)}"{_SLANTED}>{inside}</text>'


# --- vertices -------------------------------------------------------------------------------------------------


def _vertex(placed: Placed, v: int) -> str:
    vertex, x, y, half = placed.picture.vertices[v], placed.x[v], placed.y[v], placed.half[v]
    about = f"<title>{escape(vertex.about)}</title>" if vertex.about else ""
    return f'<g data-vertex="{v}">{about}{_shape(vertex, x, y, half)}{_words(vertex, x, y)}</g>'


def _shape(vertex: Vertex, x: float, y: float, half: float) -> str:
    width = vertex.width
    if vertex.kind == "branch":
        return f'<circle {fill("ink")} cx="{_n(x)}" cy="{_n(y)}" r="{_n(DOT)}"/>'
    if vertex.kind == "operator":
        colours = fill_and_stroke("operator", "ink")
        return f'<circle {colours} cx="{_n(x)}" cy="{_n(y)}" r="{_n(half)}" stroke-width="1.5"/>'
    if vertex.kind in ("input", "output"):
        return ""
    inside, line, radius, thickness, h = {
        "word": ("operator", "ink", min(half, 15.0, width / 2), "1.5", half),
        "layer": ("layer", "ink", 4.0, "1.5", half),
        "parameter": ("parameter", "soft", 7.0, "1", 12.0 + (6.5 if vertex.note else 0.0)),
    }[vertex.kind]
    return (
        f'<rect {fill_and_stroke(inside, line)} x="{_n(x - width / 2)}" y="{_n(y - h)}" width="{_n(width)}" '
        f'height="{_n(2 * h)}" rx="{_n(radius)}" stroke-width="{thickness}"/>'
    )


def _words(vertex: Vertex, x: float, y: float) -> str:
    up = 6.0 if vertex.note else 0.0
    note = _text(vertex.note, x, y + 13, NOTE, "soft") if vertex.note else ""
    if vertex.kind == "operator":
        return _sign(vertex.text, x, y)
    if vertex.kind == "layer":
        return _text(vertex.text, x, y - up + 5, TITLE, "ink", f'{_CENTRED} font-weight="bold"') + note
    if vertex.kind == "word":
        return _text(vertex.text, x, y - up + 4.6, WORD, "ink") + note
    return (_name(vertex.text, x, y - up) if vertex.text else "") + note


def _sign(sign: str, x: float, y: float) -> str:
    if sign == "·":
        return f'<circle {fill("ink")} cx="{_n(x)}" cy="{_n(y)}" r="3.4"/>'
    if sign in _STROKES:
        at = {"x": x, "y": y, "l": x - 7, "r": x + 7, "t": y - 7, "b": y + 7}
        at |= {"w": x - 5.5, "e": x + 5.5, "n": y - 5.5, "s": y + 5.5}
        path = _STROKES[sign].format(**{k: _n(c) for k, c in at.items()})
        dots = "".join(f'<circle {fill("ink")} cx="{_n(x)}" cy="{_n(y + d)}" r="1.7"/>' for d in (-6, 6))
        return f'<path {stroke("ink")} d="{path}" fill="none" stroke-width="2"/>{dots if sign == "÷" else ""}'
    return _text(sign, x, y + SIGN * 0.35, SIGN, "ink")


def escape(text: str) -> str:
    """Escape text for XML, also in attributes; characters that XML does not allow become U+FFFD."""
    return html.escape(_FORBIDDEN.sub("\ufffd", text), quote=False).replace('"', "&quot;")


def _n(x: float) -> str:
    """A coordinate, rounded to a tenth of a pixel."""
    text = f"{x:.1f}"
    return "0" if text in ("-0.0", "0.0") else text.removesuffix(".0")
