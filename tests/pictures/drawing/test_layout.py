"""The layout of pictures without arrays: columns, few crossings, straight lines, no overlap."""

import itertools
import random
import sys

import pytest

from xpgraph.pictures.drawing.layout import order
from xpgraph.pictures.drawing.layout.place import place
from xpgraph.pictures.drawing.layout.ranks import layered, ranks, topological
from xpgraph.pictures.drawing.picture import Edge, Picture, Vertex
from xpgraph.pictures.drawing.svg import render
from xpgraph.pictures.drawing.values import Block, block


def picture(n, edges, kinds=None, labels=False):
    p = Picture()
    for v in range(n):
        kind = kinds[v] if kinds else "operator" if any(head == v for _, head in edges) else "input"
        p.add(Vertex(kind, "+" if kind == "operator" else f"x{v}"))
    for i, (tail, head) in enumerate(edges):
        wide = Block("lines", (("a line of words",), ("another",)))
        p.edges.append(Edge(tail, head, (block(1.5), wide)[i % 2], block(2.5)) if labels else Edge(tail, head))
    return p


def tree(n, draw):
    """Every vertex but the last leads to one later vertex: a formula."""
    return [(v, draw.randrange(v + 1, n)) for v in range(n - 1)]


def series_parallel(size, draw):
    """A planar network between one source and one sink: edges are cut in two, or get a path beside them."""
    edges, n = [(0, 1)], 2
    while n < size:
        tail, head = edges.pop(draw.randrange(len(edges)))
        edges += [(tail, n), (n, head)]
        if draw.random() < 0.5:
            edges.append((tail, head))
        n += 1
    rename = {v: i for i, v in enumerate(topological(n, edges))}
    return n, [(rename[a], rename[b]) for a, b in edges]


def ladder(n):
    rails = [(v, v + 2) for v in range(2 * n - 2)]
    return 2 * n, rails + [(v, v + 1) for v in range(0, 2 * n, 2)]


def shopping():
    return 10, [(0, 5), (1, 5), (2, 6), (3, 6), (5, 7), (6, 7), (7, 8), (4, 8), (8, 9)]


def two_layers():
    """x W1 b1 W2 b2 t, Affine, Sigmoid, Affine, loss, its output."""
    edges = [(0, 6), (1, 6), (2, 6), (6, 7), (7, 8), (3, 8), (4, 8), (8, 9), (5, 9), (9, 10)]
    kinds = ["input", *["parameter"] * 4, "input", *["layer"] * 4, "output"]
    return 11, edges, kinds


@pytest.mark.parametrize("seed", range(25))
def test_a_tree_has_no_crossing(seed):
    draw = random.Random(seed)
    n = draw.randrange(5, 25)
    assert place(picture(n, tree(n, draw))).crossings == 0


@pytest.mark.parametrize("seed", range(40))
def test_a_planar_network_of_twenty_vertices_has_no_crossing(seed):
    assert place(picture(*series_parallel(20, random.Random(seed)))).crossings == 0


@pytest.mark.parametrize("net", [shopping(), two_layers(), ladder(6)], ids=["shopping", "two layers", "ladder"])
def test_known_networks_have_no_crossing(net):
    placed = place(picture(*net))
    assert placed.crossings == 0
    assert crossed(placed) == 0


def crossed(placed):
    """Crossings counted in the finished drawing: each pair of bends in one gap, by their heights at both ends."""
    bends = {}
    for route in placed.routes:
        for (_, right, y), (left, _, below) in itertools.pairwise(route):
            bends.setdefault((right, left), []).append((y, below))
    return sum((a - c) * (b - d) < 0 for gap in bends.values() for (a, b), (c, d) in itertools.combinations(gap, 2))


def random_columns(draw, most):
    """Edges between neighbouring columns."""
    sizes = [draw.randrange(2, most) for _ in range(3)]
    starts = [0, sizes[0], sizes[0] + sizes[1]]
    edges = []
    for k in (0, 1):
        for v in range(sizes[k + 1]):
            for u in draw.sample(range(sizes[k]), draw.randrange(1, min(3, sizes[k]) + 1)):
                edges.append((starts[k] + u, starts[k + 1] + v))
    rank = [k for k, size in enumerate(sizes) for _ in range(size)]
    return layered(sum(sizes), edges, rank)


@pytest.mark.parametrize("seed", range(40))
def test_as_few_crossings_as_trying_every_order_finds(seed, monkeypatch):
    g = random_columns(random.Random(seed), 5 if seed < 35 else 6)
    every = itertools.product(*(itertools.permutations(c) for c in g.columns))
    fewest = min(order.crossings(g, [list(c) for c in columns]) for columns in every)
    assert order.crossings(g, order.ordered(g)) == fewest
    monkeypatch.setattr(order, "_EXHAUSTIVE", 0)
    assert order.crossings(g, order.ordered(g)) == fewest


