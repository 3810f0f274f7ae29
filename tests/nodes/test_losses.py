"""SoftmaxWithLoss and cross_entropy_loss: every form of label, values, gradients, and what they refuse."""

import math

import numpy as np
import pytest

import xpgraph as xg
from xpgraph.errors import DTypeError, Error, LibraryError, ShapeError
from xpgraph.nodes.losses import as_labels, check_probabilities, check_range, softmax_cross_entropy_grad

SCORES = np.array([[1.0, 2.0, -0.5], [0.3, -1.0, 2.5]])
LOG_SUMS = np.log(np.sum(np.exp(SCORES), axis=1))  # log Σ e^x of each row


def loss_of(lib, x, t, dtype=None):
    return float(xg.SoftmaxWithLoss().forward(lib.array(x, dtype), t))


def after_forward(lib, dtype="float64"):
    node = xg.SoftmaxWithLoss()
    node.forward(lib.array(SCORES, dtype), lib.array([0, 1]))
    return node


def gradient(lib):
    """The gradient by the formula: (softmax - onehot) / N."""
    e = np.exp(SCORES)
    return (e / e.sum(axis=1, keepdims=True) - np.eye(3)[[0, 1]]) / 2


# --- gradients ---


@pytest.mark.parametrize("dout", [0, 2, 2.5, -1])
def test_the_first_backward_is_multiplied_by_dout_too(lib, dout):
    assert np.allclose(lib.numpy(after_forward(lib).backward(dout)), dout * gradient(lib), rtol=1e-13)


def test_backward_gives_away_the_gradient_that_forward_made(lib):
    node = after_forward(lib)
    made = node.dx
    assert node.backward() is made and node.dx is None
    again = node.backward()
    assert again is not made and np.array_equal(lib.numpy(again), lib.numpy(made))


def test_a_numpy_scalar_does_not_change_the_gradients_dtype():
    y = np.array([[0.25, 0.75]], "float32")
    node = xg.SoftmaxWithLoss()
    node.forward(y, np.array([0]))
    assert node.backward(np.float64(2)).dtype == "float32"


def test_rows_whose_sum_is_not_1_weight_the_gradient(lib):
    y, t = np.array([[0.25, 0.75]]), np.array([[1.0, 0.5]])
    found = softmax_cross_entropy_grad(lib.array(y), lib.array(t), 2.0)
    assert np.allclose(lib.numpy(found), 2 * (1.5 * y - t), rtol=1e-14)


def test_soft_labels_of_a_single_row_stay_probabilities(lib):
    one = xg.SoftmaxWithLoss().forward(lib.array(SCORES[0]), lib.array([0.5, 0.25, 0.25]))
    rows = xg.SoftmaxWithLoss().forward(lib.array(SCORES[:1]), lib.array([[0.5, 0.25, 0.25]]))
    assert float(one) == float(rows)


def test_labels_become_int64_or_probabilities_of_the_scores_dtype(lib):
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


def test_what_is_refused_in_which_words(lib):
    for call, name, wrong in (
        (xg.SoftmaxWithLoss().forward, "SoftmaxWithLoss.forward: x", lib.array([[1, 2]])),
        (xg.cross_entropy_loss, "cross_entropy_loss: y", lib.array([[1, 0]])),
    ):
        with pytest.raises(DTypeError) as caught:
            call(wrong, lib.array([0]))
        assert str(caught.value) == f"{name} is int64; convert it to a real floating dtype, such as float32."


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


# --- the loss: labels ---


def test_indices_one_hot_and_soft_labels(lib):
    t = np.array([2, 0])
    want = np.mean(LOG_SUMS - SCORES[[0, 1], t])
    for labels in (t, t.astype(np.int32), t.astype(np.uint8), np.eye(3, dtype=int)[t], np.eye(3)[t]):
        node = xg.SoftmaxWithLoss()
        loss = node.forward(lib.array(SCORES), lib.array(labels))
        assert loss.shape == () and math.isclose(float(loss), want, rel_tol=1e-14)
        dx = lib.numpy(node.backward())
        assert np.allclose(dx, (lib.numpy(node.y) - np.eye(3)[t]) / 2, rtol=1e-14)


def test_soft_labels_stay_probabilities(lib):
    t = np.array([[0.4, 0.35, 0.25], [0.1, 0.1, 0.8]])
    want = np.mean(np.sum(t * (LOG_SUMS[:, None] - SCORES), axis=1))
    node = xg.SoftmaxWithLoss()
    assert math.isclose(float(node.forward(lib.array(SCORES), lib.array(t))), want, rel_tol=1e-14)
    assert np.allclose(lib.numpy(node.backward()), (lib.numpy(node.y) - t) / 2, rtol=1e-13)


def test_one_row_is_a_batch_of_one(lib):
    want = LOG_SUMS[0] - SCORES[0, 2]
    for t in (lib.array(2), lib.array([2]), 2, lib.array([0, 0, 1]), lib.array([0.0, 0.0, 1.0])):
        node = xg.SoftmaxWithLoss()
        assert math.isclose(float(node.forward(lib.array(SCORES[0]), t)), want, rel_tol=1e-14)
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
        (np.zeros(1, int), ShapeError, r"\(1,\) for x \(2, 3\); give class indices \(2,\) or .* \(2, 3\), C=3\."),
    ],
)
def test_labels_of_another_form_are_refused(lib, t, error, words):
    for call in (xg.SoftmaxWithLoss().forward, xg.cross_entropy_loss):
        with pytest.raises(error, match=words):
            call(lib.array(np.full((2, 3), 1 / 3)), lib.array(t))


def test_labels_of_another_library_or_none_are_refused(lib):
    x = lib.array(SCORES)
    with pytest.raises(DTypeError, match="t is a list; make it an array"):
        xg.SoftmaxWithLoss().forward(x, [0, 1])
    if lib.place.library.name != "numpy":
        with pytest.raises(LibraryError, match=r"t is a numpy array, x lives in .*; make t with the same library"):
            xg.SoftmaxWithLoss().forward(x, np.array([0, 1]))


@pytest.mark.parametrize("wrong", [-1, 3, 10**6])
def test_an_index_out_of_range_is_refused_on_the_host_and_nan_on_a_gpu(lib, wrong):
    x, t = lib.array(SCORES), lib.array([0, wrong])
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
    with pytest.raises(Error) as early:
        node.backward()
    assert str(early.value) == "SoftmaxWithLoss.backward: forward has not been called; call it before backward."
    node.forward(lib.array(SCORES), lib.array([0, 1]))
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
    loss = node.forward(lib.array(SCORES), t)
    with pytest.raises(ShapeError) as caught:
        xg.cross_entropy_loss(loss, t)
    assert str(caught.value) == (
        "cross_entropy_loss: y is 0-d, a loss and not probabilities (SoftmaxWithLoss.forward returns the loss); "
        "the probabilities are in its .y: cross_entropy_loss(layer.y, t)."
    )
    assert math.isclose(float(xg.cross_entropy_loss(node.y, t)), float(loss), rel_tol=1e-14)
