"""The layout of a picture: columns from left to right, the texts of edges in columns of their own between them.

The text of an edge is placed like a vertex, so nothing lies on it; lines bend only in the gaps between columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from ..picture import HALF_GAP, Picture
from .heights import Box, Segment, settle
from .order import crossings, edge_order, ordered
from .ranks import Layered, layered, ranks

_GAP = 21.0  # between two columns: space for an arrow head
_GAP_BENDING = 38.0  # where lines bend
_SLOPE, _WIDEST_GAP = 0.32, 85.0  # a gap is wider where its lines climb
_PRIORITY = {"input": 1, "parameter": 2}  # what comes in straight: results of nodes (0), else inputs, else parameters
_PULL = {"input": 8.0, "parameter": 0.4}  # a node stands in the middle of its inputs rather than near what follows

Port = tuple[float, bool]  # where an edge meets a vertex: how far below its middle, and should it be level there?


@dataclass
class Placed:
    """A picture with coordinates in pixels from the upper left corner."""

    picture: Picture
    x: list[float] = field(default_factory=list)  # the middle of each vertex
    y: list[float] = field(default_factory=list)
    half: list[float] = field(default_factory=list)  # half its height
    labels: list[tuple[float, float]] = field(default_factory=list)  # the middle of each edge's text, on the line
    routes: list[list[tuple[float, float, float]]] = field(default_factory=list)  # level parts: left, right, y
    width: float = 0.0
    height: float = 0.0
    crossings: int = 0


def place(picture: Picture) -> Placed:
    """Lay a picture out. Inputs that stand in another order than the call has them get numbers ("input 1")."""
    placed = _place(picture)
    edges_into: dict[int, list[int]] = {}
    for e, edge in enumerate(picture.edges):
        if picture.vertices[edge.head].ordered and picture.vertices[edge.tail].kind != "parameter":
            edges_into.setdefault(edge.head, []).append(e)
    numbers: dict[int, str] = {}
    for edges in edges_into.values():
        heights = [placed.routes[e][-1][2] for e in edges]
        if heights != sorted(heights):
            numbers |= {e: f"input {i + 1}" for i, e in enumerate(edges)}
    if not numbers:
        return placed
    noted = [replace(e, note=", ".join(filter(None, (e.note, numbers.get(i))))) for i, e in enumerate(picture.edges)]
    return _place(Picture(picture.title, picture.vertices, noted))


def _place(picture: Picture) -> Placed:
    ends = [(e.tail, e.head) for e in picture.edges]
    origins = _origins(picture)
    g, vertex_columns = _columns(len(origins), ends, _wanted(picture, origins))
    gaps = edge_order(g, vertex_columns)
    ports = _ports(picture, gaps, g, origins)
    boxes, columns, paths = _boxes(picture, g, vertex_columns, gaps, ports)
    segments = []
    for path, ((out, level_out), (into, level_in)), edge in zip(paths, ports, picture.edges, strict=True):
        for k, (a, b) in enumerate(pairwise(path)):
            first, last = k == 0, k == len(path) - 2
            shift = (out if first else 0.0) - (into if last else 0.0)
            straight = (level_out or not first) and (level_in or not last)
            weight = _PULL.get(origins[edge.tail], 1.0)
            segments.append(Segment(a, b, shift, straight, not (first or last), weight))
    settle(boxes, columns, segments)
    left, right = _widths(boxes, columns, segments)
    placed = Placed(picture, crossings=crossings(g, vertex_columns))
    column_of = {i: c for c, column in enumerate(columns) for i in column}
    for v, vertex in enumerate(picture.vertices):
        c = column_of[v]
        placed.x.append(
            right[c] - vertex.width / 2 if vertex.source
            else left[c] + vertex.width / 2 if vertex.kind == "output"
            else (left[c] + right[c]) / 2
        )  # fmt: skip
        placed.y.append(boxes[v].y)
        placed.half.append(boxes[v].down)
    for path, ((out, _), (into, _)) in zip(paths, ports, strict=True):
        tail, head = path[0], path[-1]
        levels = [(left[column_of[i]], right[column_of[i]], boxes[i].y) for i in path[1:-1]]
        start = (placed.x[tail], right[column_of[tail]], boxes[tail].y + out)
        placed.routes.append([start, *levels, (left[column_of[head]], placed.x[head], boxes[head].y + into)])
        placed.labels.append(((levels[0][0] + levels[0][1]) / 2, levels[0][2]))
    placed.width = max(right, default=0.0)
    placed.height = max((box.y + box.down for box in boxes), default=0.0)
    return placed


def _columns(n: int, ends: Sequence[tuple[int, int]], wanted: list[list[int]]) -> tuple[Layered, list[list[int]]]:
    """The columns with the fewest crossings, of two ways to choose the ranks."""
    tried = []
    for late in (True, False):
        g = layered(n, ends, ranks(n, ends, late))
        columns = ordered(g, wanted)
        tried.append((crossings(g, columns), sum(map(len, g.paths)), g, columns))
        if not tried[-1][0]:
            break
    _, _, g, columns = min(tried, key=lambda t: t[:2])
    return g, columns


def _wanted(picture: Picture, origins: list[str]) -> list[list[int]]:
    """For each vertex, the tails of its edges from top to bottom: the first half of the parameters above the data."""
    data: list[list[int]] = [[] for _ in picture.vertices]
    params: list[list[int]] = [[] for _ in picture.vertices]
    for e in picture.edges:
        (params if origins[e.tail] == "parameter" else data)[e.head].append(e.tail)
    return [p[: len(p) // 2] + d + p[len(p) // 2 :] for d, p in zip(data, params, strict=True)]


def _origins(picture: Picture) -> list[str]:
    """The kind of each vertex; of a branch, the kind of the vertex before it."""
    tails = {e.head: e.tail for e in picture.edges}
    kinds = []
    for v in range(len(picture.vertices)):
        while picture.vertices[v].kind == "branch" and v in tails:
            v = tails[v]
        kinds.append(picture.vertices[v].kind)
    return kinds


def _ports(picture: Picture, gaps: list[list[int]], g: Layered, origins: list[str]) -> list[tuple[Port, Port]]:
    """For each edge, its port at its tail and its port at its head."""
    n = len(picture.vertices)
    out: list[list[int]] = [[] for _ in range(n)]
    into: list[list[int]] = [[] for _ in range(n)]
    for r, gap in enumerate(gaps):
        for e in gap:
            tail, head = picture.edges[e].tail, picture.edges[e].head
            if g.rank[tail] == r:
                out[tail].append(e)
            if g.rank[head] == r + 1:
                into[head].append(e)
    at_tail: dict[int, Port] = {}
    at_head: dict[int, Port] = {}
    for v, vertex in enumerate(picture.vertices):
        priorities = [_PRIORITY.get(origins[picture.edges[e].tail], 0) for e in into[v]]
        for port, edges, order in ((at_tail, out[v], [0] * len(out[v])), (at_head, into[v], priorities)):
            best = [i for i, p in enumerate(order) if p == min(order)]
            middle = best[len(best) // 2] if len(best) % 2 else None
            zero = (len(edges) - 1) / 2 if middle is None else middle
            for i, e in enumerate(edges):
                port[e] = ((i - zero) * vertex.step, i == middle)
    return [(at_tail[e], at_head[e]) for e in range(len(picture.edges))]


def _boxes(
    picture: Picture, g: Layered, vertex_columns: list[list[int]], gaps: list[list[int]], ports: list[tuple[Port, Port]]
) -> tuple[list[Box], list[list[int]], list[list[int]]]:
    """All boxes, those of each column from top to bottom, and those of each edge from tail to head.

    A column of vertices and a column of edges' texts take turns.
    """
    port_heights: list[list[float]] = [[] for _ in picture.vertices]
    for edge, (out, into) in zip(picture.edges, ports, strict=True):
        port_heights[edge.tail].append(out[0])
        port_heights[edge.head].append(into[0])
    boxes = []
    for vertex, heights in zip(picture.vertices, port_heights, strict=True):
        half = max([vertex.half_height, *(abs(height) + HALF_GAP + 3.5 for height in heights)])
        boxes.append(Box(2 * half if vertex.kind == "operator" else vertex.width, half, half))
    thin = HALF_GAP + 3
    boxes += [Box(0.0, thin, thin, True) for _ in g.rank[g.n :]]
    paths = [[path[0]] for path in g.paths]
    columns: list[list[int]] = []
    for r, column in enumerate(vertex_columns):
        columns.append(list(column))
        if r == len(gaps):
            break
        columns.append([])
        for e in gaps[r]:
            edge = picture.edges[e]
            texts = r == g.rank[edge.tail]  # an edge has its texts right behind its tail
            boxes.append(Box(edge.width, edge.up, edge.down) if texts else Box(0.0, thin, thin, True))
            columns[-1].append(len(boxes) - 1)
            paths[e] += [len(boxes) - 1, g.paths[e][r + 1 - g.rank[edge.tail]]]
    return boxes, columns, paths


def _widths(boxes: list[Box], columns: list[list[int]], segments: list[Segment]) -> tuple[list[float], list[float]]:
    """The left and right end of each column."""
    column_of = {i: c for c, column in enumerate(columns) for i in column}
    climb = [0.0] * len(columns)
    for s in segments:
        c = column_of[s.a]
        climb[c] = max(climb[c], abs(boxes[s.a].y + s.shift - boxes[s.b].y))
    left, right, x = [], [], 0.0
    for c, column in enumerate(columns):
        left.append(x)
        right.append(x + max((boxes[i].width for i in column), default=0.0))
        gap = _GAP_BENDING if climb[c] > 0.5 else _GAP
        x = right[-1] + min(_WIDEST_GAP, max(gap, _SLOPE * climb[c]))
    return left, right
