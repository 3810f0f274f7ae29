"""What can be done to one place of a source: each way gives a kind and what to put there instead.

A change that alters no value that anyone can see is a change all the same. Left out are only those that are the same
by construction:

* the arguments of add and multiply swapped: IEEE sums and products commute, bit for bit;
* strict= of zip: it decides only whether lists of unequal length raise, and Optimizer.update raises before that;
* the argument of len reversed, or the axes of a sum: both are the same in any order;
* the size of another of the arrays of one update: Optimizer.update has seen that they have one shape;
* a cast of what holds no floats (NO_FLOATS): whole numbers, truth values, shapes, lists, None;
* a change of what fresh memory holds before it is written (UNREAD, np.empty, fresh).
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

EPS = {"float64": 1e-5, "float32": 1e-2}
NARROW = {"float64": "float32", "float32": "float16"}
UNREAD = {"scratch"}
NO_FLOATS = {"extra", "axes", "runs", "n", "classes", "inside", "i", "total", "flat", "pieces", "start", *UNREAD}
NO_FLOATS |= {"largest"}  # 0 and 1, which every dtype has
COMMUTE = {"add", "multiply"}

OPPOSITE: dict[type, type] = {ast.Add: ast.Sub, ast.Mult: ast.Div, ast.BitAnd: ast.BitOr, ast.And: ast.Or}
OPPOSITE |= {new: old for old, new in OPPOSITE.items()}
NEXT: dict[type, type] = {ast.Lt: ast.LtE, ast.Gt: ast.GtE, ast.Eq: ast.NotEq, ast.Is: ast.IsNot, ast.In: ast.NotIn}
NEXT |= {new: old for old, new in NEXT.items()}


def options(node: ast.AST, dtype: str, types: dict[str, str]) -> Iterator[tuple[str, ast.AST]]:
    """(kind, what to put there instead). ``types``: the annotations of the kernel's parameters."""
    if isinstance(node, ast.stmt):
        yield from _statement(node, dtype)
    elif isinstance(node, ast.BinOp | ast.BoolOp):
        yield from _operator(node)
    elif isinstance(node, ast.UnaryOp):
        yield from _unary(node)
    elif isinstance(node, ast.Constant):
        yield from _literal(node, dtype)
    elif isinstance(node, ast.Compare):
        yield "order", ast.Compare(node.left, [NEXT[type(node.ops[0])](), *node.ops[1:]], node.comparators)
    elif isinstance(node, ast.IfExp):
        yield "order", ast.IfExp(node.test, node.orelse, node.body)
    elif isinstance(node, ast.Call):
        yield from swaps(node)
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        yield from _parameter(node, types.get(node.id, ""), dtype)


def _statement(node: ast.stmt, dtype: str) -> Iterator[tuple[str, ast.AST]]:
    if isinstance(node, ast.AugAssign):
        if type(node.op) in OPPOSITE:
            yield "sign", ast.AugAssign(node.target, OPPOSITE[type(node.op)](), node.value)
        yield "missing", ast.Pass()
    if isinstance(node, ast.Expr):
        yield "missing", ast.Pass()
    for name, value, new in _values(node):
        if isinstance(value, ast.Call) and ast.unparse(value.func) in ("np.empty", "fresh"):
            continue
        if name not in UNREAD:
            yield "constant", new(_scaled(value, dtype))
        if name not in NO_FLOATS:
            yield "dtype", new(ast.Call(ast.Name(cast_name(dtype), ast.Load()), [value], []))


def _values(node: ast.stmt) -> Iterator[tuple[str, ast.expr, Callable[[ast.expr], ast.stmt]]]:
    """(name assigned to, value, the statement with another value); for f(value, out=...) its first argument."""
    if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple):
        parts = node.value.elts
        for i in range(len(parts)):
            yield "", parts[i], lambda v, i=i: ast.Return(ast.Tuple([*parts[:i], v, *parts[i + 1 :]], ast.Load()))
    elif isinstance(node, ast.Return) and node.value is not None:
        yield "", node.value, lambda v: ast.Return(v)
    elif isinstance(node, ast.Assign):
        yield ast.unparse(node.targets[0]), node.value, lambda v: ast.Assign(node.targets, v)
    elif isinstance(node, ast.AugAssign):
        yield "", node.value, lambda v: ast.AugAssign(node.target, node.op, v)
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        call = node.value
        yield "", call.args[0], lambda v: ast.Expr(ast.Call(call.func, [v, *call.args[1:]], call.keywords))


