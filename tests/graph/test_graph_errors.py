"""Mistakes in graphs raise an error where they are made, which names the node and its inputs."""

import numpy as np
import pytest

import xpgraph as xg
from xpgraph import Graph, parameter, record, wire
from xpgraph.pictures import page as explaining

W, B = np.ones((3, 2)), np.ones(2)


# --- calls ---


def test_a_node_is_called_on_wires_only(lib):
    with pytest.raises(TypeError, match=r"Tanh\(\): input 0 is no wire: found array \(.*use Tanh\(\)\.forward"):
        xg.Tanh()(lib.array([1.0]))
    with pytest.raises(TypeError, match=r"Add\(\): input 1 is no wire: found float; .* xpgraph\.parameter"):
        xg.Add()(wire("x"), 1.0)


def test_a_number_of_wires_that_forward_does_not_take():
    x, y = wire("x"), wire("y")
    with pytest.raises(TypeError, match=r"Add\(\): wires came: x; forward takes \(x: .*, y: .*give one wire for each"):
        xg.Add()(x)
    with pytest.raises(TypeError, match=r"Affine\(3 -> 2, float64, numpy\): wires came: x, y; forward takes \(x"):
        xg.Affine(W, B)(x, y)
    with pytest.raises(TypeError, match=r"Tanh\(\): wires came: none"):
        xg.Tanh()()
    with pytest.raises(TypeError, match=r"Graph\(x, y -> _, 1 call\): wires came: x; it takes 2"):
        Graph((x, y), xg.Add()(x, y))(x)
    with pytest.raises(TypeError, match="it has no forward"):
        record(object(), x)
    with pytest.raises(TypeError, match="Sigmoid: it has no forward to run; give an object"):
        record(xg.Sigmoid, x)
    with pytest.raises(TypeError, match="number of outputs is 0"):
        record(xg.Tanh(), x, outputs=0)


def test_names_and_parameters_that_are_refused():
    with pytest.raises(TypeError, match=r"wire: the name is .*give a string"):
        wire(np.ones(2))
    with pytest.raises(xg.DTypeError, match="parameter 'b': it is int64; convert"):
        parameter(np.ones(2, int), "b")
    with pytest.raises(xg.DTypeError, match=r"parameter: found a float; give an array, such as numpy\.asarray"):
        parameter(1.1)
    with pytest.raises(TypeError, match="give a number n, or like="):
        xg.Repeat(3, like=wire("h"))
    assert repr(wire()) == "an unnamed input" and repr(parameter(B)) == "an unnamed parameter (2,)"
    assert repr(xg.Split(2)(wire("x"))[1]) == "output 1 of Split(n=2, axis=0)"


# --- graphs ---


def test_what_makes_no_graph():
    x, z, b = wire("x"), wire("z"), parameter(B, "b")
    y = xg.Add()(x, z)
    cases = [
        (((), y), ValueError, "there are no inputs"),
        ((x, ()), ValueError, "there are no outputs"),
        ((x, xg.Tanh()), TypeError, r"outputs\[0\] is Tanh\(\), which is no wire"),
        (((x, z, x), y), ValueError, "x stands twice in inputs; name it once"),
        (((x, z), (y, y)), ValueError, r"Add\(\) stands twice in outputs; .*Branch"),
        ((x, y), ValueError, r"input 1 of Add\(\)\(x, z\) is z, which is not among the inputs \(x\)"),
        (((x, z, b), y), ValueError, "b is a parameter, which the graph finds by itself"),
        (((x, z, y), xg.Tanh()(y)), ValueError, r"inputs: Add\(\) is computed; inputs are wires"),
        (((x, z), (y, x)), ValueError, "outputs: x is not computed"),
        (((x, z), (y, xg.Tanh()(b))), ValueError, r"Tanh\(\) depends on none of the inputs"),
        ((x, xg.Add()(xg.Multiply()(x, b), parameter(B, "b"))), ValueError, "two parameters have the name 'b'"),
    ]
    for (inputs, outputs), kind, words in cases:
        with pytest.raises(kind, match=words):
            Graph(inputs, outputs)


# --- runs ---


