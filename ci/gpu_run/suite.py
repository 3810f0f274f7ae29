"""The test suite on CuPy; in a rehearsal one test file on NumPy."""

from __future__ import annotations

import tempfile
from pathlib import Path
from xml.etree import ElementTree

from . import children
from .packages import ROOT
from .results import FAIL, NOT_RUN, PASS, Context, Result, need

PROCESSES = 4  # most of the time goes into compiling CuPy's kernels, on one core for each process
NOTHING_COLLECTED = 5  # pytest's exit status if no test of its files is for the backend
OUTCOMES = {"failures": "failure", "errors": "error", "skipped": "skipped"}  # our words: the tags of the XML report


def run(context: Context) -> Result:
    if context.rehearsal:
        need("pytest", "hypothesis")
        return run_tests("numpy", ["tests/nodes/test_sharing.py"], context)
    files = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("test_*.py"))
    return run_tests("cupy", files, context)


def run_tests(backend: str, files: list[str], context: Context) -> Result:
    """pytest --backend in several processes: passes only if a test was run and none failed."""
    command = [children.PYTHON, "-m", "pytest", "--all", "--backend", backend, "--durations=15"]
    command += ["-p", "no:cacheprovider"]
    groups = [files[i::PROCESSES] for i in range(min(PROCESSES, len(files)))]
    seconds = context.left()
    with tempfile.TemporaryDirectory() as scratch:
        reports = [Path(scratch, f"{i}.xml") for i in range(len(groups))]
        commands = {f"process {i}": [*command, f"--junitxml={report}", *group]
                    for i, (group, report) in enumerate(zip(groups, reports, strict=True))}  # fmt: skip
        # plugins that happen to be installed there are not part of the suite
        ended = children.run_all(commands, context.log("suite"), seconds, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1").values()
        written = [report.exists() for report in reports]
        cases = [case for report, there in zip(reports, written, strict=True) if there
                 for case in ElementTree.parse(report).iter("testcase")]  # fmt: skip
    counts = {word: sum(case.find(tag) is not None for case in cases) for word, tag in OUTCOMES.items()}
    failed = [f"{case.get('classname')}::{case.get('name')}" for case in cases
              if case.find("failure") is not None or case.find("error") is not None]  # fmt: skip
    figures = {"tests": len(cases), **counts, "passed": len(cases) - sum(counts.values()), "failed": failed}
    last_lines = ["".join(one.text.splitlines()[-1:]).strip("= ") for one in ended]
    if any(one.status is None for one in ended):
        return {"status": FAIL, "note": f"ran past {seconds:.0f} s; see suite.log", **figures}
    status = max((one.status or 0 for one in ended if one.status != NOTHING_COLLECTED), key=abs, default=0)
    if not all(written):
        lost = "; ".join(line for line, there in zip(last_lines, written, strict=True) if not there)
        return {"status": FAIL, "note": f"pytest ended with {status}: {lost}", **figures}
    note = "; ".join(last_lines)
    if status:
        note = f"pytest ended with {status}: {note}; {', '.join(failed[:5])}; see suite.log"
        return {"status": FAIL, "note": note, **figures}
    if not figures["passed"]:
        return {"status": NOT_RUN, "note": "every test was skipped; see suite.log", **figures}
    return {"status": PASS, "note": note, **figures}
