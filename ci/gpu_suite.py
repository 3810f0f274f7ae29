"""Part of ci/gpu: the test suite on one backend, and the certificate that two backends agree."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from gpu_packages import ROOT, child_environment

VERIFY_STEPS = 100


def suite(backend: str, folder: Path, limit: float, chosen: tuple[str, ...] = ()) -> dict[str, Any]:
    """pytest --backend: passed only if something was run and nothing failed. ``chosen``: files, instead of all."""
    log, report = folder / "suite.log", folder / "suite.xml"
    command = [sys.executable, "-m", "pytest", "--backend", backend, "-p", "no:cacheprovider", "--durations=15"]
    # plugins that happen to be installed there are not part of the suite
    environment = child_environment(PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    with log.open("w", encoding="utf-8") as file:
        try:
            status = subprocess.run(
                [*command, f"--junitxml={report}", *chosen], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL,
                stdout=file, stderr=file, timeout=limit,
            ).returncode  # fmt: skip
        except subprocess.TimeoutExpired:
            return {"status": "fail", "note": f"ran past {limit:.0f} s; see suite.log"}
    lines = log.read_text("utf-8", errors="replace").splitlines()
    if not report.exists():
        return {"status": "fail", "note": f"pytest ended with {status}: {' '.join(lines[-1:])}"}
    counts = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    failed = []
    for element in ElementTree.parse(report).iter("testsuite"):
        counts = {key: counts[key] + int(element.get(key, 0)) for key in counts}
        failed += [f"{case.get('classname')}::{case.get('name')}" for case in element.iter("testcase")
                   if case.find("failure") is not None or case.find("error") is not None]  # fmt: skip
    report.unlink()
    counts["passed"] = counts["tests"] - counts["failures"] - counts["errors"] - counts["skipped"]
    if status == 0 and not counts["passed"]:
        return {"status": "not run", "note": "every test was skipped; see suite.log", **counts}
    note = "".join(lines[-1:]).strip("= ")
    if status:
        note = f"pytest ended with {status}: {note}; {', '.join(failed[:5])}; see suite.log"
        return {"status": "fail", "note": note, **counts, "failed": failed}
    return {"status": "pass", "note": note, **counts}


def certificate(backends: tuple[str, str], folder: Path, steps: int | None = None) -> dict[str, Any]:
    """xpgraph verify in float32 and float64: every node and optimizer beside the oracle; kept in verify.json."""
    from xpgraph.cli_verify import run

    lines: list[str] = []
    out = str(folder / "verify.json")
    steps = VERIFY_STEPS if steps is None else steps
    passed = run(backends, ("float32", "float64"), steps, None, None, None, None, 0, out, lines.append)
    (folder / "verify.txt").write_text("\n".join(lines) + "\n", "utf-8")
    return {"status": "pass" if passed else "fail", "note": f"{lines[-1]}; see verify.txt"}
