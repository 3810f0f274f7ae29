"""What can be done to the source of a module of the core: one change at a time, as text, so that each can be read.

Comparisons, arithmetic, and/or, ``not``, numbers off by one, truth values, conditions turned round, a statement gone, a
return value dropped, an argument taken for its neighbour. Left out is what no test may ask for: docstrings, messages
(f-strings, and all that is given to ``raise`` or to a function that only raises), annotations, ``if TYPE_CHECKING``,
``assert``; and what is the same by construction: the two of ``min`` and ``max``, and ``strict=`` of ``zip``.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Iterator

from cuda_mutations import Change, declared
from mutation_reasons import THE_SAME
from mutations import NEXT, OPPOSITE, swaps

ORDERS: dict[type, type] = NEXT | {new: old for old, new in NEXT.items()}
ARITHMETIC: dict[type, type] = OPPOSITE | {ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult, ast.Pow: ast.Mult}
ARITHMETIC |= {ast.LShift: ast.RShift, ast.RShift: ast.LShift}
FIXED = {"isinstance", "issubclass", "getattr", "hasattr", "setattr", "min", "max", "cast", "TypeVar", "issubset"}
NOT_HERE = ("TYPE_CHECKING", "os.name == 'nt'")
SIMPLE = (ast.Expr, ast.AugAssign, ast.Raise, ast.Delete, ast.Break, ast.Continue)
FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
Places = Iterator[tuple[str, ast.AST, str]]


def changes(text: str, module: str = "") -> list[Change]:
    """All that can be done to one module, without what is declared to be the same."""
    found, seen, span = [], {text}, _spans(text)
    for function, kind, node, new in _Reader(text).places(ast.parse(text).body, ""):
        start, end = span(node)
        changed = text[:start] + new + text[end:]
        if changed in seen:
            continue
        seen.add(changed)
        line, before, after = _first_difference(text, changed)
        if not declared(THE_SAME, f"{module}.{function}", before, after):
            found.append(Change(function, line, kind, before, after, changed))
    return found


class _Reader:
    """Walks a module; knows which functions only raise."""

    def __init__(self, text: str) -> None:
        tree = ast.parse(text)
        self.raising = {
            f.name
            for f in ast.walk(tree)
            if isinstance(f, FUNCTION) and f.returns and "NoReturn" in ast.unparse(f.returns)
        }

    def places(
        self, body: list[ast.stmt], name: str, given: Collection[str] = ()
    ) -> Iterator[tuple[str, str, ast.AST, str]]:
        """(function, kind, node, the words to put there instead)"""
        bound = set(given)
        for statement in body:
            yield from self._statement(statement, name, bound)

    def _statement(self, node: ast.stmt, name: str, bound: set[str]) -> Iterator[tuple[str, str, ast.AST, str]]:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            if isinstance(node, ast.FunctionDef):
                for default in (*node.args.defaults, *(d for d in node.args.kw_defaults if d)):
                    yield from ((name or node.name, *place) for place in self._inside(default))
            given = {a.arg for a in ast.walk(node.args) if isinstance(a, ast.arg)} if isinstance(node, FUNCTION) else ()
            yield from self.places(node.body, f"{name}.{node.name}".lstrip("."), given)
            return
        if isinstance(node, ast.Import | ast.ImportFrom | ast.Assert | ast.Pass | ast.Global) or _no_code(node):
            return
        name = name or "<module>"
        if isinstance(node, ast.If) and ast.unparse(node.test) in NOT_HERE:  # the trials do not run on Windows
            for part in node.orelse:
                yield from self._statement(part, name, bound)
            return
        yield from ((name, *place) for place in self._whole(node, name, bound))
        bound |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        for part in ast.iter_child_nodes(node):
            if isinstance(part, ast.stmt):
                yield from self._statement(part, name, bound)
            elif isinstance(part, ast.ExceptHandler):
                for inner in part.body:
                    yield from self._statement(inner, name, bound)
            elif not isinstance(node, ast.Raise) and not (isinstance(node, ast.AnnAssign) and part is node.annotation):
                yield from ((name, *place) for place in self._inside(part))

    def _whole(self, node: ast.stmt, name: str, bound: set[str]) -> Places:
        """What can be done to a statement as a whole."""
        if isinstance(node, ast.Return):
            if node.value is not None and ast.unparse(node.value) != "None":
                yield "return", node, "return None"
        elif isinstance(node, SIMPLE):
            yield "missing", node, "pass"
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None and name != "<module>":
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            again = isinstance(target, ast.Name) and target.id in bound
            if again or isinstance(target, ast.Attribute | ast.Subscript):
                yield "missing", node, "pass"
        if isinstance(node, ast.AugAssign) and type(node.op) in ARITHMETIC:
            new = ast.AugAssign(node.target, ARITHMETIC[type(node.op)](), node.value)
            yield "operator", node, ast.unparse(new)
        if isinstance(node, ast.If | ast.While):
            yield from _turned(node.test)

    def _inside(self, tree: ast.AST) -> Places:
        """What can be done inside an expression."""
        if isinstance(tree, ast.JoinedStr | ast.Constant) and not _number(tree):
            return
        if isinstance(tree, ast.Call) and _called(tree).rpartition(".")[2] in self.raising:
            return
        yield from _expression(tree)
        for part in ast.iter_child_nodes(tree):
            if isinstance(part, ast.keyword) and part.arg == "strict":
                continue
            if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.USub) and _number(part):
                continue
            yield from self._inside(part)


def _expression(node: ast.AST) -> Places:
    if isinstance(node, ast.Compare):
        for i, op in enumerate(node.ops):
            new = ast.Compare(node.left, [*node.ops[:i], ORDERS[type(op)](), *node.ops[i + 1 :]], node.comparators)
            yield "comparison", node, _words(new)
    elif isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC and not _text(node):
        yield "operator", node, _words(ast.BinOp(node.left, ARITHMETIC[type(node.op)](), node.right))
    elif isinstance(node, ast.BoolOp):
        yield "logic", node, _words(ast.BoolOp(OPPOSITE[type(node.op)](), node.values))
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield "logic", node, _words(node.operand)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        if _number(node.operand):
            yield from (("number", node, _words(ast.Constant(-node.operand.value + d))) for d in (1, -1))
        else:
            yield "operator", node, _words(node.operand)
    elif isinstance(node, ast.Constant):
        if isinstance(node.value, bool):
            yield "number", node, str(not node.value)
        else:
            yield from (("number", node, _words(ast.Constant(node.value + d))) for d in (1, -1))
    elif isinstance(node, ast.IfExp):
        yield from _turned(node.test)
    elif isinstance(node, ast.comprehension):
        for test in node.ifs:
            yield from _turned(test)
    elif isinstance(node, ast.Call) and _called(node).rpartition(".")[2] not in FIXED:
        for _, new in swaps(node):
            if ast.unparse(new) != ast.unparse(node):  # f(2, 2)
                yield "swap", node, ast.unparse(new)


def _turned(test: ast.expr) -> Places:
    """A condition turned round, where no smaller change says the same."""
    alone = isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], _EXACT)
    if not alone and not (isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)):
        yield "condition", test, _words(ast.UnaryOp(ast.Not(), test))


_EXACT = (ast.Eq, ast.NotEq, ast.Is, ast.IsNot, ast.In, ast.NotIn)


def _called(node: ast.Call) -> str:
    return ast.unparse(node.func)


def _number(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float)


def _text(node: ast.BinOp) -> bool:
    """``+`` between texts, or ``%`` of one: anything else there is a TypeError."""
    words = (ast.JoinedStr, ast.List, ast.Tuple)
    sides = (node.left, node.right)
    return any(
        isinstance(s, words) or (isinstance(s, ast.Constant) and isinstance(s.value, str | bytes)) for s in sides
    )


def _no_code(node: ast.stmt) -> bool:
    """A docstring."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _words(node: ast.AST) -> str:
    """In brackets, whatever stands around it."""
    words = ast.unparse(node)
    return words if isinstance(node, ast.Constant) and not words.startswith("-") else f"({words})"


def _spans(text: str) -> Callable[[ast.AST], tuple[int, int]]:
    """Where a node stands, as a function of the node; the tree counts bytes of a line."""
    lines, starts = text.splitlines(keepends=True), [0]
    for line in lines:
        starts.append(starts[-1] + len(line))

    def at(line: int, column: int) -> int:
        return starts[line - 1] + len(lines[line - 1].encode()[:column].decode())

    return lambda node: (at(node.lineno, node.col_offset), at(node.end_lineno, node.end_col_offset))


def _first_difference(text: str, changed: str) -> tuple[int, str, str]:
    """(line, what stood there, what stands there)"""
    before, after = text.splitlines(), changed.splitlines()
    line = next(i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b)
    gone = len(before) - len(after)
    was = " ".join(part.strip() for part in before[line : line + gone + 1])
    return line + 1, was, after[line].strip()
