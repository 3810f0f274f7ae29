"""Graph as a node and as a model: nesting, sharing, training, moving, saving, and the values of its last run."""

import copy
import pickle
import sys

import numpy as np
import pytest
from libs import make_lib
from nets import bits, net, shopping, weights
from reference import toy

import xpgraph as xg
from xpgraph import Graph, parameter, wire
from xpgraph.arrays.libraries import layout
from xpgraph.graph.slots import without_values
from xpgraph.nodes.sharing import plan
from xpgraph.pictures import drawing
from xpgraph.testing import check_node

X, T = toy()


def two_layers(lib, w):
    """The network of nets.net, call by call; the last bias is a parameter wire."""
    W1, b1, W2, b2 = (lib.param(a) for a in w)
    x, t = wire("x"), wire("t")
    h = xg.MatMul(W2)(xg.Sigmoid()(xg.Affine(W1, b1)(x)))
    y = xg.Add()(h, xg.Repeat(like=h)(parameter(b2, "b2")))
    return Graph((x, t), xg.SoftmaxWithLoss()(y, t))


# --- as a node, and as a model ---


def test_it_trains_as_the_same_chain_does_to_the_bit(lib):
    models = net(lib, weights()), net(lib, weights()).graph(), two_layers(lib, weights())
    assert [n for n, _, _ in models[1].named_parameters()] == ["0.W", "0.b", "2.W", "2.b"]
    assert [n for n, _, _ in models[2].named_parameters()] == ["0.W", "0.b", "2.W", "b2"]
    addresses = [[layout(g).address for g in m.grads] for m in models]
    for m in models:
        xg.Trainer(m, xg.Momentum(lr=0.3)).fit(
            lib.array(X), lib.array(T), max_epoch=3, batch_size=7, max_grad=1.0, eval_interval=None
        )
    assert bits(lib, models[0].params) == bits(lib, models[1].params)
    for a, b in zip(models[0].params, models[2].params, strict=True):
        np.testing.assert_allclose(lib.numpy(a), lib.numpy(b), rtol=1e-11)
    assert [[layout(g).address for g in m.grads] for m in models] == addresses


def test_graphs_and_chains_nest(lib):
    w = weights()
    want = net(lib, w)
    x, y, t = wire("x"), wire("y"), wire("t")
    W1, b1, W2, b2 = (lib.param(a) for a in w)
    inner = Graph(x, xg.Sigmoid()(xg.Affine(W1, b1)(x)))
    loss = Graph((y, t), xg.SoftmaxWithLoss()(y, t))
    assert loss.loss is loss.nodes[0] and inner.loss is None
    models = [
        xg.Chain(inner, xg.Affine(W2, b2), loss=loss),
        Graph((x, t), loss(xg.Affine(W2, b2)(inner(x)), t)),
        Graph((x, t), xg.Chain(xg.Affine(W2, b2), loss=xg.SoftmaxWithLoss())(inner(x), t)),
    ]
    data = lib.array(X), lib.array(T)
    want.forward(*data)
    dx = lib.numpy(want.backward(input_grad=True))
    for model in models:
        assert float(model.forward(*data)) == float(want.forward(*data))
        assert lib.numpy(model.backward(input_grad=True)).tobytes() == dx.tobytes()
        assert model.backward() is None and bits(lib, model.grads) == bits(lib, want.grads)
    assert models[1].named_parameters()[0][0] == "0.0.W"


def test_a_node_called_twice_is_one_set_of_parameters(lib):
    W = lib.param(weights()[0][:, :4])
    b = parameter(W, "W again")
    node, x = xg.MatMul(W), wire("x")
    g = Graph(x, xg.Dot()(node(xg.Tanh()(node(x))), b))
    assert g.nodes[0] is node and g.nodes[2] is not node and g.calls[2].node is node
    assert len(g.params) == 3 and len(g.named_parameters()) == 1 and {s.first for s in plan(g.params)} == {0}
    x0, W0 = lib.array(X), lib.numpy(W)
    moved = g.to(lib.place)
    assert moved.calls[2].node is moved.calls[0].node is moved.nodes[0] is not node
    g.forward(x0)
    g.backward(lib.array(np.ones((24, 4))))
    _, (dW,) = xg.remove_duplicates(g.params, [lib.param(lib.numpy(a)) for a in g.grads])
    v = np.random.default_rng(3).standard_normal((4, 4))
    ends = []
    for sign in (1, -1):
        W[...] = lib.array(W0 + sign * 1e-6 * v)
        ends.append(np.sum(lib.numpy(g.forward(x0))))
    assert np.sum(lib.numpy(dW) * v) == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-6)


