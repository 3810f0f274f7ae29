"""Where everything stands: columns from left to right, the labels of edges in columns of their own between them.

A label is laid out like a vertex, so it can lie on nothing else; the lines bend only in the gaps between columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from ..bars import Piece, Point, settle
from ..picture import LINES, Picture, Vertex
from .order import crossings, edge_order, ordered
from .ranks import Layered, layered, ranks

GAP = 21.0  # between two columns, at least: room for an arrow's head
BENDING = 38.0  # where lines bend
_RANKED = {"input": 1, "parameter": 2}
_PULL = {"input": 8.0, "parameter": 0.4}  # a node stands in the middle of its inputs first, and then near what follows
_SLOPE, _WIDEST = 0.32, 85.0  # a gap grows with the height that its lines climb


@dataclass
class Placed:
    """A picture with its coordinates, in pixels from the upper left corner."""

    picture: Picture
    x: list[float] = field(default_factory=list)  # the middle of each vertex
    y: list[float] = field(default_factory=list)
    half: list[float] = field(default_factory=list)  # half its height
    labels: list[tuple[float, float]] = field(default_factory=list)  # the middle of each edge's label, on its line
    routes: list[list[tuple[float, float, float]]] = field(default_factory=list)  # level stretches: left, right, y
    width: float = 0.0
    height: float = 0.0
    crossings: int = 0


def place(picture: Picture) -> Placed:
    """Lay a picture out from left to right. Inputs that stand in another order than they are called in get numbers."""
    placed = _place(picture)
    into: dict[int, list[int]] = {}
    for e, edge in enumerate(picture.edges):
        if picture.vertices[edge.head].ordered and picture.vertices[edge.tail].kind != "parameter":
            into.setdefault(edge.head, []).append(e)
    notes: dict[int, str] = {}
    for called in into.values():
        heights = [placed.routes[e][-1][2] for e in called]
        if heights != sorted(heights):
            notes |= {e: f"input {i + 1}" for i, e in enumerate(called)}
    if not notes:
        return placed
    edges = [replace(e, note=", ".join(filter(None, (e.note, notes.get(i))))) for i, e in enumerate(picture.edges)]
    return _place(Picture(picture.title, picture.vertices, edges))


def _place(picture: Picture) -> Placed:
    ends = [(e.tail, e.head) for e in picture.edges]
    origins = _origins(picture)
    g, columns = _columns(len(origins), ends, _wanted(picture, origins))
    gaps = edge_order(g, columns)
    ports = _ports(picture, gaps, g, origins)
    points, rows, chains = _points(picture, g, columns, gaps, ports)
    pieces = []
    for chain, ((out, level_out), (into, level_in)), edge in zip(chains, ports, picture.edges, strict=True):
        for k, (a, b) in enumerate(pairwise(chain)):
            first, last = k == 0, k == len(chain) - 2
            shift = (out if first else 0.0) - (into if last else 0.0)
            straight = (level_out or not first) and (level_in or not last)
            weight = _PULL.get(origins[edge.tail], 1.0)
            pieces.append(Piece(a, b, shift, straight, not (first or last), weight))
    settle(points, rows, pieces)
    left, right = _across(points, rows, pieces)
    placed = Placed(picture, crossings=crossings(g, columns))
    rank = {i: r for r, row in enumerate(rows) for i in row}
    for v, vertex in enumerate(picture.vertices):
        r = rank[v]
        placed.x.append(
            right[r] - vertex.width / 2 if vertex.source
            else left[r] + vertex.width / 2 if vertex.kind == "output"
            else (left[r] + right[r]) / 2
        )  # fmt: skip
        placed.y.append(points[v].y)
        placed.half.append(points[v].down)
    for chain, ((out, _), (into, _)) in zip(chains, ports, strict=True):
        tail, head = chain[0], chain[-1]
        levels = [(left[rank[i]], right[rank[i]], points[i].y) for i in chain[1:-1]]
        start = (placed.x[tail], right[rank[tail]], points[tail].y + out)
        placed.routes.append([start, *levels, (left[rank[head]], placed.x[head], points[head].y + into)])
        placed.labels.append(((levels[0][0] + levels[0][1]) / 2, levels[0][2]))
    placed.width = max(right, default=0.0)
    placed.height = max((p.y + p.down for p in points), default=0.0)
    return placed


def _columns(n: int, ends: Sequence[tuple[int, int]], wanted: list[list[int]]) -> tuple[Layered, list[list[int]]]:
    """The columns with the fewest crossings, of two ways to choose them."""
    found = []
    for late in (True, False):
        g = layered(n, ends, ranks(n, ends, late))
        columns = ordered(g, wanted)
        found.append((crossings(g, columns), sum(map(len, g.chains)), g, columns))
        if not found[-1][0]:
            break
    _, _, g, columns = min(found, key=lambda f: f[:2])
    return g, columns


def _wanted(picture: Picture, origins: list[str]) -> list[list[int]]:
    """For each vertex, the tails of its edges as they should stand: of two parameters, one above the data."""
    data: list[list[int]] = [[] for _ in picture.vertices]
    params: list[list[int]] = [[] for _ in picture.vertices]
    for e in picture.edges:
        (params if origins[e.tail] == "parameter" else data)[e.head].append(e.tail)
    return [p[: len(p) // 2] + d + p[len(p) // 2 :] for d, p in zip(data, params, strict=True)]


def _origins(picture: Picture) -> list[str]:
    """The kind of each vertex; of a branch, the kind of what it hands on."""
    tails = {e.head: e.tail for e in picture.edges}
    found = []
    for v in range(len(picture.vertices)):
        while picture.vertices[v].kind == "branch" and v in tails:
            v = tails[v]
        found.append(picture.vertices[v].kind)
    return found


Port = tuple[float, bool]  # how far below the vertex's middle an edge meets it, and whether it is to be level there


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
    found: tuple[dict[int, Port], dict[int, Port]] = {}, {}
    for v, vertex in enumerate(picture.vertices):
        # The main line of a picture is that of what nodes computed, else of inputs, else of parameters.
        classes = [_RANKED.get(origins[picture.edges[e].tail], 0) for e in into[v]]
        for side, edges, ranked in ((0, out[v], [0] * len(out[v])), (1, into[v], classes)):
            best = [i for i, c in enumerate(ranked) if c == min(ranked)]
            middle = best[len(best) // 2] if len(best) % 2 else None
            zero = (len(edges) - 1) / 2 if middle is None else middle
            for i, e in enumerate(edges):
                found[side][e] = ((i - zero) * vertex.step, i == middle)
    return [(found[0][e], found[1][e]) for e in range(len(picture.edges))]


def half_height(vertex: Vertex, ports: Sequence[float]) -> float:
    """Half the height of a vertex with these ports."""
    return max([vertex.half, *(abs(p) + LINES + 3.5 for p in ports)])


def _points(
    picture: Picture, g: Layered, columns: list[list[int]], gaps: list[list[int]], ports: list[tuple[Port, Port]]
) -> tuple[list[Point], list[list[int]], list[list[int]]]:
    """All points, those of each column from top to bottom, and those of each edge from tail to head."""
    at: list[list[float]] = [[] for _ in picture.vertices]
    for edge, (out, into) in zip(picture.edges, ports, strict=True):
        at[edge.tail].append(out[0])
        at[edge.head].append(into[0])
    points = []
    for vertex, offsets in zip(picture.vertices, at, strict=True):
        half = half_height(vertex, offsets)
        points.append(Point(2 * half if vertex.kind == "operator" else vertex.width, half, half))
    thin = LINES + 3
    points += [Point(0.0, thin, thin, True) for _ in g.rank[g.n :]]
    chains = [[chain[0]] for chain in g.chains]
    rows: list[list[int]] = []
    for r, column in enumerate(columns):
        rows.append(list(column))
        if r == len(gaps):
            break
        rows.append([])
        for e in gaps[r]:
            edge, chain = picture.edges[e], g.chains[e]
            label = r == g.rank[edge.tail]
            points.append(Point(edge.width, edge.up, edge.down) if label else Point(0.0, thin, thin, True))
            rows[-1].append(len(points) - 1)
            chains[e] += [len(points) - 1, chain[r + 1 - g.rank[edge.tail]]]
    return points, rows, chains


def _across(points: list[Point], rows: list[list[int]], pieces: list[Piece]) -> tuple[list[float], list[float]]:
    """The left and right end of each column."""
    rank = {i: r for r, row in enumerate(rows) for i in row}
    climb = [0.0] * len(rows)
    for p in pieces:
        r = rank[p.a]
        climb[r] = max(climb[r], abs(points[p.a].y + p.shift - points[p.b].y))
    left, right, x = [], [], 0.0
    for r, row in enumerate(rows):
        left.append(x)
        right.append(x + max((points[i].width for i in row), default=0.0))
        bent = BENDING if climb[r] > 0.5 else GAP
        x = right[-1] + min(_WIDEST, max(bent, _SLOPE * climb[r]))
    return left, right
