"""The formulas of a node: read from its docstring, with the letters of its inputs and outputs, and with numbers."""

from __future__ import annotations

import inspect
import re
from typing import Any, NamedTuple

from ...graph.network import Network

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
