"""Data sets by name: their contents, their split, their types."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from pages import ROOT

from xpgraph import datasets
from xpgraph.errors import DataError, DTypeError

MNIST = ROOT.parent / "shared" / "data" / "mnist"


def digest(*arrays):
    return hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest()


def parts(data):
    return data.x, data.t, data.x_test, data.t_test


# --- digits ---


def test_digits_are_the_uci_test_set_split_by_seed():
    data = datasets.load("digits")
    assert data.x.shape == (1437, 64) and data.x_test.shape == (360, 64) and data.x.dtype == np.float32
    assert data.t.dtype == data.t_test.dtype == np.int64 and data.t.shape == (1437,) and data.t_test.shape == (360,)
    assert data.x.min() == 0 and data.x.max() == 1 and (data.scale, data.classes) == (1 / 16, 10)
    # the count of each class in UCI's description of the test set
    counts = np.bincount(np.concatenate((data.t, data.t_test)))
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert "CC BY 4.0" in data.source and "UCI" in data.source


def test_digits_of_a_seed_never_change():
    assert digest(*parts(datasets.load("digits"))) == "c24eb7846983d7f9efe8a8f7e0682ad9897014027476ba0391dfa0b6e49b77b3"
    assert (
        digest(*parts(datasets.load("digits", seed=1)))
        == "fbdc52404cea4e1c2442b33c6ad734fee950fa11bd1b8f5760f47680ef01ec26"
    )


def test_every_seed_splits_the_same_rows():
    stored = [
        np.sort(np.concatenate((d.x, d.x_test)), axis=0) for d in (datasets.load("digits", seed=s) for s in (0, 5))
    ]
    assert np.array_equal(*stored)


def test_the_shipped_digits_are_those_of_scikit_learn():
    bundled = pytest.importorskip("sklearn.datasets").load_digits()
    with np.load(Path(datasets.__file__).with_name("digits.npz")) as stored:
        assert np.array_equal(stored["x"], bundled.data) and np.array_equal(stored["t"], bundled.target)


# --- spiral ---


def test_spiral_is_three_arms():
    data = datasets.load("spiral", dtype=np.float64)
    for x, t in ((data.x, data.t), (data.x_test, data.t_test)):
        assert x.shape == (300, 2) and np.array_equal(np.bincount(t), [100, 100, 100]) and t.dtype == np.int64
        radius = np.hypot(x[:, 0], x[:, 1])
        np.testing.assert_allclose(radius, np.tile(np.arange(100) / 100, 3), atol=1e-15)
        turn = np.arctan2(x[:, 0], x[:, 1]) - (4 * t + 4 * radius)  # what is left is the noise, up to whole turns
        noise = (turn + np.pi) % (2 * np.pi) - np.pi
        assert abs(noise[radius > 0].std() - 0.2) < 0.03 and abs(noise[radius > 0].mean()) < 0.05
    assert (data.scale, data.classes) == (1.0, 3)


def test_spiral_is_fixed_by_its_seed_and_the_test_is_another_draw():
    first, again, other = (datasets.load("spiral", seed=s) for s in (3, 3, 4))
    assert digest(*parts(first)) == digest(*parts(again)) != digest(*parts(other))
    assert digest(first.x) != digest(first.x_test) and digest(first.x_test) != digest(other.x_test)
    assert first.x.dtype == np.float32


# --- MNIST ---


@pytest.mark.skipif(not MNIST.is_dir(), reason="the folder of the real MNIST files is not beside this repository")
def test_the_real_mnist():
    data = datasets.load("mnist", data_dir=MNIST)
    assert data.x.shape == (60000, 784) and data.x_test.shape == (10000, 784) and data.x.dtype == np.float32
    assert data.x.min() == 0 and data.x.max() == 1 and (data.scale, data.classes) == (1 / 255, 10)
    assert data.t[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4] and np.bincount(data.t_test)[0] == 980
    assert abs(data.x.mean(dtype=np.float64) - 0.13066) < 1e-5  # the mean pixel that is known of MNIST
    with pytest.raises(DataError, match=r"found .*, which is mnist's train-images-idx3-ubyte"):
        datasets.load("fashion-mnist", data_dir=MNIST)


# --- rows to predict, and what is asked for ---


def test_rows_of_a_name_are_its_test_rows():
    for name in ("digits", "spiral"):
        x, t = datasets.load_rows(name, seed=7, scale=9)
        data = datasets.load(name, seed=7)
        assert np.array_equal(x, data.x_test) and np.array_equal(t, data.t_test)


@pytest.mark.parametrize("function", [datasets.load, datasets.load_rows])
def test_an_unknown_name_lists_the_names(function):
    with pytest.raises(DataError, match=r"'nist'.*digits, spiral, mnist, fashion-mnist, or give the path of a \.npz"):
        function("nist")


@pytest.mark.parametrize("dtype", [np.int64, np.complex64, "U4"])
def test_only_a_real_floating_type_is_given(dtype):
    with pytest.raises(DTypeError, match="Ask for float32"):
        datasets.load("spiral", dtype=dtype)


@pytest.mark.parametrize("name", ["digits", "spiral"])
def test_the_type_asked_for_is_given(name):
    assert {a.dtype for a in parts(datasets.load(name, dtype="float64"))} == {np.dtype("f8"), np.dtype("i8")}
