"""The chapter's six test cells: their printed numbers, and, where its text lies beside the repository, their code.

The chapter prints 8 digits after the point of inputs and outputs alike. An input is off by up to 5e-9 then; a sum of
K products of factors below 2 by up to K · 2 · 2 · 5e-9, and an output by another 5e-9 of its own.
"""

import ast
import contextlib
import io
import re

import numpy as np
import printed
import pytest
from pages import ROOT

import xpgraph as xg
from xpgraph.errors import ShapeError

CHAPTER = ROOT.parent / "shared" / "chapter.txt"


def close(got, want, K=1):
    """Equal to the printed digits."""
    got = np.asarray(got)
    return got.shape == np.shape(want) and np.max(np.abs(got - want)) <= (4 * K + 1) * 5e-9


# --- the printed numbers ---


@pytest.mark.parametrize(
    ("node", "cell", "K"),
    [
        (lambda: xg.Repeat(2, axis=0), printed.REPEAT, 2),
        (lambda: xg.Sum(axis=0), printed.SUM, 2),
        (xg.MatMul, printed.MATMUL, 4),
        (xg.Sigmoid, printed.SIGMOID, 1),
        (xg.Affine, printed.AFFINE, 4),
    ],
    ids=["repeat", "sum", "matmul", "sigmoid", "affine"],
)
def test_printed_numbers(lib, node, cell, K):
    node = node(*(lib.param(cell[name]) for name in ("W", "b") if name in cell))
    assert close(lib.numpy(node.forward(lib.array(cell["x"]))), cell["y"], K)
    assert close(lib.numpy(node.backward(lib.array(cell["dy"]))), cell["dx"], K)
    for (name, _, gradient), want in zip(node.named_parameters(), ("dW", "db"), strict=False):
        assert close(lib.numpy(gradient), cell[want], K), name


def test_printed_numbers_of_the_loss(lib):
    cell = printed.SOFTMAX_WITH_LOSS
    node, x, t = xg.SoftmaxWithLoss(), lib.array(cell["x"]), lib.array(cell["t"])
    loss = node.forward(x, t)
    assert close(lib.numpy(node.y), cell["y"]) and close(lib.numpy(node.backward()), cell["dx"])
    assert close(float(xg.cross_entropy_loss(node.y, t, eps=1e-7)), cell["loss"])
    # Without the chapter's 1e-7 the loss is the exact one, which is larger by about 1e-7 / y_t.
    assert close(float(loss), cell["loss"] + 1e-7 * np.mean(1 / cell["y"][[0, 1], [0, 1]]))
    assert not close(float(loss), cell["loss"])


# --- the cells themselves ---


def cells():
    """(number, code, printed text) of every cell ``In [n]:``."""
    text = CHAPTER.read_text("utf-8")
    found = {}
    for number, body in re.findall(r"^In \[(\d)\]:\n(.*?)(?=^In \[|^- \*\*|^## |\Z)", text, re.MULTILINE | re.DOTALL):
        start = re.search(r"^Input x:\n", body, re.MULTILINE).start()
        found[int(number)] = body[:start], body[start:]
    return found


def numbers(text):
    return np.array([float(n) for n in re.findall(r"-?\d+\.\d*|(?<=[\[ ])-?\d+(?=[\] ])", text)])


def blocks(text):
    """What was printed, by its label: ``{"Input x": array, ...}``."""
    return {name: numbers(body) for name, body in re.findall(r"^([A-Z][\w ]*):\n((?:[ \[].*\n?)+)", text, re.MULTILINE)}


DRAWN = {"x": "Input x", "W": "Weights W", "b": "Bias b", "dy": "Gradient dy"}


def run(code, shown):
    """Run a cell on xpgraph: definitions dropped, ``np.random.randn`` returning the inputs that the cell printed."""
    tree = ast.parse(code)
    tree.body = [part for part in tree.body if not isinstance(part, ast.ClassDef | ast.FunctionDef)]
    drawn = iter([n.targets[0].id for n in tree.body if isinstance(n, ast.Assign) and "randn" in ast.unparse(n.value)])
    names = {"np": np, "MatMul": xg.MatMul, "Sigmoid": xg.Sigmoid, "Affine": xg.Affine}
    names |= {"SoftmaxWithLoss": xg.SoftmaxWithLoss, "cross_entropy_loss": xg.cross_entropy_loss}
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out):
        patch.setattr(np.random, "randn", lambda *shape: shown[DRAWN[next(drawn)]].reshape(shape).copy())
        exec(compile(tree, "<cell>", "exec"), names)
    assert next(drawn, None) is None
    return blocks(out.getvalue())


needs_chapter = pytest.mark.skipif(not CHAPTER.exists(), reason="the chapter's text does not lie beside the repository")


@needs_chapter
@pytest.mark.parametrize("number", range(1, 6))  # the code of the first two is NumPy's alone: they try this reader
def test_the_chapters_cell_prints_its_numbers_on_xpgraph(number):
    code, text = cells()[number]
    shown = blocks(text)
    got = run(code, shown)
    assert list(got) == list(shown) and len(shown) >= 4
    for label, want in shown.items():
        assert close(got[label], want, K=4), label


@needs_chapter
def test_the_chapters_loss_cell_differs_in_what_forward_returns():
    code, text = cells()[6]
    shown = blocks(text)
    assert {"Input x", "Softmax Output y", "Gradient dy", "Cross Entropy Loss", "Gradient dx"} <= set(shown)
    with pytest.raises(ShapeError, match=r"y is 0-d, a loss and not probabilities .*cross_entropy_loss\(layer.y, t\)"):
        run(code, shown)
    told = code.replace("cross_entropy_loss(y, t)  #", "cross_entropy_loss(y, t, eps=1e-7)  #")
    told = told.replace("dy = softmax_loss.backward()", "y = softmax_loss.y; dy = softmax_loss.backward()")
    assert told.count("eps=1e-7") == told.count("softmax_loss.y;") == 1
    got = run(told, shown)
    for label, want in shown.items():
        assert close(got[label], want), label
    # The chapter prints x after its softmax wrote into it: the largest of each row is 0. Here x stays what it was.
    shifted = shown["Input x"].reshape(2, 3)
    assert (shifted.max(axis=1) == 0).all()
    x = shifted + np.array([[1.5], [-0.25]])
    moved = run(told, {**shown, "Input x": x})
    assert close(moved["Input x"], x.reshape(-1)) and close(moved["Gradient dy"], shown["Gradient dy"])
