"""The modules of the core, against the test files that are to see a mutant of each: ci/soak.

Every undeclared mutant must be killed. Left out is what no test may ask for: docstrings, messages (f-strings, and all
that is given to ``raise`` or to a function that only raises), annotations, ``if TYPE_CHECKING``, ``assert``; and what
is equivalent by construction: the two of ``min`` and ``max``, and ``strict=`` of ``zip``. A program that a test starts
is another process and sees the module as it is on disk.
"""

from __future__ import annotations

import argparse
import ast
import os
import sys
from collections.abc import Iterator
from functools import partial
from importlib.machinery import SourceFileLoader
from multiprocessing import set_forkserver_preload
from pathlib import Path
from typing import Any

from mutation.changes import (
    OPPOSITE,
    PACKAGE,
    Changes,
    Mutant,
    Source,
    brackets,
    called,
    common_changes,
    declared,
    draw,
    mutant,
    python_source,
)
from mutation.equivalents import CORE
from mutation.trials import Finding, Group, run

ROOT = PACKAGE.parent
KILLERS = {  # a module in xpgraph/: in tests/, the files test_*.py that are to see a mutant of it, the quick ones first
    "nodes/basic.py": "nodes/checks nodes/layers nodes/operators graph/graph graph/graph_errors nodes/sharing "
                      "fast/buffers arrays/kernels graph/graph_models nodes/node fast/every_body whole/bad_inputs",
    "nodes/reductions.py": "nodes/checks nodes/layers nodes/operators graph/graph graph/graph_models nodes/node "
                           "fast/every_body whole/bad_inputs",
    "nodes/layers.py": "nodes/checks whole/stability nodes/layers nodes/node whole/agreement fast/every_body "
                       "whole/bad_inputs",
    "nodes/losses.py": "nodes/checks whole/stability nodes/layers nodes/losses whole/agreement fast/cuda/capture "
                       "fast/every_body whole/bad_inputs",
    "nodes/sharing.py": "nodes/sharing training/snapshot",
    "training/optimizers.py": "training/snapshot training/clipping training/optimizers whole/trajectories "
                              "fast/every_body whole/bad_inputs",
    "training/update_rules.py": "training/clipping training/optimizers whole/trajectories fast/every_body "
                                "whole/bad_inputs",
    "training/clipping.py": "training/clipping fast/every_body",
    "storage/tensorfile.py": "storage/checkpoints storage/tensorfile storage/tensor_reader",
    "storage/tensor_reader.py": "storage/checkpoints storage/tensorfile storage/tensor_reader",
    "storage/checkpoints.py": "storage/checkpoints storage/checkpoints_faults training/callbacks/checkpointing "
                              "training/callbacks/checkpointing_fit training/callbacks/checkpointing_resumed",
    "storage/packing.py": "training/snapshot_others training/snapshot training/callbacks/checkpointing_programs",
    "storage/atomic.py": "storage/checkpoints storage/checkpoints_faults storage/atomic",
    "training/node_state.py": "training/snapshot_others training/callbacks/checkpointing_programs",
    "training/snapshot.py": "training/snapshot training/snapshot_others training/callbacks/checkpointing_programs "
                            "training/callbacks/checkpointing",
    "training/losses.py": "training/callbacks/checkpointing_resumed training/callbacks/checkpointing_interrupted "
                          "training/trainer_runs training/trainer_refuses",
    "training/settings.py": "training/callbacks/checkpointing_arguments training/callbacks/checkpointing_fit "
                            "training/callbacks/checkpointing_programs training/callbacks/checkpointing_resumed",
    "training/callback.py": "training/callback training/callbacks/checkpointing",
    "training/history_parts.py": "training/history_parts training/callbacks/checkpointing",
    "training/callbacks/checkpointing.py": "training/callbacks/checkpointing_fit "
        "training/callbacks/checkpointing_arguments training/callbacks/checkpointing_programs "
        "training/callbacks/checkpointing_resumed training/callbacks/checkpointing training/trainer_refuses",
    "training/signals.py": "training/signals training/callbacks/checkpointing",
}  # fmt: skip
OPTIONS = ("-x", "-q", "-p", "no:cacheprovider", "-W", "ignore:Module already imported")
# what all children need is imported once; xpgraph is not among it, each child imports that with its mutant
SHARED = ["pytest", "hypothesis", "numpy", "numpy.testing", "array_api_strict", "array_api_compat.numpy", "safetensors"]

