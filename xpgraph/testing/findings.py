"""What a check found, as data and as a table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ..graph.text_table import columns

_COLUMNS = ("class", "check", "expected", "found", "hint")


class Finding(NamedTuple):
    """One thing that is wrong: in which class or function, which check, what it should be, what it was, what to do."""

    name: str
    check: str
    expected: str
    found: str
    hint: str

    def __str__(self) -> str:
        return f"{self.name}: {self.check}: expected {self.expected}, found {self.found}. {self.hint}"


def table(findings: Iterable[Finding]) -> str:
    """Findings for people, one line each; a line that says so when there is none."""
    rows = [_COLUMNS, *findings]
    return "\n".join(columns(rows)) if len(rows) > 1 else "no findings"


def data(findings: Iterable[Finding]) -> list[dict[str, str]]:
    """Findings for machines, ready for JSON."""
    return [dict(zip(_COLUMNS, finding, strict=True)) for finding in findings]
