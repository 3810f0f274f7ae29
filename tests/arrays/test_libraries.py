"""Where arrays live, how their memory lies, and how nodes move from one library to another."""

import importlib

import numpy as np
import pytest
from layouts import lay
from libs import make_lib

import xpgraph as xg
from xpgraph.arrays import installed
from xpgraph.errors import BackendError, LibraryError
from xpgraph.nodes.copying import parts, twin

ns = importlib.import_module("xpgraph.arrays.libraries")  # xpgraph.namespace is the function of this name


def test_an_array_knows_its_library_and_place(lib):
    a = lib.array([[1.0, 2.0]])
    assert ns.is_array(a) and ns.library_of(a) is lib.place.library and ns.namespace_of(a) is lib.xp
    assert ns.home(a) == lib.place.library.name and ns.together(a, lib.array([1.0]))
    assert ns.dtype_name(a) == "float64" and ns.dtype_name(lib.array([1], "int32")) == "int32"
    here = ns.place_of(a)
    assert ns.together(here.asarray([1.0], "float32"), a)
    with ns.on_device(a):
        assert ns.together(here.xp.zeros_like(a), a)


def test_what_is_no_array():
    for thing in (1.0, [1.0], None, "numpy", np.float32(1.0)):
        assert not ns.is_array(thing)
    assert ns.library_of(np.float32(1.0)).name == "numpy"
    with pytest.raises(LibraryError, match=r"found builtins.list, which is no array of a known library"):
        ns.to_numpy([1.0])


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
@pytest.mark.parametrize("shape", ["C", "transposed", "strided"])
def test_to_numpy_keeps_values_shape_and_dtype(lib, shape, dtype):
    host = np.arange(6).reshape(2, 3).astype(dtype)
    got = ns.to_numpy(lay(lib, host, shape))
    assert type(got) is np.ndarray and got.dtype == dtype and np.array_equal(got, host)


def test_layout_tells_views_of_the_same_memory(lib):
    a = lib.param(np.arange(12.0).reshape(3, 4))
    start = ns.layout(a)
    assert start.shape == (3, 4) and start.strides == (32, 8)
    turned = ns.layout(a.T)
    assert turned == (start.address, (4, 3), (8, 32))
    assert ns.layout(a[1:, ...]).address == start.address + 32
    assert ns.layout(a[:, ::2]).strides == (32, 16)
    assert ns.layout(lib.param(np.zeros((3, 4)))).address != start.address


def test_a_place_makes_arrays_of_any_librarys_values(lib):
    for source in (make_lib("numpy:readonly"), make_lib("array_api_strict"), lib):
        a = source.array([[1.0, 2.5]])
        b = lib.place.asarray(a, "float32", copy=True)
        assert np.array_equal(lib.numpy(b), [[1.0, 2.5]]) and ns.dtype_name(b) == "float32"
        assert ns.together(b, lib.array([1.0]))
        b += 1.0
        assert np.array_equal(source.numpy(a), [[1.0, 2.5]])


def test_backends_by_name():
    assert ns.namespace("numpy") is ns.LIBRARIES["numpy"].xp and str(ns.place("numpy")) == "numpy"
    assert "numpy" in ns.available() and {"torch", "array_api_strict"}.isdisjoint(ns.available())
    for name, words in [
        ("nympy", r"backend 'nympy' is unknown\. Known: numpy, cupy, torch, array_api_strict\."),
        ("numpy:1", r"backend 'numpy:1': only cupy takes a device number; use 'numpy'\."),
    ]:
        with pytest.raises(BackendError, match=words):
            ns.place(name)


def test_a_missing_backend_says_what_to_install(monkeypatch):
    installed.usable.cache_clear()
    monkeypatch.setattr(installed.importlib.util, "find_spec", lambda name: None)
    try:
        with pytest.raises(BackendError, match=r"backend 'torch' is not installed; pip install torch\. Available here"):
            ns.place("torch")
        assert installed.usable("cupy").why.startswith("is not installed; pip install cupy-cuda1")
    finally:
        installed.usable.cache_clear()


@pytest.mark.parametrize(("version", "wheel"), [(0, "13x"), (12080, "12x"), (13000, "13x")])
def test_the_wheel_fits_the_driver(monkeypatch, version, wheel):
    monkeypatch.setattr(installed, "driver", lambda: (version, "words about the driver"))
    monkeypatch.setattr(installed.importlib.util, "find_spec", lambda name: None)
    cupy = installed.usable.__wrapped__("cupy")
    assert not cupy.usable and f"pip install cupy-cuda{wheel} (words about the driver)" in cupy.why


# --- nodes that move ---


@pytest.mark.parametrize("backend", ["numpy", "torch", "array_api_strict"])
def test_a_moved_node_has_its_own_arrays_and_forgets_its_forward(lib, backend):
    there = make_lib(backend)
    W, b = lib.param(np.arange(6.0).reshape(2, 3)), lib.param(np.ones(3))
    node = xg.Affine(W, b)
    y = lib.numpy(node.forward(lib.array([[1.0, 2.0]])))
    moved = node.to(there.place)
    assert type(moved) is xg.Affine and moved.x is None and node.x is not None
    assert ns.library_of(moved.W).name == backend and node.params[0] is W
    assert np.array_equal(there.numpy(moved.forward(there.array([[1.0, 2.0]]))), y)
    moved.params[0][...] = 0.0
    assert np.array_equal(lib.numpy(W), np.arange(6.0).reshape(2, 3))


def test_tied_and_shared_weights_stay_so_on_the_way(lib):
    W = lib.param(np.arange(6.0).reshape(2, 3))
    moved = xg.Chain(xg.MatMul(W), xg.MatMul(W.T), xg.MatMul(W)).to(lib.place)
    a, b, c = (ns.layout(p) for p in moved.params)
    assert a == c and b == (a.address, a.shape[::-1], a.strides[::-1])
    assert a.address != ns.layout(W).address


def test_a_twin_shares_parameters_and_nothing_else(lib):
    node = xg.Affine(lib.param(np.ones((2, 3))), lib.param(np.ones(3)))
    other = twin(node)
    assert other.params[0] is node.params[0] and other.params[1] is node.params[1]
    node.forward(lib.array([[1.0, 1.0]]))
    other.forward(lib.array([[2.0, 2.0]]))
    for each in (node, other):
        each.backward(lib.array([[1.0, 1.0, 1.0]]))
    assert np.array_equal(lib.numpy(node.grads[0]), np.ones((2, 3)))
    assert np.array_equal(lib.numpy(other.grads[0]), np.full((2, 3), 2.0))


def test_parts_finds_every_node_once(lib):
    class Own:
        def __init__(self):
            self.inner = {"a": [xg.Sigmoid()], "b": (xg.Tanh(),)}
            self.itself = self

        def forward(self, x):
            return x

        def backward(self, dy):
            return dy

    own = Own()
    assert [type(part).__name__ for part in parts(own)] == ["Own", "Sigmoid", "Tanh"]
    chain = xg.Chain(own, xg.MatMul(lib.param(np.ones((2, 2)))))
    assert [type(part).__name__ for part in parts(chain)] == ["Chain", "Own", "Sigmoid", "Tanh", "MatMul"]
