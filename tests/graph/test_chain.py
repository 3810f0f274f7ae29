"""Chain: running, nesting, a node used twice, predicting and evaluating, moving, printing."""

import numpy as np
import pytest
from nets import Notes, bits, net, weights
from reference import gap, toy, two_layers

import xpgraph as xg
from xpgraph.arrays.libraries import layout
from xpgraph.nodes.sharing import plan

X, T = toy()


def scores(w, x=X):
    return 1 / (1 + np.exp(-(x @ w[0] + w[1]))) @ w[2] + w[3]


def test_forward_gives_the_loss_and_backward_the_parameters_gradients_alone(lib):
    model = net(lib, weights())
    loss, grads = two_layers(X, T, *weights())
    got = model.forward(lib.array(X), lib.array(T))
    assert tuple(got.shape) == ()
    assert float(got) == pytest.approx(loss, rel=1e-14)
    assert model.backward() is None
    for g, want in zip(model.grads, grads, strict=True):
        assert gap(lib.numpy(g), want) < 1e-13


def test_with_input_grad_backward_gives_the_gradient_of_the_data(lib):
    model = net(lib, weights())
    model.forward(lib.array(X), lib.array(T))
    dx = lib.numpy(model.backward(input_grad=True))
    for i, j in ((0, 0), (5, 3), (23, 2)):
        up, down = X.copy(), X.copy()
        up[i, j] += 1e-6
        down[i, j] -= 1e-6
        by_differences = (two_layers(up, T, *weights())[0] - two_layers(down, T, *weights())[0]) / 2e-6
        assert dx[i, j] == pytest.approx(by_differences, abs=1e-9)


def test_without_a_loss_forward_gives_the_output_and_backward_the_inputs_gradient(lib):
    w = weights()
    inner = xg.Chain(*net(lib, w).nodes)
    np.testing.assert_allclose(lib.numpy(inner.forward(lib.array(X))), scores(w), rtol=1e-13)
    whole, loss = net(lib, w), xg.SoftmaxWithLoss()
    loss.forward(inner.forward(lib.array(X)), lib.array(T))
    dx = inner.backward(loss.backward())
    whole.forward(lib.array(X), lib.array(T))
    assert lib.numpy(dx).tobytes() == lib.numpy(whole.backward(input_grad=True)).tobytes()
    assert inner.backward(loss.backward(), input_grad=False) is None


def test_backward_is_linear_in_dout(lib):
    model = net(lib, weights())
    model.forward(lib.array(X), lib.array(T))
    model.backward()
    once = [lib.numpy(g) for g in model.grads]
    model.backward(4)
    for g, want in zip(model.grads, once, strict=True):
        assert lib.numpy(g).tobytes() == (4 * want).tobytes()


def test_chains_nest(lib):
    w = weights()
    W1, b1, W2, b2 = (lib.param(a) for a in w)
    nested = xg.Chain(
        xg.Chain(xg.Chain(xg.Affine(W1, b1)), xg.Sigmoid()), xg.Chain(xg.Affine(W2, b2)), loss=xg.SoftmaxWithLoss()
    )
    flat = net(lib, w)
    data = lib.array(X), lib.array(T)
    assert float(nested.forward(*data)) == float(flat.forward(*data))
    dx = [lib.numpy(m.backward(input_grad=True)).tobytes() for m in (nested, flat)]
    assert dx[0] == dx[1]
    assert nested.backward() is None
    assert bits(lib, nested.grads) == bits(lib, flat.grads)
    assert [name for name, _, _ in nested.named_parameters()] == ["0.0.0.W", "0.0.0.b", "1.0.W", "1.0.b"]


