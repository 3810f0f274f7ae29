"""The kernels on NumPy, their generic and fast bodies, against ``verify`` and ``check_node``: ci/faults.

A mutant is *named* when what kills it says a node, or an optimizer, that runs the changed function. Of 100 mutants,
95 must be killed and 90 named. Left out are changes that are the same by construction:

* the arguments of add and multiply swapped: IEEE sums and products commute, bit for bit;
* strict= of zip: it decides only whether lists of unequal length raise, and Optimizer.update raises before that;
* the argument of len reversed, or the axes of a sum: both are the same in any order;
* the size of another of the arrays of one update: Optimizer.update has seen that they have one shape;
* a cast of what holds no floats (NO_FLOATS): whole numbers, truth values, shapes, lists, None;
* a change of what is done for dtypes narrower than float32 alone (``_narrow``), which are not trained here;
* a change of what fresh memory holds before it is written (np.empty, fresh).
"""

from __future__ import annotations

import argparse
import ast
import inspect
import os
import re
import sys
import warnings
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np

import xpgraph
from mutation import kernel_checks
from mutation.changes import Changes, Mutant, Source, brackets, codes, common_changes, draw, mutant, python_source
from mutation.trials import Finding, Group, run
from xpgraph import cross_entropy_loss
from xpgraph.arrays.kernels import TABLE, load_fast
from xpgraph.nodes.node import Node
from xpgraph.nodes.reductions import Reduction
from xpgraph.nodes.sharing import merge
from xpgraph.training.clipping import clip_grads
from xpgraph.training.optimizers import OPTIMIZERS

EPS = {"float64": 1e-5, "float32": 1e-2}  # how far a changed constant is off
NARROW = {"float64": "float32", "float32": "float16"}
NO_MATHEMATICS = {"_generic", "_packed"}  # which body
HELPERS = ("xpgraph.arrays.kernels", "xpgraph.nodes.reductions")  # where bodies of other files have helpers
NO_NODE = {"gather", "replay"}  # a batch's rows, and steps made again: the Trainer's, and its tests'
NO_FLOATS = {"extra", "axes", "runs", "n", "classes", "inside", "i", "total", "pieces", "start", "labels", "mask"}
NO_FLOATS |= {"bits", "without_blas", "is_largest"}  # the last is 0 and 1, which every dtype has
GENERIC = re.compile(r"return (_generic\(|.*\bgeneric=True)")  # hands the call to the generic body
OPERATORS = {  # what common_changes does, in the words of this target
    "comparison": "order", "logic": "order", "swap": "order", "arithmetic": "sign", "truth": "axis", "number": "index",
    "missing": "missing",
}  # fmt: skip

# --- the mutants ----------------------------------------------------------------------------------------------


def body_of(kernel: str, library: str) -> FunctionType:
    return TABLE[kernel].fast_bodies[library] if library else TABLE[kernel].generic


def bodies(kernel: str) -> list[str]:
    """The libraries whose bodies are changed: "" for the generic body."""
    load_fast("numpy")
    return ["", *({"numpy"} & TABLE[kernel].fast_bodies.keys())]


def functions(kernel: str, library: str) -> dict[str, FunctionType]:
    """The body, and the functions beside it that it calls and that are not kernels themselves."""
    body = body_of(kernel, library)
    found = {body.__name__: body}
    for node in (n for statement in definition(body)[1].body for n in ast.walk(statement)):
        helper = body.__globals__.get(node.id) if isinstance(node, ast.Name) else None
        plain = inspect.isfunction(helper) and not hasattr(helper, "row")
        if plain and helper.__module__ in (body.__module__, *HELPERS) and node.id not in NO_MATHEMATICS:
            found[node.id] = helper
    return found


def definition(function: FunctionType) -> tuple[Source, ast.FunctionDef]:
    file = Path(inspect.getsourcefile(function)).relative_to(Path(xpgraph.__file__).parent)
    source = python_source(file.as_posix())
    return source, source.functions[function.__qualname__]


