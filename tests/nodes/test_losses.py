"""The loss, what it does beside its values (those are in test_layers): labels, gradients, and what it checks."""

from __future__ import annotations

import numpy as np
import pytest

import xpgraph as xg
from xpgraph.errors import DTypeError, Error, ShapeError
from xpgraph.nodes.losses import as_labels, check_probabilities, check_range, softmax_cross_entropy_grad

SCORES = np.array([[1.0, 2.0, -0.5], [0.3, -1.0, 2.5]])


def trained(lib, dtype="float64"):
    node = xg.SoftmaxWithLoss()
    node.forward(lib.array(SCORES, dtype), lib.array([0, 1]))
    return node


def gradient(lib):
    """By the formula: (softmax - onehot) / N."""
    e = np.exp(SCORES)
    return (e / e.sum(axis=1, keepdims=True) - np.eye(3)[[0, 1]]) / 2


@pytest.mark.parametrize("dout", [0, 2, 2.5, -1])
def test_the_first_backward_is_multiplied_by_dout_too(lib, dout):
    assert np.allclose(lib.numpy(trained(lib).backward(dout)), dout * gradient(lib), rtol=1e-13)


def test_backward_gives_away_the_gradient_that_forward_made(lib):
    node = trained(lib)
    made = node.dx
    assert node.backward() is made and node.dx is None
    again = node.backward()
    assert again is not made and np.array_equal(lib.numpy(again), lib.numpy(made))


def test_a_scalar_of_numpy_widens_no_gradient():
    y = np.array([[0.25, 0.75]], "float32")
    node = xg.SoftmaxWithLoss()
    node.forward(y, np.array([0]))
    assert node.backward(np.float64(2)).dtype == "float32"


def test_rows_of_other_sums_weigh_the_gradient(lib):
    y, t = np.array([[0.25, 0.75]]), np.array([[1.0, 0.5]])
    found = softmax_cross_entropy_grad(lib.array(y), lib.array(t), 2.0)
    assert np.allclose(lib.numpy(found), 2 * (1.5 * y - t), rtol=1e-14)


def test_soft_labels_of_a_single_row_stay_probabilities(lib):
    one = xg.SoftmaxWithLoss().forward(lib.array(SCORES[0]), lib.array([0.5, 0.25, 0.25]))
    rows = xg.SoftmaxWithLoss().forward(lib.array(SCORES[:1]), lib.array([[0.5, 0.25, 0.25]]))
    assert float(one) == float(rows)


def test_labels_are_whole_numbers_of_64_bits_or_of_the_scores_dtype(lib):
    x = lib.array(SCORES, "float32")
    for dtype in ("uint8", "int32", "int64"):
        t = lib.array([2, 0], dtype)
        found = as_labels("", x, t)
        assert found.dtype == lib.xp.int64 and lib.numpy(found).tolist() == [2, 0]
        assert found is t or dtype != "int64"
    for dtype in ("uint8", "float64", "float32"):
        t = lib.array(np.eye(3)[:2], dtype)
        found = as_labels("", x, t)
        assert found.dtype == lib.xp.float32 and np.array_equal(lib.numpy(found), np.eye(3)[:2])
        assert found is t or dtype != "float32"


@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (0,), ()])
def test_no_rows_or_no_classes(lib, shape):
    for dtype in ("int64", "int32"):
        with pytest.raises(ShapeError) as caught:
            xg.SoftmaxWithLoss().forward(lib.array(np.zeros(shape)), lib.array(np.zeros(shape[:-1]), dtype))
        assert str(caught.value) == f"SoftmaxWithLoss.forward: x is {shape}; it needs at least one row and one class."


def test_one_label_is_not_for_two_rows(lib):
    with pytest.raises(ShapeError) as caught:
        xg.SoftmaxWithLoss().forward(lib.array(SCORES), lib.array([0]))
    words = "t is (1,) for x (2, 3); give class indices (2,) or probabilities (2, 3), C=3."
    assert str(caught.value) == f"SoftmaxWithLoss.forward: {words}"


def test_the_words_of_what_is_refused(lib):
    for call, name, wrong in (
        (xg.SoftmaxWithLoss().forward, "SoftmaxWithLoss.forward: x", lib.array([[1, 2]])),
        (xg.cross_entropy_loss, "cross_entropy_loss: y", lib.array([[1, 0]])),
    ):
        with pytest.raises(DTypeError) as caught:
            call(wrong, lib.array([0]))
        assert str(caught.value) == f"{name} is int64; convert it to a real floating dtype, such as float32."
    with pytest.raises(Error) as early:
        xg.SoftmaxWithLoss().backward()
    assert str(early.value) == "SoftmaxWithLoss.backward: forward has not been called; call it before backward."
    for call in (xg.SoftmaxWithLoss().forward, xg.cross_entropy_loss):
        with pytest.raises(ShapeError, match=r"t is \(2, 1\) for x \(2, 3\)"):
            call(lib.array(np.full((2, 3), 1 / 3)), lib.array([[0], [1]]))


def test_a_range_is_looked_at_for_indices_alone(lib):
    check_range("who: ", lib.array([0, 2]), 3)
    check_range("who: ", lib.array([[-1.0, 9.0]]), 3)
    for t, first in (([-1, 1], "t[0] is -1"), ([0, 3], "t[1] is 3"), ([[0, 1], [7, 8]], "t[2] is 7")):
        with pytest.raises(ValueError) as caught:
            check_range("who: ", lib.array(t), 3)
        assert str(caught.value) == f"who: {first} but there are 3 classes; indices run from 0 to 2."


def test_rows_of_chances(lib):
    check_probabilities("", lib.array([[1.0, 0.0, 0.0], [0.25, 0.5, 0.25009]]))
    check_probabilities("", lib.array(np.full((2, 4, 5), 0.2)))
    advice = "; give probabilities that sum to 1 in each row, or class indices."
    for rows, found in (
        ([[1.0, 0.0], [0.5, 0.75]], "t[1] has the sum 1.25"),
        ([[0.5, 0.25], [1.0, 0.0]], "t[0] has the sum 0.75"),
        ([[0.0, 0.0]], "t[0] has the sum 0"),
        ([[1.5, -0.5, 0.0]], "t[0] holds -0.5"),
        ([[0.0, 1.0], [np.nan, 1.0]], "t[1] has the sum nan"),
    ):
        with pytest.raises(ValueError) as caught:
            check_probabilities("who: ", lib.array(rows))
        assert str(caught.value) == f"who: {found}{advice}"
