"""The steps of the page: their order, their formulas and their numbers."""

import re

import numpy as np
import pytest
from drawn import GOODS, T, X, array, mlp, shopping
from explained import article, numbers, steps, words

import xpgraph as xg
from xpgraph.pictures.drawing.values import number_text
from xpgraph.pictures.page import page as page_of
from xpgraph.pictures.page.calls import formula, input_letters, output_letters, with_numbers
from xpgraph.pictures.page.steps import make_page

# --- the steps ----------------------------------------------------------------------------------------


def test_the_shopping_graph_goes_forward_and_comes_back():
    found = steps(page_of(shopping(), *GOODS))
    assert [row[:2] for row in found] == [
        ("Start", "What goes in"),
        ("Forward", "Multiply 1"), ("Forward", "Multiply 2"), ("Forward", "Add"), ("Forward", "Multiply 3"),
        ("Backward", "Start with 1"),
        ("Backward", "Multiply 3"), ("Backward", "Add"), ("Backward", "Multiply 2"), ("Backward", "Multiply 1"),
        ("End", "What came of it"),
    ]  # fmt: skip
    assert found[0][2]["Inputs"] == {"apple": "100", "apples": "2", "orange": "150", "oranges": "3", "tax": "1.1"}
    assert found[4][2] == {"In": {"x result of Add": "650", "y tax": "1.1"}, "Out": {"z price": "715"}}
    assert found[6][2] == {
        "Gradient in": {"dz price": "1"},
        "Local derivative": {"∂z/∂x": "1.1", "∂z/∂y": "650"},
        "Gradient out": {"dx result of Add": "1.1", "dy tax": "650"},
    }
    assert found[8][2]["Gradient out"] == {"dx orange": "3.3", "dy oranges": "165"}
    assert found[9][2]["Gradient out"] == {"dx apple": "2.2", "dy apples": "110"}


def test_formulas_stand_with_letters_and_where_all_is_a_number_with_numbers():
    page = page_of(shopping(), *GOODS)
    lines = re.findall(r'<p class="formula">(.*?)</p>', article(page, "Multiply 3", "forward"))
    assert lines == ["z = x · y", "715 = 650 · 1.1"]
    assert 'class="formula">dx = dz · y, dy = dz · x' in article(page, "Multiply 3", "backward")


def test_every_number_is_that_of_the_trace():
    model = mlp()
    page, g = page_of(model, X, T), model.graph()
    g.trace(X, T)
    for k, (title, calls) in enumerate([("Affine 1", 0), ("Sigmoid", 1), ("Affine 2", 2)]):
        out = article(page, title, "forward").partition("<h3>Out</h3>")[2]
        assert numbers(out) == rounded(g.values[g.calls[calls].outputs[0]]), title
        back = article(page, title, "backward").partition("<h3>Gradient out</h3>")[2].split("</figure>")
        if k:
            assert numbers(back[0]) == rounded(g.gradients[g.calls[calls].inputs[0]]), title
    dW, db = g.calls[2].node.grads
    assert numbers(back[1]) == rounded(dW)
    assert numbers(back[2]) == rounded(db)


def rounded(a):
    return [float(number_text(v)) for v in np.ravel(a).tolist()]


def test_the_local_derivative_of_an_elementwise_node_is_an_array_and_of_another_its_formula():
    page = page_of(xg.Chain(xg.Affine(np.ones((3, 2)), np.zeros(2)), xg.Tanh()), X)
    between = article(page, "Tanh", "backward").partition("Local derivative")[2].partition("Gradient out")[0]
    y = np.tanh(X @ np.ones((3, 2)))
    assert numbers(between) == rounded(1 - y * y)
    assert "applied, not written out: dx = dy Wᵀ, dW = xᵀ dy" in article(page, "Affine", "backward")


def test_the_derivative_by_what_was_broadcast_has_the_shape_of_the_output():
    x, b = xg.wire("x"), xg.wire("b")
    page = page_of(xg.Graph((x, b), xg.Multiply()(x, b)), X, array(2, 3, 4))
    between = article(page, "Multiply", "backward").partition("Local derivative")[2].partition("Gradient out")[0]
    assert numbers(between) == [*([2, 3, 4] * 2), *X.ravel()]


def test_gradients_of_a_wire_used_twice_are_added_in_a_step_of_their_own():
    x = xg.wire("x")
    g = xg.Graph(x, xg.Multiply()(x, x))
    found = steps(page_of(g, array(3.0)))
    assert [row[:2] for row in found[2:]] == [
        ("Backward", "Start with 1"), ("Backward", "Multiply"), ("Backward", "Sum: x, used 2 times"),
        ("End", "What came of it"),
    ]  # fmt: skip
    assert found[4][2]["Sum"] == {"dx": "6"}
    assert "6 = 3 + 3" in page_of(g, array(3.0))


def test_an_output_that_is_used_inside_too_counts_as_a_use():
    x = xg.wire("x")
    h = xg.Tanh()(x)
    h.name = "h"
    g = xg.Graph(x, (h, xg.Multiply()(h, x)))
    found = steps(page_of(g, array(2.0)))
    at = next(groups for _, title, groups in found if title == "Sum: h, used 2 times")
    assert at["Gradient in"] == {"dh as an output": "1", "dh from Multiply": "2"}
    assert at["Sum"] == {"dh": "3"}


