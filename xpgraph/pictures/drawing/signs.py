"""How a node looks in a picture: a sign in a circle, a word, or a box with the name of its class."""

from __future__ import annotations

import math
from typing import Any

from ...arrays.libraries import is_array
from .picture import Vertex

_SIGNS = {"Add": "+", "Subtract": "−", "Multiply": "×", "Divide": "÷", "MatMul": "·", "Dot": "·", "Sum": "Σ"}
_WORDS = ("Exp", "Log", "Max", "Mean", "Transpose", "Reshape", "Concat", "Split", "Repeat")
_ORDERED = ("Subtract", "Divide", "Dot", "Concat")  # the order of their inputs matters
_LONGEST_NOTE = 26  # characters
_SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def vertex(node: Any, hidden: int = 0) -> Vertex:
    """The vertex for a node; ``hidden``: the number of its parameters if the picture does not draw them."""
    kind, about = type(node).__name__, " ".join(repr(node).split())
    if kind in _SIGNS:
        return Vertex("operator", _SIGNS[kind], about=about, ordered=kind in _ORDERED)
    if kind == "Branch":
        return Vertex("branch", about=about)
    if hidden:
        return Vertex("layer", kind, f"{hidden} parameters", about)
    if kind == "Repeat":
        return Vertex("word", f"repeat {_times(node)}".strip(), about=about)
    if kind == "Power":
        p = getattr(node, "p", None)
        if isinstance(p, int) and len(str(p)) < 3:
            return Vertex("operator", f"x{str(p).translate(_SUPERSCRIPTS)}", about=about)
        return Vertex("word", f"x^{p}", about=about)
    if kind in _WORDS:
        return Vertex("word", kind.lower(), _options(node), about, kind in _ORDERED)
    params = list(getattr(node, "params", ()))
    if len(params) and len(shape := tuple(params[0].shape)) == 2:
        return Vertex("layer", kind, " → ".join(map(str, shape)), about)
    return Vertex("layer", kind, _options(node), about, True)


def _options(node: Any) -> str:
    """The node's options, such as ``axis=1``; empty if they are too long for a note."""
    options = [(name, getattr(node, name, None)) for name in getattr(node, "options", ())]
    text = ", ".join(f"{name}={v}" for name, v in options if not (v is None or isinstance(v, bool) or is_array(v)))
    return text if len(text) <= _LONGEST_NOTE else ""


def _times(node: Any) -> str:
    """How often a Repeat repeats: its option n, or the number in its last run; empty before the first."""
    n, shape, x = getattr(node, "n", None), getattr(node, "shape", None), getattr(node, "x", None)
    if n is None and shape is not None and x is not None and 0 not in shape:
        n = math.prod(shape) // math.prod(x.shape)
    return "" if n is None else f"×{n}"
