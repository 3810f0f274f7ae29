"""Measure the house: python ci/house.py

Prints the folders of the package, imports that point up, import cycles, private fields that another file touches, and
the longest function and file, each beside its limit. Exit 1 where one is over its limit. The order of the folders is
the table of CONTRIBUTING.md; a folder may import only those above it in that table.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HOME = ROOT / "xpgraph"
ENTRIES, FUNCTION, FILE = 14, 60, 250  # at most: entries of xpgraph/, lines of a function, lines of a file
DOCUMENTED = {"_replace", "_asdict", "_fields", "_make", "_is_gil_enabled"}  # public names of Python with an underscore
ROOF = {"__init__", "__main__"}  # they import every folder, and no folder imports them


def table(text: str = "") -> list[str]:
    """The folders of the house in the order of CONTRIBUTING.md: ``arrays`` first."""
    text = text or (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    return re.findall(r"^\| `(\w+)/` \|", text, re.MULTILINE)


def modules(home: Path = HOME) -> dict[str, Path]:
    """Every module by its dotted name without ``xpgraph.``; a package by the name of its folder."""
    found = {}
    for path in sorted(home.rglob("*.py")):
        parts = path.relative_to(home).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)] = path
    return found


def imports(name: str, known: dict[str, Path]) -> set[str]:
    """The modules of the package that ``name`` imports anywhere: at the top, in functions, for types, by importlib."""
    package = name if known[name].name == "__init__.py" else name.rpartition(".")[0]
    package = "" if name in ROOF else package
    found = set()
    for part in ast.walk(ast.parse(known[name].read_text("utf-8"))):
        if isinstance(part, ast.ImportFrom):
            base = _absolute("." * part.level + (part.module or ""), package)
            found |= {f"{base}.{alias.name}".strip(".") for alias in part.names} if base is not None else set()
        elif isinstance(part, ast.Import):
            found |= {alias.name.removeprefix("xpgraph.") for alias in part.names if alias.name.startswith("xpgraph.")}
        elif isinstance(part, ast.Call) and ast.unparse(part.func).endswith(("import_module", "__import__")):
            words = part.args[0] if part.args else None
            if isinstance(words, ast.Constant) and isinstance(words.value, str):
                base = _absolute(words.value, package)
                found |= set() if base is None else {base}
    return {own for own in (_module(each, known) for each in found) if own is not None and own != name}


def _absolute(name: str, package: str) -> str | None:
    """A name as an import gives it, without ``xpgraph.``; None where it is another package's."""
    if not name.startswith("."):
        return name.removeprefix("xpgraph").removeprefix(".") if name.partition(".")[0] == "xpgraph" else None
    dots = len(name) - len(name.lstrip("."))
    above = package.split(".") if package else []
    return ".".join([*above[: len(above) - dots + 1], *([name[dots:]] if name[dots:] else [])])


def _module(name: str, known: dict[str, Path]) -> str | None:
    """The module that an imported name stands in: itself, or what defines it."""
    while name and name not in known:
        name = name.rpartition(".")[0]
    return name or None


def graph(known: dict[str, Path]) -> dict[str, set[str]]:
    return {name: imports(name, known) for name in known if name not in ROOF}


def up(arrows: dict[str, set[str]], folders: list[str]) -> list[str]:
    """Imports of a folder that stands below in the table, or of a fast body by anyone but fast/."""
    rank = {folder: i for i, folder in enumerate(folders, 1)}
    wrong = []
    for name, others in arrows.items():
        here = name.partition(".")[0]
        for other in sorted(others):
            there = other.partition(".")[0]
            if rank.get(there, 0) > rank.get(here, 0) or (there == "fast" != here) or other in ROOF:
                wrong.append(f"{name} imports {other}")
    return wrong


def cycles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that import each other in a circle (Tarjan 1972, the strongly connected components)."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        number[name] = low[name] = len(number)
        stack.append(name)
        for other in arrows.get(name, ()):
            if other not in number:
                visit(other)
            if other in stack:
                low[name] = min(low[name], low[other])
        if low[name] == number[name]:
            group = []
            while name not in group:
                group.append(stack.pop())
            if len(group) > 1:
                found.append(sorted(group))

    for name in arrows:
        if name not in number:
            visit(name)
    return found


def private(path: Path) -> Iterator[str]:
    """Places where a file touches ``_field`` of an object that is not self, cls, or of a class of this file.

    A field counts as the file's own where a class of the file assigns it to self, or names it as a method, a class
    attribute or a slot.
    """
    tree = ast.parse(path.read_text("utf-8"))
    own = set()
    for cls in (part for part in ast.walk(tree) if isinstance(part, ast.ClassDef)):
        for part in ast.walk(cls):
            if isinstance(part, ast.FunctionDef):
                own.add(part.name)
            elif isinstance(part, ast.Attribute) and isinstance(part.ctx, ast.Store) and _is_self(part.value):
                own.add(part.attr)
            elif isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
                own.add(part.target.id)
            elif isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                own.add(part.id)
    for part in ast.walk(tree):
        if isinstance(part, ast.Attribute):
            field, line, owner = part.attr, part.lineno, part.value
        elif isinstance(part, ast.Call) and ast.unparse(part.func) in ("setattr", "getattr", "hasattr", "delattr"):
            if len(part.args) < 2 or not isinstance(part.args[1], ast.Constant):
                continue
            field, line, owner = str(part.args[1].value), part.lineno, part.args[0]
        else:
            continue
        if field.startswith("_") and not field.endswith("_") and field not in own | DOCUMENTED and not _is_self(owner):
            yield f"{path.relative_to(ROOT)}:{line} {ast.unparse(owner)}.{field}"


def _is_self(owner: ast.expr) -> bool:
    return isinstance(owner, ast.Name) and owner.id in ("self", "cls")


def functions(path: Path) -> Iterator[tuple[int, str]]:
    """(lines, name) of every function of a file."""
    for part in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef):
            yield (part.end_lineno or 0) - part.lineno + 1, f"{path.relative_to(ROOT)}:{part.name}"


def entries() -> list[str]:
    skipped = {"__init__.py", "__main__.py", "py.typed", "__pycache__"}
    return sorted(path.name for path in HOME.iterdir() if path.name not in skipped)


def main() -> int:
    known = modules()
    arrows = graph(known)
    wrong_way, circles = up(arrows, table()), cycles(arrows)
    touched = [place for path in known.values() for place in private(path)]
    sources = [path for path in HOME.rglob("*") if path.suffix in (".py", ".cu", ".js", ".css")]
    file = max((len(path.read_text("utf-8").splitlines()), str(path.relative_to(ROOT))) for path in sources)
    function = max(found for path in known.values() for found in functions(path))
    rows = [
        ("entries of xpgraph/", len(entries()), ENTRIES, []),
        ("import cycles", len(circles), 0, [" ".join(group) for group in circles]),
        ("imports that point up", len(wrong_way), 0, wrong_way),
        ("private fields touched by another file", len(touched), 0, touched),
        (f"lines of the longest function, {function[1]}", function[0], FUNCTION, []),
        (f"lines of the longest file, {file[1]}", file[0], FILE, []),
    ]
    for words, found, most, places in rows:
        print(f"{found:5d}  (at most {most})  {words}")
        for place in places:
            print(f"         {place}")
    return int(any(found > most for _, found, most, _ in rows))


if __name__ == "__main__":
    sys.exit(main())
