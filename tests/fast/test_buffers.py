"""Memory that is used again: only when nobody can tell."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from xpgraph import Sigmoid
from xpgraph.fast import buffers

SHAPE, KIND = (128, 512), np.dtype(np.float32)


@pytest.fixture(autouse=True)
def _empty():
    buffers.clear()
    yield
    buffers.clear()


def address(a):
    return a.__array_interface__["data"][0]


def test_what_is_held_is_never_given_out_again():
    held = [buffers.fresh(SHAPE, KIND) for _ in range(5)]
    assert len({address(a) for a in held}) == 5
    kept = address(held[2])
    view = held[2][3:5].T  # a view is a hold too
    del held[2]
    assert address(buffers.fresh(SHAPE, KIND)) != kept
    del view
    assert kept in {address(a) for a in (buffers.fresh(SHAPE, KIND), buffers.fresh(SHAPE, KIND))}


def test_what_was_let_go_is_used_again():
    first = address(buffers.fresh(SHAPE, KIND))
    assert [address(buffers.fresh(SHAPE, KIND)) for _ in range(3)] == [first] * 3
    assert address(buffers.fresh(SHAPE, np.dtype(np.float64))) != first


@pytest.mark.skipif(buffers._UNHELD < 0, reason="without the GIL nothing is used again")
def test_an_array_comes_back_as_new():
    a = buffers.fresh(SHAPE, KIND)
    first = address(a)
    a.flags.writeable = False
    del a
    a = buffers.fresh(SHAPE, KIND)
    assert address(a) == first and a.flags.writeable and a.flags.owndata
    a.shape = (512, 128)
    del a
    a = buffers.fresh(SHAPE, KIND)
    assert a.shape == SHAPE and address(a) != first


@pytest.mark.parametrize("size", [0, 1, 100, buffers.LEAST // 4 - 1, buffers.MOST // 4 + 1])
def test_small_and_huge_arrays_are_not_kept(size):
    a = buffers.fresh((size,), KIND)
    assert a.shape == (size,) and not buffers._shelves.arrays


def test_no_more_is_kept_than_promised():
    for n in range(1, 60):
        buffers.fresh((n, 1 << 20), KIND) if n * 4 << 20 <= buffers.MOST else None
        assert buffers._shelves.size <= buffers.KEPT
        assert buffers._shelves.size == sum(a.nbytes for shelf in buffers._shelves.arrays.values() for a in shelf)


def test_threads_share_nothing():
    mine, found = buffers.fresh(SHAPE, KIND), []
    thread = threading.Thread(target=lambda: found.append(address(buffers.fresh(SHAPE, KIND))))
    first = address(mine)
    del mine
    thread.start()
    thread.join()
    assert found[0] != first


def test_a_node_s_output_stays_its_callers():
    x, node = np.ones(SHAPE, np.float32), Sigmoid()
    one = node.forward(x)
    before = one.copy()
    for k in range(4):
        node.forward(x * k)
        node.backward(x)
    assert np.array_equal(one, before)