def test_the_update_shows_before_gradient_rule_and_after():
    p = xg.parameter(array(2.0), "p")
    x = xg.wire("x")
    y = xg.Multiply()(p, x)
    y.name = "y"
    g = xg.Graph(x, y)
    *_, update, end = steps(page_of(g, array(5.0), optimizer=xg.Momentum(0.1)))
    assert update[:2] == ("Update", "p")
    assert update[2]["Before"] == {"θ p": "2", "g dp": "5", "v state": "0"}
    assert update[2]["After"] == {"θ p": "1.5", "v state": "-0.5"}
    assert end[2] == {"Before the update": {"y": "10"}, "After the update": {"y": "7.5"}}
    page = page_of(g, array(5.0), optimizer=xg.Momentum(0.1))
    assert "v ← μ v - η g; θ ← θ + v" in page
    assert "η = 0.1, μ = 0.9" in page
    assert steps(page_of(g, array(5.0)))[-2][2]["After"] == {"θ p": "1.5"}  # SGD(0.1)


def test_tied_weights_are_added_up_and_updated_once():
    W = np.asarray([[1.0, 2.0], [3.0, 4.0]])
    found = steps(page_of(xg.Chain(xg.MatMul(W), xg.MatMul(W.T), xg.Sum(None, keepdims=False)), X[:, :2]))
    names = [title for _, title, _ in found]
    assert names[-3:] == ["Sum: W, shared by 2 uses", "W", "What came of it"]
    assert list(found[-3][2]["Gradient in"]) == ["dW of 0.W", "dW of 1.W, transposed"]


def test_large_arrays_are_summed_up_and_the_rest_is_counted():
    x = xg.wire("x")
    page = page_of(xg.Graph(x, xg.Tanh()(x)), np.arange(40 * 30, dtype=float).reshape(40, 30))
    assert "(40, 30) float64" in page
    assert "mean 599.5" in page
    assert "Rows 0 to 7 of 40. Columns 0 to 9 of 30. 1,120 numbers left out." in words(page)


def test_values_that_are_not_finite_are_marked():
    x = xg.wire("x")
    page = page_of(xg.Graph(x, xg.Add()(x, x)), np.asarray([1.0, np.nan, np.inf]))
    assert "<td class=bad>nan</td>" in page


# --- many kinds of graphs ---------------------------------------------------------------------------------------


def several():
    x, z = xg.wire("x"), xg.wire("z")
    one, two = xg.Split(2, axis=1)(x)
    return xg.Graph((x, z), (xg.Concat(axis=1)(two, one, z), xg.Sum(None)(z))), (np.ones((2, 4)), np.ones((2, 3)))


def nested():
    x, t = xg.wire("x"), xg.wire("t")
    inner = xg.Chain(xg.Affine(np.ones((3, 4)) * 0.1, np.zeros(4)), xg.Sigmoid())
    return xg.Graph((x, t), xg.SoftmaxWithLoss()(xg.MatMul(np.ones((4, 2)))(inner(x)), t)), (X, T)


def repeated():
    x, b = xg.wire("x"), xg.parameter(array(1.0, 2.0, 3.0), "b")
    return xg.Graph(x, xg.Add()(x, xg.Repeat(like=x)(b))), (X,)


def used_twice():
    x, A = xg.wire("x"), xg.Affine(np.eye(3) * 0.5, np.ones(3))
    return xg.Graph(x, A(A(x))), (X,)


def foreign():
    class Half:
        __slots__ = ("unused",)

        def forward(self, x):
            return x / 2

        def backward(self, dy):
            return dy / 2

    x = xg.wire("x")
    return xg.Graph(x, xg.record(Half(), x)), (X,)


@pytest.mark.parametrize("make", [several, nested, repeated, used_twice, foreign])
def test_each_part_of_the_picture_is_known_at_the_step_that_computes_it(make):
    g, inputs = make()
    page = make_page(g, inputs, xg.SGD(0.1))
    scene, last = page.scene, len(page.steps)
    traced = [e for e, edge in enumerate(scene.picture.edges) if edge.gradient is not None]
    assert all(scene.gradient_steps[e] < last for e in traced)
    assert all(step < last for step in scene.value_steps)
    kinds = [step.phase for step in page.steps]
    assert all(kinds[scene.gradient_steps[e]] == "backward" for e in traced)
    for e, edge in enumerate(scene.picture.edges):
        assert scene.value_steps[e] == 0 or kinds[scene.value_steps[e]] == "forward", (edge, scene.value_steps[e])
    for v, vertex in enumerate(scene.picture.vertices):
        assert scene.leads[v] or vertex.kind == "branch", vertex
    assert steps(page_of(g, *inputs))


# --- formulas -------------------------------------------------------------------------------------------------------


class Doubled(xg.Node):
    def forward(self, x):
        return 2 * x

    def backward(self, dy):
        return 2 * dy


class Tripled(Doubled):
    """y = 3 x        dx = 3 dy. Any shape."""


def test_formulas_come_from_docstrings():
    assert formula(xg.Affine(np.ones((1, 1)), np.ones(1))) == (
        "y = x W + b",
        "dx = dy Wᵀ, dW = xᵀ dy, db = Σ dy over the rows",
    )
    assert formula(Tripled()) == ("y = 3 x", "dx = 3 dy")
    assert formula(Doubled()) == ("Doubled", "")
    assert formula(xg.Chain(xg.Tanh(), xg.Sigmoid())) == ("Chain: Tanh → Sigmoid", "")
    assert input_letters(xg.Concat(), 3)[-1] == "x₃"
    assert output_letters(xg.Split(2), 2) == ["y₁", "y₂"]


def test_numbers_take_the_place_of_letters_or_nothing_does():
    assert with_numbers("z = x - y", {"x": "1", "y": "-2", "z": "3"}) == "3 = 1 - (-2)"
    assert with_numbers("y = 1 / (1 + e^-x)", {"x": "1", "y": "2"}) == ""
