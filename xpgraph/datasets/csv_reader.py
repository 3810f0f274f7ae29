"""Floor 5: rows and labels from a .csv file: one example a line, one column of labels, numbers in all the others.

Header rule: a first line of which no cell beside the label is a number names the columns; one of which all are numbers
is an example; anything between is refused. Lines and columns count from 1 in every message.
"""

from __future__ import annotations

import csv
import math
import os
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NoReturn

import numpy as np

from ..errors import DataError
from .npz import open_regular

LINE_LIMIT = 4 << 20  # bytes of a line; the csv module itself ends a cell at 131,072 characters
COLUMN_LIMIT = 1 << 18
MISSING = {"", "na", "n/a", "nan", "null", "none", "?", "-"}
_ENDS = {"utf-16": (b"\xff\xfe", b"\xfe\xff"), "a zip file": (b"PK\3\4",), "gzip": (b"\x1f\x8b",)}


# eq=False: comparing arrays field by field has no truth value
@dataclass(frozen=True, eq=False)
class Table:
    """x: (N, D) float64, finite. labels: N cells of text as they stand, or None where no label was wanted.

    columns: the names of x's columns, or "" each without a header. label: the name of the label's column, or "".
    """

    x: np.ndarray
    labels: list[str] | None
    columns: tuple[str, ...]
    label: str


def read(path: str | os.PathLike[str], label: str | int = "", features: int | None = None) -> Table:
    """Read a file. ``label``: the name of a column, or its number from 1; "" is the last.

    ``features``: how many columns x must have; a file of just as many has no labels. None: any, with labels.

    UTF-8 with or without a byte-order mark, lines that end in LF or CR LF, cells quoted as RFC 4180 says; empty lines
    are passed over. A name counts before a number where a column is called so. Raises DataError, with line and column,
    for a missing, non-finite or other value that is no number, rows of different lengths, and other encodings.
    """
    path = Path(path)
    with open_regular(path) as file:
        return _Reader(path, file, str(label), features).table()


