"""The asv suites run: each benchmark once, here and without asv. Speed itself is nobody's test."""

import importlib
import inspect
import itertools
import math
import os
import pkgutil
import sys
from pathlib import Path

import pytest

from xpgraph import mlp
from xpgraph.kernel import TABLE, load_fast
from xpgraph.layers import sigmoid

ROOT = Path(__file__).parents[1]
if not (ROOT / "benchmarks").is_dir():
    pytest.skip("benchmarks/ is part of a checkout, not of the sdist", allow_module_level=True)
sys.path.insert(0, str(ROOT))

common = importlib.import_module("benchmarks.common")
samples = importlib.import_module("benchmarks.samples")
KINDS = ("time_", "track_", "peakmem_")
GUARDED = ("s", "bytes", "launches")  # better when they are lower, as asv takes everything to be
MODULES = [importlib.import_module(f"benchmarks.{found.name}") for found in pkgutil.iter_modules([ROOT / "benchmarks"])]
CLASSES = [
    kind
    for module in MODULES
    for _, kind in inspect.getmembers(module, inspect.isclass)
    if kind.__module__ == module.__name__ and any(name.startswith(KINDS) for name in vars(kind))
]
CASES = [(kind, values) for kind in CLASSES for values in itertools.product(*kind.params)]


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


@pytest.mark.parametrize(
    ("kind", "values"), CASES, ids=[f"{kind.__name__}-{'-'.join(map(str, values))}" for kind, values in CASES]
)
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
