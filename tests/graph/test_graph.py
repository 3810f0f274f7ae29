"""Graph: what it computes. As a model: test_graph_models.py; random graphs: test_gradient_check.py."""

import numpy as np
import pytest
from kernel_checks import forget_bodies
from nets import shopping, weights
from reference import toy

import xpgraph as xg
from xpgraph import Graph, parameter, record, wire

X, T = toy()


# --- running ---


def test_shopping(lib):
    """2 apples at 100, 3 oranges at 150, a tax of a tenth."""
    g = shopping()
    bought = [lib.array(v, "float64") for v in (2, 100, 3, 150, 1.1)]
    assert float(g.forward(*bought)) == pytest.approx(715)
    assert [float(d) for d in g.backward()] == pytest.approx([110, 2.2, 165, 3.3, 650])
    assert [float(d) for d in g.backward(2.0)] == pytest.approx([220, 4.4, 330, 6.6, 1300])
    assert g.params == [] and g.grads == []


def test_one_array_is_bare_and_several_are_a_tuple_in_order(lib):
    x, z = wire("x"), wire("z")
    s, d = xg.Add()(x, z), xg.Subtract()(x, z)
    g = Graph((z, x), (d, s))
    y = g.forward(lib.array([1.0]), lib.array([10.0]))
    assert [lib.numpy(a).tolist() for a in y] == [[9.0], [11.0]]
    dz, dx = g.backward(lib.array([1.0]), lib.array([5.0]))
    assert lib.numpy(dz).tolist() == [4.0] and lib.numpy(dx).tolist() == [6.0]
    one = Graph(x, xg.Exp()(x))
    assert tuple(one.forward(lib.array([0.0])).shape) == (1,)
    assert lib.numpy(one.backward(lib.array([3.0]))).tolist() == [3.0]


def test_a_wire_used_k_times_gets_the_sum(lib):
    x = wire("x")
    y = xg.Add()(xg.Multiply()(x, x), xg.Add()(x, xg.Power(3)(x)))  # x² + x + x³
    g = Graph(x, y)
    g.forward(lib.array([2.0]))
    assert lib.numpy(g.backward(lib.array([1.0]))).tolist() == [4.0 + 1.0 + 12.0]


def test_an_output_that_is_used_inside_too_is_copied_for_the_caller(lib):
    x = wire("x")
    h = xg.Exp()(x)
    g = Graph(x, (h, xg.Power(2)(h)))
    y, _ = g.forward(lib.param([1.0, 2.0]))
    y[...] = 0.0
    dx = g.backward(lib.array([1.0, 1.0]), lib.array([1.0, 1.0]))
    np.testing.assert_allclose(lib.numpy(dx), np.exp([1, 2]) + 2 * np.exp([2, 4]), rtol=1e-14)


def test_inputs_and_outputs_without_a_gradient(lib):
    """Zeros for an input that nothing depends on, and for an output that nothing uses; labels have none."""
    x, unused, t = wire("x"), wire("unused"), wire("t")
    left, _ = xg.Split(2, axis=1)(x)
    g = Graph((unused, x, t), xg.SoftmaxWithLoss()(left, t))
    data = lib.array(np.ones((3, 2))), lib.array(X[:3]), lib.array(T[:3] % 2)
    g.forward(*data)
    dunused, dx = g.backward(input_grad=True)
    assert not lib.numpy(dunused).any() and tuple(dunused.shape) == (3, 2)
    assert lib.numpy(dx)[:, :2].any() and not lib.numpy(dx)[:, 2:].any()
    turned = Graph((t, x), g.outputs)
    for labels in (data[2], lib.array(np.full((3, 2), 0.5))):  # indices, and probabilities that are floats
        turned.forward(labels, data[1])
        none, dx = turned.backward(input_grad=True)
        assert none is None and tuple(dx.shape) == (3, 4)
        g.forward(*data[:2], labels)
        assert len(g.backward(input_grad=True)) == 2
    checked = {edge.name.partition(",")[0]: edge.right for edge in g.check_gradients(*data)}
    assert checked["x into Split(n=2"] and len(checked) == 2


