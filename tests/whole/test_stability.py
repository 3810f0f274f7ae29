"""docs/stability.md keeps its word: the chapter's names, with the signatures that the page lists."""

from __future__ import annotations

import ast
import inspect
import re

import numpy as np
import pytest
from pages import ROOT

import xpgraph as xg

PAGE = (ROOT / "docs" / "stability.md").read_text("utf-8")
FROZEN = PAGE.partition("## Frozen\n")[2].partition("\n## ")[0]
ROWS = [
    [re.findall(r"`([^`]+)`", column) for column in row.strip("| ").split(" | ")]
    for row in re.findall(r"^\| `.*$", FROZEN, flags=re.MULTILINE)
]
CHAPTER = {
    "Add", "Multiply", "Branch", "Repeat", "Sum", "MatMul", "Sigmoid", "Affine", "SoftmaxWithLoss", "softmax",
    "cross_entropy_loss", "remove_duplicates", "clip_grads", "SGD", "Momentum", "AdaGrad", "RMSprop", "Adam", "Trainer",
}  # fmt: skip
OPTIMIZERS = ("SGD", "Momentum", "AdaGrad", "RMSprop", "Adam")


def promised(words: str) -> tuple[str, list[tuple[str, object]]]:
    """``fit(x, n=10)`` -> ("fit", [("x", EMPTY), ("n", 10)]); a starred parameter keeps its star."""
    call = ast.parse(f"def {words}: ...").body[0]
    missing = [inspect.Parameter.empty] * (len(call.args.args) - len(call.args.defaults))
    defaults = missing + [ast.literal_eval(d) for d in call.args.defaults]
    named = [(a.arg, d) for a, d in zip(call.args.args, defaults, strict=True)]
    return call.name, named + ([(f"*{call.args.vararg.arg}", inspect.Parameter.empty)] if call.args.vararg else [])


def holds(function, words: str) -> bool:
    """Is the promised signature the beginning of the real one, with what is added optional?"""
    real = [p for p in inspect.signature(function).parameters.values() if p.name != "self"]
    want = promised(words)[1]
    for p, (name, default) in zip(real, want, strict=False):
        starred = "*" * (p.kind is p.VAR_POSITIONAL) + p.name
        free = default is inspect.Parameter.empty and p.default is None  # what was required may be left out one day
        if starred != name or not (p.default == default or free) or p.kind is p.KEYWORD_ONLY:
            return False
    added = real[len(want) :]
    return len(real) >= len(want) and all(p.default is not p.empty or p.kind is p.VAR_POSITIONAL for p in added)


def test_the_page_lists_the_chapter():
    assert {promised(row[0][0])[0] for row in ROWS} == CHAPTER and len(ROWS) == len(CHAPTER)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: promised(row[0][0])[0])
def test_names_and_signatures(row):
    name, _ = promised(row[0][0])
    thing = getattr(xg, name)
    assert name in xg.__all__ and holds(thing, row[0][0]), f"{name}{inspect.signature(thing)}"
    for method in row[1] if len(row) > 1 else ():
        function = getattr(thing, promised(method)[0])
        assert holds(function, method), f"{name}.{method}: {inspect.signature(function)}"


def test_this_test_can_fail():
    def fit(x, t, max_epoch=10, *, batch_size=32): ...

    assert holds(fit, "fit(x, t, max_epoch=10)") and holds(fit, "fit(x, t)")
    for wrong in (
        "fit(x)",
        "fit(t, x)",
        "fit(x, t, max_epoch=20)",
        "fit(x, t, max_epoch=10, batch_size=32)",
        "fit(x, t, max_epoch=10, more=1)",
    ):
        assert not holds(fit, wrong), wrong


def test_attributes():
    listed = {promised(row[0][0])[0]: row[2] for row in ROWS if len(row) > 2}
    assert set(listed) == {*OPTIMIZERS, "Trainer"}
    for name in OPTIMIZERS:
        optimizer = getattr(xg, name)()
        for slot in {"v", "h", "m"} & set(listed[name]):
            assert getattr(optimizer, slot) is None
        optimizer.update([np.ones(2)], [np.ones(2)])
        assert all(getattr(optimizer, attribute) is not None for attribute in listed[name]), name
    trainer = xg.Trainer(xg.mlp([2, 3]), xg.SGD())
    assert all(hasattr(trainer, attribute) for attribute in listed["Trainer"])


def test_nodes_have_params_and_grads():
    W, b = np.ones((2, 3)), np.ones(3)
    made = {"MatMul": (W,), "Affine": (W, b), "Repeat": (2,)}
    for name in ("Add", "Multiply", "Branch", "Repeat", "Sum", "MatMul", "Sigmoid", "Affine", "SoftmaxWithLoss"):
        node = getattr(xg, name)(*made.get(name, ()))
        assert isinstance(node.params, list) and [g.shape for g in node.grads] == [p.shape for p in node.params]
    assert xg.Affine(W, b).params[0] is W


def test_the_citation_is_of_this_version():
    text = (ROOT / "CITATION.cff").read_text("utf-8")
    fields = dict(re.findall(r"^([\w-]+): *(.*)$", text, flags=re.MULTILINE))
    assert {"cff-version", "message", "title", "authors"} <= set(fields) and fields["cff-version"] == "1.2.0"
    assert fields["version"] == xg.__version__ and fields["license"] in (ROOT / "pyproject.toml").read_text("utf-8")
