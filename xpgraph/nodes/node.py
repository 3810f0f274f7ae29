"""What a node is.

    forward(*inputs) -> outputs     backward(*douts) -> gradients of the inputs     params, grads: parallel lists

One input or output is the bare array; several are a tuple, in order. A node never writes into its inputs, and
an array that it returned belongs to its caller.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from ..arrays.libraries import Array, Place, dtype_name, home, namespace_of, place, place_of, together
from ..errors import LibraryError
from .checks import check_floating, library_error
from .copying import move, namespace_copy, rebuild
from .wires import record


class Node(ABC):
    """The base of every node. A subclass names its parts; ``repr``, saving and moving read them from there."""

    names: ClassVar[tuple[str, ...]] = ()  # of the parameters, in the order of the constructor
    options: ClassVar[tuple[str, ...]] = ()  # constructor arguments that are plain values, stored as attributes
    saved: ClassVar[tuple[str, ...]] = ()  # what forward saves for backward, under the letters of the formula
    # Are forward and backward array operations and nothing else: no counting, no branch on a value, nothing read from
    # the device? Each class answers for itself; a CUDA graph replays the operations, not the Python around them.
    capturable: ClassVar[bool] = False
    n_outputs: int = 1  # how many arrays forward returns
    is_loss: bool = False  # does forward return a loss, so that backward takes a number?

    def __init__(self, *params: Array) -> None:
        who = f"{type(self).__name__}: "
        for name, p in zip(self.names, params, strict=True):
            check_floating(who, name, p)
            if home(p) == home(params[0]) and not together(p, params[0]):
                raise library_error(who, name, p, self.names[0], params[0])
            if not together(p, params[0]) or p.dtype != params[0].dtype:
                found = f"{self.names[0]} is {_dtype_and_home(params[0])} but {name} is {_dtype_and_home(p)}"
                raise LibraryError(f"{who}{found}; make both with the same library, device and dtype.")
        self.params = list(params)
        self.grads = [namespace_of(p).zeros_like(p) for p in params]
        for letter in self.saved:
            setattr(self, letter, None)

    @abstractmethod
    def forward(self, *inputs: Any) -> Any:
        """Compute the outputs and save what backward needs."""

    @abstractmethod
    def backward(self, *douts: Any) -> Any:
        """From the gradients of the outputs, compute those of the inputs and overwrite ``grads`` in place."""

    def __call__(self, *wires: Any) -> Any:
        """Called on wires, a node records the call, for a Graph: one wire, or a tuple for several outputs."""
        return record(self, *wires)

    def named_parameters(self) -> list[tuple[str, Array, Array]]:
        """(name, value, gradient) of each parameter."""
        return list(zip(self.names, self.params, self.grads, strict=True))

    def describe(self) -> dict[str, Any]:
        """What a model file says of this node, as plain data: its class, how many parameters, its options."""
        return {
            "type": type(self).__name__,
            "params": len(getattr(self, "params", ())),
            "options": {name: getattr(self, name) for name in getattr(self, "options", ())},
        }

    def to(self, backend: str | Place, dtype: str | None = None) -> Any:
        """A new node on another backend (``"cupy"``), perhaps in another dtype (``"float64"``).

        Weights that share memory share it there too; this node and its arrays stay as they are.
        """
        return move(self, backend if isinstance(backend, Place) else place(backend), dtype)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """A copy in which shared and tied weights stay so; what forward saved is not copied."""
        params = list(self.params)
        return move(self, place_of(params[0])) if params else rebuild(self, namespace_copy, {})

    def __repr__(self) -> str:
        parts = [f"{o}={getattr(self, o)!r}" for o in self.options]
        if self.params:
            W = self.params[0]
            parts = [" -> ".join(str(n) for n in W.shape), dtype_name(W), home(W), *parts]
        return f"{type(self).__name__}({', '.join(parts)})"


def describe(node: Any) -> dict[str, Any]:
    """``node.describe()``; for a node without the base class, what its attributes say."""
    return node.describe() if isinstance(node, Node) else Node.describe(node)


def takes_input_grad(backward: Callable[..., Any]) -> bool:
    """Has this ``backward`` the option ``input_grad``, by which it leaves out the gradients of the inputs?"""
    try:
        return "input_grad" in inspect.signature(backward).parameters
    except (TypeError, ValueError):  # a backward written in C does not tell
        return False


def _dtype_and_home(a: Array) -> str:
    return f"{dtype_name(a)} in {home(a)}"
