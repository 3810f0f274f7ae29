"""A student's file: it is run once, without output; its classes and functions, and their numbers beside the truth."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import traceback
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

import numpy as np

from ..findings import Finding

CLOSE = 1e-6  # of the largest true number: enough for formulas like float32 and the book's 1e-7, not for a mistake
# What a student need not do: own the memory of results, compute in float32, take ranks that the book does not.
LENIENT = ("aliasing", "dtype", "device", "3-D inputs refused")
_TRANSPOSED = "This is the transpose: dW = xᵀ dy, so that W's axes come in W's order."

Explanations = Iterable[tuple[Any, str]]  # (what a mistake would compute, the hint)


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


# --- numbers beside the true ones ---


class Entry(NamedTuple):
    """A class or function that the book knows: as which kind, under which name, and the file that has it."""

    kind: str
    name: str
    thing: Any
    source: Source

    def finding(self, check: str, expected: str, found: str, hint: str) -> Finding:
        return Finding(self.name, check, expected, found, hint)

    def raised(self, check: str, error: Exception, hint: str, expected: str = "no exception", at: str = "") -> Finding:
        return self.finding(check, expected, at + self.source.words(error), hint)

    def compare(
        self, check: str, found: Any, truth: Any, explanations: Explanations = (), hint: str = ""
    ) -> Finding | None:
        """None if the numbers agree; else the largest difference, with the mistake that explains it or ``hint``."""
        a, truth = as_numbers(found), np.asarray(truth, np.float64)
        if a is None:
            words = "nothing" if found is None else f"a {type(found).__name__}"
            return self.finding(check, f"an array {truth.shape}", words, "Return the array.")
        if close(a, truth):
            return None
        why = _explain(a, truth, explanations) or hint or "Compare this line with the formula of the book."
        if a.shape != truth.shape:
            return self.finding(check, f"shape {truth.shape}", f"shape {a.shape}", why)
        with np.errstate(all="ignore"):
            off = np.abs(a - truth)
            place = np.unravel_index(int(np.argmax(np.where(np.isnan(off), np.inf, off))), truth.shape)
        where = f" at {[int(i) for i in place]}" if place else ""
        return self.finding(check, f"{float(truth[place]):.6g}{where}", f"{float(a[place]):.6g}{where}", why)


def as_numbers(found: Any) -> np.ndarray | None:
    """A float64 array; None for what cannot be one."""
    try:
        return None if found is None else np.array(found, dtype=np.float64)
    except (TypeError, ValueError):
        return None


def close(found: np.ndarray, truth: np.ndarray) -> bool:
    """Within CLOSE of the largest true number; NaN is close to nothing."""
    if found.shape != truth.shape:
        return False
    with np.errstate(all="ignore"):
        return bool(np.all(np.abs(found - truth) <= CLOSE * max(1.0, float(np.max(np.abs(truth), initial=0.0)))))


def _explain(a: np.ndarray, truth: np.ndarray, explanations: Explanations) -> str:
    """The hint of the first mistake that computes these very numbers; "" if none does."""
    general = [
        (-truth, "The sign is turned around."),
        (2 * truth, "This is twice what it should be: it was counted two times."),
        (truth.T if truth.ndim == 2 else None, _TRANSPOSED),
        (0 * truth if np.any(truth) else None, "It is all zeros: it was never written."),
    ]
    for wrong, hint in (*explanations, *general):
        if wrong is not None and close(a, np.asarray(wrong, np.float64)):
            return hint
    if a.ndim == truth.ndim == 2 and a.shape == truth.shape[::-1] != truth.shape:
        return _TRANSPOSED
    return "It is not a number: look for a division by zero or a logarithm of zero." if np.isnan(a).any() else ""
