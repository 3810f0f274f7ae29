"""What nodes refuse, and the three beats of the message: what was being done, what was found, what to do."""

import re

import numpy as np
import pytest

import xpgraph as xg
from xpgraph.errors import DTypeError, Error, LibraryError, ShapeError

ELEMENTWISE = {"Sigmoid": xg.Sigmoid, "ReLU": xg.ReLU, "Tanh": xg.Tanh}
ONE_INPUT = {**ELEMENTWISE, "Softmax": xg.Softmax, "Sum": xg.Sum, "Branch": xg.Branch, "Repeat": lambda: xg.Repeat(2)}


def refusal(error, call, *args, **options):
    """The message of the error, which has three beats."""
    with pytest.raises(error) as caught:
        call(*args, **options)
    words = str(caught.value)
    assert isinstance(caught.value, Error) and re.fullmatch(r"[A-Za-z_.]+: [^;]+; .+\.", words, re.DOTALL), words
    return words


def affine(lib, dtype="float64"):
    return xg.Affine(lib.param(np.zeros((2, 10)), dtype), lib.param(np.zeros(10), dtype))


def test_wrong_columns(lib):
    words = refusal(ShapeError, affine(lib).forward, lib.array(np.zeros((30, 3))))
    assert words == "Affine.forward: x is (30, 3) but W is (2, 10); x needs 2 columns."
    words = refusal(ShapeError, xg.MatMul(lib.param(np.zeros((2, 10)))).forward, lib.array(1.0))
    assert words == "MatMul.forward: x is () but W is (2, 10); x needs 2 columns."


def test_an_array_of_another_library(lib):
    other = np.zeros((4, 2))
    if lib.place.library.name == "numpy":
        torch = pytest.importorskip("torch", reason="a second library on the host is needed")
        other = torch.asarray(other)
    here, there = str(lib.place), "torch" if lib.place.library.name == "numpy" else "numpy"
    words = refusal(LibraryError, xg.MatMul(lib.param(np.zeros((2, 10)))).forward, other)
    assert words == (
        f"MatMul.forward: x is a {there} array, W lives in {here}; make x with the same library: xp.asarray(x)."
    )
    for node in (xg.Add(), xg.Multiply()):
        refusal(LibraryError, node.forward, lib.array(np.zeros((4, 2))), other)
    refusal(LibraryError, xg.Affine, lib.param(np.zeros((4, 2))), other[0, :])
    for make in ONE_INPUT.values():
        node = make()
        ys = node.forward(lib.array(np.zeros((4, 2))))
        wrong = other if make is not ONE_INPUT["Repeat"] else other[:2, :]
        refusal(LibraryError, node.backward, *([wrong] * (len(ys) if isinstance(ys, tuple) else 1)))


def test_another_dtype(lib):
    x32 = lib.array(np.zeros((4, 2)), "float32")
    words = refusal(DTypeError, affine(lib).forward, x32)
    assert words == "Affine.forward: x is float32 but W is float64; give both one dtype: xp.astype(x, W.dtype)."
    for node in (xg.Add(), xg.Multiply()):
        refusal(DTypeError, node.forward, lib.array(np.zeros((4, 2))), x32)
    for make in ELEMENTWISE.values():
        node = make()
        node.forward(lib.array(np.zeros((4, 2))))
        refusal(DTypeError, node.backward, x32)
    with pytest.raises(LibraryError, match=r"W is float64 in .* but b is float32 in .*; make both"):
        xg.Affine(lib.param(np.zeros((2, 3))), lib.param(np.zeros(3), "float32"))


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool", "complex64"])
def test_numbers_that_are_not_real_and_floating(lib, dtype):
    wrong = lib.array(np.zeros((4, 2)), dtype)
    for make in ONE_INPUT.values():
        words = refusal(DTypeError, make().forward, wrong)
        assert f" is {dtype}; convert it to a real floating dtype, such as float32." in words
    for node in (xg.Add(), xg.Multiply()):
        refusal(DTypeError, node.forward, wrong, wrong)
    refusal(DTypeError, affine(lib).forward, wrong)
    refusal(DTypeError, xg.SoftmaxWithLoss().forward, wrong, lib.array([0, 0, 0, 0]))
    refusal(DTypeError, xg.MatMul, lib.param(np.zeros((4, 2)), dtype))
    refusal(DTypeError, xg.Affine, lib.param(np.zeros((4, 2)), dtype), lib.param(np.zeros(2), dtype))


