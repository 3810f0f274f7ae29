"""Floor 5: Chain, a model of nodes in a row; and ``mlp``, which makes one.

model = Chain(Affine(W1, b1), Sigmoid(), Affine(W2, b2), loss=SoftmaxWithLoss())
loss = model.forward(x, t);  model.backward();  model.params, model.grads
"""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any

from ..arrays import random_numbers
from ..arrays.libraries import Array, Place, place
from ..nodes.layers import Affine, ReLU, Sigmoid, Tanh
from ..nodes.losses import SoftmaxWithLoss
from ..nodes.node import Node, is_node, uses
from ..nodes.sharing import plan
from ..nodes.wires import record, wire
from .evaluation import Evaluation as Evaluation
from .evaluation import judge
from .graph import Graph
from .network import Network
from .plan import takes_input_grad
from .text_table import columns


class Chain(Network):
    """Nodes in a row, and perhaps a loss: y = fₙ(...f₁(x)); itself a Node, so chains nest.

    ``forward(x)`` returns the last node's output; with a loss, ``forward(x, t)`` returns ``loss.forward(y, t)``.
    ``backward(dout=1)`` returns dx; with a loss it computes the parameters' gradients only and returns None, unless
    ``input_grad=True``. A node that stands twice is one set of parameters used twice: the second is a twin with the
    same arrays and a memory of its own, and ``Trainer`` adds their gradients up.
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
                raise TypeError(
                    f"Chain: node {i} is a Chain with a loss, which takes labels; give the loss to the outer."
                )
        self.nodes, self.twins = uses(nodes)
        if loss is not None and (isinstance(loss, type) or not is_node(loss)):
            raise TypeError(
                f"Chain: loss is {loss!r}; give an object with forward(x, t) and backward, such as SoftmaxWithLoss()."
            )
        self.loss = loss
        self._one_input = _takes_one(self.nodes[0].forward)
        self._nested_loss = loss is not None and takes_input_grad(loss.backward)  # a Graph, say, that ends in a loss
        self._skips_input_grad = takes_input_grad(self.nodes[0].backward)

    def _all(self) -> list[Any]:
        return self.nodes if self.loss is None else [*self.nodes, self.loss]

    @property
    def params(self) -> list[Array]:  # type: ignore[override]
        return [p for node in self._all() for p in getattr(node, "params", ())]

    @property
    def grads(self) -> list[Array]:  # type: ignore[override]
        return [g for node in self._all() for g in getattr(node, "grads", ())]

    def _inside(self) -> list[tuple[str, Any]]:
        loss = [] if self.loss is None else [("loss", self.loss)]
        return [*((str(i), node) for i, node in enumerate(self.nodes)), *loss]

    @property
    def n_outputs(self) -> int:  # type: ignore[override]
        return 1 if self.loss is not None else getattr(self.nodes[-1], "n_outputs", 1)

    def forward(self, *inputs: Any) -> Any:
        if self.loss is None:
            if len(inputs) == 2 and self._one_input:
                raise TypeError(
                    "Chain.forward: this chain has no loss, so it takes x alone; "
                    "make it with Chain(..., loss=SoftmaxWithLoss()) to train it."
                )
            return self.outputs(*inputs)
        if len(inputs) < 2:
            raise TypeError("Chain.forward: this chain has a loss, so it takes (x, t); predict(x) gives the outputs.")
        return self.loss.forward(self.outputs(*inputs[:-1]), inputs[-1])

    def outputs(self, *inputs: Any) -> Any:
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
            dy = self.loss.backward(*dy, input_grad=True) if self._nested_loss else self.loss.backward(*dy)
            dy = dy[:-1] if isinstance(dy, tuple) else (dy,)  # a Graph may give the labels a gradient too
        for node in self.nodes[:0:-1]:
            dy = node.backward(*dy)
            dy = dy if isinstance(dy, tuple) else (dy,)
        if self._skips_input_grad:
            return self.nodes[0].backward(*dy, input_grad=input_grad)
        dx = self.nodes[0].backward(*dy)
        return dx if input_grad else None

    def _scores(self, *inputs: Any) -> Any:
        return self.outputs(*inputs)

    def _judged(self, *inputs: Any) -> tuple[Any, Any, Any]:
        return judge(self.loss, self.outputs(*inputs[:-1]), inputs[-1])

    def graph(self) -> Graph:
        """The same as a Graph over the same nodes: no copies, so that what one keeps or learns, the other has."""
        return in_a_row(self.nodes, self.loss)

    def __repr__(self) -> str:
        loss = [] if self.loss is None else [f"loss={self.loss!r}"]
        return f"Chain({', '.join([repr(node) for node in self.nodes] + loss)})"

    def __str__(self) -> str:
        rows = [("", "node", "parameters", "count")]
        slots, k = plan(self.params), 0
        for i, node in enumerate(self._all()):
            shapes, count, repeated = [], 0, False
            for p in getattr(node, "params", ()):
                shapes.append(str(tuple(p.shape)))
                count += math.prod(p.shape) if slots[k].first == k else 0
                repeated |= slots[k].first != k
                k += 1
            note = f"shared with {self.twins[i]}" if i in self.twins else "shared" if repeated else ""
            words = str(count) if count or not note else note
            rows.append(
                ("loss" if i == len(self.nodes) else str(i), repr(node), " ".join(shapes), words if shapes else "")
            )
        total = sum(
            math.prod(p.shape) for p, s, i in zip(self.params, slots, range(len(slots)), strict=True) if s.first == i
        )
        return "\n".join([*columns(rows, right=(3,)), f"{total} parameters"])


def in_a_row(nodes: Sequence[Any], loss: Any = None, n: int | None = None, result: str | None = None) -> Graph:
    """Nodes in a row, and perhaps a loss called ``result``, as a Graph over the same nodes with ``n`` inputs.

    The inputs have the names that the first node gives to its own; without ``n`` there are as many.
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
    """What a node calls its inputs: a Graph by its wires, a Chain as its first node does."""
    if isinstance(node, Graph):
        return [w.name for w in node.inputs]
    if isinstance(node, Chain):
        return _input_names(node.nodes[0])
    names = [
        p.name
        for p in inspect.signature(node.forward).parameters.values()
        if p.kind is p.POSITIONAL_ONLY or (p.kind is p.POSITIONAL_OR_KEYWORD and p.default is p.empty)
    ]
    return [*names] or ["x"]