def test_check_node_finds_nothing():
    assert check_node(two_layers(make_lib("numpy"), weights()), inputs=(X, T)) == []
    x, z = wire("x"), wire("z")
    h = xg.Affine(weights()[0], weights()[1])(x)
    g = Graph((x, z), (xg.Multiply()(h, h), xg.Subtract()(xg.Tanh()(h), z)))
    assert check_node(g, inputs=(X, np.ones((24, 6)))) == []


def test_copies_have_wires_and_arrays_of_their_own(lib):
    g = two_layers(lib, weights())
    g.trace(lib.array(X), lib.array(T))
    before = bits(lib, g.params)
    pickled = pickle.loads(pickle.dumps(g.to("numpy")))
    for other in (copy.deepcopy(g), g.to(lib.place), g.to("numpy"), pickled):
        assert repr(other) == repr(g) and [w.name for w in other.wires] == [w.name for w in g.wires]
        assert not set(other.wires) & set(g.wires) and not other.values
        assert other.calls[0].node is other.nodes[0] is not g.nodes[0]
        assert other.wires[2].array is other.params[3]
        assert bits(lib, other.params) == before and plan(other.params) == plan(g.params)
        xg.Trainer(other, xg.SGD(lr=0.5)).fit(X, T, max_epoch=1, eval_interval=None)
        assert bits(lib, other.params) != before and bits(lib, g.params) == before
    assert g.values and g.backward() is None


def test_save_and_load(lib, tmp_path):
    W, w = lib.param(weights()[0][:, :4]), weights()
    x, z, t = wire("x"), wire("z"), wire("t")
    node = xg.MatMul(W)
    one, two = xg.Split(2, axis=1)(node(xg.Tanh()(node(x))))
    one.name = "half"
    inner = net(lib, w).nodes[0]
    h = xg.Chain(inner, xg.Tanh())(xg.Concat(axis=1)(one, two))
    y = xg.Add()(h, xg.Repeat(like=h)(parameter(lib.param(w[1]), "b")))
    g = Graph((x, z, t), (xg.SoftmaxWithLoss()(xg.Multiply()(y, z), t), xg.Dot()(x, parameter(W))))
    g.save(tmp_path / "g.safetensors")
    loaded, _ = xg.load(tmp_path / "g.safetensors")
    assert str(loaded) == str(g.to("numpy")) and "half" in str(loaded) and loaded.wiring.twins == {2: 0}
    assert plan(loaded.params) == plan(g.params) and bits(lib, loaded.params) == bits(lib, g.params)
    data = X, np.ones((24, 6)), T
    for a, b in zip(loaded.forward(*data), g.forward(*map(lib.array, data)), strict=True):
        np.testing.assert_allclose(a, lib.numpy(b), rtol=1e-13)
    other = copy.deepcopy(g)
    for p in other.params:
        p[...] = 0.0 * p
    other.load(tmp_path / "g.safetensors")
    assert bits(lib, other.params) == bits(lib, g.params)


# --- predicting and evaluating ---


@pytest.mark.parametrize("size", [5, 24])
def test_predict_and_evaluate_are_those_of_the_same_chain(lib, size):
    chain = net(lib, weights())
    for g in (chain.graph(), chain.graph().to(lib.place), pickle.loads(pickle.dumps(chain.to("numpy").graph()))):
        np.testing.assert_allclose(lib.numpy(g.predict(X, size)), lib.numpy(chain.predict(X, size)), rtol=1e-13)
        found, want = g.evaluate(X, T, size), chain.evaluate(X, T, size)
        assert found.loss == pytest.approx(want.loss, rel=1e-13) and found.accuracy == want.accuracy
    assert not g.values, "predict and evaluate store no values"
    assert xg.Evaluation is type(found)


