"""Data from a user's own .npz file: what is read, how it is scaled and split, and what is refused."""

import io
import re
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xpgraph import datasets
from xpgraph.errors import DataError

X, T = np.arange(30, dtype=np.float64).reshape(10, 3), np.arange(10) % 3


def parts(data):
    return data.x, data.t, data.x_test, data.t_test


@pytest.fixture
def save(tmp_path):
    """Writes arrays to a .npz file and returns its path."""

    def write(**arrays):
        np.savez(tmp_path / "mine.npz", **arrays)
        return tmp_path / "mine.npz"

    return write


def test_a_file_without_test_rows_is_split_by_seed(save):
    path = save(x=X, t=T)
    data = datasets.load(path, seed=2)
    assert data.x.shape == (8, 3) and data.x_test.shape == (2, 3) and data.x.dtype == np.float32
    rows, labels = np.concatenate((data.x, data.x_test)), np.concatenate((data.t, data.t_test))
    back = np.argsort(rows[:, 0])
    assert np.array_equal(rows[back], X) and np.array_equal(labels[back], T) and not np.array_equal(rows, X)
    assert all(map(np.array_equal, parts(data), parts(datasets.load(str(path), seed=2))))
    assert (data.name, data.classes, data.scale, data.source) == ("mine", 3, 1.0, str(path))
    assert len(datasets.load(save(x=X[:2], t=T[:2])).x_test) == 1


def test_test_rows_of_the_file_are_kept_in_order(save):
    data = datasets.load(
        save(x=X, t=T, x_test=X[:4] + 1, t_test=np.array([0, 1, 2, 5], np.uint8), other=np.array([None]))
    )
    assert np.array_equal(data.x, X) and np.array_equal(data.x_test, X[:4] + 1)
    assert data.classes == 6 and data.t_test.dtype == np.int64


@pytest.mark.parametrize(
    ("dtype", "scale"),
    [("u1", 1 / 255), ("i1", 1), ("u2", 1), (">i4", 1), ("i8", 1), ("?", 1), ("f2", 1), (">f4", 1), ("f8", 1)],
)
def test_only_uint8_is_scaled(save, dtype, scale):
    x = np.asfortranarray(np.arange(12).reshape(2, 6).astype(dtype))
    data = datasets.load(save(x=x, t=[0, 1], x_test=x, t_test=[1, 0]), dtype=np.float64)
    assert data.scale == scale and data.x.dtype == np.float64 and data.x.dtype.isnative and data.x.flags.c_contiguous
    assert np.array_equal(data.x, x * np.float64(scale))


def test_rows_are_flat(save):
    x = np.arange(120).reshape(10, 3, 2, 2)
    assert np.array_equal(datasets.load_rows(save(x=x))[0], x.reshape(10, 12))


def test_labels_may_be_probabilities(save):
    t = np.full((10, 4), 0.25)
    data = datasets.load(save(x=X, t=t))
    assert data.classes == 4 and data.t.shape == (8, 4) and data.t.dtype == np.float32


@pytest.mark.parametrize("dtype", [int, np.uint8, bool])
def test_labels_may_be_one_hot(save, dtype):
    data = datasets.load(save(x=X, t=np.eye(3, dtype=dtype)[T]))
    assert data.classes == 3 and data.t.dtype == np.float32
    assert np.array_equal(np.sort(np.concatenate([data.t, data.t_test]).argmax(axis=1)), np.sort(T))


