"""A training run is the same run with the generic bodies, with NumPy's fast ones, and with those of numba."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

from xpgraph import SGD, AdaGrad, Adam, Momentum, RMSprop, Trainer, mlp
from xpgraph.arrays.kernels import TABLE

BODIES = {
    "generic": {"XPGRAPH_GENERIC": "1"},
    "fast": {"XPGRAPH_GENERIC": "0", "XPGRAPH_NUMBA": "0"},
    "numba": {"XPGRAPH_GENERIC": "0", "XPGRAPH_NUMBA": "1"},
}


@pytest.fixture
def choose(monkeypatch):
    """Take these bodies from now on, for this test."""

    def choose(name):
        for key, value in BODIES[name].items():
            monkeypatch.setenv(key, value)
        forget()

    yield choose
    monkeypatch.undo()
    forget()


def forget():
    for row in TABLE.values():
        row.bodies.clear()


@pytest.mark.parametrize("name", ["fast", "numba"])
@pytest.mark.parametrize("make", [SGD, Momentum, AdaGrad, RMSprop, Adam])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("activation", "max_grad"), [("sigmoid", None), ("relu", 0.05), ("tanh", 0.05)])
def test_a_run_is_that_of_the_generic_bodies(choose, name, make, dtype, activation, max_grad):
    if name == "numba" and find_spec("numba") is None:
        pytest.skip("numba is not installed: pip install xpgraph-nn[numba]")
    random = np.random.default_rng(3)
    x, t = random.standard_normal((60, 260)).astype(dtype), random.integers(0, 4, 60)

    def weights():
        trainer = Trainer(mlp([260, 40, 4], activation, dtype=dtype), make(lr=0.01))  # 10,400 weights: BLAS adds them
        trainer.fit(x, t, 4, 12, max_grad=max_grad, eval_interval=None)
        return trainer.model.params

    choose("generic")
    slow = weights()
    choose(name)
    bar = 2e-4 if dtype == "float32" else 1e-10  # RMSprop and Adam divide a gradient near 0, and its error, by its size
    for a, b in zip(slow, weights(), strict=True):
        assert np.max(np.abs(a - b)) <= bar * max(1.0, np.max(np.abs(b)))
