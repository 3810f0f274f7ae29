"""Chain, a model of nodes in a row; and ``mlp``, the multi-layer perceptron, a Chain ready to train.

model = Chain(Affine(W1, b1), Sigmoid(), Affine(W2, b2), loss=SoftmaxWithLoss())
loss = model.forward(x, t);  model.backward();  model.params, model.grads
"""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

from ..arrays import random_numbers as random
from ..arrays.libraries import Array, Place, place
from ..nodes.checks import is_whole
from ..nodes.copying import is_node, uses
from ..nodes.layers import Affine, ReLU, Sigmoid, Tanh
from ..nodes.losses import SoftmaxWithLoss
from ..nodes.node import Node, describe, takes_input_grad
from ..nodes.sharing import plan
from ..nodes.wires import record, wire
from .evaluation import loss_and_scores
from .graph import Graph
from .network import Network
from .text_table import columns

ACTIVATIONS: dict[str, Callable[[], Node]] = {"sigmoid": Sigmoid, "relu": ReLU, "tanh": Tanh}
INITIALISERS: dict[str, Callable[[int, int], float]] = {
    # name: standard deviation from (inputs, outputs)
    "he": lambda n_in, n_out: math.sqrt(2 / n_in),  # He et al. 2015, arXiv:1502.01852, eq. 10
    "xavier": lambda n_in, n_out: math.sqrt(2 / (n_in + n_out)),  # Glorot & Bengio 2010, eq. 12 (forward and backward)
}


class Chain(Network):
    """Nodes in a row, and perhaps a loss: y = fₙ(...f₁(x)); itself a Node, so chains nest.

    ``forward(x)`` returns the last node's output; with a loss, ``forward(x, t)`` returns ``loss.forward(y, t)``.
    ``backward(dout=1)`` returns dx; with a loss it computes the parameters' gradients only and returns None, unless
    ``input_grad=True``. A node that is given twice is one set of parameters used twice: the second is a twin, with
    the same arrays and its own gradients, which ``Trainer`` adds up.
    """

    capturable = True

    def __init__(self, *nodes: Any, loss: Any = None) -> None:
        if not nodes:
            raise ValueError("Chain: there are no nodes; give at least one.")
        for i, node in enumerate(nodes):
            if isinstance(node, type) or not is_node(node):
                raise TypeError(f"Chain: node {i} is {node!r}; give objects with forward and backward.")
            if isinstance(node, SoftmaxWithLoss):
                raise TypeError(f"Chain: node {i} is a loss, which takes labels; give it as Chain(..., loss=...).")
            if getattr(node, "loss", None) is not None and isinstance(node, Chain):
                raise TypeError(f"Chain: node {i} has a loss, which takes labels; give the loss to the outer Chain.")
        self.nodes, self.twins = uses(nodes)
        if loss is not None and (isinstance(loss, type) or not is_node(loss)):
            raise TypeError(
                f"Chain: loss is {loss!r}; give an object with forward(x, t) and backward, such as SoftmaxWithLoss()."
            )
        self.loss = loss
        self._takes_one_input = _takes_one_input(self.nodes[0].forward)
        self._loss_takes_input_grad = loss is not None and takes_input_grad(loss.backward)  # such as a Graph's
        self._first_takes_input_grad = takes_input_grad(self.nodes[0].backward)

    def _nodes_and_loss(self) -> list[Any]:
        return self.nodes if self.loss is None else [*self.nodes, self.loss]

    @property
    def params(self) -> list[Array]:  # type: ignore[override]
        return [p for node in self._nodes_and_loss() for p in getattr(node, "params", ())]

    @property
    def grads(self) -> list[Array]:  # type: ignore[override]
        return [g for node in self._nodes_and_loss() for g in getattr(node, "grads", ())]

    def named_children(self) -> list[tuple[str, Any]]:
        loss = [] if self.loss is None else [("loss", self.loss)]
        return [*((str(i), node) for i, node in enumerate(self.nodes)), *loss]

    @property
    def n_outputs(self) -> int:  # type: ignore[override]
        return 1 if self.loss is not None else getattr(self.nodes[-1], "n_outputs", 1)

    def forward(self, *inputs: Any) -> Any:
        if self.loss is None:
            if len(inputs) == 2 and self._takes_one_input:
                advice = "make it with Chain(..., loss=SoftmaxWithLoss()) to train it."
                raise TypeError(f"Chain.forward: this chain has no loss, so it takes x alone; {advice}")
            return self.scores(*inputs)
        if len(inputs) < 2:
            raise TypeError("Chain.forward: this chain has a loss, so it takes (x, t); predict(x) gives the outputs.")
        return self.loss.forward(self.scores(*inputs[:-1]), inputs[-1])

    def scores(self, *inputs: Any) -> Any:
        """Run the nodes, without the loss."""
        y = inputs
        for node in self.nodes:
            y = node.forward(*y)
            y = y if isinstance(y, tuple) else (y,)
        return y if len(y) > 1 else y[0]

    def backward(self, dout: Any = 1, *more: Any, input_grad: bool | None = None) -> Any:
        if input_grad is None:
            input_grad = self.loss is None
        dy: Any = (dout, *more)
        if self.loss is not None:
            dy = self.loss.backward(*dy, input_grad=True) if self._loss_takes_input_grad else self.loss.backward(*dy)
            dy = dy[:-1] if isinstance(dy, tuple) else (dy,)  # a Graph may give the labels a gradient too
        for node in self.nodes[:0:-1]:
            dy = node.backward(*dy)
            dy = dy if isinstance(dy, tuple) else (dy,)
        if self._first_takes_input_grad:
            return self.nodes[0].backward(*dy, input_grad=input_grad)
        dx = self.nodes[0].backward(*dy)
        return dx if input_grad else None

    def loss_and_scores(self, *inputs: Any) -> tuple[Any, Any, Any]:
        return loss_and_scores(self.loss, self.scores(*inputs[:-1]), inputs[-1])

    def describe(self) -> dict[str, Any]:
        loss = None if self.loss is None else describe(self.loss)
        return {"type": type(self).__name__, "nodes": self._describe_nodes(self.twins), "loss": loss}

    def graph(self) -> Graph:
        """The same model as a Graph of the same nodes, which are not copied: what one learns, the other has learnt."""
        return in_a_row(self.nodes, self.loss)

    def __repr__(self) -> str:
        loss = [] if self.loss is None else [f"loss={self.loss!r}"]
        return f"Chain({', '.join([repr(node) for node in self.nodes] + loss)})"

    def __str__(self) -> str:
        rows, total = [("", "node", "parameters", "count")], 0
        first_use = iter([slot.first == k for k, slot in enumerate(plan(self.params))])
        for i, node in enumerate(self._nodes_and_loss()):
            shapes = [tuple(p.shape) for p in getattr(node, "params", ())]
            own = [shape for shape in shapes if next(first_use)]
            count = sum(map(math.prod, own))
            total += count
            note = f"shared with {self.twins[i]}" if i in self.twins else "shared" if len(own) < len(shapes) else ""
            words = "" if not shapes else str(count) if count or not note else note
            name = "loss" if i == len(self.nodes) else str(i)
            rows.append((name, repr(node), " ".join(map(str, shapes)), words))
        return "\n".join([*columns(rows, right=(3,)), f"{total} parameters"])


