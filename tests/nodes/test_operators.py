"""Operators, reductions and axes: values, the edges of their domains, float16, and what they refuse."""

import json
import math

import numpy as np
import pytest

import xpgraph as xg
from xpgraph import ShapeError

RNG = np.random.default_rng(8)
X, Y, W = RNG.uniform(0.5, 2, (4, 6)), RNG.uniform(0.5, 2, (4, 6)), RNG.standard_normal((6, 3))

VALUES = {
    "Subtract": (xg.Subtract, (X, Y[0]), X - Y[0]),
    "Divide": (xg.Divide, (X, Y[:, :1]), X / Y[:, :1]),
    "Exp": (xg.Exp, (X,), np.exp(X)),
    "Log": (xg.Log, (X,), np.log(X)),
    "Power 2": (lambda: xg.Power(2), (-X,), X * X),
    "Power -1": (lambda: xg.Power(-1), (X,), 1 / X),
    "Power 0.5": (lambda: xg.Power(0.5), (X,), np.sqrt(X)),
    "Dot": (xg.Dot, (X, W), X @ W),
    "Dot of 3-D": (xg.Dot, (X.reshape(2, 2, 6), W), (X @ W).reshape(2, 2, 3)),
    "Max": (xg.Max, (X,), X.max(axis=0, keepdims=True)),
    "Max of all": (lambda: xg.Max(None, keepdims=False), (X,), X.max()),
    "Mean": (lambda: xg.Mean(-1, keepdims=False), (X,), X.mean(axis=-1)),
    "Transpose": (xg.Transpose, (X,), X.T),
    "Transpose, axes": (lambda: xg.Transpose((1, 2, 0)), (X.reshape(2, 2, 6),), X.reshape(2, 2, 6).transpose(1, 2, 0)),
    "Reshape": (lambda: xg.Reshape((2, -1)), (X,), X.reshape(2, 12)),
    "Reshape to one axis": (lambda: xg.Reshape(24), (X,), X.reshape(24)),
    "Concat": (lambda: xg.Concat(1), (X, Y, X), np.concatenate([X, Y, X], axis=1)),
}


@pytest.mark.parametrize("case", VALUES)
def test_forward_is_its_formula(lib, case):
    make, inputs, want = VALUES[case]
    y = lib.numpy(make().forward(*map(lib.array, inputs)))
    assert y.shape == want.shape
    np.testing.assert_allclose(y, want, rtol=1e-14)


def test_split_gives_equal_parts(lib):
    node = xg.Split(3, axis=1)
    ys = [lib.numpy(y) for y in node.forward(lib.array(X))]
    assert [y.tolist() for y in ys] == [p.tolist() for p in np.split(X, 3, axis=1)]
    assert node.n_outputs == 3 and xg.Branch(4).n_outputs == 4 and xg.Exp().n_outputs == 1


def gradient(lib, node, *inputs):
    y = node.forward(*(lib.array(x, "float64") for x in inputs))
    dxs = node.backward(lib.array(np.ones(tuple(y.shape))))
    return lib.numpy(dxs[0] if isinstance(dxs, tuple) else dxs).tolist()


def test_the_largest_of_equals_share_the_gradient(lib):
    assert gradient(lib, xg.Max(axis=1), [[1, 5, 5, 0], [2, 2, 2, 2], [3, 1, 0, 2]]) == [
        [0, 0.5, 0.5, 0], [0.25] * 4, [1, 0, 0, 0],
    ]  # fmt: skip
    x = [[1.0, math.nan]]
    assert np.isnan(gradient(lib, xg.Max(axis=1), x)).all()
    assert np.isnan(lib.numpy(xg.Max(axis=1).forward(lib.array(x)))).all()


def test_a_power_at_zero(lib):
    """p x^(p-1) is 0 at 0 for p > 1 and for p = 0, 1 for p = 1."""
    assert [gradient(lib, xg.Power(p), [0.0]) for p in (0, 1, 2, 2.5)] == [[0.0], [1.0], [0.0], [0.0]]
    assert [repr(xg.Power(p)) for p in (2, 2.0, 0.5)] == ["Power(p=2)", "Power(p=2)", "Power(p=0.5)"]


def test_outside_their_domain_they_return_what_the_library_does():
    """Nothing is hidden: infinite or NaN, and NumPy warns."""
    zero, one = np.zeros(1), np.ones(1)
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        assert xg.Log().forward(zero) == -math.inf
    with pytest.warns(RuntimeWarning, match="invalid value"):
        assert np.isnan(xg.Log().forward(-one))
    node = xg.Divide()
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        assert node.forward(one, zero) == math.inf
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        assert [float(d[0]) for d in node.backward(one)] == [math.inf, -math.inf]
    with pytest.warns(RuntimeWarning, match="overflow"):
        assert xg.Exp().forward(np.asarray([89], np.float32)) == math.inf


def test_a_quotients_gradient_stays_in_range(lib):
    """x / y² is finite where y² is not."""
    node = xg.Divide()
    node.forward(lib.array([1e30], "float32"), lib.array([1e25], "float32"))
    _, dy = node.backward(lib.array([1.0], "float32"))
    assert float(lib.numpy(dy)[0]) == pytest.approx(-1e-20, rel=1e-5)


