"""docs/differences.md: each test passes on xpgraph and fails on the chapter's own code (students/chapter_like.py).

``lib`` gives xpgraph's arrays; the chapter's are NumPy's, since its code is.
"""

import math

import numpy as np
import pytest
from libs import make_lib
from students import chapter_like

import xpgraph as xg
from xpgraph.graph.gradient_check import check_slope, weighted

HOST = make_lib("numpy")


def fails(test, *args, **options):
    """The chapter's formula must fail the test: by a wrong value, a warning or an error, or by not refusing."""
    with pytest.raises((AssertionError, RuntimeWarning, np.exceptions.AxisError, pytest.fail.Exception)):
        test(HOST, *args, **options)


class CappedLoss(chapter_like.SoftmaxWithLoss):
    """The chapter's, which returns the probabilities, made to return the loss that it computes."""

    def forward(self, x, t):
        return chapter_like.cross_entropy_loss(super().forward(x.copy(), t), self.t)


# --- softmax ---


def leaves_its_argument(lib, softmax):
    x = lib.param([[1.0, 2.0], [3.0, 5.0]])
    softmax(x)
    assert np.array_equal(lib.numpy(x), [[1.0, 2.0], [3.0, 5.0]])


def normalises_every_rank(lib, softmax):
    for shape in ((4,), (2, 3), (2, 3, 4)):
        y = lib.numpy(softmax(lib.param(np.arange(math.prod(shape)).reshape(shape) / 7)))
        assert np.allclose(y.sum(axis=-1), 1.0)


@pytest.mark.parametrize("test", [leaves_its_argument, normalises_every_rank])
def test_row_1_softmax(lib, test):
    test(lib, xg.softmax)
    fails(test, chapter_like.softmax)


# --- the cross-entropy ---


def is_not_capped(lib, loss):
    for gap in (50.0, 100.0):
        assert float(loss().forward(lib.param([[0.0, gap]]), lib.array([0]))) == gap


def is_not_negative(lib, loss):
    assert float(loss().forward(lib.param([[60.0, 0.0]]), lib.array([0]))) >= 0.0


def has_the_gradient_that_it_computes(lib, loss):
    """At scores of scale 5: a loss with an epsilon has not the gradient softmax - onehot."""
    x, t = np.random.default_rng(0).standard_normal((8, 10)) * 10, lib.array(np.arange(8))
    node = loss()
    node.forward(lib.param(x), t)
    dx = lib.numpy(node.backward())
    edge = check_slope(
        "x", x.shape, dx, lambda step: weighted([1.0], [loss().forward(lib.param(x + step), t)]), axes=80
    )
    assert edge.right, str(edge)


@pytest.mark.parametrize("test", [is_not_capped, is_not_negative, has_the_gradient_that_it_computes])
def test_row_2_cross_entropy(lib, test):
    test(lib, xg.SoftmaxWithLoss)
    fails(test, CappedLoss)


def test_row_2_the_function_is_not_capped_at_16_and_gives_the_chapters_numbers_by_name(lib):
    def reads_what_it_is_given(lib, cross_entropy):
        y = lib.param([[1e-20, 1.0], [1.0, 0.0]])
        got = float(cross_entropy(y, lib.array([0, 0])))
        assert math.isclose(got, 10 * math.log(10), rel_tol=1e-14)

    reads_what_it_is_given(lib, xg.cross_entropy_loss)
    fails(reads_what_it_is_given, chapter_like.cross_entropy_loss)
    y, t = np.array([[1e-20, 1.0], [0.3, 0.7]]), np.array([0, 1])
    chapter = float(xg.cross_entropy_loss(lib.array(y), lib.array(t), eps=1e-7))
    assert math.isclose(chapter, chapter_like.cross_entropy_loss(y, t), rel_tol=1e-14)


# --- what forward returns ---


def returns_the_mean_loss(lib, loss):
    node = loss()
    value = node.forward(lib.param([[0.0, 1.0], [2.0, 0.0]]), lib.array([0, 1]))
    assert value.shape == ()
    assert math.isclose(float(value), math.log1p(math.e) / 2 + math.log1p(math.exp(2)) / 2, rel_tol=1e-14)
    assert node.y.shape == (2, 2)


def test_row_3_forward_returns_the_loss(lib):
    returns_the_mean_loss(lib, xg.SoftmaxWithLoss)
    fails(returns_the_mean_loss, chapter_like.SoftmaxWithLoss)


# --- the sigmoid ---


def has_no_overflow(lib, sigmoid):
    y = lib.numpy(sigmoid().forward(lib.array([-1e4, -89.0, 89.0, 1e4], "float32")))
    assert y[0] == 0 and y[-1] == 1 and (np.diff(y) >= 0).all()


def has_a_gradient_at_17(lib, sigmoid):
    node = sigmoid()
    node.forward(lib.array([18.0, 20.0, 30.0, 60.0], "float32"))
    dx = lib.numpy(node.backward(lib.array(np.ones(4), "float32"))).astype(float)
    assert np.allclose(dx, np.exp([-18.0, -20.0, -30.0, -60.0]), rtol=1e-6, atol=0)