def in_a_row(nodes: Sequence[Any], loss: Any = None, n: int | None = None, result: str | None = None) -> Graph:
    """A Graph of nodes in a row, and perhaps a loss, whose output wire is named ``result``.

    ``n``: how many inputs; without it, as many as the first node has, under the names that it gives them.
    """
    names = _input_names(nodes[0])
    if n is not None and n != len(names):
        names = ["x"] if n == 1 else [f"x{i + 1}" for i in range(n)]
    inputs = wires = tuple(wire(name) for name in names)
    for node in nodes:
        out = record(node, *wires)
        wires = out if isinstance(out, tuple) else (out,)
    if loss is not None:
        inputs = (*inputs, wire("t"))
        wires = (record(loss, *wires, inputs[-1]),)
        wires[0].name = result
    return Graph(inputs, wires)


def _input_names(node: Any) -> list[str | None]:
    """The names of a node's inputs: of a Graph, those of its wires; of a Chain, those of its first node."""
    if isinstance(node, Graph):
        return [w.name for w in node.inputs]
    if isinstance(node, Chain):
        return _input_names(node.nodes[0])
    parameters = inspect.signature(node.forward).parameters.values()
    required = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD and p.default is p.empty]
    return [p.name for p in parameters if p.kind is p.POSITIONAL_ONLY or p in required] or ["x"]


def _takes_one_input(forward: Callable[..., Any]) -> bool:
    """Does a forward take one input and no more?"""
    kinds = [p.kind for p in inspect.signature(forward).parameters.values()]
    return len(kinds) == 1 and kinds[0] not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.KEYWORD_ONLY)


def mlp(
    sizes: Sequence[int],
    activation: str = "sigmoid",
    *,
    init: str | float | None = None,
    seed: int = 0,
    dtype: str = "float32",
    backend: str | Place = "numpy",
) -> Chain:
    """A multi-layer perceptron: Affine layers with an activation between them, and SoftmaxWithLoss.

    ``sizes``: inputs, hidden units, classes, such as [784, 500, 10]. ``init``: ``"he"`` (default for relu),
    ``"xavier"`` (default otherwise), or a standard deviation, ``"std=0.01"`` or 0.01; biases start at 0. The weights
    depend on ``seed`` alone: the same bits on every backend. ``dtype``: ``"float32"`` or ``"float64"``.
    """
    if len(sizes) < 2 or not all(is_whole(n) and n > 0 for n in sizes):
        raise ValueError(f"mlp: sizes is {list(sizes)}; give at least inputs and classes, whole numbers from 1 up.")
    if activation not in ACTIVATIONS:
        raise ValueError(f"mlp: activation is {activation!r}; give one of {', '.join(ACTIVATIONS)}.")
    if dtype not in ("float32", "float64"):
        raise ValueError(f"mlp: dtype is {dtype!r}; give 'float32' or 'float64'.")
    sizes = [int(n) for n in sizes]
    where = backend if isinstance(backend, Place) else place(backend)
    deviation = _deviation(init if init is not None else "he" if activation == "relu" else "xavier")
    nodes: list[Node] = []
    for i, (n_in, n_out) in enumerate(itertools.pairwise(sizes)):
        W = random.normal((n_in, n_out), seed, "init", i) * deviation(n_in, n_out)
        nodes.append(Affine(where.asarray(W.astype(dtype)), where.asarray([0.0] * n_out, dtype)))
        nodes.append(ACTIVATIONS[activation]())
    return Chain(*nodes[:-1], loss=SoftmaxWithLoss())


def _deviation(init: str | float) -> Callable[[int, int], float]:
    """The function (inputs, outputs) -> standard deviation that ``init`` names; ValueError for an unknown name."""
    if isinstance(init, str) and init in INITIALISERS:
        return INITIALISERS[init]
    try:
        std = float(init.removeprefix("std=") if isinstance(init, str) else init)
    except ValueError:
        std = math.nan
    if not 0 <= std < math.inf:
        raise ValueError(f"mlp: init is {init!r}; give {', '.join(INITIALISERS)}, or a standard deviation: 'std=0.01'.")
    return lambda n_in, n_out: std