def test_an_error_in_a_run_is_the_nodes_own_and_names_the_call(lib):
    x, z = wire("x"), wire("z")
    h = xg.Affine(lib.param(W), lib.param(B))(x)
    inner_x = wire("inside")
    inner = Graph(inner_x, xg.Split(2, axis=1)(inner_x)[1])
    g = Graph((x, z), xg.Multiply()(inner(h), z))
    with pytest.raises(
        xg.ShapeError, match=r"Affine\.forward: x is \(4, 2\) but W is \(3, 2\); x needs 3 columns"
    ) as e:
        g.forward(lib.array(np.ones((4, 2))), lib.array(np.ones(1)))
    assert [note.partition("(")[0] for note in e.value.__notes__] == ["in Graph.forward, call 0: Affine"]
    with pytest.raises(xg.ShapeError, match="lengths must be equal or 1") as e:
        g.forward(lib.array(np.ones((4, 3))), lib.array(np.ones((3, 1))))
    assert "call 2: Multiply()(Graph(inside -> _, 1 call), z)" in e.value.__notes__[0]
    g = Graph((x, z), inner(xg.Add()(x, z)))
    with pytest.raises(xg.ShapeError, match=r"Split\.forward") as e:
        g.forward(lib.array(np.ones((4, 3))), lib.array(np.ones((4, 3))))
    assert [note.partition(":")[0] for note in e.value.__notes__] == [
        "in Graph.forward, call 0",
        "in Graph.forward, call 1",
    ]
    assert "(inside)" in e.value.__notes__[0] and "(Add())" in e.value.__notes__[1]


def test_what_a_run_refuses(lib):
    x, z = wire("x"), wire("z")
    g = Graph((x, z), (xg.Add()(x, z), xg.Subtract()(x, z)))
    a = lib.array(np.ones((2, 3)))
    with pytest.raises(xg.Error, match=r"Graph\.backward: forward has not been called"):
        g.backward(a, a)
    with pytest.raises(TypeError, match=r"Graph\.forward: 1 arrays came for the inputs \(x, z\)"):
        g.forward(a)
    g.forward(a, a)
    with pytest.raises(xg.ShapeError, match=r"0 gradients came for the outputs \(Add\(\), Subtract\(\)\)"):
        g.backward()
    with pytest.raises(xg.ShapeError, match=r"Add\.backward: dz is \(3,\) but forward returned \(2, 3\)") as e:
        g.backward(lib.array(np.ones(3)), a)
    assert e.value.__notes__ == ["in Graph.backward, call 0: Add()(x, z)"]
    one = Graph(x, xg.Tanh()(x))
    one.forward(a)
    with pytest.raises(xg.ShapeError, match=r"Graph\.backward: Tanh\(\) is \(2, 3\); give its gradient"):
        one.backward()


class Own:
    """A node that a test makes go wrong."""

    def __init__(self, back, n=1):
        self.back, self.n = back, n

    def forward(self, x):
        return x + 0.0 if self.n == 1 else (x + 0.0,) * self.n

    def backward(self, dy):
        return self.back(dy)


@pytest.mark.parametrize(
    ("back", "words"),
    [
        (lambda dy: None, r"Own\(\)\.backward: it returned None; return the gradient of each input"),
        (lambda dy: (dy, dy), r"Own\(\)\.backward: it returned 2 gradients for 1 inputs"),
        (lambda dy: dy[0], r"the gradient of b came as \(2,\), the parameter is \(1, 2\)"),
    ],
    ids=["None", "too many", "another shape"],
)
def test_a_backward_that_goes_wrong(back, words):
    x = wire("x")
    g = Graph(x, xg.Add()(x, record(Own(back), parameter(B[None], "b"))))
    g.forward(np.ones((1, 2)))
    with pytest.raises(xg.Error, match=words):
        g.backward(np.ones((1, 2)))


def test_another_number_of_outputs_than_recorded():
    x = wire("x")
    with pytest.raises(xg.ShapeError, match="the node returned 2 arrays, and was recorded with 1") as e:
        Graph(x, record(Own(None, n=2), x)).forward(B)
    assert "call 0: Own()(x)" in e.value.__notes__[0]


def test_the_gradient_check_names_the_edge_with_the_largest_error(lib):
    class Slightly(xg.Node):
        names = ("s",)

        def __init__(self, s):
            super().__init__(s)

        def forward(self, x, y):
            self.x, self.y = x, y
            return x * y * self.params[0]

        def backward(self, dz):
            (s,) = self.params
            self.grads[0][...] = lib.xp.sum(dz * self.x * self.y)
            return dz * self.y * s, dz * self.x * s * 1.01

    x, z = wire("x"), wire("z")
    h = xg.Exp()(z)
    h.name = "h"
    g = Graph((x, z), xg.Tanh()(Slightly(lib.param(np.asarray(2.0)))(xg.Sigmoid()(x), h)))
    data = [lib.array(np.random.default_rng(i).standard_normal((3, 2))) for i in range(2)]
    worst, *rest = g.check_gradients(*data)
    assert worst.name.startswith("h into Slightly")
    assert "its input 1 (call 2)" in worst.name and not worst.right and worst.error > 1e-4
    assert len(rest) > 1 and all(edge.right for edge in rest) and "WRONG" in str(worst)


