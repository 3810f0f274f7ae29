"""Pictures of graphs: which values, gradients and parameters they show."""

import random
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from drawn import SVG, R, array, edges, mlp, numbers, shopping, texts

import xpgraph as xg
from xpgraph.pictures import drawing
from xpgraph.pictures.drawing.graph_reader import GraphReader
from xpgraph.pictures.drawing.layout.place import place
from xpgraph.pictures.drawing.style import PALETTE
from xpgraph.pictures.drawing.values import block, number_text

# --- values and gradients --------------------------------------------------------------------------------------


def test_the_shopping_graph_has_its_values_above_and_its_gradients_below():
    svg = drawing.svg(shopping())
    assert sorted(texts(svg, "value"), key=float) == ["1.1", "2", "3", "100", "150", "200", "450", "650", "715"]
    assert sorted(texts(svg, "gradient"), key=float) == ["1", "1.1", "1.1", "1.1", "2.2", "3.3", "110", "165", "650"]
    assert {"apple", "apples", "orange", "oranges", "tax", "price"} <= set(texts(svg, "ink"))
    heights = {c: {t.text: float(t.get("y")) for t in ET.fromstring(svg).iter(f"{SVG}text") if t.get("class") == c}
               for c in ("xpg-value", "xpg-gradient")}  # fmt: skip
    assert heights["xpg-value"]["100"] < heights["xpg-gradient"]["2.2"]


@pytest.mark.parametrize(
    ("number", "text"),
    [(2.2, "2.2"), (110.0, "110"), (1.1 + 2.2, "3.3"), (1e-7, "1e-07"), (-0.0, "0"), (1 / 3, "0.3333"), (715.0, "715"),
     (float("nan"), "nan"), (float("-inf"), "-inf"), (12345, "12345"), (np.float32(3.3).item(), "3.3"), (True, "True")],
)  # fmt: skip
def test_numbers_have_four_significant_digits(number, text):
    assert number_text(number) == text


def test_small_arrays_show_their_numbers_and_large_ones_their_statistics():
    assert block(array(1.5)).rows == (("1.5",),)
    assert block(array([1, 2, 3])).rows == (("1", "2", "3"),)
    assert block(np.zeros((3, 4))).kind == "matrix"
    a = np.arange(1000, dtype=np.float32).reshape(50, 20)
    lines = [row[0] for row in block(a).rows]
    assert lines[0] == "(50, 20) float32"
    statistics = dict(re.findall(r"(\w+) ([^\s,]+)", " ".join(lines[1:])))
    assert {k: float(v) for k, v in statistics.items()} == pytest.approx(
        {"mean": a.mean(), "std": a.std(), "min": 0, "max": 999, "norm": np.linalg.norm(a)}, rel=1e-3
    )
    assert block(np.zeros((0, 3))).rows == (("(0, 3) float64",), ("empty",))
    huge = [row[0] for row in block(np.full((50, 2), 1e307)).rows]  # neither its sum nor its squares are finite
    assert huge[1:] == ["mean 1e+307, std 0", "min 1e+307, max 1e+307", "norm 1e+308"]
    assert block(np.arange(30)).rows == (("(30,) int64",), ("min 0, max 29",))


def test_what_is_not_finite_is_red_and_said_in_words():
    x = xg.wire("x")
    g = xg.Graph(x, xg.Exp()(x))
    with np.errstate(all="ignore"):
        g.trace(array([np.nan, 1000.0, 0.0]))
    svg = drawing.svg(g)
    assert sorted(texts(svg, "bad")) == ["inf", "inf", "nan", "nan", "nan"]
    reds = [t for t in ET.fromstring(svg).iter(f"{SVG}text") if t.get("class") == "xpg-bad"]
    assert all(t.get("fill") == PALETTE["bad"].light and t.get("font-weight") == "bold" for t in reds)
    big = np.ones((30, 40))
    big[0, :3], big[1, 0] = np.nan, -np.inf
    b = block(big)
    assert b.rows[1] == ("3 nan, 1 inf",) and b.bad == {(1, 0)} and b.rows[2] == ("mean 1, std 0",)
    assert block(np.full((9, 9), np.inf)).rows == (("(9, 9) float64",), ("81 inf",))