ARITHMETIC: dict[type, type] = OPPOSITE | dict.fromkeys((ast.FloorDiv, ast.Mod, ast.Pow), ast.Mult)
ARITHMETIC |= {ast.LShift: ast.RShift, ast.RShift: ast.LShift}
FIXED = {"isinstance", "issubclass", "getattr", "hasattr", "setattr", "min", "max", "cast", "TypeVar", "issubset"}
NOT_HERE = ("TYPE_CHECKING", "os.name == 'nt'")  # the trials do not run on Windows
ONE_TEST = (ast.Eq, ast.NotEq, ast.Is, ast.IsNot, ast.In, ast.NotIn)  # negated by the operator "comparison"

# --- the mutants ----------------------------------------------------------------------------------------------


def mutants(file: str, left_out: bool = True) -> list[Mutant]:
    """All mutants of one module, in the order of its text; without ``left_out``, also those declared equivalent."""
    source, found = python_source(file), {}
    untested = set(_untested(source.tree))
    for node in ast.walk(source.tree):
        if node not in untested:
            name = source.owners.get(node) or "<module>"
            for operator, place, new in changes(source, node):
                m = mutant(file, name, operator, place, new)
                found.setdefault(m.text, m)
    found.pop(source.text, None)
    some = sorted(found.values(), key=lambda m: m.place)
    return [m for m in some if not (left_out and declared(CORE, m))]


def _untested(tree: ast.Module) -> Iterator[ast.AST]:
    """What no test may ask for, and all that is inside."""
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
    raising = {f.name for f in functions if f.returns and "NoReturn" in ast.unparse(f.returns)}
    for node in ast.walk(tree):
        roots: list[ast.AST | None] = []
        match node:
            case ast.Import() | ast.ImportFrom() | ast.Assert() | ast.JoinedStr() | ast.Expr(ast.Constant()):
                roots = [node]
            case ast.Raise(error, cause):
                roots = [error, cause]
            case ast.Call() if called(node) in raising:
                roots = [node]
            case ast.If(test, body) if ast.unparse(test) in NOT_HERE:
                roots = [*body, test]
            case ast.ClassDef():
                roots = [*node.bases, *node.keywords, *node.decorator_list]
            case ast.FunctionDef():
                roots = [node.returns, *node.decorator_list]
            case ast.AnnAssign() | ast.arg():
                roots = [node.annotation]
            case ast.keyword("strict"):
                roots = [node]
            case ast.UnaryOp(ast.USub(), ast.Constant() as operand):
                roots = [operand]
        for root in roots:
            yield from ast.walk(root) if root else ()


def changes(source: Source, node: ast.AST) -> Changes:
    """What is done to one node."""
    place = source.place(node) if hasattr(node, "lineno") else (0, 0)
    fixed = isinstance(node, ast.Call) and called(node) in FIXED
    if not fixed and not (isinstance(node, ast.BinOp) and _joins_text(node)):
        yield from common_changes(source, node, ARITHMETIC)
    match node:
        case ast.Raise() | ast.Delete() | ast.Break() | ast.Continue():
            yield "missing", place, "pass"
        case ast.Assign() | ast.AnnAssign() if _assigns_again(source, node):
            yield "missing", place, "pass"
        case ast.Return(ast.expr() as value) if ast.unparse(value) != "None":
            yield "return", place, "return None"
        case ast.If(test) | ast.While(test) | ast.IfExp(test):
            yield from _negated(source, test)
        case ast.comprehension(ifs=tests):
            for test in tests:
                yield from _negated(source, test)
        case ast.UnaryOp(ast.USub(), ast.Constant(int(value) | float(value))):
            yield from (("number", place, brackets(ast.Constant(-value + step))) for step in (1, -1))
        case ast.Constant(float(value)):
            yield from (("number", place, str(value + step)) for step in (1, -1))


