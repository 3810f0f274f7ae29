"""What stands for a node in a picture: a sign, a word, or a box with the name of its class."""

from __future__ import annotations

import math
from typing import Any

from ...arrays.libraries import is_array
from .picture import Vertex

_SIGNS = {"Add": "+", "Subtract": "−", "Multiply": "×", "Divide": "÷", "MatMul": "·", "Dot": "·", "Sum": "Σ"}
_ORDERED = ("Subtract", "Divide", "Dot", "Concat")  # whose inputs cannot be exchanged
_WORDS = ("Exp", "Log", "Max", "Mean", "Transpose", "Reshape", "Concat", "Split", "Repeat")
_LONGEST = 26  # letters of a remark
_RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def vertex(node: Any, inside: int = 0) -> Vertex:
    """The vertex for a node; ``inside``: how many parameters it has that are not drawn."""
    kind, about = type(node).__name__, " ".join(repr(node).split())
    if kind in _SIGNS:
        return Vertex("operator", _SIGNS[kind], about=about, ordered=kind in _ORDERED)
    if kind == "Branch":
        return Vertex("branch", about=about)
    if inside:
        return Vertex("layer", kind, f"{inside} parameters", about)
    if kind == "Repeat":
        return Vertex("word", f"repeat {_times(node)}".strip(), about=about)
    if kind == "Power":
        p = getattr(node, "p", None)
        whole = isinstance(p, int) and len(str(p)) < 3
        return (
            Vertex("operator", f"x{str(p).translate(_RAISED)}", about=about)
            if whole
            else Vertex("word", f"x^{p}", about=about)
        )
    if kind in _WORDS:
        return Vertex("word", kind.lower(), _options(node), about, kind in _ORDERED)
    params = list(getattr(node, "params", ()))
    if len(params) and len(shape := tuple(params[0].shape)) == 2:
        return Vertex("layer", kind, " → ".join(map(str, shape)), about)
    return Vertex("layer", kind, _options(node), about, True)


def _options(node: Any) -> str:
    """The node's settings, where they are short."""
    set_ = [(name, getattr(node, name, None)) for name in getattr(node, "options", ())]
    plain = [(name, v) for name, v in set_ if not (v is None or isinstance(v, bool) or is_array(v))]
    told = ", ".join(f"{name}={v}" for name, v in plain)
    return told if len(told) <= _LONGEST else ""


def _times(node: Any) -> str:
    """How often a Repeat repeats: its own number, or that of its last run."""
    n, shape, x = getattr(node, "n", None), getattr(node, "shape", None), getattr(node, "x", None)
    if n is None and shape is not None and x is not None and 0 not in shape:
        n = math.prod(shape) // math.prod(x.shape)
    return "" if n is None else f"×{n}"
