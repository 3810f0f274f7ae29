"""The height of everything: straight edges level, the others as near to level as the space allows.

Boxes that level edges join form a bar, which moves up and down as a whole. The other edges pull bars together like
springs, and the boxes on the bars keep them apart. The sum of the squares is made small by moving one bar at a time,
with all bars that it pushes (after T. Dwyer et al., "Fast node overlap removal", Graph Drawing 2005).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from .ranks import topological

_SPACE = 15.0  # between two boxes in one column
_SPACE_PASSING = 7.0  # if one of them is an edge passing by
_STILL = 0.02  # pixels; the loop ends with the first round that moves nothing further
_TOUCHING = 1e-6

Distances = list[dict[int, float]]  # for each bar: the next ones below or above, and the distance to keep
Springs = list[list[tuple[int, float, float]]]  # for each bar: (another, how far below it this one wants to be, weight)


@dataclass
class Box:
    """What stands in a column: a vertex, an edge's text, or an edge passing by.

    ``y`` is the height of its centre line, ``up`` and ``down`` the extent above and below it.
    """

    width: float
    up: float
    down: float
    passing: bool = False
    y: float = 0.0


@dataclass(frozen=True)
class Segment:
    """A part of an edge, between boxes in neighbouring columns; level if b's line is ``shift`` below a's."""

    a: int
    b: int
    shift: float
    straight: bool  # should it be level?
    inner: bool  # does it touch no vertex?
    weight: float


def settle(boxes: Sequence[Box], columns: Sequence[Sequence[int]], segments: Sequence[Segment]) -> None:
    """Set every box's y; the top of the highest is 0. ``columns``: the boxes of each column, from the top."""
    bar, offset = _bars(len(boxes), segments, _level(columns, segments))
    count = max(bar, default=-1) + 1
    below: Distances = [{} for _ in range(count)]
    above: Distances = [{} for _ in range(count)]
    for column in columns:
        for i, j in pairwise(column):
            p, q = boxes[i], boxes[j]
            space = _SPACE_PASSING if p.passing or q.passing else _SPACE
            distance = max(p.down + q.up + space + offset[i] - offset[j], below[bar[i]].get(bar[j], -1e9))
            below[bar[i]][bar[j]] = above[bar[j]][bar[i]] = distance
    springs: Springs = [[] for _ in range(count)]
    for s in segments:
        a, b = bar[s.a], bar[s.b]
        if a != b:
            rest = offset[s.a] + s.shift - offset[s.b]
            springs[a].append((b, -rest, s.weight))
            springs[b].append((a, rest, s.weight))
    order = topological(count, [(i, j) for i in range(count) for j in below[i]])
    y = [0.0] * count
    for j in order:
        y[j] = max((y[i] + distance for i, distance in above[j].items()), default=0.0)
    _relax(y, order, below, above, springs)
    for i, box in enumerate(boxes):
        box.y = y[bar[i]] + offset[i]
    top = min((box.y - box.up for box in boxes), default=0.0)
    for box in boxes:
        box.y -= top


def _level(columns: Sequence[Sequence[int]], segments: Sequence[Segment]) -> set[int]:
    """The segments that become level: of two that cross only one can, and inner segments of long edges come first."""
    at = {i: (c, k) for c, column in enumerate(columns) for k, i in enumerate(column)}
    taken: list[list[tuple[int, int]]] = [[] for _ in columns]
    level = set()
    for k in sorted((k for k, s in enumerate(segments) if s.straight), key=lambda k: not segments[k].inner):
        (c, i), (_, j) = at[segments[k].a], at[segments[k].b]
        if all((i - a) * (j - b) > 0 for a, b in taken[c]):
            taken[c].append((i, j))
            level.add(k)
    return level


def _bars(n: int, segments: Sequence[Segment], level: set[int]) -> tuple[list[int], list[float]]:
    """The bar of each box, and how far below the bar's own height the box stands."""
    following = {segments[k].a: segments[k] for k in sorted(level)}
    followers = {segments[k].b for k in level}
    bar, offset, count = [-1] * n, [0.0] * n, 0
    for i in range(n):
        if i in followers:
            continue
        bar[i] = count
        while i in following:
            s = following[i]
            bar[s.b], offset[s.b] = count, offset[i] + s.shift
            i = s.b
        count += 1
    return bar, offset


def _relax(y: list[float], order: list[int], below: Distances, above: Distances, springs: Springs) -> None:
    """Move bars, with those that they push, until the springs are as short as possible."""
    for _ in range(max(6, min(200, 60_000 // max(1, len(y))))):
        moved = 0.0
        for direction, bars, pushed in ((1, reversed(order), below), (-1, order, above)):
            for b in bars:
                if direction * sum(w * (y[other] + rest - y[b]) for other, rest, w in springs[b]) > 0:
                    moved = max(moved, _push(b, direction, y, pushed, springs))
        if moved < _STILL:
            break


def _push(b: int, direction: int, y: list[float], pushed: Distances, springs: Springs) -> float:
    """Move bar ``b`` down (direction 1) or up (-1), with all bars that it touches, if their springs want to.

    Return how far it moved.
    """
    group, members = [b], {b}
    free = float("inf")  # how far the group can move before it touches another bar
    for i in group:
        for j, distance in pushed[i].items():
            slack = direction * (y[j] - y[i]) - distance
            if slack > _TOUCHING:
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
    if weight == 0.0 or direction * force <= 0:
        return 0.0
    step = min(direction * force / weight, free)
    for i in group:
        y[i] += direction * step
    return step
