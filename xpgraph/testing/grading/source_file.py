"""A student's file: it is run once, without output; its names, and the line that an exception came from."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from ..findings import Finding


@dataclass
class Source:
    """``module`` holds the names; ``own`` are the modules whose classes count as the student's."""

    name: str
    module: ModuleType
    folder: str
    own: set[str]
    findings: list[Finding] = field(default_factory=list)

    def defined(self) -> Iterator[tuple[str, Any]]:
        """(name, class or function) of the student's own, not of what was imported from a library."""
        for name, thing in list(vars(self.module).items()):
            if isinstance(thing, type | FunctionType) and self._is_own(thing.__module__):
                yield name, thing

    def _is_own(self, module: str) -> bool:
        return module in self.own or any(module.startswith(f"{own}.") for own in self.own)

    def words(self, error: BaseException) -> str:
        """The exception, and the line of the student's files that it came from."""
        lines = [
            f"{Path(frame.filename).name} line {frame.lineno}"
            for frame in traceback.extract_tb(error.__traceback__)
            if self.folder and frame.filename.startswith(self.folder)
        ]
        if isinstance(error, SyntaxError) and error.filename and error.lineno:
            return f"{type(error).__name__}: {error.msg} ({Path(error.filename).name} line {error.lineno})"
        return f"{type(error).__name__}: {error}" + (f" ({lines[-1]})" if lines else "")


def read(path_or_module: str | Path | ModuleType) -> Source:
    """The names of a module, or of a file after it ran."""
    if isinstance(path_or_module, ModuleType):
        home = path_or_module.__name__
        return Source(home, path_or_module, str(Path(getattr(path_or_module, "__file__", None) or "").parent), {home})
    path = Path(path_or_module).resolve()
    if not path.is_file():
        raise FileNotFoundError(f"grade: there is no file {path_or_module}; give the path of a Python file.")
    source = Source(path.name, ModuleType(f"graded_{path.stem}"), str(path.parent) + os.sep, {f"graded_{path.stem}"})
    source.module.__file__ = str(path)
    try:
        _run(path, source)
    except (Exception, SystemExit) as error:
        hint = "Run the file by itself and correct this line first; what comes after it was not checked."
        source.findings.append(Finding(path.name, "import", "a file that runs to its end", source.words(error), hint))
    return source


def _run(path: Path, source: Source) -> None:
    """Run the file as ``python path`` would find its neighbours; these are forgotten again."""
    before, places = set(sys.modules), list(sys.path)
    backend = os.environ.get("MPLBACKEND")
    sys.path.insert(0, str(path.parent))
    sys.modules[source.module.__name__] = source.module  # dataclasses look their module up
    os.environ["MPLBACKEND"] = "agg"  # a plot at the end of the file opens no window
    dont_write, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        with np.errstate(), np.printoptions():
            exec(compile(path.read_bytes(), str(path), "exec"), vars(source.module))
    finally:
        sys.dont_write_bytecode = dont_write
        os.environ.pop("MPLBACKEND", None)
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
        sys.path[:] = places
        for name in set(sys.modules) - before:
            module = sys.modules[name]
            homes = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
            if any(home and Path(home).is_relative_to(path.parent) for home in homes):
                source.own.add(name)
                del sys.modules[name]  # the next student's neighbours have the same names


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No output, no input, no warnings; NumPy's global settings and random numbers are as before afterwards."""
    state = np.random.get_state()
    stdin, sys.stdin = sys.stdin, io.StringIO()
    nowhere = io.StringIO()
    try:
        with (
            contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere),
            warnings.catch_warnings(), np.errstate(all="ignore"),
        ):  # fmt: skip
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.stdin = stdin
        np.random.set_state(state)
