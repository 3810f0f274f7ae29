"""Faults for the checks to find: the source of a kernel's body, or of its helpers, changed in one place.

``draw(100, seed)`` gives the same faults on every machine; ``with planted(fault):`` puts one in the table.
"""

from __future__ import annotations

import ast
import inspect
import os
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
from mutations import EPS, NARROW, cast, cast_name, options

import xpgraph  # noqa: F401  (fills the table)
from xpgraph.arrays.kernels import TABLE, load_fast

NO_MATHEMATICS = {"_generic", "_packed", "_for_product"}  # which body, and where the result lies
NO_NODE = {"gather", "replay"}  # a batch's rows, and steps made again: the Trainer's, and its tests'


class Fault(NamedTuple):
    """Which place of which function changes, and into what: the ``option``-th of what could be done there."""

    kernel: str
    library: str  # "" for the generic body
    function: str  # the body, or a helper of it
    line: int  # of its file
    kind: str
    dtype: str
    place: int
    option: int
    before: str
    after: str


# --- the places, and the draw ---------------------------------------------------------------------------------


def body_of(kernel: str, library: str) -> Callable[..., Any]:
    return TABLE[kernel].fast_bodies[library] if library else TABLE[kernel].generic


def functions(kernel: str, library: str) -> dict[str, Callable[..., Any]]:
    """The body, and the functions beside it that it calls and that are not kernels themselves."""
    body = body_of(kernel, library)
    found = {body.__name__: body}
    for name in {n.id for n in ast.walk(_parse(body)) if isinstance(n, ast.Name)}:
        helper = body.__globals__.get(name)
        plain = inspect.isfunction(helper) and not hasattr(helper, "row")
        if plain and helper.__module__ in (body.__module__, "xpgraph.arrays.kernels") and name not in NO_MATHEMATICS:
            found[name] = helper
    return found


@cache
def _source(function: Callable[..., Any]) -> str:
    return textwrap.dedent(inspect.getsource(function))


def _parse(function: Callable[..., Any]) -> ast.FunctionDef:
    tree = ast.parse(_source(function)).body[0]
    assert isinstance(tree, ast.FunctionDef)
    tree.decorator_list = []
    if ast.get_docstring(tree) is not None:
        del tree.body[0]
    for parent in ast.walk(tree):
        for child in ast.iter_child_nodes(parent):
            child.parent = parent
    return tree


def _places(tree: ast.FunctionDef) -> list[ast.AST]:
    return [node for statement in tree.body if not _chooses(statement) for node in ast.walk(statement)]


def _chooses(statement: ast.stmt) -> bool:
    """``if ...: return _generic(...)``: other layouts, dtypes and labels than a training has; test_kernels has them."""
    return isinstance(statement, ast.If) and ast.unparse(statement.body[0]).startswith("return _generic(")


def faults(kernel: str, library: str, dtype: str) -> list[Fault]:
    """Everything that can be done to one body and its helpers."""
    types = {p.name: str(p.annotation) for p in TABLE[kernel].parameters}
    found = []
    for name, function in functions(kernel, library).items():
        first, tree = function.__code__.co_firstlineno, _parse(function)
        for i, node in enumerate(_places(tree)):
            for j, (kind, _) in enumerate(options(node, dtype, types)):
                line = first + node.lineno - 1
                before, after = ast.unparse(tree), ast.unparse(_changed(function, i, j, dtype, types))
                if after == before:  # np.dot(a, a), turned round
                    continue
                lines = zip(before.splitlines(), after.splitlines(), strict=True)
                was, now = next((a.strip(), b.strip()) for a, b in lines if a != b)
                found.append(Fault(kernel, library, name, line, kind, dtype, i, j, was, now))
    return found


def draw(count: int, seed: int) -> list[Fault]:
    """Different faults: of any kernel, then either body, then any line, then any kind, then any place of it."""
    load_fast("numpy")
    bits = np.random.Philox(key=seed)  # its raw output is the same in every version of NumPy

    def one_of(things: Any) -> Any:
        things = sorted(set(things))
        return things[int(bits.random_raw()) % len(things)]

    drawn: list[Fault] = []
    while len(drawn) < count:
        kernel, dtype = one_of(TABLE.keys() - NO_NODE), one_of(EPS)
        library = one_of({"", *({"numpy"} & TABLE[kernel].fast_bodies.keys())})
        found = faults(kernel, library, dtype)
        where = one_of((f.function, f.line) for f in found)
        kind = one_of(f.kind for f in found if (f.function, f.line) == where)
        fault = one_of(f for f in found if (f.function, f.line, f.kind) == (*where, kind))
        if fault not in drawn:
            drawn.append(fault)
    return drawn


# --- the change itself ----------------------------------------------------------------------------------------


def _changed(
    function: Callable[..., Any], place: int, option: int, dtype: str, types: dict[str, str]
) -> ast.FunctionDef:
    tree = _parse(function)
    old = _places(tree)[place]
    new = list(options(old, dtype, types))[option][1]
    parent = old.parent
    for field, value in ast.iter_fields(parent):
        if isinstance(value, list):
            value[:] = [new if v is old else v for v in value]
        elif value is old:
            setattr(parent, field, new)
    return ast.fix_missing_locations(tree)


def _compiled(tree: ast.FunctionDef, scope: dict[str, Any]) -> Callable[..., Any]:
    code = compile(ast.Module([tree], []), "<fault>", "exec", annotations.compiler_flag)
    exec(code, scope)
    return scope[tree.name]


def mutant(fault: Fault) -> Callable[..., Any]:
    """The kernel's body with the fault in it; the body itself and its module stay as they are."""
    body = body_of(fault.kernel, fault.library)
    function = functions(fault.kernel, fault.library)[fault.function]
    types = {p.name: str(p.annotation) for p in TABLE[fault.kernel].parameters}
    tree = _changed(function, fault.place, fault.option, fault.dtype, types)
    narrow = {cast_name(fault.dtype): cast(NARROW[fault.dtype])}
    changed = _compiled(tree, {**function.__globals__, **narrow})
    return changed if function is body else _compiled(_parse(body), {**body.__globals__, fault.function: changed})


@contextmanager
def planted(fault: Fault) -> Iterator[None]:
    """The table with the fault in it; NumPy runs the generic bodies where the fault is in one."""
    row, wrong = TABLE[fault.kernel], mutant(fault)
    into_fast = mock.patch.dict(row.fast_bodies, {fault.library: wrong})
    chosen = mock.patch.dict(os.environ, {"XPGRAPH_GENERIC": "0" if fault.library else "1", "XPGRAPH_NUMBA": "0"})
    with into_fast if fault.library else mock.patch.object(row, "generic", wrong), chosen:
        forget_bodies()
        try:
            yield
        finally:
            forget_bodies()


def forget_bodies() -> None:
    """Each kernel looks its body up anew."""
    for row in TABLE.values():
        row.bodies.clear()