def test_what_they_refuse(lib):
    x = lib.array(X)
    for node, inputs, words in [
        (xg.Subtract(), (x, lib.array(np.ones(5))), r"Subtract\.forward: x is \(4, 6\) and y is \(5,\)"),
        (xg.Divide(), (x, lib.array(np.ones(5))), r"Divide\.forward: x is \(4, 6\) and y is \(5,\)"),
        (xg.Dot(), (x, x), r"Dot\.forward: x is \(4, 6\) but y is \(4, 6\); x needs 4 columns"),
        (xg.Dot(), (x, lib.array(np.ones(6))), r"Dot\.forward: y is \(6,\); give a matrix"),
        (xg.Max(1), (lib.array(np.ones((2, 0))),), "over axis 1 it needs at least one element"),
        (xg.Mean(2), (x,), r"Mean\.forward: x is \(4, 6\) but axis is 2; name axes that x has"),
        (xg.Transpose((0,)), (x,), r"axes is \(0,\); name every axis once"),
        (xg.Reshape((5, -1)), (x,), r"x is \(4, 6\), 24 elements, which do not fill \(5, -1\)"),
        (xg.Concat(1), (x, lib.array(W)), r"x2 is \(6, 3\) and x1 is \(4, 6\); give shapes .* equal except on axis 1"),
        (xg.Split(5), (x,), r"x is \(4, 6\) but n is 5; axis 0 needs a multiple of 5"),
    ]:
        with pytest.raises(ShapeError, match=words):
            node.forward(*inputs)
        with pytest.raises((xg.Error, ShapeError), match=r"forward has not been called|gradients came for n=5"):
            node.backward(x)
    for make, words in [
        (lambda: xg.Power("2"), r"Power: p is '2'; give a number, such as Power\(2\)"),
        (lambda: xg.Max(axis=0.5), r"Max: axis is 0\.5; give a whole number"),
        (lambda: xg.Reshape((-1, -1)), "give lengths from 0 up, and -1 once at most"),
        (lambda: xg.Reshape("24"), "Reshape: shape is '24'; give whole numbers"),
        (lambda: xg.Split(0), "Split: n is 0; give a whole number from 1 up"),
        (lambda: xg.Concat(None), r"Concat: axis is \(None,\); give whole numbers"),
    ]:
        with pytest.raises(ValueError, match=words):
            make()
    with pytest.raises(xg.DTypeError, match=r"Log\.forward: x is int64"):
        xg.Log().forward(lib.array([1, 2], "int64"))


def test_means_and_sums_of_float16_are_made_in_float32():
    """n and the sum may be too large for float16."""
    x = np.full((70000, 2), 0.5, np.float16)
    for axis, n in ((0, 70000), (None, 140000)):
        node = xg.Mean(axis)
        y = node.forward(x)
        assert y.dtype == np.float16 and (y == 0.5).all()
        dx = node.backward(np.full_like(y, 1000.0))
        assert dx.dtype == np.float16 and (dx == np.float16(1000 / n)).all()
    ones = xg.Sum(0).forward(np.ones((5000, 2), np.float16))
    assert ones.dtype == np.float16 and (ones == 5000).all()
    assert xg.Sum(None, keepdims=False).forward(x[:9]).dtype == np.float16


def test_gradients_in_float16_are_summed_in_float32():
    dy = np.ones((5000, 2), np.float16)
    bias, repeated = xg.Add(), xg.Repeat(5000)
    bias.forward(dy, dy[0])
    repeated.forward(dy[:1])
    for db in (bias.backward(dy)[1], repeated.backward(dy)):
        assert db.dtype == np.float16 and (db == 5000).all()


def test_options_are_whole_numbers_that_a_file_can_hold(tmp_path):
    one = np.int64(1)
    nodes = [
        xg.Sum(one), xg.Mean((one,)), xg.Max([one]), xg.Transpose((one, np.int32(0))), xg.Reshape((np.int64(-1), one)),
        xg.Concat(one), xg.Split(np.int64(1), one), xg.Repeat(np.int64(2), one), xg.Branch(one),
    ]  # fmt: skip
    for node in nodes:
        values = [getattr(node, name) for name in node.options]
        assert all(type(v) in (int, bool, tuple) for v in values) and json.dumps(values)
    xg.Chain(xg.Affine(W, np.ones(3)), *nodes[:3]).save(tmp_path / "m.safetensors")
    assert repr(xg.load(tmp_path / "m.safetensors")[0].nodes[2]) == "Mean(axis=(1,), keepdims=True)"
    for make in (xg.Sum, xg.Mean, xg.Max):
        for axis in ("", True, 0.0, (0, True), (0.0,), False, np.bool_(True)):
            with pytest.raises(ValueError, match=r"axis is .*; give a whole number"):
                make(axis)
    for wrong in (True, 1.0, "", None):
        for make in (xg.Concat, lambda axis: xg.Split(2, axis), lambda axis: xg.Repeat(2, axis), xg.Reshape):
            with pytest.raises(ValueError, match="give"):
                make(wrong)
    with pytest.raises(ValueError, match="give whole numbers"):
        xg.Transpose((True, 0))


def test_repeat_like_an_array_of_length_0(lib):
    node = xg.Repeat(None)
    y = node.forward(lib.array([[1.0, 2.0]]), lib.array(np.ones((0, 2))))
    assert tuple(y.shape) == (0, 2)
    assert lib.numpy(node.backward(y)).tolist() == [[0.0, 0.0]]
