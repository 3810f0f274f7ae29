"""``check_node`` finds nothing in xpgraph's nodes on any library, and finds each flaw that it looks for."""

import numpy as np
import pytest
from students import chapter_like, flawed, own

import xpgraph as xg
from xpgraph.arrays.libraries import to_numpy
from xpgraph.testing import Finding, check_node
from xpgraph.testing.findings import table

RNG = np.random.default_rng(0)
X, W, B = RNG.standard_normal((4, 3)), RNG.standard_normal((3, 2)), RNG.standard_normal(2)
T = np.array([0, 2, 1, 1])

RIGHT = {
    "Add": (xg.Add, (X, X[0])),
    "Multiply": (xg.Multiply, (X, X[:, :1])),
    "Branch": (lambda: xg.Branch(3), X),
    "Repeat": (lambda: xg.Repeat(2), X),
    "Repeat along columns": (lambda: xg.Repeat(2, 1), X),
    "Sum": (xg.Sum, X),
    "Sum along columns": (lambda: xg.Sum(1), X),
    "Sum of all": (lambda: xg.Sum(None, keepdims=False), X),
    "MatMul": (lambda: xg.MatMul(W), None),
    "Affine": (lambda: xg.Affine(W, B), None),
    "Affine on vectors": (lambda: xg.Affine(W, B), X[0]),
    "Sigmoid": (xg.Sigmoid, None),
    "ReLU": (xg.ReLU, None),
    "ReLU at its kink": (xg.ReLU, np.array([[0.0, 1.0], [-1.0, 0.0]])),
    "Tanh": (xg.Tanh, None),
    "Softmax": (xg.Softmax, None),
    "SoftmaxWithLoss": (xg.SoftmaxWithLoss, None),
    "SoftmaxWithLoss, soft labels": (xg.SoftmaxWithLoss, (X, np.full((4, 3), 0.25))),
    "Chain": (lambda: xg.Chain(xg.Affine(W, B), xg.Tanh(), xg.MatMul(W.T)), None),
    "no rows": (xg.Sigmoid, np.zeros((0, 3))),
}
FUNCTIONS = {"softmax": (xg.softmax, X), "cross_entropy_loss": (xg.cross_entropy_loss, (np.abs(X), T))}


def moved(make, lib):
    node = make()
    return node.to(lib.place)


@pytest.mark.parametrize("case", RIGHT)
def test_nothing_is_found_in_the_nodes_of_xpgraph(lib, case):
    make, inputs = RIGHT[case]
    assert check_node(make, inputs, backend=lib.place) == []
    assert check_node(moved(make, lib), inputs, backend=lib.place) == []


@pytest.mark.parametrize("case", FUNCTIONS)
def test_nothing_is_found_in_the_functions_of_xpgraph(lib, case):
    function, inputs = FUNCTIONS[case]
    assert check_node(function, inputs, backend=lib.place) == []


@pytest.mark.parametrize(
    ("node", "inputs"),
    [
        (own.Square, None),
        (own.Square(), np.float64(2.0)),
        (own.Scale(), None),
        (own.MeanSquareLoss, (X, X + 1)),
        (own.LossWithoutArgument, None),
        (own.Exp, None),
        (own.Log, np.abs(X)),
        (own.Embedding, np.array([0, 3, 3])),
        (own.Centred, X),
        (chapter_like.cross_entropy_loss, (np.abs(X), T)),
    ],
    ids=lambda v: getattr(v, "__name__", ""),
)
def test_nothing_is_found_in_classes_of_a_users_own(node, inputs):
    assert check_node(node, inputs) == []


def test_a_node_is_not_changed_by_its_checks():
    for node in (own.Scale(), own.Slotted()):
        node.forward(X)
        node.grads[0][...] = 7.0
        check_node(node, X)
        np.testing.assert_array_equal(node.params[0], [1.0, -2.0, 3.0])
        np.testing.assert_array_equal(node.grads[0], [7.0, 7.0, 7.0])
        np.testing.assert_array_equal(node.x, X)


# --- one class for each finding -------------------------------------------------------------------------------


