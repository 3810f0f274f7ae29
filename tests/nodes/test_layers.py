"""Affine, the activations and softmax: extreme values, and what they refuse."""

import math

import numpy as np
import pytest

import xpgraph as xg
from xpgraph.errors import ShapeError

LOGITS = np.array([[1.0, 2.0, -0.5], [0.3, -1.0, 2.5]])


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