@cache
def mutants(kernel: str, library: str, dtype: str) -> list[Mutant]:
    """All mutants of one body and its helpers."""
    types, found = {p.name: str(p.annotation) for p in TABLE[kernel].parameters}, []
    for name, function in functions(kernel, library).items():
        source, tree = definition(function)
        for statement in tree.body[ast.get_docstring(tree) is not None :]:
            # what goes to the generic body has other layouts, dtypes or labels than a training has: test_every_body
            if isinstance(statement, ast.If) and GENERIC.match(ast.unparse(statement.body[0])):
                continue
            narrow = set(_narrow(statement))
            for node in (n for n in ast.walk(statement) if n not in narrow):
                for operator, place, new in changes(source, node, dtype, types):
                    more = {"line": node.lineno, "kernel": kernel, "library": library, "dtype": dtype}
                    found.append(mutant(source.file, name, operator, place, new, **more))
    return [m for m in found if m.before != m.after]


def _narrow(statement: ast.stmt) -> Iterator[ast.AST]:
    """In ``a if wide is x else b``, all but a: b differs from a in dtypes narrower than float32 alone."""
    for node in ast.walk(statement):
        if isinstance(node, ast.IfExp) and ast.unparse(node.test).startswith("wide is "):
            yield node
            yield from (*ast.walk(node.test), *ast.walk(node.orelse))


def changes(source: Source, node: ast.AST, dtype: str, types: dict[str, str]) -> Changes:
    """What is done to one node; ``types``: the annotations of the kernel's parameters."""
    parent = source.parents[node]
    whole = source.place(node) if hasattr(node, "lineno") else (0, 0)
    if not (isinstance(node, ast.Constant) and _left_out(source, parent)):
        yield from ((OPERATORS[name], place, new) for name, place, new in common_changes(source, node))
    match node:
        case ast.stmt():
            yield from _values(source, node, dtype)
        case ast.BinOp(left, ast.Sub() | ast.Div() | ast.FloorDiv() as op, right):
            yield "order", whole, brackets(ast.BinOp(right, op, left))
        case ast.UnaryOp(operand=ast.Constant(int(value))):
            yield "axis", whole, "0"
            yield "index", whole, str(-value - 1)
        case ast.UnaryOp(ast.USub(), ast.Constant(float(value))):
            yield "sign", whole, str(value)
        case ast.Constant(float(value)):
            yield "constant", whole, repr(value * (1 + EPS[dtype]))
        case ast.IfExp(test, a, b):
            yield "order", whole, brackets(ast.IfExp(test, b, a))
        case ast.Name(name, ast.Load()):
            yield from (
                (operator, whole, new) for operator, new in _parameter(node, parent, types.get(name, ""), dtype)
            )


def _left_out(source: Source, parent: ast.AST) -> bool:
    """Does another change see to this constant, or is none to be seen?"""
    strict = isinstance(parent, ast.keyword) and parent.arg == "strict"
    return strict or isinstance(parent, ast.UnaryOp) or ast.unparse(source.parents[parent]) == "arrays[0].size"


def _values(source: Source, statement: ast.stmt, dtype: str) -> Changes:
    """Each value that a statement returns, assigns or gives to f(value, out=...), scaled, or cast to fewer digits."""
    name = ""
    match statement:
        case ast.Return(ast.Tuple(values)):
            pass
        case ast.Return(ast.expr() as value) | ast.AugAssign(value=value) | ast.Expr(ast.Call(args=[value, *_])):
            values = [value]
        case ast.Assign([target, *_], value):
            name, values = ast.unparse(target), [value]
        case _:
            return
    for value in values:
        place, words = source.place(value), ast.unparse(value)
        if isinstance(value, ast.Call) and ast.unparse(value.func) in ("np.empty", "fresh"):
            continue
        yield "constant", place, f"({words}) * {1 + EPS[dtype]}"
        if name not in NO_FLOATS:
            yield "dtype", place, f"through_{NARROW[dtype]}({words})"


