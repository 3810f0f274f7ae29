"""One captured step that can be launched again, and what the nodes of the model store while it runs."""

from __future__ import annotations

import traceback
from typing import Any

from ...nodes.copying import parts


class Replay:
    """The CUDA graph of one step.

    ``tables``: the address tables of the update, which must live as long as the graph, because it reads them.
    ``saved``: the arrays that the nodes stored for ``backward`` during the capture; every launch fills them again.
    """

    def __init__(self, graph: Any, model: Any, tables: list[Any]) -> None:
        self.graph, self.tables = graph, tables
        self.saved = [(part, letter, getattr(part, letter, None)) for part, letter in _saved_values(model)]

    def launch(self, lane: Any, optimizer: Any) -> None:
        """Run the step once more on the stream of ``lane``."""
        lane.fork()
        self.graph.launch()
        optimizer.iter += 1

    def restore(self) -> None:
        """Give the nodes the arrays of this graph back, which hold the values of its last launch."""
        for part, letter, value in self.saved:
            setattr(part, letter, value)


def forget_saved_values(model: Any) -> None:
    """Set what nodes stored during a failed capture to None: it was recorded, but never computed."""
    for part, letter in _saved_values(model):
        setattr(part, letter, None)


def failed_operation(error: BaseException) -> str:
    """The innermost forward, backward or update in which a capture failed, with the error's own words."""
    names = [frame.f_code.co_qualname for frame, _ in traceback.walk_tb(error.__traceback__)]
    methods = [name for name in names if name.endswith((".forward", ".backward", ".update"))]
    where = methods[-1].rpartition("<locals>.")[2] if methods else "the step"
    return f"{where} ({type(error).__name__}: {' '.join(str(error).split())})"


def _saved_values(model: Any) -> list[tuple[Any, str]]:
    """(node, attribute) of everything that the nodes of a model store for ``backward``."""
    return [(part, letter) for part in parts(model) for letter in getattr(part, "saved", ())]
