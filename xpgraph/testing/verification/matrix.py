"""The matrix of docs/backends.md: which node is right on which array library, and what the array API standard lacks.

    python -m xpgraph.testing.verification.matrix docs/backends.md            write it
    python -m xpgraph.testing.verification.matrix docs/backends.md --check    exit 1 if it says something else

The cells of a library that cannot be used here are taken from the page.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...arrays.installed import usable
from ...arrays.kernels import TABLE, load_fast
from ...arrays.libraries import LIBRARIES
from ...nodes import axes, layers, losses, operators, reductions
from ...nodes import basic as nodes
from ..node_checks.checks import check_node

_ISSUE = "https://github.com/data-apis/array-api/issues/"
# Kernels whose generic body works around a function that the standard lacks: the function, the issue, and how.
WORKAROUNDS = {
    "matmul": ("out=", 24, "the product is made beside the gradient array and copied into it"),
    "softmax_cross_entropy_grad": ("put_along_axis", 979, "a whole one-hot matrix is made to subtract 1 in each row"),
}

HEAD = """# Backends, node by node

Written by `ci/matrix`, which runs `xpgraph.testing.check_node` on every node and library; CI compares. Do not edit.

* **pass**: the checks find nothing.
* **slow**: they find nothing, but the array API standard lacks a function, so the generic body works around it, and the
  library has no fast body; the note says which function.
* **fail**: the checks find something.
* **not run**: not yet run on a machine where the library can be used.

"""


def cases() -> dict[str, tuple[Any, Any]]:
    """A node of each class, and inputs for it."""
    rng = np.random.Generator(np.random.Philox(0))
    x, W, b = rng.standard_normal((4, 5)), rng.standard_normal((5, 3)), rng.standard_normal(3)
    return {
        "Add": (nodes.Add(), (x, x[0])),
        "Multiply": (nodes.Multiply(), (x, x[:, :1])),
        "Branch": (nodes.Branch(3), x),
        "Repeat": (nodes.Repeat(2, axis=1), x),
        "Sum": (reductions.Sum(), x),
        "MatMul": (nodes.MatMul(W), x),
        "Subtract": (operators.Subtract(), (x, x[0])),
        "Divide": (operators.Divide(), (x, 2.0 + x[:, :1] ** 2)),
        "Exp": (operators.Exp(), x),
        "Log": (operators.Log(), 0.5 + x**2),
        "Power": (operators.Power(3), x),
        "Dot": (operators.Dot(), (x, W)),
        "Max": (reductions.Max(axis=1), x),
        "Mean": (reductions.Mean(), x),
        "Transpose": (axes.Transpose(), x),
        "Reshape": (axes.Reshape((2, -1)), x),
        "Concat": (axes.Concat(axis=1), (x, x[:, 1:])),
        "Split": (axes.Split(2), x),
        "Affine": (layers.Affine(W, b), x),
        "Sigmoid": (layers.Sigmoid(), x),
        "ReLU": (layers.ReLU(), x),
        "Tanh": (layers.Tanh(), x),
        "Softmax": (layers.Softmax(), x),
        "SoftmaxWithLoss": (losses.SoftmaxWithLoss(), (x, np.array([0, 4, 1, 4]))),
    }


def kernels_of(thing: Any) -> list[str]:
    """The names of the kernels that a node's methods call, directly or through functions of the library."""
    seen: set[str] = set()
    todo = [thing]
    while todo:
        source, scope = inspect.getsource(todo[0]), vars(sys.modules[todo.pop(0).__module__])
        for name in set(re.findall(r"\b(\w+)\(", source)) - seen:
            called = scope.get(name)
            if inspect.isfunction(called) and called.__module__.startswith("xpgraph."):
                seen.add(name)
                todo.append(called.row.generic if hasattr(called, "row") else called)
    return [name for name in TABLE if name in seen]


def cell(name: str, library: str) -> str:
    """pass, slow or fail for a node on a library that can be used here."""
    node, inputs = cases()[name]
    if check_node(node, inputs, backend=library):
        return "fail"
    load_fast(library)
    workarounds = [k for k in kernels_of(type(node)) if k in WORKAROUNDS and library not in TABLE[k].fast_bodies]
    links = ", ".join(f"[{WORKAROUNDS[k][0]}](#{k.replace('_', '-')})" for k in workarounds)
    return f"slow: {links}" if links else "pass"


def page(before: str = "") -> str:
    """The whole page; the cells of libraries that cannot be used here are those of the page ``before``."""
    known = dict(_cells(before))
    lines = ["| node | " + " | ".join(LIBRARIES) + " |", "|---|" + "---|" * len(LIBRARIES)]
    for name in cases():
        cells = [
            cell(name, library) if usable(library).usable else known.get((name, library), "not run")
            for library in LIBRARIES
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    notes = [
        f'* <a id="{k.replace("_", "-")}"></a>`{k}` would use `{function}`: {why} '
        f"([array-api #{issue}]({_ISSUE}{issue}))."
        for k, (function, issue, why) in WORKAROUNDS.items()
    ]
    last = (
        "Libraries whose arrays cannot be changed in place, such as JAX, are impossible: parameters and gradients are "
        f"updated in place, which the\nstandard leaves to the library ([array-api #24]({_ISSUE}24))."
    )
    return HEAD + "\n".join(lines) + "\n\n" + "\n".join(notes) + "\n\n" + last + "\n"


def _cells(text: str) -> Iterator[tuple[tuple[str, str], str]]:
    rows = [[c.strip() for c in line.strip("|\n ").split(" | ")] for line in text.splitlines() if line.startswith("| ")]
    for row in rows[1:]:
        yield from (((row[0], library), value) for library, value in zip(rows[0][1:], row[1:], strict=False))


def main(arguments: list[str]) -> int:
    path = Path(arguments[0])
    before = path.read_text("utf-8") if path.exists() else ""
    after = page(before)
    if "--check" in arguments:
        if after != before:
            print(f"{path} does not agree with the checks here; run ci/matrix", file=sys.stderr)
        return int(after != before)
    path.write_text(after, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
