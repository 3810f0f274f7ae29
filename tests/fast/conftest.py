"""Which bodies the kernels run in a test: the generic ones, NumPy's fast ones, or those of numba."""

import pytest
from kernel_checks import forget_bodies

ENVIRONMENT = {
    "generic": {"XPGRAPH_GENERIC": "1"},
    "fast": {"XPGRAPH_GENERIC": "0", "XPGRAPH_NUMBA": "0"},
    "numba": {"XPGRAPH_GENERIC": "0", "XPGRAPH_NUMBA": "1"},
}


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
