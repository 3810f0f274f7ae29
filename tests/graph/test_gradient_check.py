"""Gradients of random graphs, by differences of the whole graph and edge by edge; and the check itself."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xpgraph as xg
from xpgraph import Graph, parameter, wire
from xpgraph.graph.gradient_check import ABSOLUTE, Edge, check_slope, weighted

EXAMPLES = {"numpy": 200}  # 40 of each other library; without --all a quarter of them
ROWS, SIDE = 2, 4
OPERATORS = (
    "Add", "Subtract", "product", "Tanh", "Sigmoid", "shared", "own", "bias", "parts", "halves", "Branch", "Graph",
)  # fmt: skip


class Drawn:
    """A random graph; every wire is (2, 4), except inside a group of calls."""

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


@pytest.mark.parametrize("check", ["differences", "edges"])
def test_gradients(lib, check, pytestconfig):
    thinned = (1 if check == "differences" else 4) * (1 if pytestconfig.getoption("all") else 4)

    @settings(max_examples=EXAMPLES.get(lib.name, 40) // thinned)
    @given(st.data())
    def run(data):
        drawn = Drawn(lib, data.draw)
        given_ = [drawn.rng.standard_normal((ROWS, SIDE)) for _ in drawn.inputs]
        if check == "edges":
            edges = drawn.graph.check_gradients(*map(lib.array, given_))
            assert edges and all(edge.right for edge in edges), edges[0]
        else:
            by_differences(lib, drawn, given_)

    run()


def by_differences(lib, drawn, given_):
    """Along a random direction of everything at once, and along one element."""
    g, rng = drawn.graph, drawn.rng
    r = [rng.standard_normal(tuple(y.shape)) for y in outputs(g.forward(*map(lib.array, given_)))]
    dxs = outputs(g.backward(*map(lib.array, r)))
    assert [tuple(d.shape) for d in dxs] == [(ROWS, SIDE)] * len(given_)
    params, grads = xg.remove_duplicates(g.params, g.grads)
    assert len(params) == len(g.named_parameters())
    points = [*given_, *map(lib.numpy, params)]
    gradient = np.concatenate([lib.numpy(d).ravel() for d in (*dxs, *grads)])
    places = np.cumsum([a.size for a in points])

    def total(step):
        moved = [a + v.reshape(a.shape) for a, v in zip(points, np.split(step, places[:-1]), strict=True)]
        for p, a in zip(params, moved[len(given_) :], strict=True):
            p[...] = lib.array(a)
        return weighted(r, outputs(g.forward(*map(lib.array, moved[: len(given_)]))))

    edge = check_slope(str(g), (places[-1],), gradient, total, random=1, axes=1, seed=int(rng.integers(2**32)))
    assert edge.right, str(edge)


# --- the check itself ---


def cubes(x):
    """The total of y = x³ for weights 1, as ``check_slope`` takes it."""
    return lambda step: weighted([np.ones(x.shape)], [(x + step) ** 3])


X = np.array([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]])


@pytest.mark.parametrize(
    ("gradient", "right"),
    [
        (3 * X**2, True),
        (3 * X**2 * (1 + 1e-4), False),
        (3 * X**2 + 1e-3 * (X == 0.5), False),  # wrong in one element
        (3 * X**2 + np.where(X == 0, np.nan, 0), False),
        ((3 * X**2).T, False),
        (np.sum(3 * X**2), False),
    ],
)
def test_a_gradient_that_is_wrong_somewhere_or_has_another_shape(gradient, right):
    edge = check_slope("x", X.shape, np.asarray(gradient), cubes(X))
    assert edge.right is right and str(edge).startswith("x: right, " if right else "x: WRONG, ")


@pytest.mark.parametrize(("slope", "right"), [(0.0, True), (0.4, True), (1.0, True), (1.01, False), (-0.01, False)])
def test_at_a_kink_every_slope_between_those_of_its_sides_is_right(slope, right):
    edge = check_slope("x", (1,), np.full(1, slope), lambda step: weighted([np.ones(1)], [np.maximum(step, 0)]))
    assert edge.right is right


def test_an_input_without_elements_is_right():
    assert check_slope("x", (0, 3), np.zeros((0, 3)), cubes(np.zeros((0, 3)))) == Edge("x", 0.0, 0.0, ABSOLUTE)


def test_a_gradient_of_nan_in_a_graph_is_wrong_and_comes_first(lib):
    class NoNumber(xg.Sigmoid):
        def backward(self, dy):
            return super().backward(dy) * float("nan")

    x = wire("x")
    first, second = Graph(x, NoNumber()(xg.Tanh()(x))).check_gradients(lib.array(X))
    assert not first.right and not second.right
    first, *_ = Graph(x, xg.Add()(NoNumber()(x), xg.Tanh()(x))).check_gradients(lib.array(X))
    assert "into NoNumber" in first.name and not first.right
