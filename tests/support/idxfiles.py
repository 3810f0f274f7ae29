"""Small data sets in IDX files, to use in tests instead of MNIST and Fashion-MNIST."""

import hashlib
import struct

import numpy as np

from xpgraph.datasets import idx

ROWS = {"train": 7, "t10k": 3}


def pack(array, code=0x08):
    """The bytes of an IDX file that holds ``array``; ``code`` says its dtype, 8 for uint8."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape) + array.tobytes()


def contents(name):
    """The four files of a small data set as {stem: raw bytes}; its pixels depend on the name."""
    rng = np.random.default_rng(len(name))
    files = {}
    for part, n in ROWS.items():
        files[f"{part}-images-idx3-ubyte"] = pack(rng.integers(0, 256, (n, 28, 28), dtype=np.uint8))
        files[f"{part}-labels-idx1-ubyte"] = pack(np.arange(n, dtype=np.uint8))
    return files


def replace_all(monkeypatch):
    """Replace both data sets by small ones; returns {name: {stem: raw bytes}}."""
    files = {name: contents(name) for name in idx.SHA256}
    digests = {n: {stem: hashlib.sha256(raw).hexdigest() for stem, raw in f.items()} for n, f in files.items()}
    monkeypatch.setattr(idx, "SHA256", digests)
    return files


def check(data, files):
    """Assert that a Dataset holds the rows and labels of ``files``, scaled."""
    x = np.frombuffer(files["train-images-idx3-ubyte"], np.uint8, offset=16).reshape(7, 784)
    assert np.array_equal(data.x, x * np.float32(1 / 255)) and data.x.dtype == np.float32
    assert data.x_test.shape == (3, 784) and data.t.dtype == np.int64
    assert np.array_equal(data.t, np.arange(7)) and np.array_equal(data.t_test, np.arange(3))
    assert (data.scale, data.classes) == (1 / 255, 10)
