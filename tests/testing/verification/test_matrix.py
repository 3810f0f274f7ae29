"""docs/backends.md agrees with what ``check_node`` finds here."""

import pytest
from pages import ROOT

from xpgraph.arrays.kernels import TABLE
from xpgraph.nodes import basic as nodes
from xpgraph.nodes import layers, losses
from xpgraph.testing.formulas.textbook import FORMULAS
from xpgraph.testing.verification import matrix

PAGE = ROOT / "docs" / "backends.md"


def test_the_page_agrees_with_the_checks():
    """Libraries that can be used here are checked; the cells of the others are taken from the page."""
    text = PAGE.read_text("utf-8")
    assert matrix.page(text) == text, "run ci/matrix"
    assert "| fail |" not in text


def test_every_node_is_in_the_matrix():
    assert set(matrix.cases()) == set(FORMULAS)


def test_a_library_that_cannot_be_used_keeps_its_cells(monkeypatch):
    monkeypatch.setattr(matrix, "usable", lambda name: type("No", (), {"usable": False}))
    text = PAGE.read_text("utf-8")
    assert matrix.page(text) == text
    assert matrix.page("").count("not run") == 4 * len(FORMULAS) + 1  # the legend has one


def test_a_wrong_node_is_a_fail(monkeypatch):
    monkeypatch.setattr(layers.Sigmoid, "backward", lambda self, dy: dy * self.x)
    assert matrix.cell("Sigmoid", "numpy") == "fail"
    assert matrix.cell("Tanh", "numpy") == "pass"


@pytest.mark.parametrize(
    ("node", "kernels"),
    [
        (layers.Affine, {"affine", "affine_grad", "matmul", "sum_to"}),
        (layers.Softmax, {"stable_softmax", "softmax_grad"}),
        (nodes.MatMul, {"matmul"}),
        (losses.SoftmaxWithLoss, {"softmax_cross_entropy", "softmax_cross_entropy_grad"}),
    ],
)
def test_the_kernels_of_a_node(node, kernels):
    assert set(matrix.kernels_of(node)) == kernels
    assert kernels <= set(TABLE)


def test_the_command_writes_and_compares(tmp_path, monkeypatch):
    monkeypatch.setattr(matrix, "cell", lambda name, library: "pass")
    page = tmp_path / "page.md"
    assert matrix.main([str(page)]) == 0
    assert matrix.main([str(page), "--check"]) == 0
    page.write_text(page.read_text("utf-8").replace("pass", "slow", 1), "utf-8")
    assert matrix.main([str(page), "--check"]) == 1
