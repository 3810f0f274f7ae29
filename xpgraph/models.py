"""Floor 5: Chain, a model of nodes in a row; and ``mlp``, which makes one.

model = Chain(Affine(W1, b1), Sigmoid(), Affine(W2, b2), loss=SoftmaxWithLoss())
loss = model.forward(x, t);  model.backward();  model.params, model.grads
"""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from numbers import Integral
from typing import Any, NamedTuple

from . import draws
from .border import check_lengths, first_parameter, import_data
from .graph import Graph
from .layers import Affine, ReLU, Sigmoid, Tanh
from .losses import SoftmaxWithLoss
from .namespace import Array, Place, is_array, namespace_of, number, on_device, place
from .network import Network
from .node import Node, is_node, uses
from .sharing import plan
from .text import columns
from .wires import record, wire
from .wiring import takes_input_grad


class Evaluation(NamedTuple):
    """What ``evaluate`` returns: the mean loss, and the fraction of rows classified rightly (None without classes)."""

    loss: float
    accuracy: float | None


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
            dy = (self.loss.backward(*dy, input_grad=True) if self._nested_loss else self.loss.backward(*dy),)
        for node in self.nodes[:0:-1]:
            dy = node.backward(*dy)
            dy = dy if isinstance(dy, tuple) else (dy,)
        if self._skips_input_grad:
            return self.nodes[0].backward(*dy, input_grad=input_grad)
        dx = self.nodes[0].backward(*dy)
        return dx if input_grad else None

    def predict(self, x: Array, batch_size: int | None = None) -> Array:
        """The last node's output for all rows (before the loss: scores, not probabilities), (N, ...).

        NumPy data is moved to the model's library, ``batch_size`` rows at a time (None: all at once).
        """
        first = self._import(_row(x), "x", "predict")
        size = x.shape[0] if batch_size is None else _positive("predict", batch_size)
        with on_device(first):
            pieces = [self.outputs(self._import(x[rows, ...], "x", "predict")) for rows in _slices(x, size)]
            return pieces[0] if len(pieces) == 1 else namespace_of(pieces[0]).concat(pieces, axis=0)

    def evaluate(self, x: Array, t: Array, batch_size: int = 1024) -> Evaluation:
        """Mean loss and accuracy over all rows; NumPy data is moved to the model's library, a batch at a time."""
        if self.loss is None:
            raise TypeError("Chain.evaluate: this chain has no loss; make it with Chain(..., loss=SoftmaxWithLoss()).")
        first, _ = self._import(_row(x), "x", "evaluate"), self._import(_row(t), "t", "evaluate")
        check_lengths("Chain.evaluate", x, t)
        total, right, labels = 0.0, 0, 0
        with on_device(first):
            for rows in _slices(x, _positive("evaluate", batch_size)):
                bx, bt = self._import(x[rows, ...], "x", "evaluate"), self._import(t[rows, ...], "t", "evaluate")
                y = self.outputs(bx)
                total += number(self.loss.forward(y, bt)) * bx.shape[0]  # sync
                if isinstance(self.loss, SoftmaxWithLoss):
                    same = right_answers(y, bt)
                    right += int(number(namespace_of(same).sum(same)))  # sync
                    labels += math.prod(same.shape)
        return Evaluation(total / x.shape[0], right / labels if labels else None)

    def _import(self, a: Any, name: str, who: str) -> Array:
        return import_data(a, name, f"Chain.{who}", first_parameter(self))

    def graph(self) -> Graph:
        """The same as a Graph over the same nodes: no copies, so that what one keeps or learns, the other has."""
        names = [
            p.name
            for p in inspect.signature(self.nodes[0].forward).parameters.values()
            if p.kind is p.POSITIONAL_ONLY or (p.kind is p.POSITIONAL_OR_KEYWORD and p.default is p.empty)
        ]
        inputs = wires = tuple(wire(name) for name in names or ["x"])
        for node in self.nodes:
            out = record(node, *wires)
            wires = out if isinstance(out, tuple) else (out,)
        if self.loss is not None:
            inputs = (*inputs, wire("t"))
            wires = (record(self.loss, *wires, inputs[-1]),)
        return Graph(inputs, wires)

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


def right_answers(y: Array, t: Array) -> Array:
    """int64 1 where the largest score of a row of y (..., C) stands at the class that t names, else 0; (...)."""
    xp = namespace_of(y)
    named = t if t.ndim < y.ndim else xp.argmax(t, axis=-1)
    return xp.astype(xp.equal(xp.argmax(y, axis=-1), named), xp.int64)


def _takes_one(forward: Callable[..., Any]) -> bool:
    """Does a forward take one input and no more?"""
    kinds = [p.kind for p in inspect.signature(forward).parameters.values()]
    return len(kinds) == 1 and kinds[0] not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.KEYWORD_ONLY)


def _row(a: Any) -> Any:
    """The first row of an array, by which its kind can be checked; anything else as it is."""
    return a[: min(1, a.shape[0]), ...] if is_array(a) and a.ndim else a


def _slices(x: Array, size: int) -> Iterator[slice]:
    """Consecutive slices of ``size`` rows; array-api-strict takes no index beyond the end."""
    return (slice(i, min(i + size, x.shape[0])) for i in range(0, x.shape[0], size))


def _positive(who: str, n: int) -> int:
    if isinstance(n, bool) or not isinstance(n, Integral) or n < 1:
        raise ValueError(f"{who}: batch_size is {n!r}; give a whole number from 1 up.")
    return n


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
        W = draws.normal((n_in, n_out), seed, "init", i) * deviation(n_in, n_out)
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