@pytest.mark.parametrize("library", ["array_api_strict", "torch"])
def test_values_of_other_libraries(library):
    xp = pytest.importorskip(library)
    assert block(xp.asarray([[1.5, 2.0]])).rows == (("1.5", "2"),)
    assert block(xp.ones((30, 3))).rows[-1] == ("norm 9.487",)
    assert block(xp.asarray(3)).rows == (("3",),)


def test_a_network_shows_parameters_with_their_gradients_and_labels_without():
    model, x = mlp(), R.normal(size=(2, 3))
    p = drawing.picture(model, x, np.array([0, 1]))
    drawn = edges(p)
    assert numbers(drawn["W1", "Affine"].value) == numbers(block(model.params[0]))
    assert drawn["t", "SoftmaxWithLoss"].gradient is None
    loss = model.forward(x, np.array([0, 1]))
    model.backward()
    assert numbers(drawn["SoftmaxWithLoss", "L"].value) == number_text(float(loss))
    for name, grad in zip(("W1", "b1", "W2", "b2"), model.grads, strict=True):
        assert numbers(drawn[name, "Affine"].gradient) == numbers(block(grad)), name


def test_a_chain_that_is_drawn_stays_as_it_is():
    model, x, t = mlp(), R.normal(size=(2, 3)), np.array([0, 1])
    model.forward(x, t)
    model.backward()
    before = [g.copy() for g in model.grads]
    drawing.svg(model, -x, t)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.grads, strict=True))
    model.backward()  # what forward kept is still there
    assert all(np.array_equal(a, b) for a, b in zip(before, model.grads, strict=True))


def test_without_a_run_only_parameters_have_values():
    p = drawing.picture(mlp())
    assert {p.vertices[e.tail].kind for e in p.edges if e.value} == {"parameter"}
    assert not any(e.gradient for e in p.edges)
    assert "<svg" in drawing.svg(mlp())


def test_a_run_by_hand_is_shown_and_a_forward_alone_has_no_gradients():
    x, y = xg.wire("x"), xg.wire("y")
    g = xg.Graph((x, y), xg.Subtract()(x, y))
    g.forward(array(5), array(3))
    p = drawing.picture(g)
    assert [numbers(e.value) for e in p.edges] == ["5", "3", "2"] and not any(e.gradient for e in p.edges)
    g.backward(array(10))
    assert [numbers(e.gradient) for e in drawing.picture(g).edges] == ["10", "-10", "10"]


def test_a_wire_used_twice_has_a_branch_and_the_parts_of_its_gradient():
    x = xg.wire("x")
    y = xg.Multiply()(xg.Exp()(x), x)
    g = xg.Graph(x, (y, xg.Sum(None, keepdims=False)(y)))
    g.trace(array([2.0]))
    p = drawing.picture(g)
    kinds = [v.kind for v in p.vertices]
    assert kinds.count("branch") == 2
    drawn = edges(p)
    whole, parts = drawn["x", "branch"].gradient, [drawn["branch", "exp"].gradient, drawn["branch", "×"].gradient]
    e2 = np.exp(2.0)
    assert whole.text == f"[{number_text(2 * (2 * e2 + e2))}]"
    assert [b.text for b in parts] == [f"[{number_text(2 * 2 * e2)}]", f"[{number_text(2 * e2)}]"]
    assert drawn["branch", "output"].gradient.text == "[1]"