def test_what_leads_to_labels_alone_learns_nothing(lib):
    """A teacher's probabilities as labels: the teacher's gradients are 0, and not those of an earlier run."""
    x = wire("x")
    teacher = xg.MatMul(lib.param(weights()[0]))
    teacher.grads[0][...] = 7.0
    student = xg.MatMul(lib.param(weights(1)[0]))
    g = Graph(x, xg.SoftmaxWithLoss()(student(x), xg.Softmax()(teacher(x))))
    g.forward(lib.array(X))
    assert g.backward() is None
    assert not lib.numpy(teacher.grads[0]).any() and lib.numpy(student.grads[0]).any()


def test_calls_run_in_the_order_in_which_they_were_made():
    x = wire("x")
    a, b = xg.Exp()(x), xg.Tanh()(x)
    c = xg.Add()(b, a)
    xg.Log()(c)
    g = Graph(x, c)
    assert [type(call.node).__name__ for call in g.calls] == ["Exp", "Tanh", "Add"]
    assert g.wires == (x, a, b, c) and g.inputs == (x,) and g.outputs == (c,)
    assert c.call is g.calls[2] and c.port == 0 and c.call.inputs == (b, a) and x.call is None


def test_a_node_without_the_base_class(lib):
    class Halves:
        def forward(self, x):
            return x / 2.0, x / 2.0

        def backward(self, one, two):
            return (one + two) / 2.0

    x = wire("x")
    left, right = record(Halves(), x, outputs=2)
    g = Graph(x, xg.Add()(left, right))
    assert lib.numpy(g.forward(lib.array([3.0]))).tolist() == [3.0]
    assert lib.numpy(g.backward(lib.array([5.0]))).tolist() == [5.0]


def test_a_loss_that_is_a_python_number():
    class Squares:
        def forward(self, y, t):
            self.d = y - t
            return float(np.mean(self.d**2))

        def backward(self, dout=1):
            return 2 * self.d / self.d.size * dout

    x, t = wire("x"), wire("t")
    g = Graph((x, t), record(Squares(), xg.MatMul(np.ones((4, 1)))(x), t))
    target = X @ np.asarray([[1.0], [2.0], [3.0], [4.0]])
    xg.Trainer(g, xg.SGD(lr=0.05)).fit(X, target, max_epoch=200, batch_size=8, eval_interval=None)
    np.testing.assert_allclose(g.params[0][:, 0], [1, 2, 3, 4], rtol=1e-3)
    g.trace(X, target)
    assert g.gradients[g.outputs[0]] == 1 and g.check_gradients(X, target)[0].right


# --- the chapter's Affine, and softmax with loss, in their parts ---


@pytest.mark.parametrize("shape", [(5, 4), (1, 4), (2, 3, 4), (4,)])
def test_a_graph_of_the_parts_of_affine_computes_the_same(lib, shape, monkeypatch):
    W, b, x = (np.random.default_rng(1).standard_normal(s) for s in ((4, 3), (3,), shape))
    for generic in ("0", "1"):
        monkeypatch.setenv("XPGRAPH_GENERIC", generic)
        forget_bodies()
        fused = xg.Affine(lib.param(W), lib.param(b))
        given = wire("x")
        h = xg.MatMul(lib.param(W))(given)
        bias = parameter(lib.param(b), "b")
        row = xg.Repeat(like=h)(bias) if len(shape) > 1 else bias
        g = Graph(given, xg.Add()(h, row))
        dy = lib.array(np.random.default_rng(2).standard_normal((*shape[:-1], 3)))
        results = []
        for node in (fused, g):
            y = node.forward(lib.array(x))
            results.append([lib.numpy(a) for a in (y, node.backward(dy), *node.grads)])
        for a, c in zip(*results, strict=True):
            if generic == "1":
                assert a.tobytes() == c.tobytes()
            np.testing.assert_allclose(a, c, rtol=1e-13, atol=1e-15)
    monkeypatch.undo()
    forget_bodies()


