"""A call on the page: its formulas and letters, its local derivatives, and what its backward was given and returned."""

from __future__ import annotations

import contextlib
import inspect
import re
from typing import Any, NamedTuple

from ...arrays.libraries import is_array, namespace_of
from ...graph.graph import Graph
from ...graph.network import Network
from ...nodes.copying import namespace_copy, twin
from ...nodes.wires import node_name
from ..drawing.graph_reader import backward_to_inputs

_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_WORD = re.compile(r"[^\W\d_]+")


class Formula(NamedTuple):
    """``forward``: y = x W. ``backward``: dx = dy Wᵀ, ...; empty if the docstring has none."""

    forward: str
    backward: str


def formula(node: Any) -> Formula:
    """The formulas in a node's docstring, "y = x W        dx = dy Wᵀ"; if it has none, the name of its class."""
    first_paragraph = (type(node).__doc__ or "").strip().partition("\n\n")[0]
    halves = re.sub(r"\s{4,}", "\0", first_paragraph, count=1).partition("\0")
    forward, backward = halves[0].strip(), halves[2].strip()
    if "=" not in forward or "=" not in backward:
        inside = " → ".join(type(part).__name__ for part in node.nodes) if isinstance(node, Network) else ""
        name = type(node).__name__
        return Formula(f"{name}: {inside}" if inside else name, "")
    backward = re.split(r"\. (?=[A-Z(])", " ".join(backward.split()))[0].rstrip(".")
    return Formula(" ".join(forward.replace("``", "").split()), backward.replace("``", ""))


def input_letters(node: Any, n: int) -> list[str]:
    """The letters of a node's inputs: the names in the signature of ``forward``."""
    try:
        parameters = list(inspect.signature(node.forward).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    rest = [f"x{i + 1}".translate(_SUBSCRIPTS) for i in range(len(names), n)]
    return [*names, *rest][:n]


def output_letters(node: Any, n: int) -> list[str]:
    """The letters of a node's outputs: the left side of its formula, y if it has none."""
    forward = formula(node).forward
    left_side = re.match(r"([^\W\d_₀-₉]+)[₀-₉]*(,.*)? =", forward)
    letter = left_side[1] if left_side else "y"
    return [letter] if n == 1 else [f"{letter}{i + 1}".translate(_SUBSCRIPTS) for i in range(n)]


def gradient_letter(letter: str) -> str:
    return "dout" if letter == "loss" else f"d{letter}"


def with_numbers(text: str, numbers: dict[str, str]) -> str:
    """A formula with numbers in place of its letters; empty if a letter has no number."""
    if "=" not in text or not numbers.keys() >= set(_WORD.findall(text)):
        return ""

    def number_for(letter: re.Match[str]) -> str:
        number = numbers[letter[0]]
        return f"({number})" if number.startswith("-") and letter.start() > 0 else number

    return _WORD.sub(number_for, text)


# --- a run, and the derivatives in it ---


# One element of the output depends on one element of each input, so the derivative is an array of the same shape.
_ELEMENTWISE = {"Add", "Subtract", "Multiply", "Divide", "Exp", "Log", "Power", "Sigmoid", "ReLU", "Tanh"}


class BackwardCall(NamedTuple):
    """Backward of call ``call``: it was given ``douts`` and returned ``dxs``, one for each input (None for labels)."""

    call: int
    douts: tuple[Any, ...]
    dxs: list[Any]


class _Recorder:
    """Stands in for a node during a run and records its backward."""

    def __init__(self, node: Any, call: int, n_inputs: int, record: list[BackwardCall]) -> None:
        self._node, self._call, self._n_inputs, self._record = node, call, n_inputs, record

    def __getattr__(self, name: str) -> Any:
        return getattr(self._node, name)

    def __repr__(self) -> str:
        return node_name(self._node)

    def backward(self, *douts: Any, **options: Any) -> Any:
        dx = self._node.backward(*douts, **options)
        dxs = list(dx) if isinstance(dx, tuple | list) else [dx]
        self._record.append(BackwardCall(self._call, douts, dxs + [None] * (self._n_inputs - len(dxs))))
        return dx


def trace_backward(graph: Graph, inputs: tuple[Any, ...]) -> list[BackwardCall]:
    """Run ``graph.trace``; return the calls of backward in the order in which they ran."""
    record: list[BackwardCall] = []
    steps, _ = graph.wiring.steps, graph.calls  # graph.calls now: made later, they would hold the recorders
    nodes = graph.nodes
    graph.nodes = [_Recorder(node, k, len(steps[k][0]), record) for k, node in enumerate(nodes)]
    try:
        graph.trace(*inputs)
    finally:
        graph.nodes = nodes
    return record


def local_derivatives(node: Any, inputs: list[Any], outputs: list[Any]) -> list[Any] | None:
    """∂y/∂x for each input, if each is an array of y's shape (or a number); else None, and only the formula says it."""
    if len(outputs) != 1 or isinstance(node, Network):
        return None
    y = outputs[0]
    only_numbers = all(is_array(a) and not a.shape for a in (*inputs, y)) and not len(getattr(node, "params", ()))
    if not only_numbers and type(node).__name__ not in _ELEMENTWISE:
        return None
    with contextlib.suppress(Exception):  # a user's own node may do anything; the page then shows the formula alone
        xp, again = namespace_of(y), twin(node)
        again.forward(*(xp.asarray(xp.broadcast_to(x, y.shape), copy=True) for x in inputs))
        dxs = backward_to_inputs(again, [xp.ones_like(y)])
        return [namespace_copy(d) for d in dxs] if len(dxs) == len(inputs) else None
    return None