def _operator(node: ast.BinOp | ast.BoolOp) -> Iterator[tuple[str, ast.AST]]:
    if isinstance(node, ast.BoolOp):
        yield "order", ast.BoolOp(OPPOSITE[type(node.op)](), node.values)
        return
    if type(node.op) in OPPOSITE:
        kind = "order" if isinstance(node.op, ast.BitAnd | ast.BitOr) else "sign"
        yield kind, ast.BinOp(node.left, OPPOSITE[type(node.op)](), node.right)
    if isinstance(node.op, ast.Sub | ast.Div | ast.FloorDiv):
        yield "order", ast.BinOp(node.right, node.op, node.left)


def _unary(node: ast.UnaryOp) -> Iterator[tuple[str, ast.AST]]:
    if isinstance(node.op, ast.Not):
        yield "order", node.operand
    elif isinstance(node.operand, ast.Constant) and isinstance(node.operand.value, int):
        yield "axis", ast.Constant(0)
        yield "index", ast.Constant(-node.operand.value - 1)
    elif isinstance(node.op, ast.USub):
        yield "sign", node.operand


def _literal(node: ast.Constant, dtype: str) -> Iterator[tuple[str, ast.AST]]:
    parent = node.parent
    if isinstance(node.value, bool):
        if not (isinstance(parent, ast.keyword) and parent.arg == "strict"):
            yield "axis", ast.Constant(not node.value)
    elif isinstance(node.value, int) and not isinstance(parent, ast.UnaryOp) and not _asks_size(parent):
        yield "index", ast.Constant(node.value + 1)
        yield "index", ast.Constant(node.value - 1)
    elif isinstance(node.value, float):
        yield "constant", ast.Constant(node.value * (1 + EPS[dtype]))


def _asks_size(node: ast.AST) -> bool:
    """``arrays[0]`` in ``arrays[0].size``."""
    above = getattr(node, "parent", None)
    return isinstance(above, ast.Attribute) and ast.unparse(above) == "arrays[0].size"


def swaps(node: ast.Call) -> Iterator[tuple[str, ast.AST]]:
    name = ast.unparse(node.func).rpartition(".")[2]
    for i in range(len(node.args) - 1):
        pair = node.args[i : i + 2]
        if not (name in COMMUTE and i == 0) and not any(isinstance(a, ast.Starred) for a in pair):
            yield "order", ast.Call(node.func, [*node.args[:i], *pair[::-1], *node.args[i + 2 :]], node.keywords)


def _parameter(node: ast.Name, annotation: str, dtype: str) -> Iterator[tuple[str, ast.AST]]:
    parent = node.parent
    in_len = isinstance(parent, ast.Call) and ast.unparse(parent.func) == "len"
    orderless = in_len or (isinstance(parent, ast.keyword) and parent.arg == "axis")
    if annotation == "int":
        yield "index", ast.BinOp(node, ast.Add(), ast.Constant(1))
    elif annotation == "bool":
        yield "axis", ast.UnaryOp(ast.Not(), node)
    elif annotation.startswith("float"):
        yield "constant", _scaled(node, dtype)
    elif annotation.startswith("tuple") and not orderless:
        yield "axis", ast.Subscript(node, ast.Slice(step=ast.UnaryOp(ast.USub(), ast.Constant(1))), ast.Load())


def _scaled(value: ast.expr, dtype: str) -> ast.expr:
    return ast.BinOp(value, ast.Mult(), ast.Constant(1 + EPS[dtype]))


def cast_name(dtype: str) -> str:
    return f"through_{NARROW[dtype]}"


def cast(narrow: str) -> Callable[[Any], Any]:
    def through(value: Any) -> Any:
        if isinstance(value, np.ndarray | np.generic):
            return value.astype(narrow).astype(value.dtype) if value.dtype.kind == "f" else value
        return float(np.dtype(narrow).type(value)) if isinstance(value, float) else value

    return through
