"""Every node: its gradient, and the rules that all nodes follow; then the values of single nodes."""

import inspect
from itertools import combinations

import numpy as np
import pytest
from gradcheck import NODES, Case, check_gradient, outputs
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import VIEWS
from libs import make_lib

import xpgraph as xg
from xpgraph.arrays.libraries import dtype_name, is_array, layout, place_of
from xpgraph.testing.formulas.textbook import FORMULAS
from xpgraph.testing.node_checks.contract import overlap
from xpgraph.testing.verification.matrix import cases

EXAMPLES = {"numpy": 200, "numpy:readonly": 30}  # with --all; without it a quarter for the gradients


def subclasses(kind):
    return {kind, *(sub for child in kind.__subclasses__() for sub in subclasses(child))}


def test_every_node_has_a_gradient_check_and_every_check_a_node():
    kinds = {kind for kind in subclasses(xg.Node) if not inspect.isabstract(kind)}
    own = {kind.__name__ for kind in kinds if kind.__module__.startswith("xpgraph.")}
    assert own == set(NODES)


@pytest.mark.parametrize("name", NODES)
def test_gradient_is_that_of_central_differences(lib, name, pytestconfig):
    @settings(max_examples=EXAMPLES.get(lib.name, 30) // (1 if pytestconfig.getoption("all") else 4))
    @given(st.data(), st.sampled_from(VIEWS))
    def check(data, layout_):
        check_gradient(lib, NODES[name](data.draw), layout_)

    check()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NODES)
