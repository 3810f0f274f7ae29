"""Faults planted in the kernels are found and named; the experiment with 100 of them is ci/faults."""

from __future__ import annotations

import os

import numpy as np
import pytest
from fault_trials import names, report, trial
from faults import NO_NODE, body_of, draw, faults, mutant, planted
from mutations import EPS

from xpgraph.arrays.kernels import TABLE, load_fast
from xpgraph.nodes.layers import sigmoid

KINDS = {"sign", "index", "axis", "order", "dtype", "constant", "missing"}


def bodies():
    load_fast("numpy")
    return [(n, library) for n, row in TABLE.items() for library in ("", *({"numpy"} & row.fast_bodies.keys()))]


@pytest.mark.parametrize("dtype", EPS)
def test_nothing_is_found_where_nothing_is_planted(dtype):
    assert report(dtype) is None


@pytest.mark.parametrize("fault", draw(12, seed=2), ids=lambda f: f"{f.kernel}-{f.line}-{f.kind}-{f.dtype}")
def test_a_fault_is_caught_and_named(fault):
    found = trial(fault)
    assert found.found, f"{fault.before} -> {fault.after} survives"
    assert found.named, found.found


def test_the_draw_is_the_same_each_time_and_has_no_fault_twice():
    first = draw(30, seed=3)
    assert first == draw(30, seed=3)
    assert len(set(first)) == 30
    assert first != draw(30, seed=4)


@pytest.mark.parametrize(("name", "library"), bodies())
def test_every_body_has_faults_that_differ_from_it(name, library):
    found = faults(name, library, "float64")
    assert found
    for fault in found:
        assert fault.before != fault.after
        assert mutant(fault).__code__.co_filename == "<fault>"


def test_every_kind_occurs():
    found = [f for name, library in bodies() for f in faults(name, library, "float32")]
    assert {f.kind for f in found} == KINDS


def test_every_kernel_belongs_to_a_node_or_to_something_with_a_name():
    ours = {name for name, row in TABLE.items() if row.module.startswith("xpgraph.")}
    assert {name for name in ours if not names(name)} == NO_NODE


@pytest.mark.parametrize("library", ["", "numpy"])
def test_a_fault_is_in_the_table_only_while_it_is_planted(library):
    x = np.linspace(-2, 2, 5)
    mathematics = "_sigmoid" if library else "sigmoid"
    found = (f for f in faults("sigmoid", library, "float64") if (f.kind, f.function) == ("constant", mathematics))
    fault = next(found)
    right, body, variables = sigmoid(x), body_of("sigmoid", library), dict(os.environ)
    with planted(fault):
        assert not np.array_equal(sigmoid(x), right)
    assert np.array_equal(sigmoid(x), right)
    assert body_of("sigmoid", library) is body
    assert dict(os.environ) == variables


def test_the_table_is_restored_after_an_exception():
    fault = faults("add", "", "float64")[0]
    generic = TABLE["add"].generic
    with pytest.raises(RuntimeError), planted(fault):
        raise RuntimeError
    assert TABLE["add"].generic is generic
    assert TABLE["add"].bodies == {}
