"""Which bodies the kernels run in a test: the generic ones, NumPy's fast ones, or those of numba."""

from __future__ import annotations

import pytest

from xpgraph.arrays.kernels import TABLE

ENVIRONMENT = {
    "generic": {"XPGRAPH_GENERIC": "1"},
    "fast": {"XPGRAPH_GENERIC": "0", "XPGRAPH_NUMBA": "0"},
    "numba": {"XPGRAPH_GENERIC": "0", "XPGRAPH_NUMBA": "1"},
}


def forget_bodies():
    """The table asks the environment anew at the next call of each kernel."""
    for row in TABLE.values():
        row.bodies.clear()


@pytest.fixture
def choose_bodies(monkeypatch):
    """``choose_bodies(name)``: run these bodies from now on, in this test."""

    def choose(name):
        for key, value in ENVIRONMENT[name].items():
            monkeypatch.setenv(key, value)
        forget_bodies()

    yield choose
    monkeypatch.undo()
    forget_bodies()
