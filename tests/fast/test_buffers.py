"""Memory is reused only when nothing refers to it."""

import threading

import numpy as np
import pytest

from xpgraph import Sigmoid
from xpgraph.fast import buffers

SHAPE, KIND = (128, 512), np.dtype(np.float32)


@pytest.fixture(autouse=True)
def no_kept_arrays():
    buffers.clear()
    yield
    buffers.clear()


def address(a):
    return a.__array_interface__["data"][0]


def test_an_array_that_is_still_referred_to_is_not_reused():
    arrays = [buffers.fresh(SHAPE, KIND) for _ in range(5)]
    assert len({address(a) for a in arrays}) == 5
    third = address(arrays[2])
    view = arrays[2][3:5].T  # a view refers to the array too
    del arrays[2]
    assert address(buffers.fresh(SHAPE, KIND)) != third
    del view
    assert third in {address(a) for a in (buffers.fresh(SHAPE, KIND), buffers.fresh(SHAPE, KIND))}


def test_an_array_without_references_is_reused():
    first = address(buffers.fresh(SHAPE, KIND))
    assert [address(buffers.fresh(SHAPE, KIND)) for _ in range(3)] == [first] * 3
    assert address(buffers.fresh(SHAPE, np.dtype(np.float64))) != first


@pytest.mark.skipif(buffers.UNUSED_COUNT < 0, reason="without the GIL nothing is reused")
def test_a_reused_array_is_as_good_as_new():
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


@pytest.mark.parametrize("size", [0, 1, 100, buffers.SMALLEST // 4 - 1, buffers.LARGEST // 4 + 1])
def test_small_and_huge_arrays_are_not_kept(size):
    a = buffers.fresh((size,), KIND)
    assert a.shape == (size,) and not buffers.pool.arrays


def test_no_more_than_the_limit_is_kept():
    for n in range(1, 60):
        buffers.fresh((n, 1 << 20), KIND) if n * 4 << 20 <= buffers.LARGEST else None
        assert buffers.pool.size <= buffers.LIMIT
        assert buffers.pool.size == sum(a.nbytes for kept in buffers.pool.arrays.values() for a in kept)


def test_threads_share_no_memory():
    mine, others = buffers.fresh(SHAPE, KIND), []
    thread = threading.Thread(target=lambda: others.append(address(buffers.fresh(SHAPE, KIND))))
    first = address(mine)
    del mine
    thread.start()
    thread.join()
    assert others[0] != first


def test_the_output_of_a_node_stays_unchanged_while_it_is_kept():
    x, node = np.ones(SHAPE, np.float32), Sigmoid()
    one = node.forward(x)
    before = one.copy()
    for k in range(4):
        node.forward(x * k)
        node.backward(x)
    assert np.array_equal(one, before)
