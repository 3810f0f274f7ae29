"""The nodes of a student: against the textbook's formulas, then through ``check_node``."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from ..findings import Finding
from ..formulas.textbook import FORMULAS
from ..node_checks.checks import check_node
from ..tape import as_list
from .compare import compare, construct
from .losses import check_loss
from .mistakes import Letters, mistakes
from .results import counts, several
from .source_file import Source

NODES = (
    "Add", "Multiply", "Branch", "Repeat", "Sum", "MatMul", "Affine", "Sigmoid", "Tanh", "ReLU", "Softmax",
    "SoftmaxWithLoss",
)  # fmt: skip
# What a student need not do: own the memory of results, compute in float32, take ranks that the book does not.
LENIENT = ("aliasing", "dtype", "device", "3-D inputs refused")
_SHAPES = {
    "MatMul": "Look at the shapes: dW = xᵀ dout is (D, H) as W is, dx = dout Wᵀ is (N, D).",
    "Affine": "Look at the shapes: dW = xᵀ dout is (D, H) as W is, db = Σ dout over axis 0 is (H,) as b is.",
}
OF_GRADIENTS = ("gradient of", "shape of gradient", "number of gradients")


class Setting(NamedTuple):
    """What a node is made with and given: the constructor's arguments, and the inputs of ``forward``."""

    wanted: dict[str, Any]
    inputs: list[np.ndarray]

    @property
    def params(self) -> list[np.ndarray]:
        return [a for a in self.wanted.values() if isinstance(a, np.ndarray)]

    def make(self, cls: Any) -> Any:
        """A node of a student's class, with arrays of its own."""
        wanted = {k: np.array(v) if isinstance(v, np.ndarray) else v for k, v in self.wanted.items()}
        rows, columns = self.inputs[0].shape
        return construct(cls, wanted, {"n": rows, "d": columns})


def setting(kind: str, square: bool = False, copies: int = 2) -> Setting:
    """Lengths 5, 3 and 4 that cannot be taken for each other; 3, 3 and 3 to see what a wrong order would compute.

    ``copies``: of Branch and Repeat; Sum adds as many rows, or all 5 for more than the book's 2.
    """
    rng = np.random.Generator(np.random.Philox(11))
    n, d, h = (3, 3, 3) if square else (5, 3, 4)
    x, y, W, b = (rng.standard_normal(shape) for shape in ((n, d), (n, d), (d, h), (h,)))
    return {
        "Add": Setting({}, [x, y]),
        "Multiply": Setting({}, [x, y]),
        "Branch": Setting({"n": copies}, [x]),
        "Repeat": Setting({"n": copies, "axis": 0}, [x[:1]]),  # the book repeats one row
        "Sum": Setting({"axis": 0, "keepdims": True}, [x[:2] if copies == 2 else x]),
        "MatMul": Setting({"W": W}, [x]),
        "Affine": Setting({"W": W, "b": b}, [x]),
    }.get(kind, Setting({}, [x]))


def check_class(kind: str, name: str, cls: Any, source: Source) -> Iterator[Finding]:
    """Every finding about one class of a student."""
    given = setting(kind)
    try:
        node = given.make(cls)
    except Exception as error:
        wants = ", ".join(given.wanted) or "nothing"
        yield Finding(name, "cannot construct", f"{name}({wants})", source.words(error), "Let __init__ take just that.")
        return
    missing = [m for m in ("forward", "backward") if not callable(getattr(node, m, None))]
    if missing:
        hint = "A node has forward(x) and backward(dout)."
        yield Finding(name, "forward and backward", "both methods", f"no {', no '.join(missing)}", hint)
        return
    if kind == "SoftmaxWithLoss":
        yield from check_loss(name, cls, source)
        return
    found = list(_lists(name, node, given)) or list(_known_values(kind, name, cls, source, given))
    if not found and kind in ("Branch", "Repeat", "Sum"):
        found = list(_known_values(kind, name, cls, source, setting(kind, copies=3)))
    yield from found
    if not any(f.check in ("params and grads", "forward", "backward raises") for f in found):
        drop = (*LENIENT, *(OF_GRADIENTS if found else ()))
        fresh = check_node(several(kind, node), tuple(given.inputs), name=name)
        yield from (f for f in fresh if not f.check.startswith(drop))


def _lists(name: str, node: Any, given: Setting) -> Iterator[Finding]:
    """A node with parameters keeps them in two lists; one without need not have any."""
    if not given.params:
        return
    for which in ("params", "grads"):
        arrays = getattr(node, which, None)
        if not isinstance(arrays, list | tuple) or [np.shape(a) for a in arrays] != [a.shape for a in given.params]:
            letters = ", ".join(k for k, v in given.wanted.items() if isinstance(v, np.ndarray))
            what = f"zeros like {letters}" if which == "grads" else letters
            words = "no such list" if not isinstance(arrays, list | tuple) else f"{len(arrays)} others"
            hint = f"Set self.{which} = [...] in __init__: the optimizer updates what it finds there."
            yield Finding(name, "params and grads", f"{which}: a list of {what}", words, hint)