def test_branches_and_sums_pass_tuples_on(lib):
    """y = 2x W, by way of two branches: dx = 2 dy Wᵀ."""
    W = weights()[0]
    chain = xg.Chain(xg.Branch(2), xg.Add(), xg.MatMul(lib.param(W)))
    dy = np.ones((24, 6))
    np.testing.assert_allclose(lib.numpy(chain.forward(lib.array(X))), 2 * X @ W, rtol=1e-13)
    np.testing.assert_allclose(lib.numpy(chain.backward(lib.array(dy))), 2 * dy @ W.T, rtol=1e-13)
    pair = xg.Chain(xg.Branch(3)).forward(lib.array(X))
    assert [lib.numpy(a).tobytes() for a in pair] == [X.tobytes()] * 3
    two = xg.Chain(xg.Add(), xg.Sum(axis=1))
    assert tuple(two.forward(lib.array(X), lib.array(X)).shape) == (24, 1)
    assert [tuple(d.shape) for d in two.backward(lib.array(np.ones((24, 1))))] == [(24, 4), (24, 4)]


@pytest.mark.parametrize("wrap", [lambda n: n, lambda n: xg.Chain(n), lambda n: xg.Chain(xg.Chain(n), xg.Tanh())])
def test_a_node_given_twice_is_one_set_of_parameters(lib, wrap):
    W = weights()[0][:, :4]
    node = wrap(xg.MatMul(lib.param(W)))
    chain = xg.Chain(node, xg.Sigmoid(), node)
    assert chain.nodes[0] is node
    assert chain.nodes[2] is not node
    assert chain.params[0] is chain.params[1]
    assert layout(chain.grads[0]) != layout(chain.grads[1])
    assert len(chain.named_parameters()) == 1
    dy = lib.array(np.ones((24, 4)))
    chain.forward(lib.array(X))
    dx = lib.numpy(chain.backward(dy)).tobytes()
    assert lib.numpy(chain.backward(dy)).tobytes() == dx, "each use saves its own values"
    by_hand = xg.Chain(wrap(xg.MatMul(lib.param(W))), xg.Sigmoid(), wrap(xg.MatMul(lib.param(W))))
    by_hand.forward(lib.array(X))
    assert lib.numpy(by_hand.backward(dy)).tobytes() == dx
    assert bits(lib, by_hand.grads) == bits(lib, chain.grads)


def test_outputs_belong_to_the_caller(lib):
    model = net(lib, weights())
    y1 = model.predict(lib.array(X))
    before = lib.numpy(y1)
    model.predict(lib.array(-X))
    assert lib.numpy(y1).tobytes() == before.tobytes()


@pytest.mark.parametrize("batch_size", [None, 1, 7, 24, 100])
def test_predict_in_pieces_is_predict(lib, batch_size):
    y = net(lib, weights()).predict(lib.array(X), batch_size)
    np.testing.assert_allclose(lib.numpy(y), scores(weights()), rtol=1e-12)


@pytest.mark.parametrize("batch_size", [1, 5, 24, 1024])
def test_evaluate_is_over_all_rows(lib, batch_size):
    result = net(lib, weights()).evaluate(lib.array(X), lib.array(T), batch_size)
    assert result.loss == pytest.approx(two_layers(X, T, *weights())[0], rel=1e-12)
    assert result.accuracy == np.mean(scores(weights()).argmax(axis=1) == T)


def test_predict_and_evaluate_move_numpy_data(lib):
    model = net(lib, weights())
    assert type(model.predict(X)) is type(lib.array(X))
    assert model.evaluate(X, T) == model.evaluate(lib.array(X), lib.array(T))
    assert model.evaluate(X.astype("float32"), np.eye(3)[T]).accuracy == model.evaluate(X, T).accuracy


def test_nodes_refuse_to_mix_libraries(lib):
    other = pytest.importorskip("array_api_strict") if "numpy" in lib.name else np
    with pytest.raises(xg.LibraryError, match=r"xp\.asarray\(x\)"):
        net(lib, weights()).forward(other.asarray(X), lib.array(T))
    with pytest.raises(xg.LibraryError, match=r"xp\.asarray\(t\)"):
        net(lib, weights()).forward(lib.array(X), other.asarray(T))