def test_a_loss_inside_a_loss_is_evaluated_by_its_scores(lib):
    w = weights()
    want = net(lib, w)
    W1, b1, W2, b2 = (lib.param(a) for a in w)
    x, y, t = wire("x"), wire("y"), wire("t")
    turned = Graph((t, y), xg.SoftmaxWithLoss()(xg.Affine(W2, b2)(y), t))
    front = xg.Chain(xg.Affine(W1, b1), xg.Sigmoid())
    for g in (
        Graph((x, t), turned(t, front(x))),
        Graph((x, t), xg.Chain(xg.Affine(W2, b2), loss=xg.SoftmaxWithLoss())(front(x), t)),
        Graph((x, t), want(x, t)),
    ):
        np.testing.assert_allclose(lib.numpy(g.predict(X)), lib.numpy(want.predict(X)), rtol=1e-13)
        assert g.evaluate(X, T).accuracy == want.evaluate(X, T).accuracy
    alone = Graph((y, t), xg.SoftmaxWithLoss()(y, t))
    given = lib.param(X)
    scores = alone.predict(given)
    scores[...] = 0.0
    assert lib.numpy(given).tobytes() == X.tobytes(), "what predict returns belongs to its caller"
    assert xg.Chain(*want.nodes, loss=alone).evaluate(X, T) == want.evaluate(X, T)


def test_evaluate_with_labels_that_the_graph_computes(lib):
    x, t = wire("x"), wire("t")
    g = Graph((x, t), xg.SoftmaxWithLoss()(xg.MatMul(lib.param(weights()[0]))(x), xg.Softmax()(t)))
    found = g.evaluate(X, np.eye(6)[T], 7)
    assert found.loss == pytest.approx(float(g.forward(lib.array(X), lib.array(np.eye(6)[T]))))
    assert found.accuracy == xg.Chain(g.nodes[0], loss=g.loss).evaluate(X, T).accuracy


def test_the_trainer_reports_the_accuracy_of_a_graph(lib):
    g = two_layers(lib, weights())
    trainer = xg.Trainer(g, xg.SGD(lr=0.1))
    trainer.fit(X, T, max_epoch=1, validation=(X, T), eval_interval=None)
    record = trainer.history[0]
    assert (record["val_loss"], record["val_accuracy"]) == g.evaluate(X, T) and record["val_accuracy"] is not None
    x, t = wire("x"), wire("t")
    d = xg.Subtract()(xg.MatMul(lib.param(weights()[0][:, :3]))(x), t)
    other = xg.Trainer(Graph((x, t), xg.Mean(None, keepdims=False)(xg.Power(2)(d))), xg.SGD(lr=0.1))
    other.fit(X, np.eye(3)[T], max_epoch=1, validation=(X, np.eye(3)[T]), eval_interval=None)
    assert other.history[0]["val_loss"] > 0 and other.history[0]["val_accuracy"] is None


def test_what_a_graph_without_a_loss_predicts(lib):
    x, z, t = wire("x"), wire("z"), wire("t")
    h = xg.Exp()(x)
    both = Graph(x, (h, xg.Tanh()(h)))
    for whole, parts in zip(both.predict(lib.array(X)), both.predict(lib.array(X), 5), strict=True):
        np.testing.assert_allclose(lib.numpy(whole), lib.numpy(parts), rtol=1e-13)
    with pytest.raises(TypeError, match=r"Graph\.evaluate: this graph has no loss; end it in SoftmaxWithLoss"):
        both.evaluate(X, T)
    with pytest.raises(TypeError, match=r"Graph\.predict: the scores depend on the inputs \(x, z\), and x alone comes"):
        Graph((x, z), xg.Add()(x, z)).predict(X)
    three = Graph((x, z, t), xg.SoftmaxWithLoss()(xg.Add()(x, z), t))
    with pytest.raises(TypeError, match=r"Graph\.predict: the scores depend on the inputs \(x, z\)"):
        three.predict(X)
    with pytest.raises(TypeError, match=r"Graph\.evaluate: the inputs of the graph are \(x, z, t\), .*make a Graph"):
        three.evaluate(X, T)
    with pytest.raises(ValueError, match="predict: batch_size is 0"):
        both.predict(X, 0)
    with pytest.raises(xg.ShapeError) as caught:
        two_layers(lib, weights()).predict(X[:, :3])
    assert caught.value.__notes__[0].startswith("in Graph.predict, call 0: Affine")


