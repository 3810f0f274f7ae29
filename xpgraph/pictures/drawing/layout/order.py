"""The order of the vertices within each column, with few crossings of edges.

After K. Sugiyama et al., IEEE Trans. SMC 11(2), 1981: sort each column by barycentres, exchange neighbours while that
helps, from several initial orders; at the end try every vertex in every place of its column.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import pairwise, permutations, product
from math import factorial, prod
from random import Random

from .ranks import Layered

_EFFORT = 9_000  # segments of edges · initial orders: a second or so
_LARGE = 3_000  # with so many segments, try less
_EXHAUSTIVE = 2_000  # with at most so many orders of the whole picture, try them all

Columns = list[list[int]]


def crossings(g: Layered, columns: Columns) -> int:
    """The number of crossings: pairs of segments that cross, over all columns."""
    place = _places(g, columns)
    return sum(_inversions([q for u in column for q in sorted(place[w] for w in g.right[u])]) for column in columns)


def ordered(g: Layered, wanted: list[list[int]] | None = None) -> Columns:
    """The columns in an order with few crossings. ``wanted``: the tails of each vertex, from top to bottom."""
    best = _depth_first(g, wanted)
    fewest = crossings(g, best)
    if fewest and prod(min(factorial(len(c)), _EXHAUSTIVE + 1) for c in g.columns) <= _EXHAUSTIVE:
        every = ([list(c) for c in p] for p in product(*(list(permutations(c)) for c in best)))
        return min(every, key=lambda columns: crossings(g, columns))
    segments = sum(map(len, g.right))
    rounds = max(2, min(60, _EFFORT // max(1, segments)))
    for initial in _initial_orders(g, best, rounds):
        if not fewest:
            break
        columns, count = _improve(g, initial, segments < _LARGE)
        if count < fewest:
            best, fewest = columns, count
    return best


def _depth_first(g: Layered, wanted: list[list[int]] | None) -> Columns:
    """From the ends backwards, depth first, each vertex's inputs from top to bottom: a tree has no crossing then."""
    tail_of = list(range(len(g.rank)))  # of a dummy: the tail of its edge
    for path in g.paths:
        for dummy in path[1:-1]:
            tail_of[dummy] = path[0]
    seen = [False] * len(g.rank)
    columns: Columns = [[] for _ in g.columns]
    for end in (v for v in range(len(g.rank)) if not g.right[v]):
        stack = [end]
        while stack:
            v = stack.pop()
            if seen[v]:
                continue
            seen[v] = True
            columns[g.rank[v]].append(v)
            tails = g.left[v]
            if wanted and v < g.n:
                place = {u: i for i, u in enumerate(wanted[v])}
                tails = sorted(tails, key=lambda u, place=place: place.get(tail_of[u], 0))  # type: ignore[misc]
            stack += reversed(tails)
    return columns


def _initial_orders(g: Layered, best: Columns, rounds: int) -> Iterator[Columns]:
    yield [list(c) for c in best]
    yield [list(c) for c in g.columns]
    yield [list(reversed(c)) for c in best]
    generator = Random(1)  # random() gives the same numbers in every version of Python
    for _ in range(rounds):
        yield [sorted(c, key=lambda _: generator.random()) for c in g.columns]


def _improve(g: Layered, columns: Columns, thorough: bool) -> tuple[Columns, int]:
    """The best order that sweeps over the columns find, and its crossings. Changes ``columns``."""
    best, fewest, idle = [list(c) for c in columns], crossings(g, columns), 0
    for sweep in range(24 if thorough else 6):
        forward = sweep % 2 == 0
        for r in range(1, len(columns)) if forward else range(len(columns) - 2, -1, -1):
            _sort_by_barycentre(columns[r], columns[r - 1 if forward else r + 1], g.left if forward else g.right)
        _exchange(g, columns)
        count = crossings(g, columns)
        if count < fewest:
            best, fewest, idle = [list(c) for c in columns], count, 0
        else:
            idle += 1
        if not fewest or idle == 4:
            break
    if fewest and thorough:
        _sift(g, best)
        _exchange(g, best)
        fewest = crossings(g, best)
    return best, fewest


def _sort_by_barycentre(column: list[int], beside: list[int], neighbours: list[list[int]]) -> None:
    """By the mean place of the neighbours in the column ``beside``; a vertex without any keeps its place."""
    if len(column) < 2:
        return
    place = {v: i for i, v in enumerate(beside)}
    centre = {v: sum(place[u] for u in neighbours[v]) / len(neighbours[v]) for v in column if neighbours[v]}
    moved = iter(sorted(centre, key=centre.__getitem__))
    column[:] = [next(moved) if v in centre else v for v in column]


def _exchange(g: Layered, columns: Columns) -> None:
    """Exchange neighbours in a column while that removes crossings."""
    place = _places(g, columns)
    improved = True
    while improved:
        improved = False
        for column in columns:
            for i in range(len(column) - 1):
                u, v = column[i], column[i + 1]
                if _crossings_of(g, place, u, v) > _crossings_of(g, place, v, u):
                    column[i], column[i + 1] = v, u
                    place[u], place[v] = i + 1, i
                    improved = True


def _sift(g: Layered, columns: Columns) -> None:
    """Try each vertex in each place of its column."""
    place = _places(g, columns)
    for _ in range(4):
        improved = False
        for column in columns:
            for v in sorted(column, key=lambda v: -len(g.left[v]) - len(g.right[v])) if len(column) > 2 else ():
                others = [u for u in column if u != v]
                change = fewest = now = best = 0  # crossings, compared with v at the top
                current = column.index(v)
                for i, u in enumerate(others):
                    change += _crossings_of(g, place, u, v) - _crossings_of(g, place, v, u)
                    if change < fewest:
                        fewest, best = change, i + 1
                    if i + 1 == current:
                        now = change
                if fewest < now:
                    others.insert(best, v)
                    column[:] = others
                    for i, u in enumerate(column):
                        place[u] = i
                    improved = True
        if not improved:
            return


def _crossings_of(g: Layered, place: list[int], u: int, v: int) -> int:
    """Crossings of the segments of u with those of v, if u stands above v."""
    count = 0
    for side in (g.left, g.right):
        others = side[v]
        if others:
            for a in side[u]:
                at = place[a]
                for b in others:
                    count += place[b] < at
    return count


def _places(g: Layered, columns: Columns) -> list[int]:
    """The place of each vertex in its column, from the top."""
    place = [0] * len(g.rank)
    for column in columns:
        for i, v in enumerate(column):
            place[v] = i
    return place


def _inversions(numbers: list[int]) -> int:
    """The number of pairs in descending order: each number is put into the sorted list of those before it."""
    before: list[int] = []
    count = 0
    for q in numbers:
        place = bisect_right(before, q)
        count += len(before) - place
        before.insert(place, q)
    return count


def edge_order(g: Layered, columns: Columns) -> Columns:
    """For each gap between two columns, the indices of the edges that pass it, from top to bottom."""
    place = _places(g, columns)
    gaps: list[list[tuple[int, int, int]]] = [[] for _ in columns[1:]]
    for e, path in enumerate(g.paths):
        for a, b in pairwise(path):
            gaps[g.rank[a]].append((place[a], place[b], e))
    return [[e for _, _, e in sorted(gap)] for gap in gaps]