def test_what_a_chain_refuses(lib):
    model = net(lib, weights())
    with pytest.raises(ValueError, match="there are no nodes"):
        xg.Chain()
    for wrong in (xg.Sigmoid, "Sigmoid", None):
        with pytest.raises(TypeError, match="node 0 is"):
            xg.Chain(wrong)
    with pytest.raises(TypeError, match="give the loss to the outer"):
        xg.Chain(model)
    with pytest.raises(TypeError, match="loss is"):
        xg.Chain(xg.Sigmoid(), loss=xg.SoftmaxWithLoss)
    with pytest.raises(TypeError, match=r"it takes \(x, t\)"):
        model.forward(lib.array(X))
    with pytest.raises(TypeError, match="no loss"):
        xg.Chain(xg.Sigmoid()).evaluate(lib.array(X), lib.array(T))
    with pytest.raises(xg.ShapeError, match="x has 24 rows but t has 23"):
        model.evaluate(lib.array(X), lib.array(T[:-1]))
    for size in (0, 1.5, True):
        with pytest.raises(ValueError, match="batch_size is"):
            model.predict(lib.array(X), batch_size=size)


# --- to another backend ---


def test_to_makes_a_new_model_in_which_shared_arrays_are_shared(lib):
    w = [lib.param(a) for a in (weights()[0][:, :4], weights()[1][:4])]
    A = xg.Affine(*w)
    model = xg.Chain(A, xg.Sigmoid(), A, xg.MatMul(w[0].T), loss=xg.SoftmaxWithLoss())
    before, slots = bits(lib, model.params), plan(model.params)
    model.forward(lib.array(X), lib.array(T))
    for backend in ("numpy", lib.place):
        moved = model.to(backend)
        assert plan(moved.params) == slots
        assert [xg.to_numpy(p).tobytes() for p in moved.params] == before
        assert not {layout(p).address for p in moved.params} & {layout(p).address for p in model.params}
        xg.Trainer(moved, xg.SGD(lr=0.5)).fit(X, T, max_epoch=1, eval_interval=None)
        assert [xg.to_numpy(p).tobytes() for p in moved.params] != before
    assert bits(lib, model.params) == before
    assert all(a is b for a, b in zip(model.params[:2], w, strict=True))
    assert model.backward() is None, "the original still has what its forward saved"


# --- printing ---


def test_print_is_a_table():
    A = xg.Affine(np.zeros((4, 4)), np.zeros(4))
    lines = str(xg.Chain(A, xg.Sigmoid(), A, xg.MatMul(A.W.T), loss=xg.SoftmaxWithLoss())).splitlines()
    assert [line.split() for line in lines] == [
        ["node", "parameters", "count"],
        ["0", "Affine(4", "->", "4,", "float64,", "numpy)", "(4,", "4)", "(4,)", "20"],
        ["1", "Sigmoid()"],
        ["2", "Affine(4", "->", "4,", "float64,", "numpy)", "(4,", "4)", "(4,)", "shared", "with", "0"],
        ["3", "MatMul(4", "->", "4,", "float64,", "numpy)", "(4,", "4)", "shared"],
        ["loss", "SoftmaxWithLoss()"],
        ["20", "parameters"],
    ]
    assert repr(xg.mlp([4, 3])) == "Chain(Affine(4 -> 3, float32, numpy), loss=SoftmaxWithLoss())"


def test_a_model_without_parameters_trains_and_no_data_is_moved():
    model, notes = xg.Chain(xg.Tanh(), loss=xg.SoftmaxWithLoss()), Notes()
    xg.Trainer(model, xg.SGD()).fit(X[:, :3], T, max_epoch=1, max_grad=1.0, report=notes)
    assert not [heard for heard in notes.heard if heard[0] == "note"]
    assert str(model).endswith("0 parameters")
