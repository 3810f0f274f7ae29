"""Runs test files on a changed module, each time in a process of its own; nothing on disk is changed.

It reads requests as lines of JSON, ``{"module", "path", "text", "tests", "limit"}``, and answers each with one:
``{"code", "words"}``, the exit code of pytest, None for what was ended after ``limit`` seconds. What all requests need
is imported once; each child is forked from there, and imports the changed module and all that imports it anew. A
program that a test starts is not in that process and sees the module as it is on disk.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.abc
import importlib.util
import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

SHARED = ("pytest", "hypothesis", "numpy", "numpy.testing", "array_api_strict", "array_api_compat.numpy", "safetensors")
REWRITTEN = "Module already imported"  # the beginning of what pytest says of a plugin among SHARED
MEMORY = 8 << 30  # bytes of address space: what a change asks for beyond that is refused


class Planted(importlib.abc.MetaPathFinder):
    """The import hook: one module comes from ``text`` instead of its file."""

    def __init__(self, module: str, path: str, text: str) -> None:
        self.module, self.path, self.text = module, path, text

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != self.module:
            return None
        return importlib.util.spec_from_file_location(name, self.path, loader=_Loader(name, self.path, self.text))


class _Loader(SourceFileLoader):
    def __init__(self, name: str, path: str, text: str) -> None:
        super().__init__(name, path)
        self.text = text

    def get_code(self, name: str) -> CodeType:
        return compile(self.text, self.path, "exec", dont_inherit=True)


def tried(request: dict[str, Any]) -> dict[str, Any]:
    """One request, in a child whose whole process group is ended with it."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as output:
        child = os.fork()
        if child == 0:
            _child(request, folder, output.fileno())
        code = _ended(child, request["limit"])
        output.seek(0)
        lines = output.read().splitlines() or [""]
        failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
        return {"code": code, "words": (failed or lines[-1:])[0]}


def _child(request: dict[str, Any], folder: str, output: int) -> None:
    code = 1
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a caller may ignore it
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        seconds = int(request["limit"]) + 10  # of processor time: should nobody be left who ends it
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for number in (1, 2):
            os.dup2(output, number)
        os.environ["TMPDIR"] = tempfile.tempdir = folder
        sys.meta_path.insert(0, Planted(request["module"], request["path"], request["text"]))
        import pytest

        arguments = [
            "-x",
            "-q",
            "-p",
            "no:cacheprovider",
            "-W",
            f"ignore:{REWRITTEN}",
            "--basetemp",
            f"{folder}/basetemp",
        ]
        code = int(pytest.main([*arguments, *request["tests"]]))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _ended(child: int, limit: float) -> int | None:
    """The exit code; None where the child had to be ended."""
    until, pause = time.monotonic() + limit, 0.005
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            _kill(child)  # what its tests left running
            return os.waitstatus_to_exitcode(status)
        time.sleep(pause := min(0.1, 1.5 * pause))
    _kill(child)
    os.waitpid(child, 0)
    return None


def _kill(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def requests() -> Iterator[dict[str, Any]]:
    while line := sys.stdin.readline():
        yield json.loads(line)


def main() -> None:
    sys.path.insert(0, str(Path.cwd()))
    for name in SHARED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    assert not any(name.partition(".")[0] == "xpgraph" for name in sys.modules), "a child would not import it anew"
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for request in requests():
        answers.write(json.dumps(tried(request)) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
