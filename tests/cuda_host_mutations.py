"""What can be done to the Python of the CUDA path: a wrong grid or block, swapped arguments, an added sync.

Left out before anything is drawn: what is a TypeError by construction (a function swapped with an array), and the
body of another library.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from cuda_mutations import Change

CALLS = {  # helpers, and the first of their arguments that may be taken for its neighbour
    "_product": 0, "matmul": 0, "lt.matmul": 0, "capture.gathered": 0, "gathered": 0, "sum_to": 0, "Feed": 0,
    "steps.gradients": 0, "generic": 1, "_map": 2, "run_update": 4,
}  # fmt: skip
NUMBERS = {"rows", "size", "count", "steps.batches.size", "classes", "bound", "shape", "max_norm"}
GEOMETRY = {"_grid", "_rows"}  # whole functions, besides the grids and blocks of launches
READS = {  # an array that the last line of a function has at hand, and that a careless print would read
    "affine": "y", "affine_grad": "dW", "_map": "out", "sum_to": "total", "softmax_cross_entropy": "loss",
    "clip_rate": "norm", "gathered": "bx", "run_update": "lists[0][0]", "pieces": "table",
    "Captured.__call__": "self.losses", "Captured._drive": "step.loss", "Steps.__call__": "step.loss",
    "Steps.gradients": "grads[0]", "Steps.update": "step.params[0]", "Steps.count": "self.model.params[0]",
}  # fmt: skip
SYNCS = ("from xpgraph.namespace import to_numpy as read; read({})", "{}.get()", "float({}.sum())",
         "from xpgraph.namespace import place_of as where; where({}).asarray([0.0])")  # fmt: skip
UPLOADS = {"Captured._drive": ["device.upload(self.order, self.steps.batches.permutation)"]}


def host_changes(text: str) -> list[Change]:
    """All that can be done to one module."""
    tree, found = ast.parse(text), []
    for name, function in functions(tree):
        before = set()
        for kind, start, end, new in _places(name, function, text):
            if (start, end, new) not in before:
                before.add((start, end, new))
                found.append(_change(text, name, kind, start, end, new))
    return found


def functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Functions by name, methods as ``Class.name``."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from ((f"{node.name}.{f.name}", f) for f in node.body if isinstance(f, ast.FunctionDef))


def _change(text: str, name: str, kind: str, start: int, end: int, new: str) -> Change:
    changed = text[:start] + new + text[end:]
    line = text.count("\n", 0, start) + 1
    if kind == "sync":
        return Change(name, line, kind, "", new.strip(), changed)
    before, after = (whole.splitlines()[line - 1].strip() for whole in (text, changed))
    return Change(name, line, kind, before, after, changed)


Places = Iterator[tuple[str, int, int, str]]


def _places(name: str, function: ast.FunctionDef, text: str) -> Places:
    lines, starts = text.splitlines(keepends=True), [0]
    for line in lines:
        starts.append(starts[-1] + len(line))

    def at(line: int, column: int) -> int:  # the tree counts bytes
        return starts[line - 1] + len(lines[line - 1].encode()[:column].decode())

    def span(node: ast.AST) -> tuple[int, int]:
        return at(node.lineno, node.col_offset), at(node.end_lineno, node.end_col_offset)

    def said(node: ast.AST) -> str:
        return text[slice(*span(node))]

    def exchanged(nodes: list[ast.expr], first: int = 0) -> Places:
        for a, b in zip(nodes[first:], nodes[first + 1 :], strict=False):
            if _kind(a) and _kind(a) == _kind(b) and said(a) != said(b):
                (low, end), (start, high) = span(a), span(b)
                yield "swap", low, high, said(b) + text[end:start] + said(a)

    for node in ast.walk(function):
        called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
        if called == "device.launch":
            for part in node.args[2:4]:
                yield from _sizes(part, span, said)
            for tuple_ in (n for n in ast.walk(node.args[4]) if isinstance(n, ast.Tuple)):
                yield from exchanged(tuple_.elts)
        named_args = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "args"
        if named_args and isinstance(node.value, ast.Tuple):
            yield from exchanged(node.value.elts)
        if isinstance(node, ast.Starred) and ast.unparse(node).endswith(".shape") and "launch" in ast.unparse(function):
            yield "geometry", span(node)[1], span(node)[1], "[::-1]"
        if called in CALLS:
            yield from exchanged(node.args, CALLS[called])
            for tuple_ in (n for n in node.args if isinstance(n, ast.Tuple)):
                yield from exchanged(tuple_.elts)
        if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple):
            yield from exchanged(node.value.elts)
    if name in GEOMETRY:
        yield from _sizes(function, span, said)
    yield from _syncs(name, function, span, text)


def _kind(node: ast.expr) -> str:
    """Which arguments could be taken for each other: addresses, whole numbers of a kernel, arrays, lists."""
    words = ast.unparse(node)
    if isinstance(node, ast.Starred | ast.Constant):
        return ""
    if words.endswith(".ptr") or words == "ticket" or isinstance(node, ast.IfExp):
        return "address"
    if words in NUMBERS or words.endswith((".size", ".shape")):
        return "number"
    kinds = {ast.Name: "array", ast.Attribute: "array", ast.Tuple: "list"}
    return kinds.get(type(node), "")


def _sizes(tree: ast.AST, span: object, said: object) -> Places:
    """Inside the grid and block of a launch: rounded down, one fewer, half and double, no upper limit."""
    for node in ast.walk(tree):
        ceiling = isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.BinOp)
        if ceiling and isinstance(node.operand.op, ast.FloorDiv) and isinstance(node.operand.left, ast.UnaryOp):
            yield "geometry", *span(node), f"{said(node.operand.left.operand)} // {said(node.operand.right)}"
        elif isinstance(node, ast.Constant) and isinstance(node.value, int) and node.value > 1:
            yield "geometry", *span(node), str(node.value // 2)
            yield "geometry", *span(node), str(node.value * 2)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "len":
            yield "geometry", *span(node), f"{said(node)} - 1"
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "min":
            yield "geometry", *span(node), said(node.args[0])
            yield "geometry", *span(node), said(node.args[1])
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            yield "geometry", *span(node), said(node.left)
    if isinstance(tree, ast.Name):
        yield "geometry", *span(tree), f"{said(tree)} - 1"


def _syncs(name: str, function: ast.FunctionDef, span: object, text: str) -> Places:
    """A line more before the last one, or after it where that does not return."""
    if name not in READS:
        return
    last = function.body[-1]
    start, end = span(last)
    indent = re.search(r"[ ]*\Z", text[:start])[0]
    lines = [line.format(READS[name]) for line in SYNCS] + UPLOADS.get(name, [])
    for line in lines:
        if isinstance(last, ast.Return):
            yield "sync", start, start, f"{line}\n{indent}"
        else:
            yield "sync", end, end, f"\n{indent}{line}"
