"""The activations, softmax and the loss: hard values, and every form of label."""

from __future__ import annotations

import math

import numpy as np
import pytest

import xpgraph as xg
from xpgraph.errors import DTypeError, Error, LibraryError, ShapeError

LOGITS = np.array([[1.0, 2.0, -0.5], [0.3, -1.0, 2.5]])
LOSS = np.log(np.sum(np.exp(LOGITS), axis=1))


def loss_of(lib, x, t, dtype=None):
    return float(xg.SoftmaxWithLoss().forward(lib.array(x, dtype), t))


# --- activations ---


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_activations_take_any_number(lib, dtype):
    x = lib.array([-math.inf, -1e4, -88.8, 0.0, 88.8, 1e4, math.inf], dtype)
    dy = lib.array(np.ones(7), dtype)
    for node, ends in ((xg.Sigmoid(), (0.0, 1.0)), (xg.Tanh(), (-1.0, 1.0)), (xg.ReLU(), (0.0, math.inf))):
        y = lib.numpy(node.forward(x))
        assert y[0] == ends[0] and y[-1] == ends[1] and not np.isnan(y).any() and (np.diff(y) >= 0).all()
        assert not np.isnan(lib.numpy(node.backward(dy))).any()
    assert lib.numpy(xg.Sigmoid().forward(x))[3] == 0.5


def test_relu_has_value_and_gradient_0_at_0(lib):
    node = xg.ReLU()
    assert np.array_equal(lib.numpy(node.forward(lib.array([-1.0, -0.0, 0.0, 2.0]))), [0, 0, 0, 2])
    assert np.array_equal(lib.numpy(node.backward(lib.array([5.0, 5.0, 5.0, 5.0]))), [0, 0, 0, 5])


def test_nan_stays_nan(lib):
    x = lib.array([math.nan])
    for node in (xg.Sigmoid(), xg.Tanh(), xg.ReLU()):
        assert np.isnan(lib.numpy(node.forward(x))).all(), node


def test_float16_overflows_nowhere():
    """Warnings are errors in this suite: e^11.2 overflows in float16."""
    x = np.array([-6e4, -20, -11.5, 0, 11.5, 20, 6e4], np.float16)
    y = xg.Sigmoid().forward(x)
    assert y.dtype == np.float16 and y[0] == 0 and y[-1] == 1
    assert np.isfinite(xg.SoftmaxWithLoss().forward(x[None, :] / 4, np.array([3])))


def test_the_sigmoids_gradient_is_not_zero_where_its_value_rounds_to_one(lib):
    node = xg.Sigmoid()
    node.forward(lib.array([20.0, 60.0], "float32"))
    dx = lib.numpy(node.backward(lib.array([1.0, 1.0], "float32"))).astype(float)
    assert np.allclose(dx, np.exp([-20.0, -60.0]), rtol=1e-6, atol=0)


# --- softmax ---


def test_softmax_is_pure_and_over_the_last_axis_for_any_rank(lib):
    host = np.random.default_rng(1).standard_normal((2, 3, 4))
    for shape in ((2, 3, 4), (6, 4), (4,)):
        given = host.reshape(-1)[: math.prod(shape)].reshape(shape)
        x = lib.array(given)
        y = lib.numpy(xg.softmax(x))
        assert np.array_equal(lib.numpy(x), given)
        assert np.allclose(y.sum(axis=-1), 1.0, rtol=1e-14) and (y.argmax(axis=-1) == given.argmax(axis=-1)).all()
        assert np.allclose(lib.numpy(xg.Softmax().forward(x)), np.exp(given) / np.exp(given).sum(-1, keepdims=True))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_softmax_takes_any_scores(lib, dtype):
    y = lib.numpy(xg.softmax(lib.array([[1e4, 0.0, 1e4], [-1e4, -1e4, -2e4]], dtype)))
    assert np.array_equal(y, [[0.5, 0.0, 0.5], [0.5, 0.5, 0.0]])


def test_what_softmax_returns_belongs_to_the_caller(lib):
    node, x = xg.Softmax(), lib.array(LOGITS)
    y, again = node.forward(x), xg.Softmax()
    again.forward(x)
    want = lib.numpy(again.backward(x))
    y[...] = 0.0
    assert np.array_equal(lib.numpy(node.backward(x)), want)


def test_softmax_without_classes_is_refused(lib):
    for shape in ((), (3, 0)):
        with pytest.raises(ShapeError, match="needs a last axis with at least one class"):
            xg.softmax(lib.array(np.zeros(shape)))


