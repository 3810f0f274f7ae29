"""The text for one value, and how wide a text is: the numbers of a small array, the statistics of a large one.

Numbers have four significant digits and no trailing zeros. Of a large array, only the statistics leave the device. A
text is never taken to be narrower than in the fonts that browsers choose: its letters have the widths of DejaVu Sans
and DejaVu Serif, which are wider than most fonts, as fractions of the font size.
"""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass
from typing import Any

from ...arrays.libraries import Array, dtype_name, is_array, namespace_of, number, on_device, to_numpy

ROWS, COLUMNS = 4, 6  # the largest matrix whose numbers are shown
SIZE, SMALL = 13.0, 10.5  # font sizes of numbers and of statistics
COLUMN_GAP = 9.0  # between the columns of a matrix
_CLASSES = {
    0.35: " ',./:;\\ijl|·",
    0.42: "!()-IJ[]ftᵀ⁰¹²³",
    0.48: '"r',
    0.56: "*?_`sz",
    0.6: "cvxy",
    0.65: "$0123456789abdeghknopqu{}",
    0.7: "FLPSTYZ",
    0.75: "ABEKVXΣ",
    0.8: "CGR",
    0.88: "#+<=>DHNOQU^w~×−÷→",
    1.03: "%&@mMW…",
}
_WIDTHS = {letter: width for width, letters in _CLASSES.items() for letter in letters}


@dataclass(frozen=True)
class Block:
    """A rectangle of text: one number, a matrix in brackets, or lines of statistics."""

    kind: str  # "number", "matrix", "lines"
    rows: tuple[tuple[str, ...], ...]
    bad: frozenset[tuple[int, int]] = frozenset()  # (row, column) of each nan and inf
    about: str = ""  # shape and dtype

    @property
    def size(self) -> float:
        return SMALL if self.kind == "lines" else SIZE

    @property
    def pitch(self) -> float:
        """The distance from one line to the next."""
        return round(self.size * 1.3, 1)

    @property
    def columns(self) -> list[float]:
        """The width of each column."""
        return [
            max(text_width(row[j], self.size, (i, j) in self.bad) for i, row in enumerate(self.rows))
            for j in range(len(self.rows[0]))
        ]

    @property
    def width(self) -> float:
        columns = self.columns
        return sum(columns) + COLUMN_GAP * (len(columns) - 1) + (10 if self.kind == "matrix" else 0)

    @property
    def height(self) -> float:
        return self.pitch * len(self.rows) + (2 if self.kind == "matrix" else 0)

    @property
    def text(self) -> str:
        """All of it in one line."""
        if self.kind == "lines":
            return ", ".join(row[0] for row in self.rows)
        rows = [" ".join(row) for row in self.rows]
        return rows[0] if self.kind == "number" else f"[{'; '.join(rows)}]"


def number_text(v: Any) -> str:
    """2.2, 110, 1e-07, nan, -inf: four significant digits, no trailing zeros; integers in full."""
    if isinstance(v, bool | int | str):
        return str(v)
    text = f"{v:.4g}"
    return "0" if text == "-0" else text


def block(a: Any) -> Block:
    """The text for an array of any library, a number, or anything else (by its ``str``)."""
    if not is_array(a):
        try:
            a = number(a) if hasattr(a, "dtype") else a
        except (TypeError, ValueError):
            a = str(a)
        if not isinstance(a, bool | int | float | complex):
            return Block("lines", ((_short(str(a)),),))
        return Block("number", ((number_text(a),),), _bad([[a]]))
    shape = tuple(a.shape)
    about = f"{shape} {dtype_name(a)}"
    rows, columns = (1, 1, *shape)[-2:]
    if len(shape) > 2 or 0 in shape or rows > ROWS or columns > COLUMNS:
        return _statistics(a, about)
    listed = to_numpy(a).tolist()  # sync
    numbers = listed if len(shape) == 2 else [listed] if shape else [[listed]]
    texts = tuple(tuple(map(number_text, row)) for row in numbers)
    return Block("matrix" if shape else "number", texts, _bad(numbers), about)


def _bad(numbers: list[list[Any]]) -> frozenset[tuple[int, int]]:
    """(row, column) of each nan and inf."""
    return frozenset((i, j) for i, row in enumerate(numbers) for j, v in enumerate(row) if is_bad(v))


def is_bad(v: Any) -> bool:
    """Is it nan or inf?"""
    return isinstance(v, float) and not math.isfinite(v)


def _statistics(a: Array, about: str) -> Block:
    """Mean, standard deviation, min, max and Euclidean norm of the finite elements, and the number of nan and inf."""
    if 0 in a.shape:
        return Block("lines", ((about,), ("empty",)), about=about)
    xp = namespace_of(a)
    if not xp.isdtype(a.dtype, ("bool", "integral", "real floating")):
        return Block("lines", ((about,),), about=about)
    with on_device(a):
        x = xp.astype(a, xp.float64)
        finite = xp.isfinite(x)
        count = int(number(xp.sum(xp.astype(finite, xp.int64))))  # sync
        lines, bad = [about], []
        if count < (size := math.prod(a.shape)):
            n_nan = int(number(xp.sum(xp.astype(xp.isnan(x), xp.int64))))  # sync
            n_inf = size - count - n_nan
            bad.append(", ".join(f"{n} {word}" for n, word in ((n_nan, "nan"), (n_inf, "inf")) if n))
            x = xp.where(finite, x, xp.zeros_like(x))
        if count:
            low = number(xp.min(xp.where(finite, x, xp.full_like(x, math.inf))))  # sync
            high = number(xp.max(xp.where(finite, x, xp.full_like(x, -math.inf))))  # sync
            big = max(abs(low), abs(high)) or 1.0
            x = x / big  # so that sums and squares do not overflow
            mean = number(xp.sum(x)) / count  # sync
            centred = xp.where(finite, x - mean, xp.zeros_like(x))
            std = big * math.sqrt(number(xp.sum(centred * centred)) / count)  # sync
            norm = big * math.sqrt(number(xp.sum(x * x)))  # sync
            mean *= big
            low_text, high_text, mean_text, std_text, norm_text = map(number_text, (low, high, mean, std, norm))
            floating = xp.isdtype(a.dtype, "real floating")  # the mean of labels means nothing
            lines += [f"mean {mean_text}, std {std_text}"] if floating else []
            lines += [f"min {low_text}, max {high_text}"] + ([f"norm {norm_text}"] if floating else [])
    rows = (lines[0], *bad, *lines[1:])
    return Block("lines", tuple((line,) for line in rows), frozenset((1, 0) for _ in bad), about)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 24 else f"{line[:23]}…"


def text_width(text: str, size: float, bold: bool = False) -> float:
    """The width of one line of text in pixels, rather too much than too little."""
    rounding = 2.0 if text else 0.0  # some browsers round the width of each letter to whole pixels
    return sum(map(_letter_width, text)) * size * (1.2 if bold else 1.0) + rounding


def _letter_width(letter: str) -> float:
    if letter in _WIDTHS:
        return _WIDTHS[letter]
    if unicodedata.combining(letter) or unicodedata.category(letter) in ("Mn", "Me", "Cf"):
        return 0.0
    if unicodedata.east_asian_width(letter) in "WF":
        return 1.05
    return 0.8 if unicodedata.category(letter) in ("Ll", "Lu", "Nd") else 1.4  # 1.4: an emoji