def _parameter(node: ast.Name, parent: ast.AST, annotation: str, dtype: str) -> Iterator[tuple[str, str]]:
    in_len = isinstance(parent, ast.Call) and ast.unparse(parent.func) == "len"
    orderless = in_len or (isinstance(parent, ast.keyword) and parent.arg == "axis")
    if annotation == "int":
        yield "index", f"({node.id} + 1)"
    elif annotation == "bool":
        yield "axis", f"(not {node.id})"
    elif annotation.startswith("float"):
        yield "constant", f"({node.id} * {1 + EPS[dtype]})"
    elif annotation.startswith("tuple") and not orderless:
        yield "axis", f"{node.id}[::-1]"


def drawn(count: int, seed: int) -> list[Mutant]:
    """Of any kernel, in any dtype, of either body, of any line, by any operator."""
    every = [
        m for kernel in TABLE.keys() - NO_NODE for d in EPS for lib in bodies(kernel) for m in mutants(kernel, lib, d)
    ]
    return draw(every, count, seed, "kernel", "dtype", "library", "where", "operator")


# --- one mutant ----------------------------------------------------------------------------------------------


def plant(m: Mutant) -> None:
    """Give the function the mutant's code, for good; NumPy runs the generic bodies where it belongs to one."""
    function, narrow = functions(m.kernel, m.library)[m.function], NARROW[m.dtype]
    function.__code__ = codes(m.text)[function.__qualname__]
    function.__globals__[f"through_{narrow}"] = partial(through, narrow)
    os.environ |= {"XPGRAPH_GENERIC": "0" if m.library else "1", "XPGRAPH_NUMBA": "0"}
    for row in TABLE.values():
        row.bodies.clear()  # each kernel looks its body up anew


def through(narrow: str, value: Any) -> Any:
    """A value with the digits of ``narrow``; what holds no floats stays as it is."""
    if isinstance(value, np.ndarray | np.generic):
        return value.astype(narrow).astype(value.dtype) if value.dtype.kind == "f" else value
    return float(np.dtype(narrow).type(value)) if isinstance(value, float) else value


def judge(m: Mutant | None) -> Finding | None:
    warnings.simplefilter("ignore")
    right = names(m) if m else set()
    if m:
        plant(m)
    for dtype in [m.dtype] if m else EPS:
        for by, node, words in kernel_checks.findings(dtype):
            return Finding(by, words, node in right)
    return None


def names(m: Mutant) -> set[str]:
    """The nodes and pseudo-nodes that run a kernel that runs the mutant's function."""
    function = functions(m.kernel, m.library)[m.function]
    fitting = [kernel for kernel in TABLE if m.library in bodies(kernel)]
    kernels = {kernel for kernel in fitting if functions(kernel, m.library).get(m.function) is function}
    return {name for name, theirs in users().items() if kernels & theirs}


@cache
def users() -> dict[str, set[str]]:
    """The kernels that each node or pseudo-node runs."""
    classes = [*Node.__subclasses__(), *Reduction.__subclasses__()]
    ours = [c for c in classes if c.__module__.startswith("xpgraph.")]  # other tests make some too
    things: dict[str, Any] = {c.__name__: c for c in (*ours, *OPTIMIZERS.values())}
    things |= {"sharing": merge, "clip_grads": clip_grads, "cross_entropy_loss": cross_entropy_loss}
    return {name: _kernels(thing) for name, thing in things.items()}


@cache
def _kernels(thing: Any) -> set[str]:
    """The kernels that a class or a function calls, through whichever functions of the library."""
    scope = vars(sys.modules[thing.__module__])
    found: set[str] = {thing.rule.row.name} if hasattr(getattr(thing, "rule", None), "row") else set()
    for word in set(re.findall(r"\b(\w+)\(", inspect.getsource(thing))) - {thing.__name__}:
        called = scope.get(word)
        if hasattr(called, "row"):
            found |= {word}.union(*(_kernels(body_of(word, library)) for library in bodies(word)))
        elif inspect.isfunction(called) and called.__module__.startswith("xpgraph."):
            found |= _kernels(called)
    return found


def main(asked: argparse.Namespace) -> int:
    some = drawn(asked.count or 100, asked.seed)
    _ = kernel_checks.trained(), kernel_checks.checked(), users()  # once, for all processes
    return run([Group("kernels", judge, some)], killed=0.95, named=0.90, jobs=asked.jobs)