@pytest.mark.parametrize("seed", range(15))
def test_at_every_branch_the_parts_add_up_to_the_gradient_of_the_wire(seed):
    draw = random.Random(seed)
    x, z, w = xg.wire("x"), xg.wire("z"), xg.parameter(R.normal(size=3), "w")
    wires, layer = [x, z, w], xg.Affine(R.normal(size=(3, 3)), R.normal(size=3))
    for _ in range(12):
        node = draw.choice([xg.Add(), xg.Multiply(), xg.Subtract(), xg.Tanh(), layer])
        ins = [draw.choice(wires) for _ in range(2 if isinstance(node, xg.Add | xg.Multiply | xg.Subtract) else 1)]
        wires.append(node(*ins))
    g = xg.Graph((x, z), (xg.Add()(wires[-1], x), xg.Tanh()(wires[-2]), xg.Multiply()(wires[-1], z)))
    g.trace(R.normal(size=(3,)), R.normal(size=(3,)))
    reader = GraphReader(g)
    reader.finish()
    branched = [line for line in reader.lines.lines if len(line.uses) > 1]
    assert len(branched) > 2
    for line in branched:
        assert np.allclose(sum(use.gradient for use in line.uses), line.gradient, rtol=1e-9, atol=1e-12)


def test_a_branch_node_and_several_outputs():
    x = xg.wire("x")
    a, b = xg.Branch(2)(x)
    c, d = xg.Split(2)(b)
    g = xg.Graph(x, (a, c, d))
    g.trace(array([1.0, 2.0]))
    p = drawing.picture(g)
    assert [v.kind for v in p.vertices].count("branch") == 1
    assert [v.kind for v in p.vertices].count("output") == 3
    assert numbers(edges(p)["x", "branch"].gradient) == "[2 2]"


def test_shared_weights_are_one_parameter_and_tied_ones_are_marked():
    W, b = array([1.0, 2.0], [3.0, 4.0]), array([0.5, 0.5])
    layer = xg.Affine(W, b)
    p = drawing.picture(xg.Chain(layer, xg.Tanh(), layer, xg.MatMul(W.T)), array([[1.0, 0.0]]))
    names = [v.text for v in p.vertices if v.kind == "parameter"]
    assert sorted(names) == ["W", "b"]
    uses = [e for e in p.edges if e.name == "W"]
    assert len(uses) == 4  # to its branch, and on to three nodes
    tied = next(e for e in uses if e.note == "Wᵀ")
    assert tied.value.text == "[1 3; 2 4]"
    whole, parts = (
        uses[[p.vertices[e.head].kind for e in uses].index("branch")],
        [e for e in uses if e.tail != uses[0].tail],
    )
    assert whole.gradient is not None and all(e.gradient for e in parts)


def test_parameter_wires_and_arrays_that_have_one_name():
    w = xg.parameter(array(3), "w")
    x = xg.wire("x")
    g = xg.Graph(x, xg.Multiply()(xg.Add()(x, w), w))
    g.trace(array(2))
    p = drawing.picture(g)
    assert [v.text for v in p.vertices if v.kind == "parameter"] == ["w"]
    assert numbers(edges(p)["w", "branch"].gradient) == "8"  # (x + w) + w
    named = drawing.picture(mlp())
    assert [v.text for v in named.vertices if v.kind == "parameter"] == ["W1", "b1", "W2", "b2"]


def test_inputs_in_another_order_than_they_are_called_in_get_numbers():
    x, y, z = xg.wire("x"), xg.wire("y"), xg.wire("z")
    a, b = xg.Add()(x, y), xg.Subtract()(y, z)
    straight = drawing.picture(xg.Graph((x, y, z), xg.Divide()(a, b)))
    assert "input 1" not in drawing.svg(xg.Graph((x, y, z), xg.Divide()(a, b))), straight
    both = xg.Graph((x, y, z), (xg.Divide()(a, b), xg.Divide()(b, a)))
    assert texts(drawing.svg(both)).count("input 1") == 1