NAN = np.where(np.arange(30).reshape(10, 3) > 25, np.nan, X)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": X}, "array t missing, found x"),
        ({"x_train": X, "y_train": T}, "array x and t missing, found x_train, y_train"),
        ({}, "missing, found none"),
        ({"x": X, "t": T[:9]}, r"t is int64 of shape \(9,\), expected one label for each of 10 rows"),
        ({"x": X[:0], "t": T[:0]}, r"shape \(0, 3\), expected at least one row"),
        ({"x": X[:, :0], "t": T}, r"shape \(10, 0\), expected at least one row"),
        ({"x": X[:, 0], "t": T}, r"shape \(10,\), expected"),
        ({"x": np.float64(3), "t": T}, r"shape \(\), expected"),
        ({"x": X + 1j, "t": T}, "complex128"),
        ({"x": X.astype(str), "t": T}, "x is <U"),
        ({"x": X.astype(object), "t": T}, "Python objects, .* from arrays of numbers"),
        ({"x": X, "t": T.astype(object)}, "Python objects, .* from arrays of numbers"),
        ({"x": X, "t": T * 1.0}, r"t is float64 of shape \(10,\), expected integers"),
        ({"x": X, "t": T[:, None] * 1.0}, r"float64 of shape \(10, 1\), expected integers"),
        ({"x": X, "t": T[:, None]}, r"int64 of shape \(10, 1\), expected integers"),
        ({"x": X, "t": T - 1}, "negative"),
        ({"x": X, "t": np.uint64(2**63) + T.astype("u8")}, "negative"),
        ({"x": X, "t": np.eye(3)[T] - 0.5}, "negative"),
        ({"x": X, "t": np.eye(3)[T] * np.nan}, "non-finite"),
        ({"x": X, "t": np.eye(3)[T] + 1e300}, "non-finite"),
        ({"x": NAN, "t": T}, "x is not finite as float32 in 2 of 10 rows, first in row 8"),
        ({"x": X * 1e300, "t": T}, "not finite as float32"),
        ({"x": X[:1], "t": T[:1]}, "found one row"),
        ({"x": X, "t": T, "x_test": X}, "only one of x_test and t_test"),
        ({"x": X, "t": T, "t_test": T}, "only one of x_test and t_test"),
        ({"x": X, "t": T, "x_test": X[:, :2], "t_test": T}, "test rows unlike the training rows"),
        ({"x": X, "t": T, "x_test": X, "t_test": np.eye(3)[T]}, "test rows unlike the training rows"),
        ({"x": X, "t": T, "x_test": X.astype(np.uint8), "t_test": T}, "x_test uint8.*Save both alike"),
        ({"x": X, "t": T, "x_test": X, "t_test": T[:3]}, "t_test is int64"),
    ],
)
def test_a_file_of_another_kind_is_refused(save, arrays, words):
    path = save(**arrays)
    with pytest.raises(DataError, match=words) as caught:
        datasets.load(path)
    assert str(path) in str(caught.value)


def test_what_is_not_a_whole_zip_is_refused(save, tmp_path):
    path = save(x=X, t=T)
    whole = path.read_bytes()
    for bad in (b"", b"hello", whole[: len(whole) // 2], whole[30:-30]):
        path.write_bytes(bad)
        with pytest.raises(DataError, match=rf"Reading {re.escape(str(path))}.*Make it again with numpy\.savez"):
            datasets.load(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x", "text")
        archive.writestr("t.npy", "text")
    with pytest.raises(DataError, match=r"mine\.npz"):
        datasets.load(path)
    with pytest.raises(DataError, match="no such file"):
        datasets.load(tmp_path / "absent.npz")
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(DataError, match=r"folder\.npz"):
        datasets.load(tmp_path / "folder.npz")


@settings(deadline=None)
@given(st.integers(0), st.binary(min_size=1, max_size=8), st.booleans())
def test_a_damaged_file_is_read_or_refused(tmp_path_factory, at, patch, packed):
    buffer = io.BytesIO()
    (np.savez_compressed if packed else np.savez)(buffer, x=X, t=T)
    raw = bytearray(buffer.getvalue())
    at %= len(raw)
    raw[at : at + len(patch)] = patch
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    path.write_bytes(raw)
    try:
        data = datasets.load(path)
    except DataError as error:
        assert "damaged.npz" in str(error)
    else:
        assert len(data.x) == len(data.t) and np.isfinite(data.x).all()


def test_rows_of_a_file_are_all_its_rows_with_labels_or_without(save):
    x, t = datasets.load_rows(save(x=X, t=T, x_test=X[:1], t_test=T[:1]))
    assert np.array_equal(x, X) and np.array_equal(t, T)
    x, t = datasets.load_rows(save(x=X[:1]))
    assert x.shape == (1, 3) and t is None
    with pytest.raises(DataError, match="array x missing, found t"):
        datasets.load_rows(save(t=T))


def test_rows_of_integers_take_the_scale_of_the_training(save):
    path = save(x=np.array([[0, 8, 16]], np.uint8))
    assert datasets.load_rows(path, scale=1 / 16)[0].tolist() == [[0, 0.5, 1]]
    assert datasets.load_rows(path, scale=1.0)[0].tolist() == [[0, 8, 16]]
    assert datasets.load_rows(path, dtype=np.float64)[0].tolist() == [[0, 8 / 255, 16 / 255]]
    assert datasets.load_rows(save(x=[[0.25]]), scale=1 / 16)[0].tolist() == [[0.25]]
