"""How a source is changed: mutants, the Python sources that they change, the operators that all targets share, a draw.

A place is (start, end) in the text; a change is (operator, place, the words to put there).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import accumulate, pairwise
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple

import numpy as np

PACKAGE = Path(__file__).parents[2] / "xpgraph"
Place = tuple[int, int]
Changes = Iterator[tuple[str, Place, str]]

OPPOSITE: dict[type, type] = {ast.Add: ast.Sub, ast.Mult: ast.Div, ast.BitAnd: ast.BitOr, ast.And: ast.Or}
OPPOSITE |= {new: old for old, new in OPPOSITE.items()}
NEXT: dict[type, type] = {ast.Lt: ast.LtE, ast.Gt: ast.GtE, ast.Eq: ast.NotEq, ast.Is: ast.IsNot, ast.In: ast.NotIn}
NEXT |= {new: old for old, new in NEXT.items()}
COMMUTE = {"add", "multiply"}  # their first two arguments: IEEE sums and products are the same, bit for bit


class Mutant(NamedTuple):
    """A file of the package with ``new`` at one place."""

    file: str  # its path in xpgraph/
    function: str  # "Class.method" for methods
    line: int
    operator: str
    before: str
    after: str
    place: Place
    new: str
    kernel: str = ""  # these three for the kernels on NumPy
    library: str = ""  # of the body; "": the generic one
    dtype: str = ""

    @property
    def where(self) -> tuple[str, int]:
        return self.function, self.line

    @property
    def text(self) -> str:
        """The whole source with the change."""
        source = read(self.file)
        return source[: self.place[0]] + self.new + source[self.place[1] :]

    def __str__(self) -> str:
        kind = ", ".join(filter(None, (self.operator, self.kernel, self.library, self.dtype)))
        return f"{self.file}:{self.line} {self.function}, {kind}"


@cache
def read(file: str) -> str:
    return (PACKAGE / file).read_text("utf-8")


def mutant(file: str, function: str, operator: str, place: Place, new: str, line: int = 0, **more: Any) -> Mutant:
    """``line``: where the change is counted, by default where it starts."""
    text, (start, end) = read(file), place
    first = text.rfind("\n", 0, start) + 1
    rest = text[end : text.find("\n", end)]
    before, after = (" ".join(words.split()) for words in (text[first:end] + rest, text[first:start] + new + rest))
    return Mutant(file, function, line or text.count("\n", 0, start) + 1, operator, before, after, place, new, **more)


def declared(table: Sequence[tuple[str, str, str, str, str]], m: Mutant, below: str = "") -> bool:
    """Does a row of ``equivalents`` say that this mutant is equivalent? ``below``: the lines under the change."""
    return any(
        file in ("", m.file) and re.fullmatch(name, m.function) and re.search(old, m.before + below)
        and re.search(new, m.after + below)
        for file, name, old, new, _ in table
    )  # fmt: skip


def draw(mutants: Sequence[Mutant], count: int, seed: int, *fields: str) -> list[Mutant]:
    """``count`` different mutants: of any value of the first field, then any of the second that is left, and so on."""
    if count >= len(mutants):
        return list(mutants)
    bits = np.random.Philox(key=seed)  # its raw output is the same in every version of NumPy

    def one_of(things: Sequence[Any]) -> Any:
        return things[int(bits.random_raw()) % len(things)]

    drawn: dict[int, Mutant] = {}
    while len(drawn) < count:
        left: Sequence[int] = range(len(mutants))
        for field in fields:
            values = {i: getattr(mutants[i], field) for i in left}
            chosen = one_of(sorted(set(values.values())))
            left = [i for i in left if values[i] == chosen]
        i = one_of(left)
        drawn[i] = mutants[i]
    return list(drawn.values())


class Source:
    """A Python file: its tree; of each node the parent, the function that it belongs to, the place in the text."""

    def __init__(self, file: str) -> None:
        self.file, self.text = file, read(file)
        self.tree = ast.parse(self.text)
        self._lines = self.text.splitlines(keepends=True)
        self._starts = [0, *accumulate(map(len, self._lines))]
        self.parents: dict[ast.AST, ast.AST] = {}
        self.owners: dict[ast.AST, str] = {}  # "" for what stands outside functions and classes
        self.functions: dict[str, ast.FunctionDef] = {}  # and methods; those inside functions belong to these
        self._visit(self.tree, "")

    def _visit(self, node: ast.AST, name: str) -> None:
        for child in ast.iter_child_nodes(node):
            inner = f"{name}.{child.name}".lstrip(".") if isinstance(child, ast.FunctionDef | ast.ClassDef) else name
            if isinstance(child, ast.FunctionDef) and not isinstance(node, ast.FunctionDef):
                self.functions[inner] = child
            self.parents[child], self.owners[child] = node, inner
            self._visit(child, inner)

    def place(self, node: ast.AST) -> Place:
        return self._at(node.lineno, node.col_offset), self._at(node.end_lineno, node.end_col_offset)

    def _at(self, line: int, column: int) -> int:  # the tree counts bytes of a line
        return self._starts[line - 1] + len(self._lines[line - 1].encode()[:column].decode())

    def words(self, node: ast.AST) -> str:
        return self.text[slice(*self.place(node))]

    def neighbours(self, nodes: Sequence[ast.expr]) -> Iterator[tuple[ast.expr, ast.expr, Place, str]]:
        """Each two neighbours that differ, with the change that exchanges them."""
        for a, b in pairwise(nodes):
            if self.words(a) != self.words(b):
                yield a, b, *exchanged(self.text, self.place(a), self.place(b))


@cache
def python_source(file: str) -> Source:
    return Source(file)


def exchanged(text: str, a: Place, b: Place) -> tuple[Place, str]:
    return (a[0], b[1]), text[slice(*b)] + text[a[1] : b[0]] + text[slice(*a)]


def brackets(node: ast.AST) -> str:
    return f"({ast.unparse(node)})"


def codes(text: str, path: str = "") -> dict[str, CodeType]:
    """The code of each function of a Python source, by its name."""
    found, more = {}, [compile(text, path, "exec", dont_inherit=True)]
    while more:
        inner = [c for c in more.pop().co_consts if isinstance(c, CodeType)]
        found |= {c.co_qualname: c for c in inner}
        more += inner
    return found


def called(node: ast.Call) -> str:
    """The last word of the name of what is called."""
    return ast.unparse(node.func).rpartition(".")[2]


def common_changes(source: Source, node: ast.AST, arithmetic: dict[type, type] = OPPOSITE) -> Changes:
    """What all Python targets do to one node."""
    whole = source.place(node) if hasattr(node, "lineno") else (0, 0)
    match node:
        case ast.Compare(left, ops, others):
            for i, op in enumerate(ops):
                yield (
                    "comparison",
                    whole,
                    brackets(ast.Compare(left, [*ops[:i], NEXT[type(op)](), *ops[i + 1 :]], others)),
                )
        case ast.BoolOp(op, values):
            yield "logic", whole, brackets(ast.BoolOp(OPPOSITE[type(op)](), values))
        case ast.UnaryOp(ast.Not(), operand):
            yield "logic", whole, brackets(operand)
        case ast.UnaryOp(ast.USub(), operand) if not isinstance(operand, ast.Constant):
            yield "arithmetic", whole, brackets(operand)
        case ast.BinOp(left, op, right) if type(op) in arithmetic:
            kind = "logic" if isinstance(op, ast.BitAnd | ast.BitOr) else "arithmetic"
            yield kind, whole, brackets(ast.BinOp(left, arithmetic[type(op)](), right))
        case ast.AugAssign(target, op, value):
            if type(op) in arithmetic:
                yield "arithmetic", whole, ast.unparse(ast.AugAssign(target, arithmetic[type(op)](), value))
            yield "missing", whole, "pass"
        case ast.Expr():
            yield "missing", whole, "pass"
        case ast.Constant(bool(value)):
            yield "truth", whole, str(not value)
        case ast.Constant(int(value)):
            yield "number", whole, str(value + 1)
            yield "number", whole, str(value - 1) if value else "(-1)"
        case ast.Call(args=args):
            for a, b, place, new in source.neighbours(args):
                orderless = a is args[0] and called(node) in COMMUTE
                if not orderless and not isinstance(a, ast.Starred) and not isinstance(b, ast.Starred):
                    yield "swap", place, new
