"""How high everything stands: straight lines straight, the rest as near to its neighbours as the room allows.

Points that one level line joins form a bar, which moves up and down as a whole. Bars are pulled by the edges between
them, like springs, and kept apart by the sizes of what stands on them: a sum of squares is made small by moving one
bar at a time, with all those that it pushes (after T. Dwyer et al., "Fast node overlap removal", Graph Drawing 2005).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from .layout.ranks import topological

APART = 15.0  # between two things in one column, one above the other
NARROW = 7.0  # where one of them is an edge passing by
_STILL = 0.02  # pixels; a round that moves nothing further is the last
_TOUCH = 1e-6


@dataclass
class Point:
    """What stands in a column: a vertex, an edge's label, or an edge passing by. ``y`` is the height of its line."""

    width: float
    up: float
    down: float
    passing: bool = False
    y: float = 0.0


@dataclass(frozen=True)
class Piece:
    """Of an edge, between two points in neighbouring columns; level if b's line is ``shift`` below a's."""

    a: int
    b: int
    shift: float
    straight: bool  # does it want to be level
    inner: bool  # between points that are no vertices
    weight: float


def settle(points: Sequence[Point], rows: Sequence[Sequence[int]], pieces: Sequence[Piece]) -> None:
    """Give every point its height; the highest edge of all is 0. ``rows``: the points of each column, downwards."""
    level = _level(points, rows, pieces)
    bar, offset = _bars(len(points), pieces, level)
    count = max(bar, default=-1) + 1
    below: list[dict[int, float]] = [{} for _ in range(count)]
    above: list[dict[int, float]] = [{} for _ in range(count)]
    for row in rows:
        for i, j in pairwise(row):
            p, q = points[i], points[j]
            room = p.down + q.up + (NARROW if p.passing or q.passing else APART) + offset[i] - offset[j]
            below[bar[i]][bar[j]] = above[bar[j]][bar[i]] = max(room, below[bar[i]].get(bar[j], -1e9))
    springs: list[list[tuple[int, float, float]]] = [[] for _ in range(count)]
    for piece in pieces:
        a, b = bar[piece.a], bar[piece.b]
        if a != b:
            rest = offset[piece.a] + piece.shift - offset[piece.b]
            springs[a].append((b, -rest, piece.weight))
            springs[b].append((a, rest, piece.weight))
    order = topological(count, [(i, j) for i in range(count) for j in below[i]])
    y = [0.0] * count
    for j in order:
        y[j] = max((y[i] + room for i, room in above[j].items()), default=0.0)
    _relax(y, order, below, above, springs)
    for i, p in enumerate(points):
        p.y = y[bar[i]] + offset[i]
    top = min((p.y - p.up for p in points), default=0.0)
    for p in points:
        p.y -= top


def _level(points: Sequence[Point], rows: Sequence[Sequence[int]], pieces: Sequence[Piece]) -> set[int]:
    """The pieces that become level: of two that cross only the first can, and long edges come first."""
    at = {i: (r, k) for r, row in enumerate(rows) for k, i in enumerate(row)}
    taken: list[list[tuple[int, int]]] = [[] for _ in rows]
    chosen = set()
    for k in sorted((k for k, p in enumerate(pieces) if p.straight), key=lambda k: not pieces[k].inner):
        (r, i), (_, j) = at[pieces[k].a], at[pieces[k].b]
        if all((i - a) * (j - b) > 0 for a, b in taken[r]):
            taken[r].append((i, j))
            chosen.add(k)
    return chosen


def _bars(n: int, pieces: Sequence[Piece], level: set[int]) -> tuple[list[int], list[float]]:
    """The bar of each point, and how far below the bar's own height it stands."""
    following = {pieces[k].a: pieces[k] for k in sorted(level)}
    led = {pieces[k].b for k in level}
    bar, offset, count = [-1] * n, [0.0] * n, 0
    for first in range(n):
        if first in led:
            continue
        i = first
        bar[i] = count
        while i in following:
            piece = following[i]
            bar[piece.b], offset[piece.b] = count, offset[i] + piece.shift
            i = piece.b
        count += 1
    return bar, offset


def _relax(
    y: list[float],
    order: list[int],
    below: list[dict[int, float]],
    above: list[dict[int, float]],
    springs: list[list[tuple[int, float, float]]],
) -> None:
    """Move bars, with those that they push, until the springs are as short as can be."""
    for _ in range(max(6, min(200, 60_000 // max(1, len(y))))):
        moved = 0.0
        for sense, bars, pushed in ((1, reversed(order), below), (-1, order, above)):
            for b in bars:
                if sense * sum(w * (y[other] + rest - y[b]) for other, rest, w in springs[b]) > 0:
                    moved = max(moved, _push(b, sense, y, pushed, springs))
        if moved < _STILL:
            break


def _push(
    b: int, sense: int, y: list[float], pushed: list[dict[int, float]], springs: list[list[tuple[int, float, float]]]
) -> float:
    """Move one bar down (sense 1) or up (-1), and all that it touches on the way, if that is better for them all."""
    group, members = [b], {b}
    free = float("inf")  # the room before the group touches another bar
    for i in group:
        for j, room in pushed[i].items():
            slack = sense * (y[j] - y[i]) - room
            if slack > _TOUCH:
                free = min(free, slack) if j not in members else free
            elif j not in members:
                members.add(j)
                group.append(j)
    force = weight = 0.0
    for i in group:
        for other, rest, w in springs[i]:
            if other not in members:
                force += w * (y[other] + rest - y[i])
                weight += w
    if weight == 0.0 or sense * force <= 0:
        return 0.0
    step = min(sense * force / weight, free)
    for i in group:
        y[i] += sense * step
    return step