def test_contract(lib, name, dtype):
    @settings(max_examples=EXAMPLES.get(lib.name, 100) // 5)
    @given(st.data(), st.sampled_from(VIEWS))
    def check(data, layout_):
        case = NODES[name](data.draw)
        for rule in (owns_nothing, is_linear, remembers_one_forward):
            rule(lib, case, dtype, layout_)

    check()


def gradients(lib, case, ys, dtype):
    return [lib.array(case.rng.standard_normal(y.shape).astype(dtype)) for y in ys]


def hosts(lib, arrays):
    return [lib.numpy(a) for a in arrays]


def same(one, two):
    return [(a.shape, a.tobytes()) for a in one] == [(a.shape, a.tobytes()) for a in two]


def owns_nothing(lib, case, dtype, layout_):
    """Inputs are not changed; outputs share no memory with them or each other; place, dtype and addresses stay."""
    node, inputs, labels = case.build(lib, dtype, layout_)
    addresses = [layout(g) for g in node.grads]
    before = hosts(lib, [*inputs, *labels, *node.params])
    ys = outputs(node.forward(*inputs, *labels))
    gs = gradients(lib, case, ys, dtype)
    sent = hosts(lib, gs)
    dxs = outputs(node.backward(*gs))
    assert same(before, hosts(lib, [*inputs, *labels, *node.params])) and same(sent, hosts(lib, gs))
    assert [layout(g) for g in node.grads] == addresses
    for a in (*ys, *dxs, *node.grads):
        assert dtype_name(a) == dtype and place_of(a) == place_of(inputs[0])
    assert [dx.shape for dx in dxs] == [x.shape for x in inputs]
    returned = [*ys, *dxs]
    assert not any(overlap(a, b) for a in returned for b in (*inputs, *gs, *node.params, *node.grads))
    assert not any(overlap(a, b) for a, b in combinations(returned, 2))


def is_linear(lib, case, dtype, layout_):
    """A second backward gives the same; backward(2g) is 2 backward(g), to the bit."""
    node, inputs, labels = case.build(lib, dtype, layout_)
    gs = gradients(lib, case, outputs(node.forward(*inputs, *labels)), dtype)
    once = hosts(lib, [*outputs(node.backward(*gs)), *node.grads])
    assert same(once, hosts(lib, [*outputs(node.backward(*gs)), *node.grads]))
    twice = hosts(lib, [*outputs(node.backward(*(2 * g for g in gs))), *node.grads])
    assert same([2 * a for a in once], twice)


def remembers_one_forward(lib, case, dtype, layout_):
    """What a node returned belongs to the caller: writing into it changes no gradient, no later forward changes it."""
    node, inputs, labels = case.build(lib, dtype, layout_)
    ys = outputs(node.forward(*inputs, *labels))
    gs = gradients(lib, case, ys, dtype)
    want = hosts(lib, [*(dxs := outputs(node.backward(*gs))), *node.grads])
    for a in (*ys, *dxs):
        if is_array(a):  # NumPy gives scalars for 0-d, into which nobody can write
            a[...] = 99.0
    assert same(want, hosts(lib, [*outputs(node.backward(*gs)), *node.grads]))
    ys = outputs(node.forward(*inputs, *labels))
    before = hosts(lib, ys)
    node.forward(*(2 * x for x in inputs), *labels)
    assert same(before, hosts(lib, ys))


class Careless(xg.Node):
    """y = 2x, with a mistake in one place."""

    def __init__(self, mistake=""):
        super().__init__()
        self.mistake = mistake

    def forward(self, x):
        self.x, self.factor = x, 2.0
        return x if self.mistake == "the input itself" else x + x

    def backward(self, dy):
        if self.mistake == "overwrites dy":
            dy *= 2.0
            return dy
        if self.mistake == "wrong slope":
            return dy * 2.001
        self.factor += self.mistake == "second backward"
        return dy * self.factor + (1.0 if self.mistake == "not linear" else 0.0)


@pytest.mark.parametrize(
    "mistake", ["the input itself", "overwrites dy", "wrong slope", "second backward", "not linear"]
)
def test_the_rules_find_a_mistake(mistake):
    lib = make_lib("numpy")

    def violations(words):
        case = Case(lambda: Careless(words), [np.ones((2, 3))], [], [], np.random.default_rng(1))
        for rule in (owns_nothing, is_linear, remembers_one_forward):
            rule(lib, case, "float64", "C")
        check_gradient(lib, case, "C")

    violations("")
    with pytest.raises(AssertionError):
        violations(mistake)


# --- values ---


@pytest.mark.parametrize("name", FORMULAS)
def test_results_are_those_of_the_formula(lib, name):
    """The kernel tests compare every body with the generic one; this compares that one with the textbook."""
    node, inputs = cases()[name]
    xs = list(inputs) if isinstance(inputs, tuple) else [inputs]
    truth = FORMULAS[name].forward(node, node.params, xs)
    dys = [np.asarray(np.random.default_rng(4).standard_normal(np.shape(y))) for y in truth]
    here = node.to(lib.place)
    found = hosts(lib, outputs(here.forward(*map(lib.array, xs))))
    dxs = outputs(here.backward(*map(lib.array, dys)))
    given = node, node.params, xs, dys
    wanted, tolerances = FORMULAS[name].results(*given), FORMULAS[name].tolerances(*given, "float64")
    for got, true, allowed in zip((found, hosts(lib, dxs), hosts(lib, here.grads)), wanted, tolerances, strict=True):
        assert len(got) == len(true)
        for a, b, most in zip(got, true, allowed, strict=True):
            assert a.shape == np.shape(b) and np.all(np.abs(a - b) <= most)


def test_repeat_and_sum_are_numpys(lib):
    x = np.arange(6.0).reshape(2, 3)
    for axis in (0, 1, -1):
        node = xg.Repeat(2, axis)
        assert np.array_equal(lib.numpy(node.forward(lib.array(x))), np.repeat(x, 2, axis=axis))
        node = xg.Sum(axis)
        assert np.array_equal(lib.numpy(node.forward(lib.array(x))), np.sum(x, axis=axis, keepdims=True))
    assert np.array_equal(lib.numpy(xg.Sum(None, keepdims=False).forward(lib.array(x))), 15.0)
    assert lib.numpy(xg.Sum().forward(lib.array(x))).tolist() == [[3.0, 5.0, 7.0]]


def test_a_node_that_skips_the_input_gradient_computes_the_same_weights_gradient(lib):
    for node in (xg.MatMul(lib.param(np.ones((3, 2)))), xg.Affine(lib.param(np.ones((3, 2))), lib.param(np.ones(2)))):
        node.forward(lib.array(np.arange(6.0).reshape(2, 3)))
        node.backward(lib.array(np.ones((2, 2))))
        want = hosts(lib, node.grads)
        assert node.backward(lib.array(np.ones((2, 2))), input_grad=False) is None
        assert same(want, hosts(lib, node.grads))


def test_every_node_of_the_library_may_be_captured():
    """A training step with it can be replayed on a GPU. Each class says so itself; networks ask their nodes."""
    exported = [getattr(xg, name) for name in xg.__all__ if name != "datasets"]
    nodes = {kind for kind in exported if isinstance(kind, type) and issubclass(kind, xg.Node)}
    assert len(nodes) > 20
    assert {kind for kind in nodes if vars(kind).get("capturable", False) is False} <= {xg.Node, xg.Chain}


def test_repr_names_sizes_dtype_and_library(lib):
    W, b = lib.param(np.zeros((784, 50)), "float32"), lib.param(np.zeros(50), "float32")
    where = str(lib.place).partition(":")[0]
    assert repr(xg.Affine(W, b)) == f"Affine(784 -> 50, float32, {where})"
    assert repr(xg.MatMul(W)) == f"MatMul(784 -> 50, float32, {where})"
    assert repr(xg.Sum(None, keepdims=False)) == "Sum(axis=None, keepdims=False)"
    assert repr(xg.Repeat(3, axis=1)) == "Repeat(n=3, axis=1)"
    assert [repr(node()) for node in (xg.Add, xg.Branch, xg.Sigmoid)] == ["Add()", "Branch(n=2)", "Sigmoid()"]


def test_parameters_are_the_users_own_arrays(lib):
    W, b = lib.param(np.zeros((3, 2))), lib.param(np.zeros(2))
    node = xg.Affine(W, b)
    assert node.params[0] is W and node.params[1] is b and node.W is W and node.b is b and xg.MatMul(W).W is W
    assert [name for name, _, _ in node.named_parameters()] == ["W", "b"]
    W += 1.0
    assert np.array_equal(lib.numpy(node.forward(lib.array([[1.0, 1.0, 1.0]]))), [[3.0, 3.0]])
