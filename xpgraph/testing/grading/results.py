"""Nodes with several results, in the forms that students give them: a tuple, a list, or one stacked array."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np


def several(kind: str, node: Any) -> Any:
    """The node with its results one by one, for the kinds of the book that have several; else the node itself."""
    if kind == "Branch":
        return _Branches(node)
    return _Pair(node) if kind in ("Add", "Multiply") else node


def counts(kind: str, cls: Any) -> bool:
    """Is the number of copies the caller's? The book's Branch may always make two; Repeat is told how many."""
    try:
        parameters = inspect.signature(cls).parameters.values()
    except (TypeError, ValueError):
        return False
    numbers = [p for p in parameters if p.default is p.empty or type(p.default) is int]
    return kind == "Repeat" or any(p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in numbers)


class _Branches:
    """A Branch whose backward takes its gradients one by one, as one list or as one array: all are usual."""

    def __init__(self, node: Any) -> None:
        self.node = node

    def forward(self, x: np.ndarray) -> Any:
        return _unstacked(self.node.forward(x), x)

    def backward(self, *douts: np.ndarray) -> Any:
        first: Exception | None = None
        for given in (douts, (list(douts),), (np.array(douts),)):
            try:
                return self.node.backward(*given)
            except (TypeError, AttributeError) as error:
                first = first or error
        assert first is not None
        raise first


class _Pair:
    """A node of two inputs whose gradients may come back as one array (2, ...)."""

    def __init__(self, node: Any) -> None:
        self.node = node

    def forward(self, x: np.ndarray, y: np.ndarray) -> Any:
        return self.node.forward(x, y)

    def backward(self, dout: np.ndarray) -> Any:
        return _unstacked(self.node.backward(dout), dout)


def _unstacked(result: Any, like: np.ndarray) -> Any:
    """The results of an array with one more axis in front, the count."""
    if isinstance(result, np.ndarray) and result.ndim == np.ndim(like) + 1 and result.shape[1:] == np.shape(like):
        return tuple(np.array(a) for a in result)
    return tuple(result) if isinstance(result, list) else result
