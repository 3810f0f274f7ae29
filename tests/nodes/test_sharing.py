"""Shared and tied parameters: recognised by memory, updated once, with the sum of their gradients."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import MAKE
from reference import RULES, Reference, gap, toy, two_layers
from students import chapter_like

import xpgraph as xg
from xpgraph.nodes.sharing import Slot, plan


def arrays(lib, *shapes):
    rng = np.random.Generator(np.random.Philox(5))
    return [lib.param(rng.standard_normal(s)) for s in shapes]


# --- the rule ---


def test_equal_memory_is_one_parameter(lib):
    W, V, g1, g2, g3 = arrays(lib, (3, 4), (3, 4), (3, 4), (3, 4), (3, 4))
    want = lib.numpy(g1) + lib.numpy(g3)
    params, grads = xg.remove_duplicates([W, V, W], [g1, g2, g3])
    assert [p is q for p, q in zip(params, (W, V), strict=True)] == [True, True]
    assert lib.numpy(grads[0]).tobytes() == want.tobytes()
    assert grads[0] is g1, "the sum is written into the first gradient array, whose address stays"
    assert grads[1] is g2


@pytest.mark.parametrize("shape", [(3, 4), (4, 4), (1, 5), (5, 1), (1, 1)])
def test_a_transposed_view_is_tied(lib, shape):
    W, g = arrays(lib, shape, shape)
    (h,) = arrays(lib, shape[::-1])
    want = lib.numpy(g) + lib.numpy(h).T
    params, grads = xg.remove_duplicates([W, W.T], [g, h])
    assert len(params) == 1
    assert params[0] is W
    assert lib.numpy(grads[0]).tobytes() == want.tobytes()
    transposed = shape != (1, 1)
    assert plan([W.T, W, W.T, W]) == [Slot(0, t) for t in (False, transposed, False, transposed)]


def test_any_other_overlap_is_two_parameters(lib):
    (W,) = arrays(lib, (4, 4))
    parts = [W, W[:2, :], W[2:, :], W[:, :2], W[::2, :], W[0, :], W[:1, :]]
    assert plan(parts) == [Slot(i, False) for i in range(7)]
    empty = lib.param(np.zeros((0, 3)))
    assert plan([empty, empty]) == [Slot(0, False), Slot(1, False)]


def test_lists_that_do_not_match_are_refused(lib):
    W, g = arrays(lib, (2, 2), (2, 2))
    with pytest.raises(xg.ShapeError, match="1 params and 2 grads"):
        xg.remove_duplicates([W], [g, g])


VIEWS = [
    lambda a: a, lambda a: a.T, lambda a: a[1:], lambda a: a[:, 1:], lambda a: a[::-1], lambda a: a.T[1:],
    lambda a: a.reshape(-1), lambda a: a[:1], lambda a: a[:1].T, lambda a: a.copy(), lambda a: a.T.copy(),
]  # fmt: skip


@given(
    n=st.integers(1, 4), m=st.integers(1, 4), which=st.lists(st.sampled_from(range(len(VIEWS))), min_size=1, max_size=6)
)
@settings(max_examples=300)
def test_the_plan_merges_slots_with_the_same_memory_and_no_others(n, m, which):
    base = np.zeros((n, m))
    views = [v for v in (VIEWS[k](base) for k in which) if v.size]
    for i, slot in enumerate(plan(views)):
        assert slot.first <= i
        view = views[i].T if slot.transposed else views[i]
        base[...] = np.arange(n * m).reshape(n, m)  # all values differ, so that equal views are equal memory
        one_memory = [j for j, v in enumerate(views[:i]) if same_cells(v, view) or same_cells(v, view.T)]
        assert (slot.first < i) == bool(one_memory)
        assert slot.first == i or same_cells(views[slot.first], view)


def same_cells(a, b):
    return a.shape == b.shape and a.ndim in (1, 2) and addresses(a) == addresses(b)


def addresses(a):
    return [a[i : i + 1].__array_interface__["data"][0] if a.ndim == 1 else addresses(a[i]) for i in range(a.shape[0])]


# --- docs/differences.md: the chapter's rule fails these ---


def trains_two_zero_matrices(rule):
    p = [np.zeros((4, 3)), np.zeros((3, 4))]
    optimizer = xg.Momentum(lr=1.0)
    for step in range(2):
        p[1][0, 0] = step  # the values differ from the second step on, as in training
        params, grads = rule(p, [np.ones((4, 3)), np.ones((3, 4))])
        assert len(params) == 2
        optimizer.update(params, grads)


def test_row_5_momentum_meets_the_same_lists_at_every_step():
    trains_two_zero_matrices(xg.remove_duplicates)
    with pytest.raises(AssertionError):
        trains_two_zero_matrices(chapter_like.remove_duplicates)


def steps_once(rule):
    W, g1, g2 = np.full((2, 2), 3.0), np.ones((2, 2)), np.ones((2, 2))
    xg.AdaGrad(lr=0.5).update(*rule([W, W], [g1, g2]))  # its first step is lr, whatever the gradient
    np.testing.assert_allclose(W, 3.0 - 0.5, rtol=1e-6)


def test_row_5b_a_layer_used_twice_takes_one_step():
    steps_once(xg.remove_duplicates)
    with pytest.raises(AssertionError):
        steps_once(lambda params, grads: (params, grads))


# --- nothing is read ---


def test_no_value_is_compared_and_nothing_is_read(monkeypatch):
    strict = pytest.importorskip("array_api_strict")
    W, g, h, V, k = (strict.asarray(np.ones(s)) for s in ((2, 3), (2, 3), (3, 2), (3, 2), (3, 2)))

    def read(*_):
        raise AssertionError("a value was read")

    for method in ("__bool__", "__float__", "__int__", "__index__", "__eq__", "__ne__", "__lt__", "__gt__"):
        monkeypatch.setattr(type(W), method, read)
    params, grads = xg.remove_duplicates([W, W.T, V], [g, h, k])
    monkeypatch.undo()
    assert len(params) == len(grads) == 2


# --- through Trainer, with every optimizer ---


def one_layer_object_twice(lib, w):
    A = xg.Affine(lib.param(w["W"]), lib.param(w["b"]))
    return xg.Chain(A, xg.Sigmoid(), A, loss=xg.SoftmaxWithLoss())


def one_array_in_two_layers(lib, w):
    W, b = lib.param(w["W"]), lib.param(w["b"])
    return xg.Chain(xg.Affine(W, b), xg.Sigmoid(), xg.Affine(W, b), loss=xg.SoftmaxWithLoss())


def tied(lib, w):
    W = lib.param(w["W"])
    return xg.Chain(xg.MatMul(W), xg.Sigmoid(), xg.MatMul(W.T), loss=xg.SoftmaxWithLoss())


def equal_but_unrelated(lib, w):
    return xg.Chain(
        xg.MatMul(lib.param(w["W"])), xg.Sigmoid(), xg.MatMul(lib.param(w["W"].T.copy())), loss=xg.SoftmaxWithLoss()
    )  # fmt: skip


def gradients(kind, x, t, p):
    """The gradients of the model of that kind with float64 parameters p, by hand."""
    if kind in (one_layer_object_twice, one_array_in_two_layers):
        _, (dW1, db1, dW2, db2) = two_layers(x, t, p[0], p[1], p[0], p[1])
        return [dW1 + dW2, db1 + db2]
    first, second = p[0], p[0].T if kind is tied else p[1]
    _, (dW1, _, dW2, _) = two_layers(x, t, first, np.zeros(first.shape[1]), second, np.zeros(second.shape[1]))
    return [dW1 + dW2.T] if kind is tied else [dW1, dW2]


@pytest.mark.parametrize("name", MAKE)
@pytest.mark.parametrize("kind", [one_layer_object_twice, one_array_in_two_layers, tied, equal_but_unrelated])
def test_trains_as_by_hand(lib, kind, name):
    x, t = toy(n=12, d=4, classes=4)
    rng = np.random.Generator(np.random.Philox(3))
    w = {"W": rng.standard_normal((4, 3) if kind in (tied, equal_but_unrelated) else (4, 4)), "b": np.arange(4) / 4}
    trained, want = train_both(lib, kind, name, w, x, t)
    assert len(trained) == len(want)
    for a, b in zip(trained, want, strict=True):
        assert gap(a, b) < 1e-9


@pytest.mark.parametrize("name", ["SGD", "Momentum"])  # the others divide one rounding error by another here
@pytest.mark.parametrize("kind", [tied, equal_but_unrelated])
def test_matrices_of_zeros_train_as_by_hand(lib, kind, name):
    x, t = toy(n=10, d=4, classes=4)  # not as many of each class
    trained, want = train_both(lib, kind, name, {"W": np.zeros((4, 3))}, x, t)
    assert len(trained) == len(want)
    assert np.abs(want[-1]).max() > 1e-3
    for a, b in zip(trained, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-14)


def train_both(lib, kind, name, w, x, t):
    """The trained parameters, each once, and those of the reference."""
    begin = [w["W"], w["W"].T] if kind is equal_but_unrelated else [w["W"]] if kind is tied else [w["W"], w["b"]]
    reference = Reference(RULES[name], begin, lr=0.05)
    for _ in range(6):
        reference.update(gradients(kind, x, t, reference.params))
    model = kind(lib, w)
    xg.Trainer(model, MAKE[name](lr=0.05)).fit(
        lib.array(x), lib.array(t), max_epoch=6, batch_size=len(x), eval_interval=None
    )
    return [lib.numpy(p) for _, p, _ in model.named_parameters()], reference.params


def test_one_gradient_listed_twice_counts_once(lib):
    """A node may use one gradient array for two slots: then it is the sum already."""
    W, g, other = arrays(lib, (2, 3), (2, 3), (2, 3))
    before = lib.numpy(g)
    params, grads = xg.remove_duplicates([W, W], [g, g])
    assert len(params) == len(grads) == 1 and params[0] is W and grads[0] is g
    np.testing.assert_array_equal(lib.numpy(g), before)
    _, grads = xg.remove_duplicates([W, W], [g, other])
    np.testing.assert_array_equal(lib.numpy(grads[0]), before + lib.numpy(other))