def test_a_graph_of_the_parts_of_softmax_with_loss_computes_the_same(lib):
    x, t = wire("x"), wire("t")
    e = xg.Exp()(xg.Subtract()(x, xg.Max(axis=1)(x)))
    y = xg.Divide()(e, xg.Sum(axis=1)(e))
    entropy = xg.Sum(axis=1)(xg.Multiply()(t, xg.Log()(xg.Power(-1)(y))))
    g = Graph((x, t), xg.Mean(axis=None, keepdims=False)(entropy))
    fused, onehot = xg.SoftmaxWithLoss(), lib.array(np.eye(4)[T])
    assert float(g.forward(lib.array(X), onehot)) == pytest.approx(
        float(fused.forward(lib.array(X), onehot)), rel=1e-14
    )
    dx, _ = g.backward()
    np.testing.assert_allclose(lib.numpy(dx), lib.numpy(fused.backward()), rtol=1e-12, atol=1e-16)


@pytest.mark.parametrize(
    ("b", "like", "axis", "want"),
    [((3,), (5, 3), 0, (5, 3)), ((3,), (3, 2), 1, (3, 2)), ((1, 3), (5, 3), 0, (5, 3)), ((2, 3), (6, 9), 0, (6, 3)),
     ((3,), (2, 5, 3), 0, (2, 5, 3)), ((2, 3), (2, 4, 3), -2, (2, 4, 3)), ((3,), (5, 3), -2, (5, 3)),
     ((2, 3), (2, 6), 1, (2, 6)), ((2, 3), (2, 9), -1, (2, 9)), ((2, 3, 2), (4, 6, 7), 1, (2, 6, 2)),
     ((2, 3), (6, 9), -2, (6, 3)), ((3,), (3, 2), -1, (3, 2))],
)  # fmt: skip
def test_repeat_like(lib, b, like, axis, want):
    x = np.arange(np.prod(b), dtype=float).reshape(b)
    node = xg.Repeat(None, axis)
    y = node.forward(lib.array(x), lib.array(np.zeros(like)))
    assert tuple(y.shape) == want
    dy = np.arange(np.prod(want), dtype=float).reshape(want)
    dx = lib.numpy(node.backward(lib.array(dy)))
    assert dx.shape == b and np.sum(dx * x) == np.sum(dy * lib.numpy(y))
    with pytest.raises(xg.ShapeError, match="along axis 0, like needs more axes than x"):
        xg.Repeat(None).forward(lib.array(np.ones((2, 3))), lib.array(np.ones((3, 3))))
    with pytest.raises(TypeError, match=r"give x alone for a number n, and \(x, like\) for None"):
        node.forward(lib.array(x))


@pytest.mark.parametrize(("like", "axis"), [((2, 3, 4), 3), ((2, 3), 2), ((2, 3), -3), ((), 0), ((3,), 0), ((2, 4), 1)])
def test_repeat_like_refuses_shapes_that_do_not_fit(lib, like, axis):
    with pytest.raises(xg.ShapeError) as caught:
        xg.Repeat(None, axis).forward(lib.array(np.ones((2, 3))), lib.array(np.ones(like)))
    assert str(caught.value) == (
        f"Repeat.forward: x is (2, 3) and like is {like}; along axis {axis}, like needs more axes than x, or a "
        "multiple of its length."
    )


def test_repeat_like_is_repeat_none_on_two_wires(lib):
    b, h = wire("b"), wire("h")
    given = lib.array(np.arange(3.0)), lib.array(np.zeros((4, 3)))
    one, two, both = xg.Repeat(like=h)(b), xg.Repeat(None)(b, h), xg.Repeat(like=h)(b, h)
    for y in (one, two, both):
        assert lib.numpy(Graph([b, h], y).forward(*given)).tolist() == [[0.0, 1.0, 2.0]] * 4
