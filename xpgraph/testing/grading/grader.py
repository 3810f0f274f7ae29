"""An autograder for a course: finds the classes of the book in a file by their names, and checks each.

print(grade("student.py").table())
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from ..findings import Finding, table
from .functions import FUNCTIONS, mended
from .losses import CAPPED
from .nodes import NODES, check_class
from .optimizers import OPTIMIZERS, check_optimizer
from .source_file import Source, quiet, read
from .trainer import check_trainer

Check = Callable[[str, Any, Source], Iterator[Finding]]

_CLASSES: dict[str, Check] = {
    **{kind: partial(check_class, kind) for kind in NODES},
    **{kind: partial(check_optimizer, kind) for kind in OPTIMIZERS},
    "Trainer": check_trainer,
}
_KNOWN = (*_CLASSES, *FUNCTIONS)
_OTHER_NAMES = {
    "mul": "Multiply",
    "mult": "Multiply",
    "cross_entropy_error": "cross_entropy_loss",
    "cross_entropy": "cross_entropy_loss",
}


@dataclass
class Grade:
    """What ``grade`` found: ``findings``, the names that were ``checked``, the known ones that were ``missing``.

    ``advice``: what could be better and is no mistake; it counts for nothing.
    """

    source: str
    findings: list[Finding] = field(default_factory=list)
    checked: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    advice: list[Finding] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Something was checked, and nothing was found."""
        return bool(self.checked) and not self.findings

    def table(self) -> str:
        """For people: a line for each finding, advice by itself, then what was checked and what was not there."""
        lines = [table(self.findings), ""]
        if self.advice:
            lines += ["advice, no mistakes:", table(self.advice), ""]
        lines += [f"checked: {', '.join(self.checked) or 'nothing'}"]
        if self.missing:
            lines.append(f"not in {self.source}: {', '.join(self.missing)}")
        return "\n".join(lines)

    def data(self) -> dict[str, Any]:
        """For machines: plain data, ready for JSON."""
        return {
            "source": self.source,
            "passed": self.passed,
            "checked": list(self.checked),
            "missing": list(self.missing),
            "findings": _data(self.findings),
            "advice": _data(self.advice),
        }


def _data(findings: list[Finding]) -> list[dict[str, str]]:
    return [
        {"class": f.name, "check": f.check, "expected": f.expected, "found": f.found, "hint": f.hint} for f in findings
    ]


def grade(path_or_module: str | Path | ModuleType) -> Grade:
    """Check every class and function of the book that a file (or a module) has, on NumPy in float64.

    Known are Add, Multiply, Branch, Repeat, Sum, MatMul, Affine, Sigmoid, Tanh, ReLU, Softmax, SoftmaxWithLoss, SGD,
    Momentum, AdaGrad, RMSprop, Adam, Trainer, and the functions softmax, cross_entropy_loss, remove_duplicates and
    clip_grads; AddLayer, MulLayer, Relu, cross_entropy_error and the like count too. Their results are compared with
    the textbook's and given to ``check_node``; inputs must stay as they are, parameters and gradients be overwritten
    in place. Arrays may be shared and other ranks than the book's refused. What the book does too, as
    log(y + 1e-7), is ``advice`` alone. A class that calls a wrong function of the file is judged with a right one in
    its place. The file is run once, as an import would, what it prints is dropped; an exception in it is a finding,
    and what it had defined by then is still checked.
    Raises FileNotFoundError if there is no such file. A file that never ends is never done: set a time limit outside.
    """
    with quiet():
        source = read(path_or_module)
        known = _known(source)
        functions = [row for row in known if row[0] in FUNCTIONS]
        found = {row: list(dict.fromkeys(_checked(*row, source))) for row in functions}
        wrong = {name: kind for (kind, name, _), findings in found.items() if findings}
        with mended(source, wrong):
            found |= {row: list(dict.fromkeys(_checked(*row, source))) for row in known if row not in functions}
    kinds = {kind for kind, _, _ in known}
    everything = [f for row in known for f in found[row]]
    return Grade(
        source.name,
        [*source.findings, *(f for f in everything if f.check != CAPPED)],
        [name for _, name, _ in known],
        [kind for kind in _KNOWN if kind not in kinds],
        [f for f in everything if f.check == CAPPED],
    )


def _checked(kind: str, name: str, thing: Any, source: Source) -> Iterator[Finding]:
    """The findings about one class or function; an exception that no check expected is one too."""
    check = _CLASSES.get(kind) or FUNCTIONS[kind]
    try:
        yield from check(name, thing, source)
    except Exception as error:
        hint = "Run this line by itself; the checks of this class ended here."
        yield Finding(name, "exception", "no exception", source.words(error), hint)


def _known(source: Source) -> list[tuple[str, str, Any]]:
    """(kind, name, class or function) of what the file defines and the book knows, in the order of the book."""
    found: list[tuple[str, str, Any]] = []
    for name, thing in source.defined():
        kind = _kind(name, isinstance(thing, type))
        if kind is not None and not any(thing is other for _, _, other in found):
            found.append((kind, name, thing))
    return sorted(found, key=lambda row: _KNOWN.index(row[0]))


def _kind(name: str, is_class: bool) -> str | None:
    if not is_class:
        kind = _OTHER_NAMES.get(name, name)
        return kind if kind in FUNCTIONS else None
    plain = name.replace("_", "").lower()
    for ending in ("layer", "node", "optimizer"):
        plain = plain.removesuffix(ending)
    kind = _OTHER_NAMES.get(plain, plain)
    return next((known for known in _CLASSES if known.lower() == kind.lower()), None)
