"""Floor 5: pictures of computational graphs: the value above each edge going forward, the gradient below coming back.

``draw(g, "net.svg")`` writes a file, ``svg(g)`` and ``dot(g)`` return its text. A Graph shows its last run, or its
structure if it has not run; a Chain is run on the arrays that are given, without a change to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...arrays.libraries import Array
from . import dot as _dot
from . import svg as _svg
from .files import write
from .picture import Picture

FORMATS = {".svg": _svg.render, ".dot": _dot.render}


def picture(model: Any, *inputs: Array, open: Sequence[str] | bool = (), title: str = "") -> Picture:
    """The picture of a Graph, or of a Chain, as plain data. With ``inputs``, of a run on them: ``trace``.

    ``open``: the classes of nodes that are drawn by what is inside them, such as ``("Affine",)``; True for all that
    have an inside: Affine, Chain and Graph.
    """
    from .source import picture_of, traced

    made = picture_of(traced(model, inputs), open)
    made.title = title or made.title
    return made


def svg(model: Any, *inputs: Array, open: Sequence[str] | bool = (), title: str = "") -> str:
    """The picture as SVG (see ``picture``): one text without references to other files."""
    return _svg.render(picture(model, *inputs, open=open, title=title))


def dot(model: Any, *inputs: Array, open: Sequence[str] | bool = (), title: str = "") -> str:
    """The picture in the language of Graphviz (see ``picture``)."""
    return _dot.render(picture(model, *inputs, open=open, title=title))


def draw(model: Any, path: str | Path, *inputs: Array, open: Sequence[str] | bool = (), title: str = "") -> None:
    """Write the picture (see ``picture``) to ``path``, by its ending as SVG (.svg) or for Graphviz (.dot).

    It replaces an older file only when it is complete. Raises ValueError for another ending.
    """
    path = Path(path)
    render = FORMATS.get(path.suffix.lower())
    if render is None:
        raise ValueError(
            f"draw: {path.name!r} ends in {path.suffix or 'nothing'}; name a file that ends in {' or '.join(FORMATS)}."
        )
    write(path, render(picture(model, *inputs, open=open, title=title)))
