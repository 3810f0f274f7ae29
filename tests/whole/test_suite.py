"""The suite itself: each array library runs what NumPy runs, but for the few lines of backend_exceptions.txt."""

import subprocess
import sys
from collections import defaultdict

import pytest
from libs import BACKENDS, EXCEPTIONS, exceptions
from pages import ROOT

COLLECT = """
import pytest

class Ids:
    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items):
        from libs import backend_of, plain_id
        for item in items:
            backend = backend_of(item)
            print("ID", backend, plain_id(item.nodeid, backend), sep="\\t")

raise SystemExit(pytest.main(["--collect-only", "-qq", "-p", "no:cacheprovider"], plugins=[Ids()]))
"""


def collected():
    """{backend or "None": the ids of its tests, without the backend}, as a fresh run collects them."""
    run = subprocess.run([sys.executable, "-c", COLLECT], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    found = defaultdict(set)
    for line in run.stdout.splitlines():
        if line.startswith("ID\t"):
            _, backend, test = line.split("\t")
            found[backend].add(test)
    return found


@pytest.mark.slow("processes")
def test_each_library_runs_95_percent_of_the_tests_that_numpy_runs_and_every_exception_names_a_test():
    tests, listed = collected(), exceptions()
    assert len(tests["numpy"]) > 100
    for backend in BACKENDS:
        left_out = {test for name, test in listed if name == backend}
        assert len(tests[backend] & tests["numpy"] - left_out) >= 0.95 * len(tests["numpy"]), backend
    for backend, test in listed:
        assert test in tests[backend], f"{backend} | {test}: there is no such test"


def test_one_library_can_be_chosen():
    """``--backend torch`` leaves the tests of torch and no others."""
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "--backend", "torch", "tests/whole/test_book.py"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    ids = [line for line in run.stdout.splitlines() if "::" in line]
    assert run.returncode == 0, run.stdout + run.stderr
    assert len(ids) > 10 and all("[torch" in test for test in ids)


def test_every_exception_has_a_reason():
    lines = [line for line in EXCEPTIONS.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    assert len(exceptions()) == len(lines), "a line stands twice"
    for (backend, test), reason in exceptions().items():
        assert len(reason.split()) >= 3, f"{backend} | {test}: say why"
