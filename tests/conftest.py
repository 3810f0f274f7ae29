"""The suite runs over array libraries: a test that takes ``lib`` runs once on each.

    pytest --all                     the slow tests too
    pytest --backend cupy            only that one (numpy, numpy:readonly, array_api_strict, torch, cupy)

What one library cannot run stands, with its reason, in ``backend_exceptions.txt``, and nowhere else.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from libs import BACKENDS, Lib, backend_of, exceptions, make_lib, plain_id

from xpgraph.arrays.installed import usable
from xpgraph.arrays.libraries import place

os.environ.setdefault("XPGRAPH_NUMBA", "0")  # what most people have; test_kernels and test_numba try its bodies
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell sets it for what it runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(getattr(signal, "SIGHUP", signal.SIGTERM)) is signal.SIG_IGN:  # and nohup
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# The marker ``slow`` says what is slow: one of these. A test without it takes under a second or two.
SLOW = {
    "processes": "starts many processes of Python",
    "mutants": "changes the code and runs tests on each mutant",
    "rehearsal": "rehearses ci/gpu or ci/bench from end to end",
    "training": "trains for many steps, or many times",
    "browser": "opens a page in a real browser",
    "compiler": "waits for a compiler",
}
LEFT_OUT: Counter[str] = Counter()

settings.register_profile(
    "xpgraph", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("xpgraph")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--backend", choices=BACKENDS, help="only the tests of one array library; not those that use none")
    parser.addoption("--all", action="store_true", help="run the tests marked slow too")
    parser.addoption("--no-torch", action="store_true", help="leave out the tests on PyTorch, even if it is installed")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "lib" in metafunc.fixturenames:
        metafunc.parametrize("lib", BACKENDS, indirect=True, scope="session")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if chosen := config.getoption("--backend"):
        _deselect(config, items, [item for item in items if backend_of(item) != chosen])
    if not config.getoption("--all"):
        slow = [item for item in items if item.get_closest_marker("slow")]
        _deselect(config, items, slow)
        found = Counter(SLOW[item.get_closest_marker("slow").args[0]] for item in slow)
        getattr(config, "workeroutput", LEFT_OUT).update(found)
    listed = exceptions()
    for item in items:
        reason = listed.get((backend_of(item), plain_id(item.nodeid, backend_of(item))))
        if reason:
            item.add_marker(pytest.mark.skip(reason=f"{backend_of(item)}: {reason}"))


def _deselect(config: pytest.Config, items: list[pytest.Item], dropped: list[pytest.Item]) -> None:
    config.hook.pytest_deselected(items=dropped)
    gone = set(dropped)
    items[:] = [item for item in items if item not in gone]


class Workers:
    """Reads what the workers of pytest-xdist left out: every worker collects all tests, so one of them is enough."""

    def pytest_testnodedown(self, node: Any, error: Any) -> None:
        told = getattr(node, "workeroutput", {})
        LEFT_OUT.update({reason: n for reason, n in told.items() if reason in SLOW.values()} if not LEFT_OUT else {})


def pytest_configure(config: pytest.Config) -> None:
    if config.pluginmanager.hasplugin("xdist"):
        config.pluginmanager.register(Workers())


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Every skip with its reason, one line for each reason, with the number of tests; then what was left out."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped if report.longrepr)
    if reasons:
        terminalreporter.section("skipped, and why", sep="-")
        for reason, count in reasons.most_common():
            terminalreporter.line(f"{count:5d}  {reason}")
    if LEFT_OUT:
        terminalreporter.section("slow tests left out; --all runs them", sep="-")
        for reason, count in LEFT_OUT.most_common():
            terminalreporter.line(f"{count:5d}  {reason}")


@pytest.fixture(scope="session")
def lib(request: pytest.FixtureRequest) -> Lib:
    if request.param == "torch" and request.config.getoption("--no-torch"):
        pytest.skip("left out by --no-torch")
    return make_lib(request.param)


@pytest.fixture
def cuda() -> Iterator[Any]:
    """Where the CUDA path runs: the first GPU, or, without one, CuPy arrays over host memory (cuda_rig.py)."""
    from cuda_rig import Rig, why_not

    if usable("cupy").usable:
        yield SimpleNamespace(place=place("cupy"), real=True)
    elif why_not():
        pytest.skip(f"no CUDA rig: {why_not()}")
    else:
        with Rig() as rig:
            yield rig


@pytest.fixture
def rig(cuda: Any) -> Any:
    """The same without a GPU only: launches and reads are counted there."""
    if getattr(cuda, "real", False):
        pytest.skip("launches are counted on host memory, not on a GPU")
    return cuda
