"""The rank of each vertex, which is its column: every edge leads to the right, and edges are short.

After E. R. Gansner et al., "A technique for drawing directed graphs", IEEE Trans. Software Eng. 19(3), 1993, section 2.
Instead of their network simplex, vertices move one at a time until no move makes the edges shorter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

_SWEEPS = 50  # far more than pictures need


def topological(n: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """The vertices 0 ... n-1, each after the tails of its edges. Raises ValueError for a cycle."""
    sorter = TopologicalSorter[int](dict.fromkeys(range(n), ()))
    for tail, head in edges:
        sorter.add(head, tail)
    try:
        return list(sorter.static_order())
    except CycleError as error:
        count = len(error.args[1]) - 1  # its first vertex is named at the end, too
        raise ValueError(f"drawing: {count} vertices stand in a cycle; a graph's edges must not come back.") from error


def ranks(n: int, edges: Sequence[tuple[int, int]], late: bool = True) -> list[int]:
    """The column of each vertex, from 0. ``late``: of columns that are as good, take the rightmost."""
    order = topological(n, edges)
    tails: list[list[int]] = [[] for _ in range(n)]
    heads: list[list[int]] = [[] for _ in range(n)]
    for tail, head in edges:
        tails[head].append(tail)
        heads[tail].append(head)
    rank = [0] * n
    for v in order:
        rank[v] = max((rank[u] + 1 for u in tails[v]), default=0)
    for _ in range(_SWEEPS):
        before = list(rank)
        for v in reversed(order):
            if heads[v] and (len(heads[v]) > len(tails[v]) or (late and len(heads[v]) == len(tails[v]))):
                rank[v] = min(rank[w] for w in heads[v]) - 1
        for v in order:
            if tails[v] and len(tails[v]) > len(heads[v]):
                rank[v] = max(rank[u] for u in tails[v]) + 1
        if rank == before:
            break
    least = min(rank, default=0)
    return [r - least for r in rank]


@dataclass
class Layered:
    """A graph in columns. Long edges are cut by dummy vertices, so that each segment leads to the next column.

    Vertices 0 ... n-1 are the graph's own, the others dummies. ``paths`` has the vertices of each edge from tail to
    head; ``left`` and ``right`` the neighbours of each vertex, once for each segment.
    """

    n: int
    rank: list[int]
    columns: list[list[int]]
    paths: list[list[int]]
    left: list[list[int]]
    right: list[list[int]]


def layered(n: int, edges: Sequence[tuple[int, int]], rank: list[int]) -> Layered:
    """Cut the long edges of a graph whose vertices have these ranks."""
    rank = list(rank)
    columns: list[list[int]] = [[] for _ in range(max(rank, default=-1) + 1)]
    for v in range(n):
        columns[rank[v]].append(v)
    left: list[list[int]] = [[] for _ in range(n)]
    right: list[list[int]] = [[] for _ in range(n)]
    paths = []
    for tail, head in edges:
        path = [tail]
        for r in range(rank[tail] + 1, rank[head]):
            path.append(len(rank))
            columns[r].append(len(rank))
            rank.append(r)
            left.append([])
            right.append([])
        path.append(head)
        paths.append(path)
        for a, b in pairwise(path):
            right[a].append(b)
            left[b].append(a)
    return Layered(n, rank, columns, paths, left, right)
