"""The nodes of a student: against the textbook's formulas, then through ``check_node``."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from ..findings import Finding
from ..formulas.textbook import FORMULAS
from ..node_checks.checks import check_node
from ..tape import as_list
from .construction import construct, counts, first_that_works
from .losses import check_loss
from .mistakes import Letters, node_mistakes
from .source_file import LENIENT, Entry

NODES = (
    "Add", "Multiply", "Branch", "Repeat", "Sum", "MatMul", "Affine", "Sigmoid", "Tanh", "ReLU", "Softmax",
    "SoftmaxWithLoss",
)  # fmt: skip
_SHAPES = {
    "MatMul": "Look at the shapes: dW = xᵀ dout is (D, H) as W is, dx = dout Wᵀ is (N, D).",
    "Affine": "Look at the shapes: dW = xᵀ dout is (D, H) as W is, db = Σ dout over axis 0 is (H,) as b is.",
}
_OF_GRADIENTS = ("gradient of", "shape of gradient", "number of gradients")


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


def _setting(kind: str, square: bool = False, copies: int = 2) -> Setting:
    """Lengths 5, 3 and 4, which cannot be confused; ``square``: 3, 3 and 3, to see what a wrong order computes.

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


def check_class(entry: Entry) -> Iterator[Finding]:
    """Every finding about one class of a student."""
    given = _setting(entry.kind)
    try:
        node = given.make(entry.thing)
    except Exception as error:
        call = f"{entry.name}({', '.join(given.wanted) or 'nothing'})"
        yield entry.raised("cannot construct", error, "Let __init__ take just that.", call)
        return
    missing = [m for m in ("forward", "backward") if not callable(getattr(node, m, None))]
    if missing:
        hint = "A node has forward(x) and backward(dout)."
        yield entry.finding("forward and backward", "both methods", f"no {', no '.join(missing)}", hint)
        return
    if entry.kind == "SoftmaxWithLoss":
        yield from check_loss(entry)
        return
    found = list(_lists(entry, node, given)) or list(_values(entry, given))
    if not found and entry.kind in ("Branch", "Repeat", "Sum"):
        found = list(_values(entry, _setting(entry.kind, copies=3)))
    yield from found
    if not any(f.check in ("params and grads", "forward", "backward raises") for f in found):
        drop = (*LENIENT, *(_OF_GRADIENTS if found else ()))
        more = check_node(_one_by_one(entry.kind, node), tuple(given.inputs), name=entry.name)
        yield from (f for f in more if not f.check.startswith(drop))


def _lists(entry: Entry, node: Any, given: Setting) -> Iterator[Finding]:
    """A node with parameters has two lists, params and grads; one without parameters may have none."""
    for which in ("params", "grads") if given.params else ():
        arrays = getattr(node, which, None)
        shapes = [np.shape(a) for a in arrays] if isinstance(arrays, list | tuple) else None
        if shapes != [a.shape for a in given.params]:
            letters = ", ".join(k for k, v in given.wanted.items() if isinstance(v, np.ndarray))
            what = f"zeros like {letters}" if which == "grads" else letters
            words = "no such list" if shapes is None else f"{len(shapes)} others"
            hint = f"Set self.{which} = [...] in __init__: the optimizer updates what it finds there."
            yield entry.finding("params and grads", f"{which}: a list of {what}", words, hint)


