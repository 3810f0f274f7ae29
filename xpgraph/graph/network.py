"""Floor 4: what Chain and Graph share: the names of the parameters inside, saving, drawing and explaining."""

from __future__ import annotations

import importlib
from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..arrays.libraries import Array
from ..nodes.node import Node
from ..nodes.sharing import plan
from .evaluation import Evaluation, evaluate, predict

# draw, svg and explain of xpgraph.pictures, which imports this file; the package xpgraph fills the table.
PICTURES: dict[str, Callable[..., Any]] = {}
_DRAWN = 200  # nodes of the largest network that a notebook draws by itself


class Held(NamedTuple):
    """Parameters that belong to no node, in the form of one."""

    params: list[Array]
    grads: list[Array]
    names: tuple[str, ...] = ("",)


class Network(Node):
    """A node made of nodes. A subclass names them in ``_inside``, in the order of ``params`` and ``grads``."""

    nodes: list[Any]  # in the order in which they run
    loss: Any  # the node that gives the loss, or None

    @abstractmethod
    def _inside(self) -> Sequence[tuple[str, Any]]:
        """(path, node) of each node inside."""

    def named_parameters(self) -> list[tuple[str, Array, Array]]:
        """(path, value, gradient) of each parameter, such as ``0.W``; twins and shared arrays are listed once."""
        named = self._named()
        return [
            row
            for row, slot, i in zip(named, plan([p for _, p, _ in named]), range(len(named)), strict=True)
            if slot.first == i
        ]

    def _named(self) -> list[tuple[str, Array, Array]]:
        rows = []
        for path, node in self._inside():
            if isinstance(node, Network):
                inner = node._named()
            else:
                params = getattr(node, "params", ())
                names = getattr(node, "names", ()) or [str(k) for k in range(len(params))]
                inner = list(zip(names, params, getattr(node, "grads", ()), strict=True))
            rows += [(f"{path}.{name}" if name else path, p, g) for name, p, g in inner]
        return rows

    def _paths(self) -> list[str]:
        """The paths of ``_named`` alone."""
        paths = []
        for path, node in self._inside():
            if isinstance(node, Network):
                inner = node._paths()
            else:
                params = getattr(node, "params", ())
                names = getattr(node, "names", ()) or [str(k) for k in range(len(params))]
                inner = [name for name, _ in zip(names, params, strict=False)]
            paths += [f"{path}.{name}" if name else path for name in inner]
        return paths

    @abstractmethod
    def _scores(self, *inputs: Any) -> Any:
        """What ``predict`` returns, of one batch."""

    @abstractmethod
    def _judged(self, *inputs: Any) -> tuple[Any, Any, Any]:
        """(loss, scores, labels) of one batch, labels last; scores and labels are None where there are no classes."""

    def predict(self, x: Array, batch_size: int | None = None) -> Any:
        """The output for all rows (before the loss: scores, not probabilities), (N, ...).

        Of a Graph with a loss, what goes into it, without labels. NumPy data is moved to the model's library,
        ``batch_size`` rows at a time (None: all at once). Raises TypeError for a Graph whose output needs more than x.
        """
        return predict(self, x, batch_size)

    def evaluate(self, x: Array, t: Array, batch_size: int = 1024) -> Evaluation:
        """Mean loss and accuracy over all rows; NumPy data is moved to the model's library, a batch at a time.

        Raises TypeError for a model without a loss, and for a Graph that does not take (x, t).
        """
        return evaluate(self, x, t, batch_size)

    def save(self, path: str | Path) -> None:
        """Write weights and structure to one safetensors file; it replaces an older one only when it is complete."""
        _files().save_model(self, Path(path))

    def load(self, path: str | Path) -> None:
        """Read weights into this model's own arrays; ModelFileError, and nothing changed, if they do not fit."""
        _files().load_weights(self, Path(path))

    def draw(self, path: str | Path, *inputs: Any, open: Sequence[str] | bool = (), title: str = "") -> None:
        """Write a picture, by the ending of ``path`` as SVG (.svg) or for Graphviz (.dot).

        It shows the last run of a Graph; with ``inputs``, a run on them, which changes nothing in a Chain. ``open``:
        classes of nodes that are drawn by what is inside, such as ``("Affine",)``, or True for all (see drawing).
        """
        PICTURES["draw"](self, path, *inputs, open=open, title=title)

    def explain(self, path: str | Path, *inputs: Any, optimizer: Any = None, title: str = "") -> None:
        """Write a page (.html) to step through a run on ``inputs``, labels last: forward, backward, one update.

        Nothing of the model or of the optimizer (SGD(0.1), if none is given) changes (see explaining).
        """
        PICTURES["explain"](self, path, *inputs, optimizer=optimizer, title=title)

    def _repr_svg_(self) -> str | None:
        """For notebooks; None, and so the plain repr, where a picture would be too large to read."""
        return PICTURES["svg"](self) if len(self.nodes) <= _DRAWN else None


def _files() -> Any:
    return importlib.import_module("xpgraph.graph.saving")  # a floor above: it makes models of every kind