def test_an_affine_layer_names_its_parameters(lib):
    W, b = lib.param(np.zeros((2, 3))), lib.param(np.zeros(3))
    node = xg.Affine(W, b)
    assert node.W is W and node.b is b and xg.MatMul(W).W is W


# --- the loss: labels ---


def test_indices_one_hot_and_soft_labels(lib):
    t = np.array([2, 0])
    want = np.mean(LOSS - LOGITS[[0, 1], t])
    for labels in (t, t.astype(np.int32), t.astype(np.uint8), np.eye(3, dtype=int)[t], np.eye(3)[t]):
        node = xg.SoftmaxWithLoss()
        loss = node.forward(lib.array(LOGITS), lib.array(labels))
        assert loss.shape == () and math.isclose(float(loss), want, rel_tol=1e-14)
        dx = lib.numpy(node.backward())
        assert np.allclose(dx, (lib.numpy(node.y) - np.eye(3)[t]) / 2, rtol=1e-14)


def test_soft_labels_stay_probabilities(lib):
    t = np.array([[0.4, 0.35, 0.25], [0.1, 0.1, 0.8]])
    want = np.mean(np.sum(t * (LOSS[:, None] - LOGITS), axis=1))
    node = xg.SoftmaxWithLoss()
    assert math.isclose(float(node.forward(lib.array(LOGITS), lib.array(t))), want, rel_tol=1e-14)
    assert np.allclose(lib.numpy(node.backward()), (lib.numpy(node.y) - t) / 2, rtol=1e-13)


def test_one_row_is_a_batch_of_one(lib):
    want = LOSS[0] - LOGITS[0, 2]
    for t in (lib.array(2), lib.array([2]), 2, lib.array([0, 0, 1]), lib.array([0.0, 0.0, 1.0])):
        node = xg.SoftmaxWithLoss()
        assert math.isclose(float(node.forward(lib.array(LOGITS[0]), t)), want, rel_tol=1e-14)
        assert node.backward().shape == (3,) and node.y.shape == (3,)


def test_a_third_axis_is_more_rows(lib):
    x = np.random.default_rng(2).standard_normal((2, 3, 4))
    t = np.array([[0, 1, 2], [3, 0, 1]])
    node, flat = xg.SoftmaxWithLoss(), xg.SoftmaxWithLoss()
    loss = node.forward(lib.array(x), lib.array(t))
    assert math.isclose(float(loss), loss_of(lib, x.reshape(6, 4), lib.array(t.reshape(6))), rel_tol=1e-14)
    flat.forward(lib.array(x.reshape(6, 4)), lib.array(t.reshape(6)))
    assert np.array_equal(lib.numpy(node.backward()).reshape(6, 4), lib.numpy(flat.backward()))


@pytest.mark.parametrize(
    ("t", "error", "words"),
    [
        (np.zeros((2, 1), int), ShapeError, r"t is \(2, 1\) for x \(2, 3\);.*xp.reshape\(t, \(-1,\)\)"),
        (np.zeros((2, 1)), ShapeError, r"t is \(2, 1\)"),
        (np.zeros((3,), int), ShapeError, r"give class indices \(2,\) or probabilities \(2, 3\)"),
        (np.zeros((3, 2), int), ShapeError, r"C=3"),
        (np.zeros(2), DTypeError, r"t is float64; class indices are integers: xp.astype\(t, xp.int64\)"),
        (np.zeros(2, bool), DTypeError, "t is bool"),
    ],
)
def test_labels_of_another_form_are_refused(lib, t, error, words):
    for call in (xg.SoftmaxWithLoss().forward, xg.cross_entropy_loss):
        with pytest.raises(error, match=words):
            call(lib.array(np.full((2, 3), 1 / 3)), lib.array(t))


def test_labels_of_another_library_or_none_are_refused(lib):
    x = lib.array(LOGITS)
    with pytest.raises(DTypeError, match="t is a list; make it an array"):
        xg.SoftmaxWithLoss().forward(x, [0, 1])
    if lib.place.library.name != "numpy":
        with pytest.raises(LibraryError, match=r"t is a numpy array, x lives in .*; make t with the same library"):
            xg.SoftmaxWithLoss().forward(x, np.array([0, 1]))


