"""An array as HTML: the number, or its statistics and a table of its first rows and columns."""

from __future__ import annotations

import math
from html import escape
from typing import Any, NamedTuple

from ...arrays.libraries import Array, dtype_name, is_array, namespace_of, on_device, to_numpy
from ..drawing.values import block, is_bad, number_text

_ALL = 120  # an array of so many numbers has no statistics; it is shown in full if the limits allow it


class Limits(NamedTuple):
    """The size of the largest table."""

    rows: int
    columns: int

    @classmethod
    def of_page(cls, figures: int) -> Limits:
        """Smaller tables for a page with many figures, so that the file stays small."""
        return cls(8, 10) if figures < 150 else cls(4, 6) if figures < 1000 else cls(1, 3)


def figure(a: Any, letter: str, name: str, colour: str, limits: Limits) -> str:
    """An array with its letter and its name. ``colour``: value, gradient or local."""
    label = f"<b>{escape(letter)}</b>" + (f" <span>{escape(name)}</span>" if name and name != letter else "")
    table_name = escape(" ".join(filter(None, (letter, name if name != letter else ""))), quote=True)
    return f'<figure class="{colour}"><figcaption>{label}</figcaption>{_body(a, table_name, limits)}</figure>'


def scalar_text(a: Any) -> str | None:
    """A single number with four significant digits; None for anything else."""
    if a is None or (is_array(a) and a.shape):
        return None
    shown = block(a)
    return shown.text if shown.kind == "number" else None


def spoken(a: Any) -> str:
    """A value in a few words, for screen readers."""
    return scalar_text(a) or (f"{_shape(a)} array" if is_array(a) else "none")


def _body(a: Any, table_name: str, limits: Limits) -> str:
    if not is_array(a) or not a.shape:
        shown = block(a)
        return f'<p class="number{" bad" if shown.bad else ""}">{escape(shown.text)}</p>'
    facts = [f"{_shape(a)} {dtype_name(a)}"]
    if math.prod(a.shape) > _ALL:
        shown = block(a)
        facts = [row[0] for row in shown.rows] if shown.kind == "lines" else facts
    about = "".join(f"<li>{escape(fact)}</li>" for fact in facts)
    return f'<ul class="facts">{about}</ul>{_table(a, table_name, limits) if 0 not in a.shape else ""}'


def _shape(a: Array) -> str:
    return " × ".join(map(str, a.shape)) or "empty"


def _table(a: Array, name: str, limits: Limits) -> str:
    """The first rows and columns. The last axis runs across, all others run down."""
    size, across = math.prod(a.shape), a.shape[-1]
    down = size // across
    everything = size <= min(_ALL, limits.rows * limits.columns) and across <= 2 * limits.columns
    rows, columns = (down, across) if everything else (min(down, limits.rows), min(across, limits.columns))
    with on_device(a):
        grid = namespace_of(a).reshape(a, (down, across))[:rows, :columns]
    numbers = to_numpy(grid).tolist()  # sync
    index = _indices(a.shape[:-1], rows)
    gap = '<td class="more">…</td>' if columns < across else ""
    head = "".join(f'<th scope="col">{j}</th>' for j in range(columns)) + gap
    body = [
        f'<tr><th scope="row">{i}</th>{"".join(map(_cell, row))}{gap}</tr>'
        for i, row in zip(index, numbers, strict=True)
    ]
    if len(a.shape) == 1:
        body = [f'<tr><th scope="row"></th>{"".join(map(_cell, numbers[0]))}{gap}</tr>']
    if rows < down:
        body.append(f'<tr><th scope="row">…</th><td class="more" colspan="{columns + bool(gap)}"></td></tr>')
    left = size - rows * columns
    shown = _range(rows, down, "Row") + _range(columns, across, "Column")
    note = f'<p class="left">{shown}{left:,} numbers left out.</p>' if left else ""
    return (
        f'<div class="scroll" role="region" aria-label="{name}" tabindex="0"><table><thead><tr><th></th>{head}</tr>'
        f"</thead><tbody>{''.join(body)}</tbody></table></div>{note}"
    )


def _range(shown: int, total: int, what: str) -> str:
    return f"{what}s 0 to {shown - 1} of {total:,}. " if shown < total else ""


def _indices(shape: tuple[int, ...], n: int) -> list[str]:
    """The first n indices of an array of this shape in row-major order, such as "0, 1"."""
    indices = []
    for i in range(n):
        index: list[int] = []
        for length in reversed(shape):
            i, last = divmod(i, length)
            index.insert(0, last)
        indices.append(", ".join(map(str, index)))
    return indices


def _cell(v: Any) -> str:
    return f"<td{' class=bad' if is_bad(v) else ''}>{escape(number_text(v))}</td>"
