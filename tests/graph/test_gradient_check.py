"""Graphs of every form: their gradients are those of central differences, and each edge is judged by itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xpgraph as xg
from xpgraph import Graph, parameter, wire

EXAMPLES = {"numpy": 200}  # 40 of each other library
ROWS, SIDE, EPS = 2, 4, 1e-6
OPERATORS = (
    "Add", "Subtract", "product", "Tanh", "Sigmoid", "shared", "own", "bias", "parts", "halves", "Branch", "Graph",
)  # fmt: skip


class Drawn:
    """A graph made of drawn numbers; every wire is (2, 4), but for what stays between two calls."""

    def __init__(self, lib, draw):
        self.lib, self.rng = lib, np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        self.inputs = [wire(f"x{i}") for i in range(draw(st.integers(1, 3)))]
        self.wires = list(self.inputs)
        self.shared = xg.Affine(self.array(SIDE, SIDE), self.array(SIDE))
        self.bias = parameter(self.array(SIDE), "bias")
        for _ in range(draw(st.integers(1, 30))):
            pick = [self.wires[draw(st.integers(0, len(self.wires) - 1))] for _ in range(2)]
            self.call(draw(st.sampled_from(OPERATORS)), *pick)
        made = [w for w in self.wires if w.call is not None]
        outputs = draw(st.lists(st.sampled_from(made), min_size=1, max_size=4, unique=True))
        self.graph = Graph(tuple(self.inputs), tuple(outputs))

    def array(self, *shape):
        return self.lib.param(self.rng.standard_normal(shape) / 2)

    def call(self, name, a, b):
        if name in ("Add", "Subtract"):
            made = getattr(xg, name)()(a, b)
        elif name == "product":
            made = xg.Tanh()(xg.Multiply()(a, b))
        elif name == "shared":
            made = self.shared(a)
        elif name == "own":
            made = xg.MatMul(self.array(SIDE, SIDE))(a)
        elif name == "bias":
            made = xg.Add()(a, xg.Repeat(like=a)(self.bias))
        elif name == "parts":
            made = xg.Concat(axis=1)(*xg.Split(2, axis=1)(a))
        elif name == "halves":
            made = xg.Split(2)(xg.Concat()(a, b))[0]
        elif name == "Branch":
            made = xg.Branch(2)(a)[1]
        elif name == "Graph":
            x = wire()
            made = Graph(x, xg.Subtract()(self.shared(x), x))(a)
        else:
            made = getattr(xg, name)()(a)
        self.wires.append(made)


def outputs(y):
    return y if isinstance(y, tuple) else (y,)


@pytest.mark.parametrize("judge", ["differences", "edges"])
def test_gradients(lib, judge):
    @settings(max_examples=EXAMPLES.get(lib.name, 40) // (1 if judge == "differences" else 4))
    @given(st.data())
    def check(data):
        drawn = Drawn(lib, data.draw)
        given_ = [drawn.rng.standard_normal((ROWS, SIDE)) for _ in drawn.inputs]
        if judge == "edges":
            edges = drawn.graph.check_gradients(*map(lib.array, given_))
            assert edges and all(edge.right for edge in edges), edges[0]
        else:
            by_differences(lib, drawn, given_)

    check()


def by_differences(lib, drawn, given_):
    """Along a random direction of everything at once, and of each input and each parameter alone."""
    g, rng = drawn.graph, drawn.rng
    ys = outputs(g.forward(*map(lib.array, given_)))
    r = [rng.standard_normal(tuple(y.shape)) for y in ys]
    dxs = outputs(g.backward(*map(lib.array, r)))
    assert [tuple(d.shape) for d in dxs] == [(ROWS, SIDE)] * len(given_)
    params, grads = xg.remove_duplicates(g.params, g.grads)
    assert len(params) == len(g.named_parameters())
    start = [lib.numpy(p) for p in params]
    slopes = [lib.numpy(d) for d in (*dxs, *grads)]
    points = [*given_, *start]
    alone = rng.integers(len(points))
    for chosen in (range(len(points)), [alone]):
        v = [rng.standard_normal(a.shape) if i in chosen else np.zeros(a.shape) for i, a in enumerate(points)]
        ends = []
        for sign in (1, -1):
            here = [a + sign * EPS * step for a, step in zip(points, v, strict=True)]
            for p, a in zip(params, here[len(given_) :], strict=True):
                p[...] = lib.array(a)
            ys = outputs(g.forward(*map(lib.array, here[: len(given_)])))
            ends.append([lib.numpy(y) for y in ys])
        numeric = sum(float(np.sum(w * (a - b))) for w, a, b in zip(r, *ends, strict=True)) / (2 * EPS)
        size = sum(float(np.sum(np.abs(w * a))) for w, a in zip(r, ends[0], strict=True))
        exact = sum(float(np.sum(d * step)) for d, step in zip(slopes, v, strict=True))
        assert abs(numeric - exact) <= 1e-6 + 1e-5 * abs(exact) + 1e-15 * size / EPS, str(g)
