"""Mutants of the kernels are killed and named; the experiment with 100 of them is ci/faults."""

from __future__ import annotations

import ast
import os

import numpy as np
import pytest

from mutation.changes import codes, read
from mutation.kernels import (
    NO_FLOATS,
    NO_MATHEMATICS,
    NO_NODE,
    bodies,
    body_of,
    definition,
    drawn,
    functions,
    judge,
    mutants,
    plant,
    users,
)
from mutation.trials import Finding, tried
from xpgraph.arrays.kernels import TABLE
from xpgraph.nodes.layers import sigmoid

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="each mutant needs os.fork")
BODIES = [(name, library) for name in TABLE for library in bodies(name)]
X = np.linspace(-2, 2, 5)


@pytest.mark.slow("mutants")
def test_mutants_are_killed_and_named_and_nothing_is_found_in_the_kernels_as_they_are():
    sound, *done = tried(judge, [None, *drawn(12, seed=2)], jobs=2, limit=600)
    assert sound.finding is None
    assert [t for t in done if t.finding is None or not t.finding.named] == []


@pytest.mark.parametrize(("name", "library"), BODIES)
def test_every_body_has_mutants_that_differ_from_it(name, library):
    some = mutants(name, library, "float64")
    assert some
    for m in some:
        assert m.before != m.after
    for m in some[::9]:
        assert codes(m.text)[m.function] != codes(read(m.file))[m.function]


def test_what_is_left_out_is_still_there():
    """A variable or helper that is renamed would bring its equivalent mutants back."""
    trees = [definition(function)[1] for body in BODIES for function in functions(*body).values()]
    names = {(n.id, type(n.ctx)) for tree in trees for n in ast.walk(tree) if isinstance(n, ast.Name)}
    assert {(name, ast.Store) for name in NO_FLOATS} | {(name, ast.Load) for name in NO_MATHEMATICS} <= names
    assert TABLE.keys() >= NO_NODE


def test_every_operator_occurs():
    found = {m.operator for name, library in BODIES for m in mutants(name, library, "float32")}
    assert found == {"sign", "index", "axis", "order", "dtype", "constant", "missing"}


def test_every_kernel_belongs_to_a_node_or_to_something_with_a_name():
    ours = {name for name, row in TABLE.items() if row.module.startswith("xpgraph.")}
    assert ours - set().union(*users().values()) == NO_NODE


def bits_of_sigmoid(m):
    plant(m)
    return Finding("bits", sigmoid(X).tobytes().hex())


@pytest.mark.parametrize("library", ["", "numpy"])
def test_a_mutant_is_in_the_table_of_its_process_only(library):
    mathematics = "_sigmoid" if library else "sigmoid"
    m = next(m for m in mutants("sigmoid", library, "float64") if (m.operator, m.function) == ("constant", mathematics))
    right, body, variables = sigmoid(X).tobytes().hex(), body_of("sigmoid", library), dict(os.environ)
    (trial,) = tried(bits_of_sigmoid, [m], 1, 60)
    assert trial.finding.words != right
    assert sigmoid(X).tobytes().hex() == right
    assert body_of("sigmoid", library) is body
    assert dict(os.environ) == variables
