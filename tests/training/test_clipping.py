"""clip_grads: one norm over all gradients, scaled in place, without a look at a value."""

from __future__ import annotations

import math

import numpy as np
import pytest
from book_training import clip_by_branch
from hypothesis import given
from hypothesis import strategies as st

from xpgraph import SGD, Chain, DTypeError, MatMul, SoftmaxWithLoss, Trainer, clip_grads
from xpgraph.arrays.libraries import layout


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_scales_all_gradients_by_one_rate_in_place(lib, dtype):
    a, b = lib.param([3.0, 0.0], dtype), lib.param([[-4.0]], dtype)
    at = [layout(g) for g in (a, b)]
    norm = clip_grads([a, b], 1.0)
    assert tuple(norm.shape) == ()
    assert float(norm) == 5.0
    assert [layout(g) for g in (a, b)] == at
    assert [str(g.dtype).endswith(dtype) for g in (a, b)] == [True, True]
    np.testing.assert_allclose(lib.numpy(a), [0.6, 0.0], rtol=1e-6)
    np.testing.assert_allclose(lib.numpy(b), [[-0.8]], rtol=1e-6)


def test_leaves_short_gradients_as_they_are(lib):
    g = lib.param([0.3, -0.4])
    assert float(clip_grads([g], 0.6)) == pytest.approx(0.5)
    assert lib.numpy(g).tolist() == [0.3, -0.4]


numbers = st.floats(-1e6, 1e6, width=32)


@given(rows=st.lists(st.lists(numbers, min_size=1, max_size=5), min_size=1, max_size=4), limit=st.floats(1e-3, 1e3))
def test_the_joint_norm_is_at_most_the_limit_and_the_direction_stays(rows, limit):
    grads = [np.array(row) for row in rows]
    before = np.concatenate(grads)
    norm = clip_grads(grads, limit)
    after = np.concatenate(grads)
    assert float(norm) == pytest.approx(np.linalg.norm(before), rel=1e-12)
    assert np.linalg.norm(after) <= limit * (1 + 1e-9)
    rate = min(1.0, limit / (np.linalg.norm(before) + 1e-6))
    np.testing.assert_allclose(after, before * rate, rtol=1e-9)


# --- docs/differences.md: the chapter's rule fails these ---


def keeps_half_precision_alive(clip):
    g = np.full(1000, 300, np.float16)
    with np.errstate(over="ignore"):
        norm = clip([g], 1.0)
    assert math.isclose(norm, 300 * math.sqrt(1000), rel_tol=1e-3)
    np.testing.assert_allclose(g.astype(float), 1 / math.sqrt(1000), rtol=2e-3)


def lets_no_nan_pass(clip):
    grads = [np.array([math.nan, 1.0]), np.array([2.0])]
    assert math.isnan(clip(grads, 1.0))
    assert np.isnan(np.concatenate(grads)).all()


@pytest.mark.parametrize("promise", [keeps_half_precision_alive, lets_no_nan_pass])
def test_row_6(promise):
    promise(clip_grads)
    with pytest.raises(AssertionError):
        promise(clip_by_branch)


def test_many_halves_are_not_rounded_away():
    g = np.full(10**6, 60000, np.float16)  # the rate is 1.7e-8, which is 0 in float16
    clip_grads([g], 1.0)
    np.testing.assert_allclose(g.astype(float), 1e-3, rtol=1e-3)


def test_an_infinite_norm_shows_in_every_gradient(lib):
    grads = [lib.param([math.inf]), lib.param([1.0, 2.0])]
    assert float(clip_grads(grads, 1.0)) == math.inf
    assert all(np.isnan(lib.numpy(g)).all() for g in grads)


def test_nothing_is_read_from_the_device(monkeypatch):
    strict = pytest.importorskip("array_api_strict")
    grads = [strict.asarray(np.ones(3)), strict.asarray(np.ones((2, 2), "float32"))]

    def read(*_):
        raise AssertionError("a value was looked at")

    for method in ("__bool__", "__float__", "__int__", "__index__"):
        monkeypatch.setattr(type(grads[0]), method, read)
    norm = clip_grads(grads, 1.0)
    monkeypatch.undo()
    assert float(norm) == pytest.approx(math.sqrt(7))
    assert float(grads[0][0]) == pytest.approx(1 / math.sqrt(7), rel=1e-5)


@pytest.mark.parametrize("max_norm", [0, -1.0, math.nan, math.inf, True])
def test_a_wrong_max_norm_is_refused(max_norm):
    g = np.ones(2)
    with pytest.raises(ValueError, match="max_norm is"):
        clip_grads([g], max_norm)
    assert g.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("wrong", ["int64", "bool", "complex64", None])
def test_a_wrong_gradient_is_named_and_the_others_are_unchanged(lib, wrong):
    good = lib.param([3.0, 4.0])
    bad, found = ([1.0], "a list") if wrong is None else (lib.array([9], wrong), wrong)
    with pytest.raises(DTypeError) as caught:
        clip_grads([good, bad], 1.0)
    assert str(caught.value).startswith(f"clip_grads: grads[1] is {found}; ")
    assert lib.numpy(good).tolist() == [3.0, 4.0]


def test_in_training_a_shared_gradient_counts_once(lib):
    W = np.array([[1.0, -1.0], [0.5, 2.0]])
    x, t = np.array([[1.0, 2.0], [3.0, -1.0]]), np.array([0, 1])
    p = lib.param(W)
    Trainer(Chain(MatMul(p), MatMul(p), loss=SoftmaxWithLoss()), SGD(lr=1.0)).fit(
        lib.array(x), lib.array(t), max_epoch=1, batch_size=2, max_grad=0.25, eval_interval=None
    )
    z = x @ W @ W
    dz = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    dz[[0, 1], t] -= 1
    dz /= 2
    dW = (x @ W).T @ dz + x.T @ (dz @ W.T)
    norm = np.linalg.norm(dW)
    assert norm > 0.25
    np.testing.assert_allclose(lib.numpy(p), W - dW * 0.25 / (norm + 1e-6), rtol=1e-12)