def _values(entry: Entry, given: Setting) -> Iterator[Finding]:
    """Forward and backward once, each result against the formula."""
    node = _one_by_one(entry.kind, given.make(entry.thing))
    try:
        outputs = as_list(node.forward(*(np.array(a) for a in given.inputs)))
    except Exception as error:
        yield entry.raised("forward", error, "Run forward on an array of these shapes.")
        return
    options, expected = _options(entry.kind, given.inputs[0], outputs)
    if options is None:
        shapes = ", ".join(str(np.shape(y)) for y in outputs)
        yield entry.finding("forward", expected, f"{len(outputs)} results, {shapes}", "Look at the shapes in the book.")
        return
    n = getattr(options, "n", None)
    if n != given.wanted.get("n", n) and counts(entry.kind, entry.thing):
        hint = "Keep the number that __init__ is given, and make so many copies."
        yield entry.finding("forward", f"{given.wanted['n']} copies of x", str(n), hint)
        return
    truth = FORMULAS[entry.kind].forward(options, given.params, given.inputs)
    rng = np.random.Generator(np.random.Philox(12))
    letters = Letters(given.inputs, given.params, truth, [rng.standard_normal(y.shape) for y in truth])
    mistakes = node_mistakes(entry.kind, "y", letters)
    findings = [entry.compare("forward", y, true, mistakes) for y, true in zip(outputs, truth, strict=False)]
    if any(findings):
        yield from filter(None, findings)
    else:
        yield from _gradients(entry, node, given, options, letters)


def _gradients(entry: Entry, node: Any, given: Setting, options: Any, letters: Letters) -> Iterator[Finding]:
    try:
        found = as_list(node.backward(*(np.array(d) for d in letters.douts)))
    except Exception as error:
        hint = _SHAPES.get(entry.kind, "Run backward on a gradient of the shape that forward returned.")
        yield entry.raised("backward raises", error, _square_hint(entry, given) or hint)
        return
    dins, grads = FORMULAS[entry.kind].backward(options, given.params, given.inputs, letters.douts)
    if len(found) != len(dins):
        hint = "Return a gradient for each input, in order."
        yield entry.finding("number of gradients", str(len(dins)), str(len(found)), hint)
        return
    rows = list(zip(("dx", "dy"), found, dins, strict=False))
    rows += zip(("dW", "db"), node.grads if grads else [], grads, strict=False)
    for letter, d, true in rows:
        finding = entry.compare(f"gradient {letter}", d, true, node_mistakes(entry.kind, letter, letters))
        if finding is not None:
            yield finding


def _square_hint(entry: Entry, given: Setting) -> str:
    """With all lengths 3, any order of the factors runs: the numbers then show which one it was."""
    if entry.kind not in _SHAPES or len(given.inputs[0]) == 3:
        return ""
    return next((f.hint for f in _values(entry, _setting(entry.kind, square=True))), "")


def _options(kind: str, x: np.ndarray, outputs: list[Any]) -> tuple[Any, str]:
    """(options of the formula, read from the shapes of the results, or None; which shapes there should be)."""
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


# --- nodes with several results: students return a tuple, a list, or one array with one more axis in front ---


def _one_by_one(kind: str, node: Any) -> Any:
    """The node with its results as a tuple, for the kinds that have several; else the node itself."""
    return _Branch(node) if kind == "Branch" else _Pair(node) if kind in ("Add", "Multiply") else node


class _Pair:
    """``backward`` may return both gradients as one array."""

    def __init__(self, node: Any) -> None:
        self.node = node

    def forward(self, *inputs: np.ndarray) -> Any:
        return _unstacked(self.node.forward(*inputs), inputs[0])

    def backward(self, *douts: np.ndarray) -> Any:
        return _unstacked(self.node.backward(*douts), douts[0])


class _Branch(_Pair):
    """``backward`` takes the gradients one by one, as one list or as one array: all are usual."""

    def backward(self, *douts: np.ndarray) -> Any:
        forms: list[Any] = [douts, (list(douts),), (np.array(douts),)]
        ways: list[Any] = [partial(self.node.backward, *form) for form in forms]
        return first_that_works(ways, (TypeError, AttributeError))


def _unstacked(result: Any, like: np.ndarray) -> Any:
    """A list, or an array with one more axis in front, as a tuple."""
    if isinstance(result, np.ndarray) and result.ndim == np.ndim(like) + 1 and result.shape[1:] == np.shape(like):
        return tuple(np.array(a) for a in result)
    return tuple(result) if isinstance(result, list) else result
