"""An autograder for a course: it finds the classes of the book in a file by their names, and checks each.

print(grade("student.py").table())
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from ..findings import Finding, data, table
from .functions import FUNCTIONS, mended
from .losses import CAPPED
from .nodes import NODES, check_class
from .optimizers import OPTIMIZERS, check_optimizer
from .source_file import Entry, Source, quiet, read
from .trainer import check_trainer

_CLASSES: dict[str, Callable[[Entry], Iterator[Finding]]] = {
    **dict.fromkeys(NODES, check_class),
    **dict.fromkeys(OPTIMIZERS, check_optimizer),
    "Trainer": check_trainer,
}
_KNOWN = (*_CLASSES, *FUNCTIONS)
_OTHER_NAMES = {
    **dict.fromkeys(("mul", "mult"), "Multiply"),
    **dict.fromkeys(("cross_entropy_error", "cross_entropy"), "cross_entropy_loss"),
}


@dataclass
class Grade:
    """What ``grade`` found: ``findings``, the names that were ``checked``, the known ones that were ``missing``.

    ``advice``: what could be better but is not a mistake; a file with advice still passes.
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
            "findings": data(self.findings),
            "advice": data(self.advice),
        }


def grade(path_or_module: str | Path | ModuleType) -> Grade:
    """Check every class and function of the book that a file (or a module) has, on NumPy in float64.

    Known are Add, Multiply, Branch, Repeat, Sum, MatMul, Affine, Sigmoid, Tanh, ReLU, Softmax, SoftmaxWithLoss, SGD,
    Momentum, AdaGrad, RMSprop, Adam, Trainer, and the functions softmax, cross_entropy_loss, remove_duplicates and
    clip_grads; AddLayer, MulLayer, Relu, cross_entropy_error and the like count too. Results are compared with the
    textbook's, and the classes go through ``check_node``. Inputs must stay as they are; parameters and gradients must
    be overwritten in place. Results may share memory, and other ranks than the book's may be refused. A flaw that the
    book has too, such as log(y + 1e-7), is only ``advice``. A class that calls a wrong function of the file is checked
    with a right one in its place. The file is run once, as an import would, without its output; an exception in it is
    a finding, and what it defined before is still checked.
    Raises FileNotFoundError if there is no such file. There is no time limit: set one outside.
    """
    with quiet():
        source = read(path_or_module)
        known = _known(source)
        found = {e.name: _checked(e) for e in known if e.kind in FUNCTIONS}
        with mended(source, {e.name: e.kind for e in known if found.get(e.name)}):
            found |= {e.name: _checked(e) for e in known if e.kind not in FUNCTIONS}
    kinds = {e.kind for e in known}
    everything = [f for e in known for f in found[e.name]]
    return Grade(
        source.name,
        [*source.findings, *(f for f in everything if f.check != CAPPED)],
        [e.name for e in known],
        [kind for kind in _KNOWN if kind not in kinds],
        [f for f in everything if f.check == CAPPED],
    )


def _checked(entry: Entry) -> list[Finding]:
    """The findings about one class or function, each once; an exception that no check expected is one too."""
    check = _CLASSES.get(entry.kind) or FUNCTIONS[entry.kind]
    found: list[Finding] = []
    try:
        found.extend(check(entry))
    except Exception as error:
        found.append(entry.raised("exception", error, "Run this line by itself; the checks of this class ended here."))
    return list(dict.fromkeys(found))


def _known(source: Source) -> list[Entry]:
    """What the file defines and the book knows, in the order of the book."""
    found: list[Entry] = []
    for name, thing in source.defined():
        kind = _kind(name, isinstance(thing, type))
        if kind is not None and not any(thing is other.thing for other in found):
            found.append(Entry(kind, name, thing, source))
    return sorted(found, key=lambda entry: _KNOWN.index(entry.kind))


def _kind(name: str, is_class: bool) -> str | None:
    """What the book calls a class or function of this name; None if it has none."""
    if not is_class:
        kind = _OTHER_NAMES.get(name, name)
        return kind if kind in FUNCTIONS else None
    plain = name.replace("_", "").lower()
    for ending in ("layer", "node", "optimizer"):
        plain = plain.removesuffix(ending)
    kind = _OTHER_NAMES.get(plain, plain)
    return next((known for known in _CLASSES if known.lower() == kind.lower()), None)
