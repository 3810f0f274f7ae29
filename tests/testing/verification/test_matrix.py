"""docs/backends.md says what the checks say here."""

from __future__ import annotations

import pytest
from pages import ROOT

from xpgraph.arrays.kernels import TABLE
from xpgraph.nodes import basic as nodes
from xpgraph.nodes import layers, losses
from xpgraph.testing.formulas.textbook import FORMULAS
from xpgraph.testing.verification import matrix

PAGE = ROOT / "docs" / "backends.md"


def test_the_page_is_what_the_checks_say():
    """What cannot be run here stays as it stands; what can is run."""
    text = PAGE.read_text("utf-8")
    assert matrix.page(text) == text, "write it anew: ci/matrix"
    assert "| fail |" not in text


def test_every_node_stands_in_the_matrix():
    assert set(matrix.cases()) == set(FORMULAS)


def test_a_library_that_is_not_here_keeps_its_cells(monkeypatch):
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


def test_the_command_writes_and_compares(tmp_path):
    page = tmp_path / "page.md"
    assert matrix.main([str(page)]) == 0
    assert matrix.main([str(page), "--check"]) == 0
    page.write_text(page.read_text("utf-8").replace("pass", "slow", 1), "utf-8")
    assert matrix.main([str(page), "--check"]) == 1
