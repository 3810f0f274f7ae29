"""Long arrays in blocks and on threads: every element is visited once, whatever the number of threads."""

import os

import numpy as np
import pytest

from xpgraph import SGD, Adam
from xpgraph.fast import blocks

B = blocks.BLOCK
SIZES = [0, 1, B - 1, B, B + 1, 3 * B, blocks.THREADED, 5 * B + 7]


@pytest.fixture(params=[1, 2, 3, 8])
def count(request, monkeypatch):
    monkeypatch.setattr(blocks, "threads", lambda: request.param)
    blocks.pool.cache_clear()
    yield request.param
    blocks.pool.cache_clear()


@pytest.mark.parametrize("size", SIZES)
def test_every_element_is_visited_once(count, size):
    a, b = np.arange(size, dtype=np.float64).reshape(-1, 1), np.zeros((size, 1))

    def work(x, y):
        assert x.size <= blocks.BLOCK
        y += x + 1

    blocks.each_block(work, a, b)
    assert np.array_equal(b, a + 1)


@pytest.mark.parametrize("clip", [None, np.array(0.5)])
def test_an_update_visits_every_parameter_once(count, clip):
    odd = [np.zeros((300, 300))[:, ::2], np.asfortranarray(np.zeros((700, 100)))]
    params = [np.zeros(size) for size in SIZES] + odd
    grads = [np.ones(p.shape) for p in params]

    def update(p, g):
        p += g

    blocks.update_blocks(update, clip, params, grads)
    assert all((p == (1 if clip is None else 0.5)).all() for p in params)


def test_threads_change_no_bit(monkeypatch):
    found = []
    for count in (1, 2, 5):
        monkeypatch.setattr(blocks, "threads", lambda count=count: count)
        blocks.pool.cache_clear()
        rng = np.random.default_rng(0)
        p, g = rng.standard_normal((700, 900)).astype(np.float32), rng.standard_normal((700, 900)).astype(np.float32)
        optimizer = Adam()
        for _ in range(3):
            optimizer.update([p], [g])
        found.append(p.tobytes())
    blocks.pool.cache_clear()
    assert len(set(found)) == 1


def test_an_error_in_a_thread_is_raised_to_the_caller(count):
    def work(x):
        raise OSError("in a block")

    with pytest.raises(OSError, match="in a block"):
        blocks.each_block(work, np.zeros(blocks.THREADED * 2))


@pytest.mark.parametrize(("name", "value", "most"), [("OPENBLAS_NUM_THREADS", "1", 1), ("OMP_NUM_THREADS", "x", 8)])
def test_limits_in_the_environment_are_obeyed(monkeypatch, name, value, most):
    monkeypatch.setenv(name, value)
    assert 1 <= blocks.threads.__wrapped__() <= most


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_has_threads_of_its_own(monkeypatch):
    monkeypatch.setattr(blocks, "threads", lambda: 2)
    p = [np.zeros(blocks.THREADED * 2)]
    SGD(lr=1.0).update(p, [np.ones_like(p[0])])
    child = os.fork()
    if child == 0:
        SGD(lr=1.0).update(p, [np.ones_like(p[0])])
        os._exit(0 if (p[0] == -2).all() else 1)
    assert os.waitpid(child, 0)[1] == 0