@dataclass
class _Reader:
    path: Path
    file: BinaryIO
    wanted: str
    features: int | None = None
    line: int = 0  # the last one read
    begun: int = 0  # the one in which the row began
    header: list[str] = field(default_factory=list)

    def table(self) -> Table:
        rows = self._rows()
        first = next(rows, None)
        if first is None:
            self._refuse("line 1", "rows", "an empty file")
        if len(first) == 1 and self.features != 1:
            self._one_column(first[0])
        if self.features is not None and len(first) not in (self.features, self.features + 1):
            self._refuse(
                f"line {self.begun}", f"{self.features} columns, or one more with labels", f"{len(first)}",
                "Give rows like those of the training.",
            )  # fmt: skip
        width, at = len(first), self._begin(first)
        values, labels = array("d"), list[str]()
        if not self.header:
            self._take(first, at, values, labels)
        for row in rows:
            if len(row) != width:
                self._refuse(f"line {self.begun}", f"{width} columns as in the first line", f"{len(row)}")
            self._take(row, at, values, labels)
        if not values:
            self._refuse(f"line {self.line}", "rows after the header", "none")
        names = self.header or [""] * width
        return Table(
            np.frombuffer(values, np.float64).reshape(-1, width - (at is not None)),
            None if at is None else labels,
            tuple(name for i, name in enumerate(names) if i != at),
            "" if at is None else names[at],
        )

    def _rows(self) -> Iterator[list[str]]:
        """The rows that are not empty, their cells as text; ``begun`` is the line of each."""
        reader = csv.reader(self._lines(), strict=True)
        while True:
            self.begun = self.line + 1
            try:
                row = next(reader, None)
            except csv.Error as error:
                self._refuse(f"line {self.begun}", "cells divided by commas, quoted whole or not at all", f"{error}")
            if row is None:
                return
            if row and any(cell.strip() for cell in row):
                yield row
            elif len(row) > 1:
                self._refuse(f"line {self.begun}", "values", "commas alone")

    def _lines(self) -> Iterator[str]:
        while raw := self.file.readline(LINE_LIMIT + 1):
            self.line += 1
            where = f"line {self.line}"
            if self.line == 1:
                for kind, marks in _ENDS.items():
                    if raw.startswith(marks):
                        self._refuse(where, "text in UTF-8", kind)
                raw = raw.removeprefix(b"\xef\xbb\xbf")
            if len(raw) > LINE_LIMIT:
                self._refuse(where, f"at most {LINE_LIMIT} bytes", "more")
            if raw.count(b",") > COLUMN_LIMIT:  # before they are objects
                self._refuse(where, f"at most {COLUMN_LIMIT} columns", "more")
            if b"\0" in raw:
                self._refuse(where, "text", f"a zero byte at place {raw.index(0) + 1}")
            if b"\r" in raw.removesuffix(b"\n").removesuffix(b"\r"):
                self._refuse(where, "lines that end in LF or CR LF", "a CR alone")
            try:
                yield raw.decode("utf-8")
            except UnicodeDecodeError as error:
                self._refuse(
                    where, "text in UTF-8", f"the byte {raw[error.start]:02x} at place {error.start + 1}",
                    "Save the file as UTF-8.",
                )  # fmt: skip

    def _begin(self, first: list[str]) -> int | None:
        """Where the label stands, if it does; and whether the first row is a header."""
        cells = [cell.strip() for cell in first]
        at = None if len(cells) == self.features else self._label(cells)
        numbers = {i: number(cell) is not None for i, cell in enumerate(cells) if i != at}
        if not any(numbers.values()):
            if "" in cells:
                self._refuse(
                    f"line {self.begun}, column {cells.index('') + 1}", "a name", "none",
                    "If it is an index, as pandas writes it, leave it out: to_csv(index=False).",
                )  # fmt: skip
            self.header = cells
        elif not all(numbers.values()):
            i = next(i for i, fine in numbers.items() if not fine)
            self._refuse(
                f"line {self.begun}, column {i + 1}", "a number as beside it, or a header of names alone",
                repr(cells[i][:40]), "Give every column a name that is no number, or repair the value.",
            )  # fmt: skip
        return at

    def _label(self, cells: list[str]) -> int:
        """The place of the column that was asked for: by its name, if this is a header, or by its number."""
        if not self.wanted:
            return len(cells) - 1
        header = not any(number(cell) is not None for cell in cells if cell != self.wanted)
        if header and cells.count(self.wanted) == 1:
            return cells.index(self.wanted)
        if header and self.wanted in cells:
            self._refuse(f"line {self.begun}", f"one column called {self.wanted!r}", f"{cells.count(self.wanted)}")
        if not self.wanted.isdecimal() or not 1 <= int(self.wanted[:9]) <= len(cells):
            self._refuse(
                f"line {self.begun}", f"a column called {self.wanted!r}",
                ", ".join(cells[:20])[:400] if header else "no header",
                f"Name one of the header, or give its number, from 1 to {len(cells)}.",
            )  # fmt: skip
        return int(self.wanted) - 1

    def _take(self, row: list[str], at: int | None, values: array[float], labels: list[str]) -> None:
        if at is not None:
            label = row.pop(at).strip()
            if label.lower() in MISSING:
                self._refuse(self._where(at), "a label", f"{label!r}, a missing one")
            labels.append(label)
        before = len(values)
        try:
            values.extend(map(float, row))
            fine = all(map(math.isfinite, values[before:])) and "_" not in "".join(row)  # float("1_0") is 10
        except ValueError:
            fine = False
        if not fine:
            self._find(row, at)

    def _find(self, row: list[str], at: int | None) -> NoReturn:
        """Name the first cell of a row that is no finite number."""
        i, cell = next((i, cell) for i, cell in enumerate(row) if number(cell) is None)
        where = self._where(i if at is None or i < at else i + 1)
        cell = cell.strip()
        if cell.lower() in MISSING:
            self._refuse(where, "a number", f"{cell!r}, a missing one", "Fill it in, or leave the row out.")
        self._refuse(where, "a finite number", repr(cell[:40]), "Write numbers as 1234.5, or leave the column out.")

    def _where(self, i: int) -> str:
        name = f" ({self.header[i][:40]})" if self.header else ""
        return f"line {self.begun}, column {i + 1}{name}"

    def _one_column(self, cell: str) -> NoReturn:
        for mark, name in ((";", "semicolons"), ("\t", "tabs")):
            if mark in cell:
                self._refuse(f"line {self.begun}", "cells divided by commas", name, "Save it with commas.")
        self._refuse(f"line {self.begun}", "a column of labels and others", "one column")

    def _refuse(self, place: str, expected: str, found: str, advice: str = "Repair it, or leave it out.") -> NoReturn:
        raise DataError(f"Reading {self.path}: {place}: expected {expected}, found {found}. {advice}")


def number(cell: str) -> float | None:
    """The finite number in a cell, or None; Python's own 1_000 is none."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) and "_" not in cell else None