@pytest.mark.parametrize("wrong", [-1, 3, 10**6])
def test_an_index_out_of_range_is_refused_on_the_host_and_nan_on_a_gpu(lib, wrong):
    x, t = lib.array(LOGITS), lib.array([0, wrong])
    if lib.place.library.on_host(x):
        words = rf"t\[1\] is {wrong} but there are 3 classes; indices run from 0 to 2"
        with pytest.raises(ValueError, match=words):
            xg.SoftmaxWithLoss().forward(x, t)
        with pytest.raises(ValueError, match=words):
            xg.cross_entropy_loss(xg.softmax(x), t)
    else:
        assert math.isnan(float(xg.SoftmaxWithLoss().forward(x, t)))


# --- the loss: values ---


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_loss_is_exact(lib, dtype):
    assert loss_of(lib, [[0.0, 100.0]], lib.array([0]), dtype) == 100.0
    assert loss_of(lib, [[0.0, 1000.0]], lib.array([0]), dtype) == 1000.0
    assert loss_of(lib, [[0.0, 100.0]], lib.array([1]), dtype) == 0.0
    assert loss_of(lib, [[0.0, 50.0]], lib.array([[1, 0]]), dtype) == 50.0


def test_a_good_prediction_has_a_small_loss_and_never_a_negative_one(lib):
    assert math.isclose(loss_of(lib, [[20.0, 0.0]], lib.array([0])), math.exp(-20), rel_tol=1e-6)
    assert loss_of(lib, [[40.0, 0.0]], lib.array([0]), "float32") >= 0


def test_an_impossible_class_is_not_nan(lib):
    x = [[1.0, -math.inf, 0.0]]
    want = math.log(math.exp(1) + 1) - 1
    for t in (lib.array([0]), lib.array([[1, 0, 0]]), lib.array([[1.0, 0.0, 0.0]])):
        node = xg.SoftmaxWithLoss()
        assert math.isclose(float(node.forward(lib.array(x), t)), want, rel_tol=1e-14)
        assert np.isfinite(lib.numpy(node.backward())).all()
    assert loss_of(lib, x, lib.array([1])) == math.inf


def test_backward_takes_a_number_or_an_array(lib):
    node = xg.SoftmaxWithLoss()
    with pytest.raises(Error, match="forward has not been called"):
        node.backward()
    node.forward(lib.array(LOGITS), lib.array([0, 1]))
    once = lib.numpy(node.backward())
    for three in (3, 3.0, lib.array(3.0)):
        assert np.allclose(lib.numpy(node.backward(three)), 3 * once, rtol=1e-15)
    with pytest.raises(ShapeError, match=r"dout is \(2,\) but forward returned \(\); give it that shape"):
        node.backward(lib.array([1.0, 2.0]))
    with pytest.raises(DTypeError, match="dout is float32 but the input is float64"):
        node.backward(lib.array(1.0, "float32"))


# --- cross_entropy_loss ---


def test_cross_entropy_from_probabilities(lib):
    y = np.array([[0.2, 0.5, 0.3], [0.1, 0.1, 0.8]])
    want = -np.mean(np.log([0.5, 0.8]))
    for t in (np.array([1, 2]), np.eye(3, dtype=int)[[1, 2]], np.eye(3)[[1, 2]]):
        assert math.isclose(float(xg.cross_entropy_loss(lib.array(y), lib.array(t))), want, rel_tol=1e-14)
    chapter = -np.mean(np.log(np.array([0.5, 0.8]) + 1e-7))
    assert math.isclose(float(xg.cross_entropy_loss(lib.array(y), lib.array([1, 2]), 1e-7)), chapter, rel_tol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_cross_entropy_of_certainty_is_finite_and_not_negative(lib, dtype):
    y = lib.array([[1.0, 0.0]], dtype)
    tiny = float(np.finfo(dtype).smallest_normal)
    assert float(xg.cross_entropy_loss(y, lib.array([0]))) == 0.0
    assert math.isclose(float(xg.cross_entropy_loss(y, lib.array([1]))), -math.log(tiny), rel_tol=1e-6)


def test_cross_entropy_of_a_loss_says_where_the_probabilities_are(lib):
    node, t = xg.SoftmaxWithLoss(), lib.array([0, 1])
    loss = node.forward(lib.array(LOGITS), t)
    with pytest.raises(ShapeError) as caught:
        xg.cross_entropy_loss(loss, t)
    assert str(caught.value) == (
        "cross_entropy_loss: y is 0-d, a loss and not probabilities (SoftmaxWithLoss.forward returns the loss); "
        "the probabilities are in its .y: cross_entropy_loss(layer.y, t)."
    )
    assert math.isclose(float(xg.cross_entropy_loss(node.y, t)), float(loss), rel_tol=1e-14)