@pytest.mark.parametrize("wrong", [[[0.0, 0.0]], 1.0, 1, None, "x"], ids=lambda w: type(w).__name__)
def test_what_is_no_array(lib, wrong):
    kind = type(wrong).__name__
    for make in ONE_INPUT.values():
        assert f"x is a {kind}; make it an array" in refusal(DTypeError, make().forward, wrong)
    assert f"x is a {kind};" in refusal(DTypeError, affine(lib).forward, wrong)
    assert f"y is a {kind};" in refusal(DTypeError, xg.Add().forward, lib.array([1.0]), wrong)
    assert f"W is a {kind};" in refusal(DTypeError, xg.MatMul, wrong)
    node = xg.Tanh()
    node.forward(lib.array([1.0]))
    assert f"dy is a {kind};" in refusal(DTypeError, node.backward, wrong)


def test_a_foreign_byte_order_is_named():
    x = np.zeros((1, 2), np.dtype(float).newbyteorder())
    words = refusal(DTypeError, xg.MatMul(np.zeros((2, 3))).forward, x)
    assert "x is float64 of foreign byte order; convert it to a real floating dtype" in words


def test_wrong_shapes(lib):
    def zeros(*shape):
        return lib.param(np.zeros(shape))

    assert refusal(ShapeError, xg.MatMul, zeros(3)) == "MatMul: W is (3,); give a matrix (inputs, outputs)."
    for shape in ((3,), (2, 3, 3)):
        words = refusal(ShapeError, xg.Affine, zeros(*shape), zeros(3))
        assert words == f"Affine: W is {shape}; give a matrix (inputs, outputs)."
    words = refusal(ShapeError, xg.Affine, zeros(2, 3), zeros(2))
    assert words == "Affine: W is (2, 3) but b is (2,); b needs (3,)."
    for node, who in ((xg.Add(), "Add"), (xg.Multiply(), "Multiply")):
        words = refusal(ShapeError, node.forward, zeros(2, 3), zeros(2))
        assert words == f"{who}.forward: x is (2, 3) and y is (2,); from the last axis on, lengths must be equal or 1."
    for axis in (2, -3, (0, 0), (0, -2)):
        assert "name axes that x has, each once" in refusal(ShapeError, xg.Sum(axis).forward, zeros(2, 3))
    refusal(ShapeError, xg.Repeat(2, axis=2).forward, zeros(2, 3))
    refusal(ShapeError, xg.Repeat(2).forward, zeros())


def test_backward_before_forward(lib):
    g = lib.array(np.zeros((4, 10)))
    for node in (xg.Add(), xg.Multiply(), *(make() for make in ONE_INPUT.values()), affine(lib)):
        gs = [g, g] if isinstance(node, xg.Branch) else [g]
        words = refusal(Error, node.backward, *gs)
        assert words.endswith(".backward: forward has not been called; call it before backward.")


def test_a_gradient_of_another_shape(lib):
    x, wrong = lib.array(np.zeros((4, 2))), lib.array(np.zeros((4, 3)))
    for make in ONE_INPUT.values():
        node = make()
        node.forward(x)
        gs = [wrong, wrong] if isinstance(node, xg.Branch) else [wrong]
        assert "dy" in refusal(ShapeError, node.backward, *gs)
    node = affine(lib)
    node.forward(x)
    words = refusal(ShapeError, node.backward, wrong)
    assert words == "Affine.backward: dy is (4, 3) but forward returned (4, 10); give it that shape."
    node = xg.Add()
    node.forward(x, x)
    assert "dz is (4, 3) but forward returned (4, 2)" in refusal(ShapeError, node.backward, wrong)
    node = xg.Branch(3)
    node.forward(x)
    assert refusal(ShapeError, node.backward, x, x).startswith("Branch.backward: 2 gradients came for n=3 branches")


@pytest.mark.parametrize("n", [0, -1, 1.5, True, "2"])
def test_counts_are_whole_numbers_from_1_up(n):
    for make in (xg.Branch, xg.Repeat):
        with pytest.raises(ValueError, match="give a whole number from 1 up"):
            make(n)


@pytest.mark.parametrize("axis", [None, (0,), 1.0, True])
def test_repeat_takes_one_axis(axis):
    with pytest.raises(ValueError, match="give the number of one axis"):
        xg.Repeat(2, axis)


def test_a_python_number_is_the_label_of_a_single_row_only(lib):
    x = lib.array([1.0, 3.0, 2.0])
    loss = float(xg.SoftmaxWithLoss().forward(x, 1))
    assert loss == float(xg.SoftmaxWithLoss().forward(x, lib.array(1, "int64"))) < 0.5
    assert refusal(DTypeError, xg.SoftmaxWithLoss().forward, lib.array([[1.0, 3.0], [2.0, 1.0]]), 1).startswith(
        "SoftmaxWithLoss.forward: t is a int; make it an array, such as numpy.asarray(t), of class indices"
    )
