"""Floor 5: a run of a graph as a page to step through: forward, backward, and the update of each parameter.

``explain(g, "step.html", x, t)`` writes one HTML file that needs nothing else: no network, no other file.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from ...graph.graph import Graph
from ...graph.network import Network
from ...storage.atomic import write_text
from ...training.optimizers import SGD
from ..drawing.graph_reader import chain_graph
from .render import render
from .steps import Explanation
from .update import copied


def explain(model: Any, path: str | Path, *inputs: Any, optimizer: Any = None, title: str = "") -> None:
    """Write the page (see ``page``) to ``path``, a name that ends in .html.

    It replaces an older file only when it is complete. Raises ValueError for another ending.
    """
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise ValueError(
            f"explain: {path.name!r} ends in {path.suffix or 'nothing'}; name a file that ends in .html: the page "
            "is opened by a browser."
        )
    write_text(path, page(model, *inputs, optimizer=optimizer, title=title))


def page(model: Any, *inputs: Any, optimizer: Any = None, title: str = "") -> str:
    """The text of the page for a Graph or a Chain and one run of it on ``inputs``, labels last.

    Backward starts from ones, and ``optimizer`` (SGD(0.1) unless one is given) makes one update. All of it happens to
    copies: the model, its gradients and the optimizer stay as they are. Raises TypeError for what is no Graph or Chain
    and for an optimizer without update; errors of the run come as they are.
    """
    if not isinstance(model, Network) or not hasattr(model, "nodes"):
        raise TypeError(f"explain: found a {type(model).__name__}; give a Graph or a Chain.")
    if not inputs:
        raise TypeError("explain: no arrays came for the inputs; give those of forward: explain(path, x, t).")
    if optimizer is not None and (isinstance(optimizer, type) or not callable(getattr(optimizer, "update", None))):
        raise TypeError(f"explain: the optimizer is {optimizer!r}; give an object with update, such as SGD(lr=0.1).")
    graph = model if isinstance(model, Graph) else chain_graph(model, *inputs)
    own = SGD(0.1) if optimizer is None else copied(optimizer)
    return render(Explanation(copy.deepcopy(graph), inputs, own), title or "Step through the graph")
