"""A node in letters: its two formulas from its docstring, what its inputs and outputs are called, numbers put in."""

from __future__ import annotations

import inspect
import re
from typing import Any, NamedTuple

from ...graph.network import Network

_BELOW = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_WORD = re.compile(r"[^\W\d_]+")


class Formula(NamedTuple):
    """``forward``: y = x W. ``backward``: dx = dy Wᵀ, ...; empty where the node does not say."""

    forward: str
    backward: str


def formula(node: Any) -> Formula:
    """The formulas of a node: those of its docstring, "y = x W        dx = dy Wᵀ", else the name of its class."""
    about = (type(node).__doc__ or "").strip().partition("\n\n")[0]
    forward, _, backward = (part.strip() for part in re.sub(r"\s{4,}", "\0", about, count=1).partition("\0"))
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
    rest = [f"x{i + 1}".translate(_BELOW) for i in range(len(names), n)]
    return [*names, *rest][:n]


def output_letters(node: Any, n: int) -> list[str]:
    """The letters of a node's outputs: what stands on the left of its formula, y if it has none."""
    forward = formula(node).forward
    found = re.match(r"([^\W\d_₀-₉]+)[₀-₉]*(,.*)? =", forward)
    letter = found[1] if found else "y"
    return [letter] if n == 1 else [f"{letter}{i + 1}".translate(_BELOW) for i in range(n)]


def gradient_letter(letter: str) -> str:
    return "dout" if letter == "loss" else f"d{letter}"


def with_numbers(text: str, numbers: dict[str, str]) -> str:
    """A formula with numbers for its letters; empty if a letter has none."""
    unknown = False

    def put(found: re.Match[str]) -> str:
        nonlocal unknown
        number = numbers.get(found[0])
        unknown |= number is None
        bare = number is not None and not number.startswith("-")
        return f"{number}" if bare or found.start() == 0 else f"({number})"

    put_in = _WORD.sub(put, text)
    return "" if unknown or "=" not in text else put_in
