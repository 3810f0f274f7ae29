"""IDX files: the format, what is read from a folder, and what is refused."""

import gzip
import re
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from idxfiles import check, contents, pack, replace_all

from xpgraph import datasets
from xpgraph.datasets import idx
from xpgraph.errors import DataError


@pytest.fixture
def small(monkeypatch):
    return replace_all(monkeypatch)


# --- the format ---


@pytest.mark.parametrize("code", idx.TYPES)
def test_parse_reads_every_type_in_native_order(code):
    array = np.arange(-6, 6).astype(idx.TYPES[code]).reshape(3, 2, 2)
    read = idx.parse(pack(array, code), "f")
    assert np.array_equal(read, array) and read.dtype.isnative and read.dtype.kind == array.dtype.kind


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "an empty file"),
        (b"\0\0\x08", "found 00 00 08"),
        (b"\x89PNG....", "found 89 50 4e 47"),
        (b"\0\0\x07\x01" + bytes(8), "found 00 00 07 01"),
        (b"\0\0\x08\0\x05", "found 00 00 08 00"),
        (b"\0\0\x08\x03" + bytes(4), "needs 16 bytes, found 8: it is truncated"),
        (pack(np.zeros((2, 3), np.uint8))[:-1], r"header \(2, 3\) of uint8 needs 18 bytes, found 17: it is truncated"),
        (pack(np.zeros((2, 3), np.uint8)) + b"!", "needs 18 bytes, found 19: something follows"),
        (struct.pack(">BBBB3I", 0, 0, 0x0E, 3, *[2**32 - 1] * 3), "found 16: it is truncated"),
    ],
)
def test_parse_refuses(raw, words):
    with pytest.raises(DataError, match=rf"^Reading f: .*{words}.*\. (Get|Give) .*\.$"):
        idx.parse(raw, "f")


@given(st.builds(lambda head, rest: head + rest, st.sampled_from([b"", b"\0\0\x08\x01", b"\0\0\x0b\x02"]), st.binary()))
def test_parse_of_any_bytes_is_an_array_or_a_data_error(raw):
    try:
        array = idx.parse(raw, "f")
    except DataError:
        return
    assert len(raw) == 4 + 4 * array.ndim + array.nbytes


# --- from a folder ---


@pytest.mark.parametrize("end", [".gz", ""])
@pytest.mark.parametrize("dot", ["-idx", ".idx"])
@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_a_folder_is_read_whatever_its_files_are_called(tmp_path, small, name, dot, end):
    for stem, raw in small[name].items():
        (tmp_path / (stem.replace("-idx", dot) + end)).write_bytes(gzip.compress(raw) if end else raw)
    check(datasets.load(name, data_dir=tmp_path), small[name])
    x, t = datasets.load_rows(name, data_dir=str(tmp_path))
    assert x.shape == (3, 784) and np.array_equal(t, np.arange(3))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda good: good[:-5], "gzip data is damaged"),
        (lambda good: good[:1], "truncated|begins with"),
        (lambda good: good[:200] + bytes([good[200] ^ 255]) + good[201:], "gzip data is damaged"),
        (lambda good: gzip.compress(gzip.decompress(good)[:-1]), "needs 5504 bytes, found 5503"),
        (lambda good: gzip.compress(gzip.decompress(good) + b"!"), "needs 5504 bytes, found 5505"),
        (lambda good: gzip.compress(b"<html>no</html>"), "begins with 00 00"),
        (lambda good: gzip.compress(gzip.decompress(good)[:-1] + b"!"), "expected mnist's .* with SHA-256 .*, found "),
        (lambda good: gzip.compress(contents("fashion-mnist")["train-images-idx3-ubyte"]), "is fashion-mnist's train-"),
    ],
)
def test_a_damaged_file_is_refused_by_name(tmp_path, small, change, words):
    for stem, raw in small["mnist"].items():
        (tmp_path / f"{stem}.gz").write_bytes(gzip.compress(raw))
    bad = tmp_path / "train-images-idx3-ubyte.gz"
    bad.write_bytes(change(bad.read_bytes()))
    with pytest.raises(DataError, match=words) as caught:
        datasets.load("mnist", data_dir=tmp_path)
    assert str(bad) in str(caught.value) and re.search(r"(Get|Give) the (file|original)", str(caught.value))


def test_a_gzip_bomb_is_not_unpacked_whole(tmp_path, small, monkeypatch):
    bad = tmp_path / "train-images-idx3-ubyte.gz"
    bad.write_bytes(gzip.compress(small["mnist"]["train-images-idx3-ubyte"] + bytes(10**6)))
    with pytest.raises(DataError, match="needs 5504 bytes, found 5505: something follows"):
        datasets.load("mnist", data_dir=tmp_path)
    monkeypatch.setattr(idx, "LIMIT", 5000)
    with pytest.raises(DataError, match=r"expected at most 5000 bytes, found a header .* that claims 5504"):
        datasets.load("mnist", data_dir=tmp_path)


def test_a_missing_folder_or_file_is_named(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        datasets.load("mnist", data_dir=tmp_path / "absent")
    with pytest.raises(
        DataError, match=r"looked for .*, train-images-idx3-ubyte, .*train-images\.idx3-ubyte"
    ) as caught:
        datasets.load("fashion-mnist", data_dir=tmp_path)
    assert str(tmp_path) in str(caught.value)
