"""Part of ci/gpu: the test suite on one backend, and the certificate that two backends agree."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from gpu_packages import ROOT, child_environment

VERIFY_STEPS = 100
NOTHING_RUN = 5  # pytest, where it collected no test for the backend


PROCESSES = 4  # each file in one of them: most of the time goes into compiling CuPy's kernels, on one core each


def suite(backend: str, folder: Path, limit: float, chosen: tuple[str, ...] = ()) -> dict[str, Any]:
    """pytest --backend: passed only if something was run and nothing failed. ``chosen``: files, instead of all."""
    files = list(chosen) or sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests").glob("test_*.py"))
    groups = [group for group in (files[i::PROCESSES] for i in range(PROCESSES)) if group]
    command = [sys.executable, "-m", "pytest", "--backend", backend, "-p", "no:cacheprovider", "--durations=15"]
    # plugins that happen to be installed there are not part of the suite
    environment = child_environment(PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    reports = [folder / f"suite-{i}.xml" for i in range(len(groups))]
    logs = [folder / f"suite-{i}.log" for i in range(len(groups))]
    running = []
    for group, report, log in zip(groups, reports, logs, strict=True):
        with log.open("w", encoding="utf-8") as file:
            running.append(
                subprocess.Popen(
                    [*command, f"--junitxml={report}", *group], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL,
                    stdout=file, stderr=file,
                )
            )  # fmt: skip
    end = time.perf_counter() + limit
    late = [wait(process, end - time.perf_counter()) for process in running]
    whole = folder / "suite.log"
    whole.write_text("\n".join(log.read_text("utf-8", errors="replace") for log in logs), "utf-8")
    ends = [log.read_text("utf-8", errors="replace").splitlines()[-1:] for log in logs]
    for log in logs:
        log.unlink()
    counts = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    failed = []
    for report in reports:
        for element in ElementTree.parse(report).iter("testsuite") if report.exists() else ():
            counts = {key: counts[key] + int(element.get(key, 0)) for key in counts}
            failed += [f"{case.get('classname')}::{case.get('name')}" for case in element.iter("testcase")
                       if case.find("failure") is not None or case.find("error") is not None]  # fmt: skip
    missing = [" ".join(words) for words, report in zip(ends, reports, strict=True) if not report.exists()]
    for report in reports:
        report.unlink(missing_ok=True)
    counts["passed"] = counts["tests"] - counts["failures"] - counts["errors"] - counts["skipped"]
    if any(late):
        return {"status": "fail", "note": f"ran past {limit:.0f} s; see suite.log", **counts, "failed": failed}
    status = max((process.returncode for process in running if process.returncode != NOTHING_RUN), key=abs, default=0)
    if missing:
        return {"status": "fail", "note": f"pytest ended with {status}: {'; '.join(missing)}", **counts}
    if status == 0 and not counts["passed"]:
        return {"status": "not run", "note": "every test was skipped; see suite.log", **counts}
    note = "; ".join("".join(words).strip("= ") for words in ends)
    if status:
        note = f"pytest ended with {status}: {note}; {', '.join(failed[:5])}; see suite.log"
        return {"status": "fail", "note": note, **counts, "failed": failed}
    return {"status": "pass", "note": note, **counts}


def wait(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait for a process; True if it was late, and so was ended."""
    try:
        process.wait(timeout=max(0.1, seconds))
        return False
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return True


def certificate(backends: tuple[str, str], folder: Path, steps: int | None = None) -> dict[str, Any]:
    """xpgraph verify in float32 and float64: every node and optimizer beside the oracle; kept in verify.json."""
    from xpgraph.cli.verify_command import run

    lines: list[str] = []
    out = str(folder / "verify.json")
    steps = VERIFY_STEPS if steps is None else steps
    passed = run(backends, ("float32", "float64"), steps, None, None, None, None, 0, out, lines.append)
    (folder / "verify.txt").write_text("\n".join(lines) + "\n", "utf-8")
    return {"status": "pass" if passed else "fail", "note": f"{lines[-1]}; see verify.txt"}