def test_crossings_are_counted_as_pairs():
    g = layered(6, [(a, b) for a in (0, 1, 2) for b in (3, 4, 5)], [0, 0, 0, 1, 1, 1])
    assert order.crossings(g, [[0, 1, 2], [3, 4, 5]]) == 9
    g = layered(4, [(0, 3), (1, 2)], [0, 0, 1, 1])
    assert [order.crossings(g, [[0, 1], c]) for c in ([2, 3], [3, 2])] == [1, 0]


def test_edges_lead_to_the_right_and_sources_stand_beside_their_node():
    n, edges, _ = two_layers()
    rank = ranks(n, edges)
    assert all(rank[a] < rank[b] for a, b in edges)
    assert rank[3] == rank[4] == rank[8] - 1
    with pytest.raises(ValueError, match="2 vertices stand in a cycle"):
        ranks(3, [(0, 1), (1, 2), (2, 1)])


def test_a_chain_is_one_straight_line():
    placed = place(picture(9, [(v, v + 1) for v in range(8)], labels=True))
    assert len(set(placed.y)) == 1


def test_the_main_line_of_a_network_is_straight_and_parameters_hang_above_and_below():
    placed = place(picture(*two_layers(), labels=True))
    y = placed.y
    assert len({y[v] for v in (0, 6, 7, 8, 9, 10)}) == 1
    assert y[1] < y[6] < y[2] and y[3] < y[8] < y[4]


def test_an_operator_stands_in_the_middle_of_its_inputs():
    placed = place(picture(*shopping()))
    y = placed.y
    assert y[5] == pytest.approx((y[0] + y[1]) / 2, abs=3)
    assert y[7] == pytest.approx((y[5] + y[6]) / 2, abs=3)


def boxes(placed):
    """(what, left, top, right, bottom) of each vertex and each label."""
    for v, vertex in enumerate(placed.picture.vertices):
        high = placed.half[v]
        wide = vertex.width / 2 if vertex.kind != "operator" else high
        yield ("v", v), placed.x[v] - wide, placed.y[v] - high, placed.x[v] + wide, placed.y[v] + high
    for e, edge in enumerate(placed.picture.edges):
        x, y = placed.labels[e]
        yield ("e", e), x - edge.width / 2, y - edge.up, x + edge.width / 2, y + edge.down


def hit(a, b):
    return a[1] < b[3] - 0.01 and b[1] < a[3] - 0.01 and a[2] < b[4] - 0.01 and b[2] < a[4] - 0.01


def check_free(placed):
    """No box on another, no level line through a box of others, no box in the gaps where lines bend."""
    things = list(boxes(placed))
    for a, b in itertools.combinations(things, 2):
        assert not hit(a, b), (a, b)
    for e, route in enumerate(placed.routes):
        edge = placed.picture.edges[e]
        own = {("e", e), ("v", edge.tail), ("v", edge.head)}
        others = [b for b in things if b[0] not in own]
        for left, right, y in route:
            assert not any(hit(("line", left, y - 2.8, right, y + 2.8), b) for b in others), (e, left, right, y)
        for (_, right, _), (left, _, _) in itertools.pairwise(route):
            assert left - right > 20
            assert not any(b[1] < left - 0.01 and right + 0.01 < b[3] for b in things)


@pytest.mark.parametrize("seed", range(12))
def test_nothing_lies_on_another_thing(seed):
    draw = random.Random(seed)
    n = draw.choice((5, 12, 30))
    edges = [(draw.randrange(max(0, v - 9), v), v) for v in range(n // 4 + 1, n) for _ in range(draw.randrange(1, 4))]
    check_free(place(picture(n, edges, labels=True)))


@pytest.mark.parametrize("net", [shopping(), two_layers(), ladder(6)], ids=["shopping", "two layers", "ladder"])
def test_nothing_lies_on_another_thing_in_known_networks(net):
    check_free(place(picture(*net, labels=True)))


def test_many_inputs_of_one_node_stand_apart():
    placed = place(picture(13, [(v, 12) for v in range(12)], labels=True))
    check_free(placed)
    ends = [route[-1][2] for route in placed.routes]
    assert min(b - a for a, b in itertools.pairwise(sorted(ends))) > 10
    assert placed.half[12] > max(abs(y - placed.y[12]) for y in ends)


@pytest.mark.parametrize("n", [0, 1])
def test_the_smallest_pictures(n):
    assert "</svg>" in render(picture(n, []))


def test_two_hundred_nodes_and_a_chain_longer_than_the_stack_can_be_laid_out():
    draw = random.Random(1)
    edges = [(draw.randrange(max(0, v - 15), v), v) for v in range(41, 200) for _ in range(draw.choice((1, 2)))]
    assert len(place(picture(200, edges, labels=True)).routes) == len(edges)
    n = sys.getrecursionlimit() + 500
    assert len(set(place(picture(n + 1, [(v, v + 1) for v in range(n)])).y)) == 1
    beside = place(picture(n + 2, [(0, n + 1), *((v, v + 1) for v in range(n))]))  # with one edge past all others
    assert beside.crossings == 0


def test_the_same_picture_has_the_same_bytes():
    draw = random.Random(3)
    edges = [(draw.randrange(v), v) for v in range(3, 25) for _ in range(2)]
    assert render(picture(25, edges, labels=True)) == render(picture(25, edges, labels=True))
