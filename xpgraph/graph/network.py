"""What Chain and Graph share: the names of the parameters inside, predicting, evaluating, saving and pictures."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..arrays.libraries import Array
from ..nodes.node import Node, describe
from ..nodes.sharing import plan
from .evaluation import Evaluation, evaluate, predict
from .saving import load_weights, save_model

# draw, svg and explain of xpgraph.pictures, which imports this file; xpgraph/__init__.py fills the table.
PICTURES: dict[str, Callable[..., Any]] = {}
_LARGEST_PICTURE = 200  # nodes of the largest network that a notebook draws without being asked


class OwnParameter(NamedTuple):
    """A parameter of the network itself, in no node; it has the attributes by which a node names its parameters."""

    params: list[Array]
    grads: list[Array]
    names: tuple[str, ...] = ("",)


class Network(Node):
    """A node made of nodes. A subclass lists them in ``named_children``, in the order of ``params`` and ``grads``."""

    nodes: list[Any]  # in the order in which they run
    loss: Any  # the node that returns the loss, or None

    @property
    def is_loss(self) -> bool:  # type: ignore[override]
        return self.loss is not None

    @abstractmethod
    def named_children(self) -> Sequence[tuple[str, Any]]:
        """(path, node) of each node directly inside."""

    def named_parameters(self, remove_duplicate: bool = True) -> list[tuple[str, Array, Array]]:
        """(path, value, gradient) of each parameter, such as ``0.W``.

        A parameter that is used several times (twins, shared and tied arrays) is listed once, under its first path;
        with ``remove_duplicate=False`` at every use, in the order of ``params``.
        """
        rows: list[tuple[str, Array, Array]] = []
        for path, node in self._leaves():
            params, grads = (getattr(node, name, ()) for name in ("params", "grads"))
            rows += zip(_parameter_paths(path, node), params, grads, strict=True)
        if not remove_duplicate:
            return rows
        slots = plan([p for _, p, _ in rows])
        return [row for i, (row, slot) in enumerate(zip(rows, slots, strict=True)) if slot.first == i]

    def _leaves(self) -> Iterator[tuple[str, Any]]:
        """(path, node) of each node inside that is no network, in the order of ``params``."""
        for path, node in self.named_children():
            if isinstance(node, Network):
                yield from ((f"{path}.{inner}", leaf) for inner, leaf in node._leaves())
            else:
                yield path, node

    def _all_paths(self) -> list[str]:
        """The path of each parameter at each use; asks no node for its gradients."""
        return [name for path, node in self._leaves() for name in _parameter_paths(path, node)]

    def _describe_nodes(self, twins: Mapping[int, int]) -> list[dict[str, Any]]:
        """``describe`` of each node; of a twin, which node it repeats."""
        return [{"twin_of": twins[i]} if i in twins else describe(node) for i, node in enumerate(self.nodes)]

    @abstractmethod
    def scores(self, *inputs: Any) -> Any:
        """What ``predict`` returns, for one batch."""

    @abstractmethod
    def loss_and_scores(self, *inputs: Any) -> tuple[Any, Any, Any]:
        """(loss, scores, labels) of one batch, labels last; scores and labels are None where there are no classes."""

    def predict(self, x: Array, batch_size: int | None = None) -> Any:
        """The output for all rows of x, (N, ...); of a model with a loss, what goes into the loss: scores.

        NumPy data is moved to the model's library, ``batch_size`` rows at a time (None: all at once). Raises TypeError
        for a Graph whose output needs more inputs than x.
        """
        return predict(self, x, batch_size)

    def evaluate(self, x: Array, t: Array, batch_size: int = 1024) -> Evaluation:
        """Mean loss and accuracy over all rows; NumPy data is moved to the model's library, a batch at a time.

        Raises TypeError for a model without a loss, and for a Graph that does not take (x, t).
        """
        return evaluate(self, x, t, batch_size)

    def save(self, path: str | Path) -> None:
        """Write weights and structure to one safetensors file; it replaces an older one only when it is complete."""
        save_model(self, Path(path))

    def load(self, path: str | Path) -> None:
        """Read weights into this model's own arrays; ModelFileError, and nothing changed, if they do not fit."""
        load_weights(self, Path(path))

    def draw(self, path: str | Path, *inputs: Any, open: Sequence[str] | bool = (), title: str = "") -> None:
        """Write a picture, by the ending of ``path`` as SVG (.svg) or for Graphviz (.dot).

        It shows the last run of a Graph; with ``inputs``, a run on them, which changes nothing in a Chain. ``open``:
        classes of nodes that are drawn by what is inside, such as ``("Affine",)``, or True for all.
        """
        PICTURES["draw"](self, path, *inputs, open=open, title=title)

    def explain(self, path: str | Path, *inputs: Any, optimizer: Any = None, title: str = "") -> None:
        """Write a page (.html) to step through a run on ``inputs``, labels last: forward, backward, one update.

        The model and the optimizer (SGD(0.1), if none is given) stay as they are.
        """
        PICTURES["explain"](self, path, *inputs, optimizer=optimizer, title=title)

    def _repr_svg_(self) -> str | None:
        """For notebooks; None, and so the plain repr, where a picture would be too large to read."""
        return PICTURES["svg"](self) if len(self.nodes) <= _LARGEST_PICTURE else None


def _parameter_paths(path: str, node: Any) -> list[str]:
    """The path of each parameter of one node: ``0.W``, or ``0.1`` where the node does not name it."""
    params = getattr(node, "params", ())
    names = getattr(node, "names", ()) or [str(i) for i in range(len(params))]
    return [f"{path}.{name}" if name else path for name, _ in zip(names, params, strict=False)]