def test_a_chain_that_starts_with_a_graph_of_two_inputs(lib):
    a, b = wire("a"), wire("b")
    chain = xg.Chain(Graph((a, b), xg.Multiply()(a, b)), xg.Power(2))
    for outer in (chain, xg.Chain(chain, xg.Exp())):
        g = outer.graph()
        assert [w.name for w in g.inputs] == ["a", "b"]
        found = g.forward(lib.array([2.0]), lib.array([0.5]))
        assert lib.numpy(found).tolist() == lib.numpy(outer.forward(lib.array([2.0]), lib.array([0.5]))).tolist()
    assert ">a<" in drawing.svg(chain, np.ones(1), np.ones(1))


# --- what was on the wires ---


def test_trace_stores_every_value_and_gradient(lib):
    g = shopping()
    g.trace(*(lib.array(v, "float64") for v in (2, 100, 3, 150, 1.1)))
    assert [float(g.values[w]) for w in g.wires] == pytest.approx([2, 100, 3, 150, 1.1, 200, 450, 650, 715])
    found = [float(g.gradients[w]) for w in g.wires]
    assert found == pytest.approx([110, 2.2, 165, 3.3, 650, 1.1, 1.1, 1.1, 1])


def test_the_values_of_a_run_by_hand_are_stored_and_those_of_training_are_not(lib):
    g = two_layers(lib, weights())
    assert not g.values and not g.gradients
    g.forward(lib.array(X), lib.array(T))
    assert set(g.values) == set(g.wires) and not g.gradients
    g.backward()
    x, t, _ = g.wires[:3]
    assert set(g.wires) - set(g.gradients) == {x, t}, "the gradient of the data was not asked for"
    assert float(g.gradients[g.outputs[0]]) == 1.0
    with without_values(xg.Chain(g)):
        assert not g.values
        g.forward(lib.array(X), lib.array(T))
        g.backward()
        assert not g.values and not g.gradients
    g.forward(lib.array(X), lib.array(T))
    assert g.values
    xg.Trainer(g, xg.SGD(lr=0.1)).fit(lib.array(X), lib.array(T), max_epoch=1, eval_interval=None)
    assert not g.values and not g.gradients and g.keep_values


def test_trace_of_a_loss_has_the_gradient_of_the_data(lib):
    chain = net(lib, weights())
    g = chain.graph()
    assert all(a is b for a, b in zip(g.nodes, [*chain.nodes, chain.loss], strict=True))
    g.trace(lib.array(X), lib.array(T))
    want = chain.backward(input_grad=True)
    assert lib.numpy(g.gradients[g.inputs[0]]).tobytes() == lib.numpy(want).tobytes()
    assert xg.Chain(xg.Branch(2), xg.Add()).graph().n_inputs == 1
    assert [w.name for w in xg.Chain(xg.Add(), xg.Exp()).graph().inputs] == ["x", "y"]


def test_capturable_is_true_when_all_nodes_are(lib):
    class Own(xg.Node):
        def forward(self, x):
            return x + 0.0

        def backward(self, dy):
            return dy + 0.0

    x = wire("x")
    assert Graph(x, xg.Exp()(x)).capturable and not Graph(x, Own()(xg.Exp()(x))).capturable


# --- deep graphs ---


def test_more_nodes_in_a_row_than_the_stack_is_deep(tmp_path):
    x, n = wire("x"), sys.getrecursionlimit() + 500
    h, k = x, parameter(np.asarray([1.0]), "k")
    for i in range(n):
        h = xg.Tanh()(h) if i % 2 else xg.Multiply()(h, k)
    g = Graph(x, h)
    one = np.asarray([0.5])
    y = g.forward(one)
    dx = g.backward(np.asarray([1.0]))
    want, slope = 0.5, 1.0
    for _ in range(n // 2):
        want = np.tanh(want)
        slope *= 1 - want**2
    np.testing.assert_allclose(y, [want], rtol=1e-10)
    np.testing.assert_allclose(dx, [slope], rtol=1e-9)
    assert g.grads[0] > 0 and len(g.calls) == n and len(str(g)) > n and len(repr(g)) < 99
    g.save(tmp_path / "g.safetensors")
    loaded, _ = xg.load(tmp_path / "g.safetensors")
    for other in (loaded, copy.deepcopy(g), g.to("numpy", "float32"), pickle.loads(pickle.dumps(g))):
        assert len(other.calls) == n and np.allclose(other.forward(np.asarray(one, other.params[0].dtype)), y)
    with pytest.raises(xg.DTypeError) as caught:
        g.forward(np.ones(1, int))
    assert caught.value.__notes__[0].startswith("in Graph.forward, call 0: Multiply()(x, k)")
