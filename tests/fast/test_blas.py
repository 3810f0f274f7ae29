"""p + a g by NumPy's own BLAS: what it takes, and what it refuses."""

import numpy as np
import pytest

from xpgraph import SGD
from xpgraph.fast import blas
from xpgraph.fast.blas import THREADED, axpy


@pytest.fixture
def openblas():
    if not blas.functions():
        pytest.skip("NumPy's BLAS here is not an OpenBLAS whose functions can be found")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(), (1,), (7, 3), (123, 457)])
def test_axpy_adds_in_place(openblas, dtype, shape):
    random = np.random.default_rng(0)
    p, g = (np.asarray(random.standard_normal(shape), dtype) for _ in range(2))
    true, before = p.astype(np.float64) - 0.3 * g.astype(np.float64), g.copy()
    assert axpy(-0.3, g, p)
    assert np.allclose(p, true, rtol=1e-6 if dtype == "float32" else 1e-15, atol=np.finfo(dtype).eps)
    assert np.array_equal(g, before)


def test_axpy_refuses_some_arrays_and_leaves_them_unchanged(openblas):
    whole = np.ones((4, 6), np.float32)
    locked = np.ones((4, 6), np.float32)
    locked.flags.writeable = False
    for p, g, a in [
        (whole[:, ::2], whole[:, 1::2], 1.0),
        (np.asfortranarray(whole), whole, 1.0),
        (locked, whole, 1.0),
        (whole.astype(">f4"), whole.astype(">f4"), 1.0),
        (whole.astype(np.float16), whole.astype(np.float16), 1.0),
        (whole, whole.astype(np.float64), 1.0),
        (whole.reshape(-1), whole, 1.0),
        (whole, np.full_like(whole, np.nan), 0.0),
    ]:
        before = p.copy()
        assert not axpy(a, g, p)
        assert np.array_equal(p, before)


@pytest.mark.parametrize("n", [5, THREADED - 1, THREADED, 3 * THREADED])
@pytest.mark.parametrize("clip", [None, 0.25])
@pytest.mark.parametrize("available", [True, False])
def test_sgd_gives_the_same_result_with_and_without_axpy(monkeypatch, n, clip, available):
    if not available:
        monkeypatch.setattr(blas, "functions", dict)
    random = np.random.default_rng(0)
    p, g = (random.standard_normal(n).astype(np.float32) for _ in range(2))
    true = p.astype(np.float64) - 0.1 * (clip or 1.0) * g
    SGD(0.1).update([p], [g], None if clip is None else np.float32(clip))
    assert np.allclose(p, true, rtol=0, atol=1e-6)


def test_a_gradient_of_nan_shows_even_at_a_learning_rate_of_0():
    p = np.zeros(THREADED, np.float32)
    SGD(0.0).update([p], [np.full(THREADED, np.nan, np.float32)])
    assert np.isnan(p).all()