def test_a_recurrent_network_with_its_shared_weights_has_no_crossing():
    cell, x, h = xg.Affine(R.normal(size=(4, 2)), np.zeros(2)), [xg.wire(f"x{i}") for i in range(12)], xg.wire("h")
    y = h
    for each in x:
        y = xg.Tanh()(cell(xg.Concat(axis=1)(each, y)))
    assert place(drawing.picture(xg.Graph((h, *x), y))).crossings == 0


# --- opening what is inside -----------------------------------------------------------------------------------


def test_an_affine_opens_into_a_product_a_repetition_and_a_sum():
    W, b, x = R.normal(size=(3, 2)), R.normal(size=2), R.normal(size=(4, 3))
    model = xg.Chain(xg.Affine(W, b))
    p = drawing.picture(model, x, open=("Affine",))
    drawn = edges(p)
    assert numbers(drawn["·", "+"].value) == numbers(block(x @ W))
    assert numbers(drawn["repeat ×4", "+"].value) == numbers(block(np.tile(b, (4, 1))))
    assert numbers(drawn["b", "repeat ×4"].gradient) == "[4 4]"
    assert numbers(drawn["W", "·"].gradient) == numbers(block(x.T @ np.ones((4, 2))))
    assert numbers(drawn["x", "·"].gradient) == numbers(block(np.ones((4, 2)) @ W.T))
    closed = drawing.picture(model, x)
    assert numbers(edges(closed)["Affine", "output"].value) == numbers(drawn["+", "output"].value)
    assert "·" in [v.text for v in drawing.picture(model, open=True).vertices]


def test_chains_and_graphs_inside_a_graph_open_too():
    x, u = xg.wire("x"), xg.wire("u")
    inner = xg.Graph(u, xg.Add()(u, xg.Tanh()(u)))
    chain = xg.Chain(xg.Affine(R.normal(size=(2, 2)), R.normal(size=2)), xg.Tanh())
    g = xg.Graph(x, xg.Add()(inner(x), chain(x)))
    g.trace(array([[0.5, -0.5]]))
    assert [v.text for v in drawing.picture(g).vertices if v.kind == "layer"] == ["Graph", "Chain"]
    opened = drawing.picture(g, open=True)
    assert sorted(v.text for v in opened.vertices if v.kind in ("layer", "word", "operator")) == sorted(
        ["+", "Tanh", "·", "repeat ×1", "+", "Tanh", "+"]
    )
    assert all(e.value for e in opened.edges) and all(e.gradient for e in opened.edges)
    total = edges(opened)["x", "branch"]
    assert total.gradient.text == block(g.gradients[g.inputs[0]]).text


def test_a_chain_on_a_parameter_stays_closed_and_an_opened_one_keeps_the_name_of_its_output():
    w, x = xg.parameter(array([[1.0, 2.0]]), "w"), xg.wire("x")
    h = xg.Chain(xg.Tanh())(x)
    h.name = "h"
    g = xg.Graph(x, xg.Add()(xg.Exp()(h), xg.Chain(xg.Tanh())(w)))
    g.trace(array([[0.5, -0.5]]))
    p = drawing.picture(g, open=True)
    assert [v.text for v in p.vertices if v.kind == "layer"] == ["Tanh", "Chain"]
    assert edges(p)["Tanh", "exp"].note == "h"


class Odd(xg.Node):
    """A reader's own node, whose backward works once only."""

    def forward(self, x):
        self.x = x
        return x * 2

    def backward(self, dy):
        if self.x is None:
            raise RuntimeError("once only")
        self.x = None
        return dy * 2


def test_a_node_that_cannot_go_back_twice_is_drawn_without_the_parts():
    x = xg.wire("x")
    g = xg.Graph(x, xg.Add()(Odd()(x), x))
    g.trace(array(1))
    p = drawing.picture(g)
    assert numbers(edges(p)["x", "branch"].gradient) == "3"
    assert edges(p)["branch", "Odd"].gradient is None
