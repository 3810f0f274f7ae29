"""A run of a graph as an HTML page: step through forward, backward and the update of each parameter.

``explain(g, "step.html", x, t)`` writes one file that needs nothing else: no network, no other file.

The way of the data: ``calls`` runs the graph, ``steps`` and ``update`` add the steps to a ``document.Page``,
``scene`` knows when each part of the picture appears, ``render`` writes the HTML around them.
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
from .steps import make_page
from .update import copy_optimizer


def explain(model: Any, path: str | Path, *inputs: Any, optimizer: Any = None, title: str = "") -> None:
    """Write the page (see ``page``) to ``path``, a name that ends in .html.

    An older file is replaced only when the new one is complete. Raises ValueError for another file extension.
    """
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise ValueError(
            f"explain: {path.name!r} ends in {path.suffix or 'nothing'}; name a file that ends in .html: the page "
            "is opened by a browser."
        )
    write_text(path, page(model, *inputs, optimizer=optimizer, title=title))


def page(model: Any, *inputs: Any, optimizer: Any = None, title: str = "") -> str:
    """The HTML of the page for one run of a Graph or a Chain on ``inputs``, labels last.

    Backward starts from ones, then ``optimizer`` (default: SGD(0.1)) makes one update. All of this happens to copies:
    the model, its gradients and the optimizer do not change. Raises TypeError for another model, for missing inputs and
    for an optimizer without ``update``; errors of the run pass through.
    """
    if not isinstance(model, Network) or not hasattr(model, "nodes"):
        raise TypeError(f"explain: found a {type(model).__name__}; give a Graph or a Chain.")
    if not inputs:
        raise TypeError("explain: no arrays came for the inputs; give those of forward: explain(path, x, t).")
    if optimizer is not None and (isinstance(optimizer, type) or not callable(getattr(optimizer, "update", None))):
        raise TypeError(f"explain: the optimizer is {optimizer!r}; give an object with update, such as SGD(lr=0.1).")
    graph = model if isinstance(model, Graph) else chain_graph(model, *inputs)
    own_optimizer = SGD(0.1) if optimizer is None else copy_optimizer(optimizer)
    return render(make_page(copy.deepcopy(graph), inputs, own_optimizer), title or "Step through the graph")
