"""The CUDA path, its kernels and the Python that launches them, against the suite's checks: ci/faults --cuda.

Needs CuPy and g++, no GPU. Of 60 mutants, nine of ten must be killed. In Python, a wrong grid or block, swapped
arguments, an added sync; left out is what is a TypeError by construction (a function swapped with an array), and the
body of another library.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import re
import signal
import sys
import warnings
from collections.abc import Iterator
from functools import cache
from types import FunctionType, ModuleType
from typing import Any

import cuda_emulator
import cuda_rig

from mutation import cuda_c
from mutation.changes import Changes, Mutant, Source, codes, declared, draw, mutant, python_source, read
from mutation.equivalents import CUDA
from mutation.trials import Finding, Group, run
from xpgraph.arrays.kernels import TABLE
from xpgraph.fast.cuda import sources

PATIENCE = 3  # seconds of one launch
HOST = ("fast/cupy.py", "fast/cuda/update.py", "fast/cuda/capture.py", "training/steps.py",
        "training/callbacks/history.py", "training/callbacks/report.py")  # fmt: skip
DEVICE = tuple(f"fast/cuda/{name}" for name in (sources.PRELUDE, *sources.FILES))
USERS = {"add_bias": ["affine"], "column_sum": ["sum_to", "affine_grad"]}  # the bodies of kernels of other names

CALLS = {  # helpers, and the first of their arguments that may be taken for its neighbour
    "_product": 0, "matmul": 0, "cublaslt.matmul": 0, "capture.gathered": 0, "gathered": 0, "sum_to": 0, "Feed": 0,
    "steps.gradients": 0, "generic": 1, "_map": 2, "run_update": 4,
}  # fmt: skip
NUMBERS = {"rows", "size", "count", "steps.batches.size", "classes", "bound", "shape", "max_norm"}
GEOMETRY = {"_grid", "_rows"}  # whole functions, besides the grids and blocks of launches
READS = {  # an array that the last line of a function has at hand, and that a careless print would read
    "affine": "y", "affine_grad": "dW", "_map": "out", "sum_to": "total", "softmax_cross_entropy": "loss",
    "clip_rate": "norm", "gathered": "bx", "run_update": "lists[0][0]", "pieces": "table",
    "Captured.__call__": "self.losses", "Captured._drive": "step.loss", "Steps.__call__": "step.loss",
    "Steps.gradients": "grads[0]", "Steps.update": "step.params[0]", "Steps.count": "self.model.params[0]",
    "History.step": "state.model.params[0]", "next_look": "state.model.params[0]",
    "Reporting.step": "state.model.params[0]",
}  # fmt: skip
SYNCS = ("from xpgraph.arrays.libraries import to_numpy as read; read({})", "{}.get()", "float({}.sum())",
         "from xpgraph.arrays.libraries import place_of as where; where({}).asarray([0.0])")  # fmt: skip
UPLOADS = {"Captured._drive": ["device.upload(self.order, self.steps.batches.permutation)"]}

# --- the mutants ----------------------------------------------------------------------------------------------


def device_mutants() -> list[Mutant]:
    """All mutants of the .cu files that are not declared to be equivalent."""
    return [m for m, below in _device_mutants() if not declared(CUDA, m, below)]


@cache
def _device_mutants() -> list[tuple[Mutant, str]]:
    """All of them, each with the line under the change."""
    types = {name: kinds for file in DEVICE for name, kinds in cuda_c.parameter_types(read(file))}
    found = []
    for file in DEVICE:
        lines = read(file).splitlines()
        for change in cuda_c.changes(read(file), types):
            m = mutant(file, *change)
            found.append((m, "\n".join(["", *lines[m.line : m.line + 1]])))
    return found


def host_mutants(file: str) -> Iterator[Mutant]:
    source = python_source(file)
    for name, function in source.functions.items():
        if file.startswith("fast/"):
            yield from (mutant(file, name, *change) for change in _host_changes(source, name, function))
        yield from (mutant(file, name, *change) for change in _syncs(source, name, function))


@cache
def mutants() -> list[Mutant]:
    every = {*device_mutants(), *(m for file in HOST for m in host_mutants(file))}
    return sorted(m for m in every if m.before != m.after)


def _host_changes(source: Source, name: str, function: ast.FunctionDef) -> Changes:
    launches = "launch" in ast.unparse(function)
    for node in ast.walk(function):
        match node:
            case ast.Call(args=args) if (helper := ast.unparse(node.func)) == "device.launch":
                for part in args[2:4]:
                    yield from _sizes(source, part)
                for each in (n for n in ast.walk(args[4]) if isinstance(n, ast.Tuple)):
                    yield from _swaps(source, each.elts)
            case ast.Call(args=args) if helper in CALLS:
                yield from _swaps(source, args[CALLS[helper] :])
                for each in (n for n in args if isinstance(n, ast.Tuple)):
                    yield from _swaps(source, each.elts)
            case ast.Assign([ast.Name("args")], ast.Tuple(values)) | ast.Return(ast.Tuple(values)):
                yield from _swaps(source, values)
            case ast.Starred() if launches and ast.unparse(node).endswith(".shape"):
                yield "geometry", (source.place(node)[1],) * 2, "[::-1]"
    if name in GEOMETRY:
        yield from _sizes(source, function)


def _swaps(source: Source, nodes: list[ast.expr]) -> Changes:
    for a, b, place, new in source.neighbours(nodes):
        if _type(a) and _type(a) == _type(b):
            yield "swap", place, new


def _type(node: ast.expr) -> str:
    """Which arguments could be taken for each other: addresses, whole numbers of a kernel, arrays, lists."""
    words = ast.unparse(node)
    if isinstance(node, ast.Starred | ast.Constant):
        return ""
    if words.endswith(".ptr") or words == "ticket" or isinstance(node, ast.IfExp):
        return "address"
    if words in NUMBERS or words.endswith((".size", ".shape")):
        return "number"
    return {ast.Name: "array", ast.Attribute: "array", ast.Tuple: "list"}.get(type(node), "")


def _sizes(source: Source, tree: ast.AST) -> Changes:
    """Inside the grid and block of a launch: rounded down, one fewer, half and double, no upper limit."""
    for node in ast.walk(tree):
        new = []
        match node:
            case ast.UnaryOp(operand=ast.BinOp(ast.UnaryOp(operand=above), ast.FloorDiv(), below)):
                new = [f"{source.words(above)} // {source.words(below)}"]
            case ast.Constant(int(value)) if value > 1:
                new = [str(value // 2), str(value * 2)]
            case ast.Call(ast.Name("len")):
                new = [f"{source.words(node)} - 1"]
            case ast.Call(ast.Name("min"), [a, b]):
                new = [source.words(a), source.words(b)]
            case ast.BinOp(left, ast.Mult()):
                new = [source.words(left)]
            case ast.Name() if node is tree:
                new = [f"{source.words(node)} - 1"]
        yield from (("geometry", source.place(node), words) for words in new)


def _syncs(source: Source, name: str, function: ast.FunctionDef) -> Changes:
    """A line more before the last one, or after it where that does not return."""
    last = function.body[-1]
    (start, end), indent = source.place(last), " " * last.col_offset
    for line in [line.format(READS[name]) for line in SYNCS] + UPLOADS.get(name, []) if name in READS else []:
        if isinstance(last, ast.Return):
            yield "sync", (start, start), f"{line}\n{indent}"
        else:
            yield "sync", (end, end), f"\n{indent}{line}"


def drawn(count: int, seed: int) -> list[Mutant]:
    """By any operator, of any file that has it, of any function, of any line."""
    return draw(mutants(), count, seed, "operator", "file", "function", "line")


# --- one mutant -----------------------------------------------------------------------------------------------


def reached(m: Mutant) -> set[str]:
    """The kernels that run the changed function, themselves or through others."""
    texts = [(f.name, f.head + cuda_c.plain(read(file))[f.start : f.end])
             for file in DEVICE for f in cuda_c.functions(read(file))]  # fmt: skip
    found, size = {m.function.partition(".")[0]}, 0
    while size != len(found):
        size = len(found)
        pattern = re.compile(rf"\b(?:{'|'.join(found)})\b")
        found |= {name.partition(".")[0] for name, text in texts if pattern.search(text)}
    return {name.removeprefix("xp_") for name in found if name.startswith("xp_")}


def planted_sources(m: Mutant | None) -> dict[str, str]:
    """The sources for the emulator; those of files that the mutant does not reach stay as they are."""
    texts = {file: sources.text(file) for file in sources.FILES}
    if m is not None and m.file in DEVICE:
        for file in {sources.file_of(name) for name in reached(m)}:
            assert read(m.file) in texts[file]
            texts[file] = texts[file].replace(read(m.file), m.text)
    return texts


def plant(m: Mutant) -> None:
    """Give the functions of a module the code of its changed text, for good."""
    module = importlib.import_module("xpgraph." + m.file.removesuffix(".py").replace("/", "."))
    new = codes(m.text, module.__file__ or "")
    for function in _functions(module):
        function.__code__ = new[function.__code__.co_qualname]


def _functions(module: ModuleType) -> Iterator[FunctionType]:
    things = [*vars(module).values(), *(body for row in TABLE.values() for body in row.fast_bodies.values())]
    things += [thing for owner in vars(module).values() if inspect.isclass(owner) for thing in vars(owner).values()]
    for thing in things:
        function = inspect.unwrap(thing) if callable(thing) else thing
        if isinstance(function, FunctionType) and function.__code__.co_filename == module.__file__:
            yield function


class Impatient(cuda_emulator.Emulator):
    def launch(self, *args: Any) -> None:
        signal.setitimer(signal.ITIMER_PROF, PATIENCE)  # ends the process
        super().launch(*args)
        signal.setitimer(signal.ITIMER_PROF, 0)


def judge(m: Mutant | None) -> Finding | None:
    """What the checks find first: those of the kernels and bodies that run the mutant, then trainings, then all."""
    from mutation import cuda_checks  # needs CuPy

    kernels, bodies = set(cuda_checks.ALL), []
    if m is not None:
        kernels = reached(m) if m.file in DEVICE else set()
        bodies = [b for name in [*kernels, m.function] for b in USERS.get(name, [name])]
        if m.file in HOST:
            plant(m)
    emulator = Impatient(planted_sources(m))
    warnings.simplefilter("ignore")
    for by, check in cuda_checks.checks(emulator, kernels, bodies, m is not None and m.operator == "sync"):
        try:
            check()
        except Exception as error:
            words = str(error).strip().splitlines() or [""]
            return Finding(by, f"{type(error).__name__}: {words[0]}")
    return None


def main(asked: argparse.Namespace) -> int:
    if why := cuda_rig.why_not() or cuda_emulator.why_not():
        print(f"ci/faults --cuda: {why}", file=sys.stderr)
        return 2
    importlib.import_module("mutation.cuda_checks")  # once, for all processes
    return run([Group("cuda", judge, drawn(asked.count or 60, asked.seed))], killed=0.9, jobs=asked.jobs)
