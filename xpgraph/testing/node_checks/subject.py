"""The node under test: copies of it and of its inputs, in any place and dtype, and what it returned, in NumPy."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ...arrays.libraries import Place, is_array, to_numpy
from ...graph.gradient_check import host
from ...nodes.copying import rebuild
from ...nodes.node import takes_input_grad
from ..findings import Finding
from ..tape import as_list

LABELS = ("t", "target", "targets", "label", "labels")  # an argument of such a name holds class indices


class Gradients(NamedTuple):
    """What a backward gave, on the host: one entry for each input (None: no gradient), one for each parameter."""

    inputs: list[np.ndarray | None]
    params: list[np.ndarray]

    def arrays(self) -> list[np.ndarray]:
        return [*(a for a in self.inputs if a is not None), *self.params]


class FunctionNode:
    """A plain function as a node without ``backward``."""

    def __init__(self, function: Any) -> None:
        self.forward = function


class Subject:
    """A node, inputs for it (NumPy, floating ones in float64) and where it runs. Only copies of the node are run."""

    def __init__(self, thing: Any, inputs: Any, where: Place, name: str | None = None) -> None:
        self.node, self.where = node_of(thing), where
        self.name = name or _name(thing, self.node)
        self.is_function = not callable(getattr(self.node, "backward", None))
        given = inputs if inputs is not None else draw(self.node)
        self.inputs = [np.array(a) for a in (given if isinstance(given, tuple | list) else (given,))]
        self.floating = [i for i, a in enumerate(self.inputs) if a.dtype.kind == "f"]
        self.takes_douts = self.is_function or arguments(self.node.backward, optional=True) != []
        self.takes_input_grad = not self.is_function and takes_input_grad(self.node.backward)
        self.is_loss = False  # known after the first forward: it returned one number
        self.hides_loss = False  # it is called a loss, and returned something else

    def fresh(self, dtype: str = "float64") -> Any:
        """A copy of the node where it is to run, its floating arrays in a dtype."""

        def replace(a: Any) -> Any:
            there = to_numpy(a)
            return self.where.asarray(there, dtype if there.dtype.kind == "f" else None, copy=True)

        new = rebuild(self.node, replace, {})
        return copy.deepcopy(new) if new is self.node and not self.is_function else new

    def put(self, a: np.ndarray, dtype: str = "float64") -> Any:
        """A fresh array where the node runs; labels keep their dtype."""
        return self.where.asarray(a.astype(dtype) if a.dtype.kind == "f" else a, copy=True)

    def forward(self, node: Any, inputs: Sequence[np.ndarray]) -> list[Any]:
        return as_list(node.forward(*map(self.put, inputs)))

    def finding(self, check: str, expected: str, found: str, hint: str) -> Finding:
        return Finding(self.name, check, expected, found, hint)

    def note_loss(self, outputs: Sequence[Any]) -> None:
        """Learn from the outputs of a first forward whether this is a loss."""
        self.is_loss = len(outputs) == 1 and np.ndim(host(outputs[0])) == 0
        self.hides_loss = not self.is_loss and "loss" in self.name.lower()

    def douts(self, outputs: Sequence[Any], scale: float = 1.0, dtype: str = "float64") -> list[Any]:
        """Gradients for the outputs, random but the same each time; a Python number for a loss that is one."""
        if self.hides_loss or not self.takes_douts:
            return [scale]
        rng = np.random.Generator(np.random.Philox(1))
        draws = [scale * rng.standard_normal(np.shape(host(y))) for y in outputs]
        return [self._dout(np.asarray(d), y, dtype) for d, y in zip(draws, outputs, strict=True)]

    def _dout(self, d: np.ndarray, y: Any, dtype: str) -> Any:
        if is_array(y):
            return self.put(d, dtype)
        return d.astype(dtype) if isinstance(y, np.generic) else float(d)

    def call_backward(self, node: Any, douts: Sequence[Any]) -> list[Any]:
        """What backward returned, one entry for each input; as it came where the number fits neither way."""
        more = {"input_grad": True} if self.takes_input_grad else {}  # a model with a loss leaves them out by default
        result = node.backward(*douts, **more) if self.takes_douts else node.backward(**more)
        dins = [] if result is None else as_list(result)
        if len(dins) == len(self.inputs):
            return dins
        slots: list[Any] = [None] * len(self.inputs)
        if len(dins) == len(self.floating) or (self.first_only and len(dins) == 1):
            for i, d in zip(self.floating, dins, strict=False):
                slots[i] = d
            return slots
        return dins

    @property
    def first_only(self) -> bool:
        """Does only the first input need a gradient? The others of a loss are labels or targets."""
        return self.is_loss or self.hides_loss

    def backward(self, node: Any, douts: Sequence[Any]) -> Gradients:
        dins = self.call_backward(node, douts)
        return Gradients([None if d is None else host(d) for d in dins], [host(g) for g in grads_of(node)])


def node_of(thing: Any) -> Any:
    """The node to test: the object itself, what a class or a factory makes, or a plain function as a node."""
    if callable(thing) and (inspect.isclass(thing) or (arguments(thing) == [] and not hasattr(thing, "forward"))):
        try:
            thing = thing()
        except TypeError as error:
            raise TypeError(
                f"check_node: {getattr(thing, '__name__', thing)}() says: {error}; "
                "make the node with what it needs and give the object."
            ) from error
    elif callable(thing) and not hasattr(thing, "forward"):
        return FunctionNode(thing)
    if not callable(getattr(thing, "forward", None)):
        kind = type(thing).__name__
        raise TypeError(f"check_node: found a {kind} without forward; give a node or a function of x.")
    return thing


def draw(node: Any) -> tuple[np.ndarray, ...]:
    """Inputs that fit: 4 rows, as many columns as the first matrix of the parameters has rows; labels for ``t``."""
    rng = np.random.Generator(np.random.Philox(0))
    params = params_of(node)
    columns = params[0].shape[0] if params and len(params[0].shape) == 2 else 3
    names = arguments(node.forward) or ["x"]
    return tuple(rng.integers(0, columns, 4) if n in LABELS else rng.standard_normal((4, columns)) for n in names)


def grads_of(node: Any) -> list[Any]:
    return list(getattr(node, "grads", ()))


def params_of(node: Any) -> list[Any]:
    return list(getattr(node, "params", ()))


def _name(thing: Any, node: Any) -> str:
    if isinstance(node, FunctionNode):
        return getattr(thing, "__name__", type(thing).__name__)
    return type(node).__name__


def arguments(function: Any, optional: bool = False) -> list[str]:
    """The names of a function's positional arguments: those without a default, or all; ["x"] where it does not tell."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return ["x"]
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL)]
    needed = (p.name for p in positional if p.default is p.empty and p.kind is not p.VAR_POSITIONAL)
    return [p.name for p in positional] if optional else list(needed)