def _known_values(kind: str, name: str, cls: Any, source: Source, given: Setting) -> Iterator[Finding]:
    """Forward and backward once, each result against the formula."""
    node = several(kind, given.make(cls))
    try:
        outputs = as_list(node.forward(*(np.array(a) for a in given.inputs)))
    except Exception as error:
        yield Finding(name, "forward", "no exception", source.words(error), "Run forward on an array of these shapes.")
        return
    options, hint = _options(kind, given.inputs[0], outputs)
    if options is None:
        shapes = ", ".join(str(np.shape(y)) for y in outputs)
        yield Finding(name, "forward", hint, f"{len(outputs)} results, {shapes}", "Look at the shapes in the book.")
        return
    n = getattr(options, "n", None)
    if n != given.wanted.get("n", n) and counts(kind, cls):
        yield Finding(
            name, "forward", f"{given.wanted['n']} copies of x", str(n),
            "Keep the number that __init__ is given, and make so many copies.",
        )  # fmt: skip
        return
    truth = FORMULAS[kind].forward(options, given.params, given.inputs)
    rng = np.random.Generator(np.random.Philox(12))
    douts = [rng.standard_normal(y.shape) for y in truth]
    letters = Letters(given.inputs, given.params, truth, douts)
    wrong = False
    for y, true in zip(outputs, truth, strict=False):
        finding = compare(name, "forward", y, np.asarray(true, np.float64), mistakes(kind, "y", letters))
        if finding is not None:
            wrong = True
            yield finding
    if not wrong:
        yield from _gradients(kind, name, node, source, given, options, letters, cls)


def _gradients(
    kind: str, name: str, node: Any, source: Source, given: Setting, options: Any, letters: Letters, cls: Any
) -> Iterator[Finding]:
    try:
        found = as_list(node.backward(*(np.array(d) for d in letters.douts)))
    except Exception as error:
        hint = _SHAPES.get(kind, "Run backward on a gradient of the shape that forward returned.")
        hint = _square_hint(kind, name, cls, source, given) or hint
        yield Finding(name, "backward raises", "no exception", source.words(error), hint)
        return
    dins, grads = FORMULAS[kind].backward(options, given.params, given.inputs, letters.douts)
    if len(found) != len(dins):
        hint = "Return a gradient for each input, in order."
        yield Finding(name, "number of gradients", str(len(dins)), str(len(found)), hint)
        return
    rows = list(zip(("dx", "dy"), found, dins, strict=False))
    rows += zip(("dW", "db"), node.grads if grads else [], grads, strict=False)
    for letter, d, true in rows:
        finding = compare(name, f"gradient {letter}", d, np.asarray(true, np.float64), mistakes(kind, letter, letters))
        if finding is not None:
            yield finding


def _square_hint(kind: str, name: str, cls: Any, source: Source, given: Setting) -> str:
    """Lengths that are all 3 fit in any order: what was computed then shows what was wrong."""
    if kind not in _SHAPES or len(given.inputs[0]) == 3:
        return ""
    findings = _known_values(kind, name, cls, source, setting(kind, square=True))
    return next((f.hint for f in findings), "")


def _options(kind: str, x: np.ndarray, outputs: list[Any]) -> tuple[Any, str]:
    """What the node was made to do, read from the shapes of its results; (None, what they should be) if unknown."""
    shapes = [np.shape(y) for y in outputs]
    n, d = x.shape
    if kind == "Branch":
        known = all(s == x.shape for s in shapes) and len(shapes) > 1
        return (SimpleNamespace(n=len(shapes)) if known else None), f"results of shape {x.shape}, one for each branch"
    if kind == "Repeat":
        rows = {(k * n, d): SimpleNamespace(n=k, axis=0) for k in range(1, 5)}
        columns = {(n, k * d): SimpleNamespace(n=k, axis=1) for k in range(2, 5)}
        return {**rows, **columns}.get(shapes[0]), f"shape {(2 * n, d)} for 2 copies"
    if kind == "Sum":
        ways = [(axis, keep) for axis in (0, 1, None) for keep in (True, False)]
        sums = {np.sum(x, axis=a, keepdims=k).shape: SimpleNamespace(axis=a, keepdims=k) for a, k in ways}
        return sums.get(shapes[0]), f"shape {(1, d)}"
    return (SimpleNamespace() if len(outputs) == 1 else None), "1 result"