WRONG = [
    (flawed.Raises, None, {"forward and backward"}),
    (flawed.OneGradient, (X, X + 1), {"number of gradients"}),
    (flawed.NotSummedBack, (X, X[0]), {"shape of gradient"}),
    (flawed.NoGrads, None, {"params and grads"}),
    (flawed.NewGrads, None, {"gradients in place"}),
    (flawed.LossOfRows, None, {"forward returns the loss"}),
    (flawed.WritesIntoInput, None, {"inputs untouched"}),
    (flawed.WritesIntoGradient, None, {"inputs untouched"}),
    (flawed.WrongSlope, None, {"gradient of input 0"}),
    (flawed.WrongInOneElement, None, {"gradient of input 0"}),
    (flawed.WrongParameterSlope, None, {"gradient of parameter 0"}),
    (flawed.Accumulates, None, {"backward twice"}),
    (flawed.NotQuiteLinear, None, {"backward(2g)"}),
    (flawed.Counts, None, {"forward twice"}),
    (flawed.AlwaysFloat64, None, {"dtype"}),
    (flawed.ReturnsItsInput, None, {"aliasing"}),
    (flawed.ReturnsItsGradient, None, {"aliasing"}),
    (flawed.ReturnsWhatItKeeps, None, {"aliasing"}),
    (flawed.Overflows, None, {"extreme values"}),
    (flawed.OneMaximum, None, {"extreme values"}),
    (flawed.TwoAxes, None, {"3-D inputs"}),
    (flawed.TwoAxesOrAnError, None, {"3-D inputs refused"}),
]


@pytest.mark.parametrize(("node", "inputs", "checks"), WRONG, ids=lambda v: getattr(v, "__name__", ""))
def test_each_flaw_is_found_and_nothing_else(node, inputs, checks):
    findings = check_node(node, inputs)
    assert {f.check for f in findings} == checks, table(findings)
    for finding in findings:
        assert finding.name == node.__name__
        assert all(len(cell) > 0 for cell in finding)
        assert finding.expected != finding.found


def test_what_backward_writes_is_found_too():
    assert "backward writes into them" in {f.found for f in check_node(flawed.WritesIntoInputLater)}
    assert "the parameters as they were" in {f.expected for f in check_node(flawed.WritesIntoParameters)}


def test_an_array_of_another_library_is_found(lib):
    if lib.name.startswith("numpy"):
        pytest.skip("numpy: a NumPy array is not an array of another library here")

    class Leaves(own.Square):
        def forward(self, x):
            self.x = to_numpy(x).copy()
            return self.x * self.x

        def backward(self, dy):
            return 2.0 * self.x * to_numpy(dy)

    findings = check_node(Leaves, backend=lib.place)
    assert {f.check for f in findings} == {"device"}, table(findings)


# --- the chapter's classes ------------------------------------------------------------------------------------


def test_the_flaws_of_the_chapter_are_reported():
    found = {
        name: {f.check for f in check_node(getattr(chapter_like, name))}
        for name in ("softmax", "SoftmaxWithLoss", "Sigmoid")
    }
    assert found["softmax"] == {"inputs untouched", "3-D inputs"}
    assert {"forward returns the loss", "inputs untouched"} <= found["SoftmaxWithLoss"]
    assert not any(check.startswith("gradient") for check in found["SoftmaxWithLoss"])
    assert "extreme values" in found["Sigmoid"]
    assert not any(check.startswith(("gradient", "backward")) for check in found["Sigmoid"])
    (loss,) = (f for f in check_node(chapter_like.SoftmaxWithLoss) if f.check == "forward returns the loss")
    assert "probabilities" in loss.found


def test_what_cannot_be_checked_is_refused():
    with pytest.raises(TypeError, match=r"give the object"):
        check_node(xg.Affine)
    with pytest.raises(TypeError, match=r"found a int without forward"):
        check_node(3)
    with pytest.raises(TypeError, match=r"found a dict without forward"):
        check_node(dict)
    with pytest.raises(xg.BackendError, match="unknown"):
        check_node(own.Square, backend="abacus")


def test_a_name_can_be_given_and_findings_have_a_table():
    (finding,) = check_node(flawed.WrongSlope, name="mine")
    assert finding == Finding("mine", *finding[1:])
    text = table([finding])
    assert text.splitlines()[0].split() == ["class", "check", "expected", "found", "hint"]
    assert "mine" in text and str(finding).startswith("mine: gradient of input 0: expected ")
    assert table([]) == "no findings"


def test_gradients_too_small_to_be_doubled_exactly_are_no_finding():
    """1e-308 and less: there the distance between neighbours no longer shrinks with the number."""
    assert check_node(xg.Sigmoid, X * 710 / np.abs(X)) == []
