"""The table of kernels itself: what it registers, what it refuses, and which body a call gets."""

import inspect

import numpy as np
import pytest

from xpgraph.arrays.kernels import TABLE, kernel, store
from xpgraph.errors import LibraryError


@pytest.fixture(autouse=True)
def own_table(monkeypatch):
    """Kernels that a test makes are gone after it; fast bodies are on, whatever the environment says."""
    monkeypatch.delenv("XPGRAPH_GENERIC", raising=False)
    before = dict(TABLE)
    yield
    TABLE.clear()
    TABLE.update(before)


def make_double():
    @kernel
    def double(xp, x, out=None):
        """y = 2x"""
        return store(xp.add(x, x), out)

    return double


def library(lib):
    return lib.place.library.name


def test_a_kernel_is_a_plain_function_of_its_parameters_less_xp():
    double = make_double()
    assert str(inspect.signature(double)) == "(x, out=None, /)"
    assert double.__name__ == "double" and double.__doc__ == "y = 2x" and double.__module__ == __name__
    assert TABLE["double"].generic.__name__ == "double"
    with pytest.raises(TypeError, match="positional-only"):
        double(x=np.zeros(3))


def test_the_generic_body_gets_the_namespace_of_its_argument(lib):
    seen = []

    @kernel
    def spy(xp, x):
        seen.append(xp)
        return x

    spy(lib.array([1.0]))
    assert seen == [lib.xp]


def test_a_fast_body_is_used_for_its_library_alone(lib):
    double = make_double()

    @double.fast(library(lib))
    def double_fast(x, out=None):
        return "fast"

    assert double(lib.array([1.0])) == "fast"
    assert TABLE["double"].body(library(lib), generic=True)(lib.array([1.0])).shape == (1,)
    other = make_lib_of_another(lib)
    assert np.array_equal(other.numpy(double(other.array([1.0]))), [2.0])


def make_lib_of_another(lib):
    from libs import make_lib

    return make_lib("array_api_strict" if library(lib) == "numpy" else "numpy")


def test_a_fast_body_declared_after_the_first_call_is_used(lib):
    double = make_double()
    assert np.array_equal(lib.numpy(double(lib.array([1.0]))), [2.0])
    double.fast(library(lib))(lambda x, out=None: "fast")
    assert double(lib.array([1.0])) == "fast"


@pytest.mark.parametrize(("value", "fast"), [("1", False), ("yes", False), ("0", True), ("", True)])
def test_the_environment_turns_fast_bodies_off(monkeypatch, lib, value, fast):
    monkeypatch.setenv("XPGRAPH_GENERIC", value)
    double = make_double()
    double.fast(library(lib))(lambda x, out=None: "fast")
    result = double(lib.array([1.0]))
    assert isinstance(result, str) is fast


@pytest.mark.parametrize(
    "body",
    [
        lambda y, out=None: y,
        lambda x: x,
        lambda x, out: x,
        lambda x, out=0: x,
        lambda x, y, out=None: x,
        lambda xp, x, out=None: x,
    ],
    ids=["another name", "too few", "no default", "another default", "too many", "with xp"],
)
def test_a_fast_body_with_another_signature_is_refused(body):
    double = make_double()
    words = r"double.fast\('numpy'\): its parameters are \(.*give those of the generic body without xp"
    with pytest.raises(TypeError, match=words):
        double.fast("numpy")(body)
    assert TABLE["double"].fast_bodies == {}


def test_a_generic_body_that_a_plain_call_cannot_carry_is_refused():
    def with_a_number(xp, x, n=2): ...
    def with_a_keyword(xp, x, *, n): ...
    def with_many(xp, *arrays): ...
    def with_none(xp): ...

    for body, words in [
        (with_a_number, "the parameter n=2"),
        (with_a_keyword, "the parameter n"),
        (with_many, r"the parameter \*arrays"),
        (with_none, "no parameter after xp"),
    ]:
        with pytest.raises(TypeError, match=rf"kernel: '{body.__name__}' has {words}; give plain positional"):
            kernel(body)
        assert body.__name__ not in TABLE


def test_parameters_may_bear_any_name(lib):
    @kernel
    def oddly_named(xp, body, bodies, find):
        return body + bodies + find

    one = lib.array([1.0])
    assert float(lib.numpy(oddly_named(one, one, one))[0]) == 3.0


def test_an_unknown_library_is_refused():
    with pytest.raises(ValueError, match=r"unknown library.* Known: numpy, cupy"):
        make_double().fast("nympy")(lambda x, out=None: x)


def test_a_name_stands_in_the_table_once():
    """Twice from one module is a notebook's cell that was run again; from another one it is a clash."""
    make_double()
    assert make_double()(np.ones(2)).tolist() == [2.0, 2.0]
    TABLE["double"].module = "elsewhere"
    with pytest.raises(ValueError, match="'double' is in the table already, from elsewhere; rename it"):
        make_double()


def test_a_list_dispatches_on_its_first_element(lib):
    @kernel
    def total(xp, arrays):
        return sum(xp.sum(a) for a in arrays)

    arrays = [lib.array([1.0, 2.0]), lib.array([3.0])]
    assert float(total(arrays)) == float(total(tuple(arrays))) == 6.0
    assert total.row.bodies.keys() == {type(arrays[0])}
    with pytest.raises(ValueError, match="total: the list is empty, so its library is unknown; give it an array"):
        total([])


@pytest.mark.parametrize("wrong", [1.0, "x", None, object()], ids=lambda w: type(w).__name__)
def test_what_is_no_array_is_refused(wrong):
    double = make_double()
    with pytest.raises(LibraryError, match=rf"found .*{type(wrong).__name__}, which is no array of a known library"):
        double(wrong)
    with pytest.raises(LibraryError):
        double([wrong])


def test_a_subclass_and_a_numpy_scalar_are_resolved_once(monkeypatch):
    class Measured(np.ndarray):
        pass

    double, looked_up = make_double(), []
    find = double.row.find
    monkeypatch.setitem(double.__globals__, "_find", lambda first: looked_up.append(type(first)) or find(first))
    for _ in range(3):
        assert np.array_equal(double(np.ones(2).view(Measured)), [2, 2]) and double(np.float32(1.5)) == 3
    assert looked_up == [Measured, np.float32]


def test_store_gives_the_value_or_writes_it_where_it_is_told(lib):
    value, out = lib.array([1.0, 2.0]), lib.param([0.0, 0.0])
    assert store(value, None) is value
    assert store(value, out) is out and np.array_equal(lib.numpy(out), [1.0, 2.0])
    double = make_double()
    assert double(value, out) is out and np.array_equal(lib.numpy(out), [2.0, 4.0])
