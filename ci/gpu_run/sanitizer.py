"""compute-sanitizer over every kernel (kernels.py); in a rehearsal that program alone, in the emulator of the tests."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from . import children
from .results import FAIL, LEFT_OUT, PASS, Context, LeftOut, Result
from .timing import why_no_rig

TOOLS = {  # and their options
    "memcheck": ("--report-api-errors", "no"),  # CuPy makes calls to see whether they fail; those that matter raise
    "racecheck": (),
}
ERRORS_FOUND = 9  # the exit status that we ask of it for errors


def find_tool() -> str | None:
    """Where compute-sanitizer lies."""
    homes = [Path(os.environ[name]) for name in ("CUDA_HOME", "CUDA_PATH") if os.environ.get(name)]
    homes += sorted(Path("/usr/local").glob("cuda*"), reverse=True)
    folders = [folder for home in homes for folder in (home / "bin", home / "compute-sanitizer")]
    path = os.pathsep.join([os.environ.get("PATH", ""), *map(str, folders)])
    return shutil.which("compute-sanitizer", path=path)


def run(context: Context) -> Result:
    program = [children.PYTHON, "-m", "gpu_run.kernels"]
    tool = None if context.rehearsal else find_tool()
    if context.rehearsal:
        if why := why_no_rig():
            raise LeftOut(why)
        commands = {"plain": [*program, "--rehearse"]}
    elif tool is None:
        raise LeftOut("compute-sanitizer is not installed")
    else:
        options = ["--error-exitcode", str(ERRORS_FOUND), "--kernel-regex", "kns=xp_", *program]
        commands = {name: [tool, "--tool", name, *more, *options] for name, more in TOOLS.items()}
    seconds = context.left()
    ended = children.run_all(commands, context.log("sanitize"), seconds)
    results = {name: judge(name, *one, seconds) for name, one in ended.items()}
    status = next(s for s in (FAIL, PASS, LEFT_OUT) if s in {one["status"] for one in results.values()})
    note = "; ".join(f"{name}: {one['note']}" for name, one in results.items())
    return {"status": status, "note": note, "tool": tool, "runs": results}


def judge(name: str, status: int | None, text: str, limit: float) -> Result:
    """The result of one tool, by its exit status and its summary."""
    lines = [line.strip("= \t") for line in text.splitlines() if line.strip()]
    summaries = [line for line in lines if re.search(r"(ERROR|RACECHECK) SUMMARY", line)]
    note = (summaries or lines or [""])[-1]
    if status is None:
        return {"status": FAIL, "note": f"ran past {limit:.0f} s; {note or 'it said nothing'}"}
    if re.search(r"[Dd]evice not supported|not supported on this (device|platform)", text):
        return {"status": LEFT_OUT, "note": "compute-sanitizer does not support this device or this machine"}
    clean = name == "plain" or any(re.search(r"SUMMARY: 0 (errors|hazards)", line) for line in summaries)
    complete = any(line.startswith("every kernel was run") for line in lines)
    if status == 0 and clean and complete:
        return {"status": PASS, "note": note}
    return {"status": FAIL, "note": f"exit status {status}; {note}; see sanitize.log"}
