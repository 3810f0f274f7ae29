"""Read a .csv file: one example on each line, one column of labels, numbers in all other columns.

The first line is a header if no cell in it is a number, the label aside; it is an example if all of them are; a mixture
is refused. In messages, lines and columns count from 1.
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

LINE_LIMIT = 4 << 20  # bytes of a line; the csv module limits a cell to 131,072 characters
COLUMN_LIMIT = 1 << 18
MISSING = {"", "na", "n/a", "nan", "null", "none", "?", "-"}
_OTHER_FORMATS = {"utf-16": (b"\xff\xfe", b"\xfe\xff"), "a zip file": (b"PK\3\4",), "gzip": (b"\x1f\x8b",)}


# eq=False: comparing arrays field by field has no truth value
@dataclass(frozen=True, eq=False)
class Table:
    """x: (N, D) float64, finite. labels: N cells of text, or None if the file has none.

    columns: the names of x's columns, "" each without a header. label: the name of the column of labels, or "".
    """

    x: np.ndarray
    labels: list[str] | None
    columns: tuple[str, ...]
    label: str


def read(path: str | os.PathLike[str], label: str | int = "", features: int | None = None) -> Table:
    """Read a file. ``label``: the name of a column, or its number from 1 if no column has that name; "" is the last.

    ``features``: how many columns x must have; a file with just as many has no labels. None: any number, with labels.

    The file is UTF-8 with or without a byte-order mark, its lines end in LF or CR LF, cells may be quoted as in RFC
    4180; empty lines are skipped. Raises DataError, with line and column, for a cell that is not a finite number, a
    missing label, rows of different lengths, and other encodings.
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
    line: int = 0  # the last line read
    row_line: int = 0  # the line on which the current row starts
    header: list[str] = field(default_factory=list)

    def table(self) -> Table:
        rows = self._rows()
        first = next(rows, None)
        if first is None:
            self._refuse("rows", "an empty file", at="line 1")
        if len(first) == 1 and self.features != 1:
            self._refuse_one_column(first[0])
        if self.features is not None and len(first) not in (self.features, self.features + 1):
            expected = f"{self.features} columns, or one more with labels"
            self._refuse(expected, f"{len(first)}", "Give rows like the training rows.")
        width, at = len(first), self._read_header(first)
        values, labels = array("d"), list[str]()
        if not self.header:
            self._add_row(first, at, values, labels)
        for row in rows:
            if len(row) != width:
                self._refuse(f"{width} columns as in the first line", f"{len(row)}")
            self._add_row(row, at, values, labels)
        if not values:
            self._refuse("rows after the header", "none", at=f"line {self.line}")
        names = self.header or [""] * width
        return Table(
            np.frombuffer(values, np.float64).reshape(-1, width - (at is not None)),
            None if at is None else labels,
            tuple(name for i, name in enumerate(names) if i != at),
            "" if at is None else names[at],
        )

    def _rows(self) -> Iterator[list[str]]:
        """The rows that are not empty, as cells of text."""
        reader = csv.reader(self._lines(), strict=True)
        while True:
            self.row_line = self.line + 1
            try:
                row = next(reader, None)
            except csv.Error as error:
                self._refuse("cells separated by commas, quoted whole or not at all", f"{error}")
            if row is None:
                return
            if row and any(cell.strip() for cell in row):
                yield row
            elif len(row) > 1:
                self._refuse("values", "only commas")

    def _lines(self) -> Iterator[str]:
        while raw := self.file.readline(LINE_LIMIT + 1):
            self.line += 1
            where = f"line {self.line}"
            if self.line == 1:
                for kind, marks in _OTHER_FORMATS.items():
                    if raw.startswith(marks):
                        self._refuse("text in UTF-8", kind, at=where)
                raw = raw.removeprefix(b"\xef\xbb\xbf")
            if len(raw) > LINE_LIMIT:
                self._refuse(f"at most {LINE_LIMIT} bytes", "more", at=where)
            if raw.count(b",") > COLUMN_LIMIT:  # before they become Python strings
                self._refuse(f"at most {COLUMN_LIMIT} columns", "more", at=where)
            if b"\0" in raw:
                self._refuse("text", f"a zero byte at position {raw.index(0) + 1}", at=where)
            if b"\r" in raw.removesuffix(b"\n").removesuffix(b"\r"):
                self._refuse("lines that end in LF or CR LF", "a single CR", at=where)
            try:
                yield raw.decode("utf-8")
            except UnicodeDecodeError as error:
                found = f"the byte {raw[error.start]:02x} at position {error.start + 1}"
                self._refuse("text in UTF-8", found, "Save the file as UTF-8.", where)

    def _read_header(self, first: list[str]) -> int | None:
        """Find the column of labels (None: there is none), and set ``header`` if the first row is one."""
        cells = [cell.strip() for cell in first]
        at = None if len(cells) == self.features else self._label_column(cells)
        numbers = {i: number(cell) is not None for i, cell in enumerate(cells) if i != at}
        if not any(numbers.values()):
            if "" in cells:
                advice = "If this is the index that pandas writes, leave it out: to_csv(index=False)."
                self._refuse("a name", "none", advice, self._where(cells.index("")))
            self.header = cells
        elif not all(numbers.values()):
            i = next(i for i, is_number in numbers.items() if not is_number)
            advice = "Give every column a name that is not a number, or repair the value."
            expected = "a number like its neighbours, or a header with names only"
            self._refuse(expected, repr(cells[i][:40]), advice, self._where(i))
        return at

    def _label_column(self, cells: list[str]) -> int:
        """The index of the column of labels: by name if the first row is a header, or by number."""
        if not self.wanted:
            return len(cells) - 1
        header = not any(number(cell) is not None for cell in cells if cell != self.wanted)
        if header and cells.count(self.wanted) == 1:
            return cells.index(self.wanted)
        if header and self.wanted in cells:
            self._refuse(f"one column called {self.wanted!r}", f"{cells.count(self.wanted)}")
        if not self.wanted.isdecimal() or not 1 <= int(self.wanted[:9]) <= len(cells):
            found = ", ".join(cells[:20])[:400] if header else "no header"
            advice = f"Give a name from the header, or a number from 1 to {len(cells)}."
            self._refuse(f"a column called {self.wanted!r}", found, advice)
        return int(self.wanted) - 1

    def _add_row(self, row: list[str], at: int | None, values: array[float], labels: list[str]) -> None:
        if at is not None:
            label = row.pop(at).strip()
            if label.lower() in MISSING:
                self._refuse("a label", f"{label!r}, a missing value", at=self._where(at))
            labels.append(label)
        before = len(values)
        try:
            values.extend(map(float, row))
            finite = all(map(math.isfinite, values[before:])) and "_" not in "".join(row)  # float("1_0") is 10
        except ValueError:
            finite = False
        if not finite:
            self._refuse_number(row, at)

    def _refuse_number(self, row: list[str], at: int | None) -> NoReturn:
        """Raise the error for the first cell of a row that is not a finite number."""
        i, cell = next((i, cell) for i, cell in enumerate(row) if number(cell) is None)
        where = self._where(i if at is None or i < at else i + 1)
        cell = cell.strip()
        if cell.lower() in MISSING:
            self._refuse("a number", f"{cell!r}, a missing value", "Fill it in, or leave the row out.", where)
        self._refuse("a finite number", repr(cell[:40]), "Write numbers as 1234.5, or leave the column out.", where)

    def _where(self, i: int) -> str:
        name = f" ({self.header[i][:40]})" if self.header else ""
        return f"line {self.row_line}, column {i + 1}{name}"

    def _refuse_one_column(self, cell: str) -> NoReturn:
        for mark, name in ((";", "semicolons"), ("\t", "tabs")):
            if mark in cell:
                self._refuse("cells separated by commas", name, "Save it with commas.")
        self._refuse("a column of labels and others", "one column")

    def _refuse(self, expected: str, found: str, advice: str = "Repair it, or leave it out.", at: str = "") -> NoReturn:
        place = at or f"line {self.row_line}"
        raise DataError(f"Reading {self.path}: {place}: expected {expected}, found {found}. {advice}")


def number(cell: str) -> float | None:
    """The finite number in a cell, or None; 1_000, which Python accepts, is not a number here."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) and "_" not in cell else None