@pytest.mark.parametrize("test", [has_no_overflow, has_a_gradient_at_17])
def test_row_4_sigmoid(lib, test):
    test(lib, xg.Sigmoid)
    fails(test, chapter_like.Sigmoid)


# --- one parameter or two ---


def keeps_unrelated_zeros_apart(lib, remove_duplicates):
    params = [lib.param(np.zeros(s)) for s in ((4, 3), (3, 4))]
    grads = [lib.param(np.full(p.shape, k)) for p, k in zip(params, (2.0, 4.0), strict=True)]
    kept, summed = remove_duplicates(params, grads)
    assert len(kept) == 2 and [float(lib.numpy(g)[0, 0]) for g in summed] == [2.0, 4.0]


def test_row_5_equal_values_are_not_one_parameter(lib):
    keeps_unrelated_zeros_apart(lib, xg.remove_duplicates)
    fails(keeps_unrelated_zeros_apart, chapter_like.remove_duplicates)


# --- labels ---


def tells_labels_by_rank(lib, loss):
    """N indices for N rows of one class are as many numbers as the scores, and no one-hot labels."""
    value = float(loss().forward(lib.param(np.zeros((4, 1))), lib.array([0, 0, 0, 0])))
    assert value == 0.0


def refuses_a_column_of_indices(lib, loss):
    x, t = np.random.default_rng(3).standard_normal((3, 3)), np.array([[0], [1], [2]])
    with pytest.raises(ValueError, match=r"t is \(3, 1\)"):
        loss().forward(lib.param(x), lib.array(t))


def refuses_minus_one(lib, loss):
    node = loss()
    if lib.place.library.on_host(lib.param([0.0])):
        with pytest.raises(ValueError, match="-1"):
            node.forward(lib.param([[0.0, 1.0]]), lib.array([-1]))
    else:
        assert math.isnan(float(node.forward(lib.param([[0.0, 1.0]]), lib.array([-1]))))


def keeps_soft_labels(lib, loss):
    x, t = np.array([[0.0, 1.0], [2.0, 0.0]]), np.array([[0.6, 0.4], [0.5, 0.5]])
    log_y = x - np.log(np.sum(np.exp(x), axis=1, keepdims=True))
    value = float(loss().forward(lib.param(x), lib.array(t)))
    assert math.isclose(value, -np.mean(np.sum(t * log_y, axis=1)), rel_tol=1e-6)


@pytest.mark.parametrize(
    "test", [tells_labels_by_rank, refuses_a_column_of_indices, refuses_minus_one, keeps_soft_labels]
)
def test_row_10_labels(lib, test):
    test(lib, xg.SoftmaxWithLoss)
    fails(test, CappedLoss)


# --- integers ---


def keeps_no_integer_weights(lib, matmul):
    """An integer W is refused; where it is taken, its gradient must not be cut off."""
    try:
        node = matmul(lib.param([[1], [2]], "int64"))
    except TypeError:
        return
    node.forward(lib.param([[0.5, 0.5]]))
    node.backward(lib.param([[1.0]]))
    assert np.array_equal(lib.numpy(node.grads[0]), [[0.5], [0.5]])


def lets_no_small_integer_wrap(lib, matmul):
    try:
        y = matmul(lib.param([[2], [2]], "uint8")).forward(lib.param([[200, 100]], "uint8"))
    except TypeError:
        return
    assert lib.numpy(y)[0, 0] == 600


@pytest.mark.parametrize("test", [keeps_no_integer_weights, lets_no_small_integer_wrap])
def test_row_11_integers(lib, test):
    test(lib, xg.MatMul)
    fails(test, chapter_like.MatMul)


# --- Adam ---


def takes_the_first_step_of_algorithm_1(lib, adam):
    """m̂ / (√v̂ + ε) is g / (|g| + ε) at the first step: nearly lr for any g well above ε."""
    p, g = lib.param([0.0]), lib.array([1e-6])
    adam(lr=0.001).update([p], [g])
    assert math.isclose(-float(lib.numpy(p)[0]), 0.001 * 1e-6 / (1e-6 + 1e-8), rel_tol=1e-12)


def test_row_12_adam(lib):
    takes_the_first_step_of_algorithm_1(lib, xg.Adam)
    fails(takes_the_first_step_of_algorithm_1, chapter_like.Adam)
    fails(takes_the_first_step_of_algorithm_1, lambda lr: xg.Adam(lr=lr, form="chapter"))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_row_12_the_chapters_form_gives_the_chapters_numbers(lib, dtype):
    rng = np.random.default_rng(5)
    start, ours, theirs = rng.standard_normal((4, 3)), xg.Adam(form="chapter"), chapter_like.Adam()
    p, q = lib.param(start, dtype), start.copy()
    for _ in range(20):
        g = rng.standard_normal((4, 3)) * 1e-5
        ours.update([p], [lib.array(g, dtype)])
        theirs.update([q], [g])
    assert lib.numpy(p).dtype == dtype
    assert np.allclose(lib.numpy(p), q, rtol=1e-12 if dtype == "float64" else 1e-5, atol=0)