def _negated(source: Source, test: ast.expr) -> Changes:
    """A condition negated, where no smaller change says the same."""
    one_test = isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ONE_TEST)
    negation = isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)
    if one_test or negation or ast.unparse(test) in NOT_HERE:
        return
    yield "condition", source.place(test), brackets(ast.UnaryOp(ast.Not(), test))


def _assigns_again(source: Source, node: ast.Assign | ast.AnnAssign) -> bool:
    """Is something there without this assignment? Else, that nothing is there is a NameError."""
    target = node.targets[0] if isinstance(node, ast.Assign) else node.target
    around, name = source.parents[node], source.owners[node]
    if not name or node.value is None or not isinstance(target, ast.Name):
        return bool(name and node.value is not None and isinstance(target, ast.Attribute | ast.Subscript))
    if not isinstance(around, ast.FunctionDef | ast.ClassDef):  # perhaps a loop
        return True
    given = {a.arg for a in ast.walk(around.args) if isinstance(a, ast.arg)} if hasattr(around, "args") else set()
    before = around.body[: around.body.index(node)]
    stored = {n.id for s in before for n in ast.walk(s) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return target.id in given | stored


def _joins_text(node: ast.BinOp) -> bool:
    """``+`` between texts, lists or tuples, or ``%`` of one: anything else there is a TypeError."""
    return any(
        isinstance(side, ast.JoinedStr | ast.List | ast.Tuple)
        or (isinstance(side, ast.Constant) and isinstance(side.value, str | bytes))
        for side in (node.left, node.right)
    )


# --- one mutant -----------------------------------------------------------------------------------------------


class FirstFailure:
    """A plugin of pytest: which test failed first, in which words."""

    words = ""

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed and not self.words:
            self.words = f"{report.nodeid}: {(report.longreprtext.splitlines() or [''])[-1]}"

    pytest_collectreport = pytest_runtest_logreport


def judge(module: Path, tests: list[str], folder: Path, m: Mutant | None) -> Finding | None:
    """Runs pytest in ``folder``; an import of ``module`` gets the mutant's text. Nothing on disk is changed."""
    assert not any(name.partition(".")[0] == "xpgraph" for name in sys.modules), "a child would not import it anew"
    as_it_is, planted = SourceFileLoader.get_code, []

    def get_code(self: SourceFileLoader, name: str) -> Any:
        if m is None or Path(self.path) != module:
            return as_it_is(self, name)
        planted.append(name)
        return compile(m.text, self.path, "exec", dont_inherit=True)

    SourceFileLoader.get_code = get_code
    sys.path.insert(0, str(folder))
    os.chdir(folder)
    import pytest

    first = FirstFailure()
    try:
        code: Any = pytest.main([*OPTIONS, "--basetemp", f"{os.environ['TMPDIR']}/basetemp", *tests], [first])
    except BaseException as error:
        code = type(error).__name__
    if m and not planted:
        raise ImportError(f"nothing imports {module}")
    return Finding(first.words or "pytest", f"pytest ends with {code}") if code != 0 else None


def killers(file: str) -> list[str]:
    """What pytest is given. PyTorch is slow to ask, and sees what NumPy and the strict namespace see."""
    found = [Path("tests", killer) for killer in KILLERS[file].split()]
    return ["--all", "--no-torch", *(path.with_name(f"test_{path.name}.py").as_posix() for path in found)]


def try_out(groups: list[Group], jobs: int) -> int:
    """Each in a fork of a process that has imported SHARED."""
    set_forkserver_preload(SHARED)
    return run(groups, killed=1.0, jobs=jobs, start="forkserver")


def main(asked: argparse.Namespace) -> int:
    names = asked.modules.split(",") if asked.modules else list(KILLERS)
    if unknown := set(names) - set(KILLERS):
        print(f"--modules: {', '.join(sorted(unknown))}: not one of {', '.join(KILLERS)}", file=sys.stderr)
        return 2
    every = [m for name in names for m in mutants(name)]
    chosen = set(draw(every, asked.count or len(every), asked.seed))
    groups = []
    for name in names:
        some = [m for m in every if m.file == name and m in chosen]
        if some:
            groups.append(Group(name, partial(judge, PACKAGE / name, killers(name), ROOT), some, patience=10))
    return try_out(groups, asked.jobs)
