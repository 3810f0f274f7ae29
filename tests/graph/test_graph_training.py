"""Losses that are graphs, nodes without the base class, and runs that fail half-way."""

import numpy as np
import pytest

import xpgraph as xg

rng = np.random.default_rng(0)
X, T = rng.standard_normal((20, 3)), rng.standard_normal((20, 2))


def mean_square():
    y, t = xg.wire("y"), xg.wire("t")
    return xg.Graph((y, t), xg.Mean(None, keepdims=False)(xg.Power(2)(xg.Subtract()(y, t))))


def affine():
    return xg.Affine(np.full((3, 2), 0.1), np.zeros(2))


def test_a_chain_with_a_graph_as_its_loss_trains_as_the_graph_of_both():
    chain, x, t = xg.Chain(affine(), loss=mean_square()), xg.wire("x"), xg.wire("t")
    whole = xg.Graph((x, t), mean_square()(affine()(x), t))
    for model in (chain, whole):
        xg.Trainer(model, xg.SGD(0.1)).fit(X, T, max_epoch=3, batch_size=7, eval_interval=None)
    for a, b in zip(chain.params, whole.params, strict=True):
        assert np.array_equal(a, b)
    chain.forward(X, T)
    true = 2 * (X @ chain.params[0] + chain.params[1] - T) / T.size
    assert np.allclose(chain.backward(input_grad=True), true @ chain.params[0].T)


class Dropout:
    """A node without the base class, with an attribute that a Graph has too."""

    def __init__(self):
        self.keep_values, self.params, self.grads, self.seen = 0.5, [], [], set()

    def forward(self, x):
        self.seen.add(self.keep_values)
        return self.keep_values * x

    def backward(self, dy):
        return self.keep_values * dy


def test_training_writes_into_no_attribute_of_a_users_node():
    node = Dropout()
    model = xg.Chain(affine(), node, loss=xg.SoftmaxWithLoss())
    xg.Trainer(model, xg.SGD(0.1)).fit(X, np.arange(20) % 2, max_epoch=1, eval_interval=None)
    assert node.seen == {0.5} and set(vars(node)) == {"keep_values", "params", "grads", "seen"}


def test_backward_is_refused_after_a_forward_that_failed():
    x, z = xg.wire("x"), xg.wire("z")
    g = xg.Graph((x, z), xg.Multiply()(xg.Sigmoid()(x), z))
    g.forward(np.ones(2), np.ones(2))
    with pytest.raises(xg.Error):
        g.forward(np.zeros(2), np.ones(3))
    with pytest.raises(xg.Error, match="forward has not been called"):
        g.backward(np.ones(2))
    assert not g.values and not g.gradients


class Remembers(xg.SoftmaxWithLoss):
    """As in the book, an attribute ``loss`` stores the loss."""

    loss = None


class Doubled:
    """No loss, though it has an attribute of that name."""

    params = grads = ()

    def forward(self, x):
        self.loss = 2 * x
        return self.loss

    def backward(self, dy):
        return 2 * dy


def test_a_loss_is_known_by_its_class_and_not_by_what_it_ran():
    from xpgraph.nodes.wires import record

    for ran in (False, True):
        node = Doubled()
        if ran:
            node.forward(np.ones(2))
        x = xg.wire("x")
        g = xg.Graph(x, record(node, x))
        g.forward(np.ones(2))
        assert np.array_equal(g.backward(np.ones(2)), [2, 2])
    x, t = xg.wire("x"), xg.wire("t")
    g = xg.Graph((x, t), Remembers()(x, t))
    g.forward(np.ones((2, 3)), np.array([0, 1]))
    assert g.backward() is None