def test_weights_shared_inside_one_call_are_checked_as_one(lib):
    """A small change of one moves every use, so it is compared with the sum of the gradients."""
    data = lib.array(np.random.default_rng(1).standard_normal((5, 3)))
    square, b = np.random.default_rng(2).standard_normal((3, 3)), np.ones(3)
    affine = xg.Affine(lib.param(square), lib.param(b))
    V = lib.param(square)
    for chain, n in (
        (xg.Chain(affine, xg.Tanh(), affine), 3),
        (xg.Chain(xg.MatMul(V), xg.Tanh(), xg.MatMul(lib.xp.matrix_transpose(V))), 2),
    ):
        x = wire("x")
        edges = Graph(x, chain(x)).check_gradients(data)
        assert len(edges) == n and all(edge.right for edge in edges), [str(edge) for edge in edges]
    x = wire("x")
    edges = Graph(x, xg.Add()(xg.MatMul(V)(parameter(V, "b")), x)).check_gradients(lib.array(square))
    assert all(edge.right for edge in edges), "the input is the weight itself"


def test_names_that_a_model_file_cannot_hold():
    x = wire("x")
    for name, kind in ((3, TypeError), ("", ValueError), ("0.b", ValueError), ("__metadata__", ValueError)):
        with pytest.raises(kind, match=r"parameter: the name is .*[Gg]ive"):
            parameter(B, name)
        late = parameter(B)
        late.name = name
        with pytest.raises(kind, match=r"Graph: a parameter: the name is "):
            Graph(x, xg.Add()(x, late))


def test_two_parameters_with_one_path_are_refused(tmp_path):
    class Odd(xg.Node):
        names = ("",)

        def forward(self, x):
            return x * self.params[0]

        def backward(self, dy):
            return dy * self.params[0]

    class Twice(Odd):
        names = ("w", "w")

    x = wire("x")
    with pytest.raises(ValueError, match="two parameters have the name '0'"):
        Graph(x, xg.Add()(Odd(B)(x), parameter(B, "0")))
    with pytest.raises(ValueError, match=r"save: two parameters have the name '0\.w'; give each"):
        xg.Chain(Twice(B, B + 1)).save(tmp_path / "m.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_backward_may_return_a_list(lib):
    x = wire("x")
    g = Graph(x, record(Own(lambda dy: [dy * 2.0]), x))
    g.forward(lib.array([1.0]))
    assert lib.numpy(g.backward(lib.array([3.0]))).tolist() == [6.0]


def test_explaining_with_another_models_optimizer():
    optimizer, x = xg.Momentum(lr=0.1), wire("x")
    optimizer.update([np.ones(2)], [np.ones(2)])
    with pytest.raises(xg.ShapeError, match="make a new optimizer for another model"):
        explaining.page(Graph(x, xg.Affine(W, B)(x)), np.ones((1, 3)), optimizer=optimizer)


def test_a_name_that_no_text_file_can_hold(tmp_path):
    x = wire("half \ud800")
    g = Graph(x, xg.Affine(W, B)(x))
    g.forward(np.ones((1, 3)))
    for name in ("g.svg", "g.dot"):
        g.draw(tmp_path / name)
    g.explain(tmp_path / "g.html", np.ones((1, 3)))
    texts = [path.read_text("utf-8") for path in tmp_path.iterdir()]
    assert len(texts) == 3 and all("half ?" in text or "half \ufffd" in text for text in texts)


def test_fit_gives_a_graph_two_inputs_and_wants_a_loss_without_axes():
    x, z, t = wire("x"), wire("z"), wire("t")
    y = xg.Affine(W, B)(xg.Add()(x, z))
    data = np.ones((6, 3)), np.zeros(6, int)
    three = Graph((x, z, t), xg.SoftmaxWithLoss()(y, t))
    with pytest.raises(TypeError, match=r"Trainer\.fit: the inputs of the graph are \(x, z, t\), .* is \(x, t\); make"):
        xg.Trainer(three, xg.SGD()).fit(*data, eval_interval=None)
    squares = xg.Power(2)(xg.Subtract()(xg.Affine(W, B)(x), t))
    with pytest.raises(xg.DTypeError, match=r"shape \(1, 1\), not a scalar loss; .*Mean\(axis=None, keepdims=False\)"):
        xg.Trainer(Graph((x, t), xg.Mean(None)(squares)), xg.SGD()).fit(data[0], np.ones((6, 2)), eval_interval=None)
