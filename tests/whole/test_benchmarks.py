"""The asv suites run: each benchmark once, here and without asv. Speed itself is nobody's test."""

import importlib
import inspect
import itertools
import math
import os
import pkgutil
import sys

import numpy as np
import pytest
from pages import ROOT, checkout

from xpgraph import mlp
from xpgraph.arrays.kernels import TABLE, load_fast
from xpgraph.nodes.layers import sigmoid

checkout("benchmarks")
sys.path.insert(0, str(ROOT))

common = importlib.import_module("benchmarks.common")
samples = importlib.import_module("benchmarks.samples")
compare = importlib.import_module("benchmarks.compare")
proof = importlib.import_module("benchmarks.compare_proof")
KINDS = ("time_", "track_", "peakmem_")
GUARDED = ("s", "bytes", "launches")  # better when they are lower, as asv takes everything to be
MODULES = [importlib.import_module(f"benchmarks.{found.name}") for found in pkgutil.iter_modules([ROOT / "benchmarks"])]
CLASSES = [
    kind
    for module in MODULES
    for _, kind in inspect.getmembers(module, inspect.isclass)
    if kind.__module__ == module.__name__ and any(name.startswith(KINDS) for name in vars(kind))
]
CASES = [
    pytest.param(
        kind, values, id=f"{kind.__name__}-{'-'.join(map(str, values))}",
        marks=[pytest.mark.slow("training")] * ("torch" in values or kind.__name__ == "Fit"),
    )
    for kind in CLASSES
    for values in itertools.product(*kind.params)
]  # fmt: skip


def test_there_are_benchmarks_and_each_has_a_version():
    assert {kind.__name__ for kind in CLASSES} >= {
        "Matmul", "MatmulRate", "Kernel", "Update", "Dispatch", "Step", "Fit", "Launches", "Import", "PeakMemory",
    }  # fmt: skip
    for kind in CLASSES:
        assert isinstance(kind.version, str), kind  # else asv drops old results whenever a comment changes
        assert len(kind.params) == len(kind.param_names), kind
        assert kind.__doc__, kind


def test_every_kernel_is_timed():
    ours = {name for name, row in TABLE.items() if row.module.startswith("xpgraph.")}
    assert ours == samples.SAMPLES.keys() | samples.UNTIMED.keys()
    assert all(samples.UNTIMED.values())


@pytest.mark.parametrize(("kind", "values"), CASES)
def test_benchmark(kind, values, monkeypatch):
    monkeypatch.setattr(common, "BUDGET", 0)
    benchmark = kind()
    try:
        getattr(benchmark, "setup", lambda *_: None)(*values)
        for name in dir(kind):
            if name.startswith(("time_", "peakmem_")):
                getattr(benchmark, name)(*values)
            elif name.startswith("track_"):
                unit = getattr(kind, name).unit
                assert (unit in GUARDED) != name.endswith("_unguarded")  # asv.conf.json goes by the name
                value = getattr(benchmark, name)(*values)
                assert math.isfinite(value) and value > 0
    except NotImplementedError as reason:
        pytest.skip(f"n/a: {reason}")
    finally:
        getattr(benchmark, "teardown", lambda *_: None)(*values)


@pytest.mark.parametrize("outside", [None, "1"])
def test_the_body_is_chosen_and_given_back(outside, monkeypatch):
    if outside is None:
        monkeypatch.delenv("XPGRAPH_GENERIC", raising=False)
    else:
        monkeypatch.setenv("XPGRAPH_GENERIC", outside)
    row, x = TABLE["sigmoid"], mlp([3, 2]).params[0]
    load_fast("numpy")  # now: loaded later, it would declare its own body over this one
    monkeypatch.setitem(row.fast_bodies, "numpy", lambda x: "fast")
    row.bodies.clear()
    with common.bodies("namespace"):
        assert sigmoid(x).shape == (3, 2)
        with common.bodies("fast"):
            assert sigmoid(x) == "fast"
        assert sigmoid(x).shape == (3, 2)
    assert os.environ.get("XPGRAPH_GENERIC") == outside
    assert not row.bodies


@pytest.mark.slow("processes")
def test_a_kernel_that_became_slower_is_named_and_what_did_not_is_not():
    with proof.copies(ROOT / "xpgraph", "scale", 1.0) as (base, head):
        verdicts = compare.compare(base, head, ["scale", "nonsense"])
        assert [verdict.slower for verdict in verdicts] == [True, False]
        assert "SLOWER" in str(verdicts[0]) and "not compared: KeyError: 'nonsense'" in str(verdicts[1])
        with pytest.raises(compare.Failed, match="holds no xpgraph that can be imported"):
            compare.compare(base, head / "xpgraph", ["scale"])


@pytest.mark.slow("processes")
def test_the_working_tree_is_compared_with_a_commit(capsys):
    if not (ROOT / ".git").exists():
        pytest.skip("there is no commit to compare with outside a clone")
    status = compare.main(["HEAD", "--only", "add"])
    printed = capsys.readouterr().out
    assert status == (0 if "no case is slower" in printed else 1), printed
    assert "\nadd  " in printed and "matmul" not in printed
    assert compare.main(["HEAD", "--only", "nonsense"]) == 2
    assert compare.main(["no-such-branch"]) == 2


def test_the_interval_misses_the_median_as_seldom_as_it_says():
    assert compare.interval([3, 1, 2, 6, 5, 4]) == (1, 6)  # all six on one side: once in 32
    bits = np.random.default_rng(0)
    for n in (9, 30, 60):
        intervals = [compare.interval(list(bits.standard_cauchy(n))) for _ in range(2000)]
        missed = sum(not low <= 0 <= high for low, high in intervals)
        assert 0.001 < missed / 2000 < compare.MISS + 0.012, n