def _takes_one(forward: Callable[..., Any]) -> bool:
    """Does a forward take one input and no more?"""
    kinds = [p.kind for p in inspect.signature(forward).parameters.values()]
    return len(kinds) == 1 and kinds[0] not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.KEYWORD_ONLY)


# --- making a model -------------------------------------------------------------------------------------------

ACTIVATIONS: dict[str, Callable[[], Node]] = {"sigmoid": Sigmoid, "relu": ReLU, "tanh": Tanh}
INITIALISERS: dict[str, Callable[[int, int], float]] = {
    # name: standard deviation from (inputs, outputs)
    "he": lambda n_in, n_out: math.sqrt(2 / n_in),  # He et al. 2015, arXiv:1502.01852, eq. 10
    "xavier": lambda n_in, n_out: math.sqrt(2 / (n_in + n_out)),  # Glorot & Bengio 2010, eq. 12 (forward and backward)
}


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
    if len(sizes) < 2 or any(isinstance(n, bool) or not isinstance(n, Integral) or n < 1 for n in sizes):
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
        W = random_numbers.normal((n_in, n_out), seed, "init", i) * deviation(n_in, n_out)
        nodes.append(Affine(where.asarray(W.astype(dtype)), where.asarray([0.0] * n_out, dtype)))
        nodes.append(ACTIVATIONS[activation]())
    return Chain(*nodes[:-1], loss=SoftmaxWithLoss())


def _deviation(init: str | float) -> Callable[[int, int], float]:
    if isinstance(init, str) and init in INITIALISERS:
        return INITIALISERS[init]
    try:
        std = float(init.removeprefix("std=") if isinstance(init, str) else init)
    except ValueError:
        std = math.nan
    if not 0 <= std < math.inf:
        raise ValueError(f"mlp: init is {init!r}; give {', '.join(INITIALISERS)}, or a standard deviation: 'std=0.01'.")
    return lambda n_in, n_out: std
