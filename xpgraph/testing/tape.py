"""Record what every node of a model is given and returns, in the order in which the nodes run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ..arrays.libraries import is_array
from ..errors import Error
from ..nodes.copying import is_node, parts


class NodeError(Error, RuntimeError):
    """A node raised an exception; ``path`` names the node."""

    def __init__(self, path: str, error: Exception) -> None:
        super().__init__(f"{path}: {type(error).__name__}: {error}")
        self.path = path


@dataclass
class Use:
    """One use of a node: a forward, and the backward that belongs to it."""

    path: str
    node: Any
    inputs: list[Any]
    outputs: list[Any]
    douts: list[Any] | None = None
    dins: list[Any] = field(default_factory=list)
    grads: list[Any] = field(default_factory=list)


def leaves(model: Any) -> list[tuple[str, Any]]:
    """(path, node) of the nodes that hold no other nodes, such as ``("2 Affine", node)``; none if that is the model."""
    found = []
    seen: set[int] = set()

    def walk(path: str, thing: Any) -> None:
        if id(thing) in seen or isinstance(thing, str | bytes | type) or is_array(thing):
            return
        seen.add(id(thing))
        if is_node(thing):
            if len(list(parts(thing))) == 1:
                found.append((f"{path} {type(thing).__name__}".strip(), thing))
                return
            inside = getattr(thing, "nodes", None)
            if isinstance(inside, list):  # a Chain: its places are their names
                for i, part in enumerate(inside):
                    walk(f"{path}.{i}" if path else str(i), part)
                walk(f"{path}.loss" if path else "loss", thing.loss)
                return
            for name, part in vars(thing).items():
                walk(f"{path}.{name}" if path else name, part)
        elif isinstance(thing, list | tuple):
            for i, part in enumerate(thing):
                walk(f"{path}[{i}]", part)
        elif isinstance(thing, dict):
            for name, part in thing.items():
                walk(f"{path}[{name!r}]", part)

    walk("", model)
    return [] if any(node is model for _, node in found) else found


def as_list(result: Any) -> list[Any]:
    """One result or several, as a list."""
    return list(result) if isinstance(result, tuple | list) else [result]


def as_result(results: list[Any]) -> Any:
    """A list as a node returns it: the bare array for one, a tuple for several."""
    return results[0] if len(results) == 1 else tuple(results)


@contextmanager
def recording(
    model: Any, replace: Callable[[Any], tuple[Callable[..., Any], Callable[..., Any]] | None] = lambda node: None
) -> Iterator[list[Use]]:
    """Record every use of the model's leaf nodes while the block runs.

    ``replace(node)`` may give functions to run in place of a node's ``forward`` and ``backward``.
    """
    uses: list[Use] = []
    patched: list[tuple[Any, dict[str, Any]]] = []  # each node, and what it had of its own under the two names
    for path, node in leaves(model):
        forward, backward = replace(node) or (node.forward, node.backward)
        waiting: list[Use] = []  # uses whose backward is still to come
        patched.append((node, {kind: vars(node)[kind] for kind in ("forward", "backward") if kind in vars(node)}))
        node.forward = _forward(path, node, forward, uses, waiting)
        node.backward = _backward(path, node, backward, waiting)
    try:
        yield uses
    finally:
        for node, own in patched:
            del node.forward, node.backward
            vars(node).update(own)


def _forward(path: str, node: Any, run: Any, uses: list[Use], waiting: list[Use]) -> Any:
    def forward(*inputs: Any) -> Any:
        result = _run(path, run, inputs, {})
        use = Use(path, node, list(inputs), as_list(result))
        uses.append(use)
        waiting.append(use)
        return result

    return forward


def _backward(path: str, node: Any, run: Any, waiting: list[Use]) -> Any:
    def backward(*douts: Any, **options: Any) -> Any:
        result = _run(path, run, douts, options)
        if waiting:
            use = waiting.pop()
            use.douts = list(douts)
            use.dins = [] if result is None else as_list(result)
            use.grads = list(getattr(node, "grads", ()))
        return result

    return backward


def _run(path: str, run: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
    try:
        return run(*arguments, **options)
    except Exception as error:
        raise NodeError(path, error) from error
