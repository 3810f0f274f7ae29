"""Pictures of computational graphs: on each edge the value going forward above the gradient coming back.

``draw(g, "net.svg")`` writes a file, ``svg(g)`` and ``dot(g)`` return its text. A Graph shows its last run, or only its
structure before the first; a Chain shows a run on the arrays that you give, and does not change.

The way of the data: ``graph_reader`` reads a graph into ``lines``, these become a ``picture`` (vertices and edges with
their texts), ``layout/`` gives everything its place, ``svg`` and ``dot`` write the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...arrays.libraries import Array
from ...storage.atomic import write_text
from . import dot as _dot
from . import svg as _svg
from .picture import Picture

FORMATS = {".svg": _svg.render, ".dot": _dot.render}


def picture(model: Any, *inputs: Array, open: Sequence[str] | bool = (), title: str = "") -> Picture:
    """The picture of a Graph or a Chain as plain data; with ``inputs``, labels last, of a run on them (``trace``).

    ``open``: classes of nodes to draw by what is inside them, such as ``("Affine",)``; True: all Affines, Chains and
    Graphs. Raises TypeError for another model; errors of the run pass through.
    """
    from .graph_reader import picture_of, traced

    drawn = picture_of(traced(model, inputs), open)
    drawn.title = title or drawn.title
    return drawn


def svg(model: Any, *inputs: Array, open: Sequence[str] | bool = (), title: str = "") -> str:
    """The picture (see ``picture``) as the text of an SVG file that refers to no other file."""
    return _svg.render(picture(model, *inputs, open=open, title=title))


def dot(model: Any, *inputs: Array, open: Sequence[str] | bool = (), title: str = "") -> str:
    """The picture (see ``picture``) as the text of a Graphviz file."""
    return _dot.render(picture(model, *inputs, open=open, title=title))


def draw(model: Any, path: str | Path, *inputs: Array, open: Sequence[str] | bool = (), title: str = "") -> None:
    """Write the picture (see ``picture``) to ``path``, as SVG (.svg) or for Graphviz (.dot).

    An older file is replaced only when the new one is complete. Raises ValueError for another file extension.
    """
    path = Path(path)
    render = FORMATS.get(path.suffix.lower())
    if render is None:
        raise ValueError(
            f"draw: {path.name!r} ends in {path.suffix or 'nothing'}; name a file that ends in {' or '.join(FORMATS)}."
        )
    write_text(path, render(picture(model, *inputs, open=open, title=title)))
