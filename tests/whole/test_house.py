"""The house of the package, as ci/house.py measures it; and what its files may import."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pages import ROOT, checkout

import xpgraph

spec = importlib.util.spec_from_file_location("house", checkout("ci") / "house.py")
house = importlib.util.module_from_spec(spec)
spec.loader.exec_module(house)

MODULES = house.modules()
LIBRARIES = {"numpy", "cupy", "torch", "array_api_compat", "array_api_strict"}
# Who may import NumPy besides arrays/ and fast/: data is read and written on the host; testing calculates there.
ON_THE_HOST = ("datasets", "storage", "testing", "cli", "graph.saving", "graph.loading", "graph.gradient_check")
ON_THE_HOST += ("training",)
HEAVY = {
    "threadpoolctl", "cupy", "torch", "matplotlib", "rich", "click", "pooch", "safetensors", "IPython",
    "array_api_strict",
}  # fmt: skip


def packages(name: str, only_at_the_top: bool = False) -> set[str]:
    """Other packages that a module imports."""
    tree = ast.parse(MODULES[name].read_text("utf-8"))
    found = set()
    for part in tree.body if only_at_the_top else ast.walk(tree):
        if isinstance(part, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in part.names}
        elif isinstance(part, ast.ImportFrom) and not part.level:
            found.add(part.module.partition(".")[0])
    return found


def test_the_house_is_in_order(capsys):
    assert house.main() == 0, capsys.readouterr().out


def test_every_folder_stands_in_the_table_of_contributing():
    folders = {path.name for path in house.HOME.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == set(house.table())


def made(folder: Path, **sources: str) -> dict[str, set[str]]:
    """The imports of a small package, written to ``folder``; two underscores in a name are a slash."""
    for name, source in sources.items():
        path = folder / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return house.graph(house.modules(folder))


@pytest.mark.parametrize(
    "source",
    [
        "from ..b.two import x",
        "from ..b import two",
        "import xpgraph.b.two",
        "def f():\n    from ..b import two",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..b.two import x",
        "import importlib\nimportlib.import_module('xpgraph.b.two')",
        "import importlib\nimportlib.import_module('..b.two', __package__)",
    ],
)
def test_every_kind_of_import_is_seen(tmp_path, source):
    arrows = made(tmp_path, a__one=source, b__two="from ..a import one")
    assert arrows == {"a.one": {"b.two"}, "b.two": {"a.one"}}
    assert house.up(arrows, ["a", "b"]) == ["a.one imports b.two"]
    assert house.cycles(arrows) == [["a.one", "b.two"]]


@pytest.mark.parametrize("source", ["other._x", "other._x = 1", "setattr(other, '_x', 1)", "getattr(other, '_x')"])
def test_a_private_field_of_another_object_is_seen(tmp_path, monkeypatch, source):
    monkeypatch.setattr(house, "ROOT", tmp_path)
    path = tmp_path / "m.py"
    path.write_text(f"def f(other):\n    {source}\n")
    assert [place.partition(" ")[0] for place in house.private(path)] == ["m.py:2"]
    path.write_text(
        f"class C:\n    def __init__(self):\n        self._x = 0\n    def f(self, other):\n        {source}\n"
    )
    assert list(house.private(path)) == []


@pytest.mark.parametrize("name", sorted(MODULES))
def test_array_libraries_are_imported_in_few_files(name):
    if name.startswith("fast"):
        allowed = {"numpy", "cupy" if name.startswith("fast.cuda") else name.removeprefix("fast.")}
    elif name.startswith("arrays"):
        allowed = {"numpy", "array_api_compat"}
    else:
        allowed = {"numpy"} if name.startswith(ON_THE_HOST) else set()
    assert packages(name) & LIBRARIES <= allowed


@pytest.mark.parametrize("name", sorted(name for name in MODULES if not name.startswith("fast")))
def test_heavy_libraries_are_imported_where_they_are_used(name):
    assert packages(name, only_at_the_top=True) & (HEAVY - {"click"} if name.startswith("cli") else HEAVY) == set()


def test_no_module_bears_the_name_of_a_public_function():
    from xpgraph import datasets, testing

    public = {
        name
        for package in (xpgraph, datasets, testing)
        for name in package.__all__
        if callable(getattr(package, name)) and not isinstance(getattr(package, name), type)
    }
    assert {name for name in MODULES if name.rpartition(".")[2] in public} == set()


def test_import_xpgraph_loads_numpy_and_array_api_compat_and_nothing_heavy():
    command = [sys.executable, "-X", "importtime", "-c", "import xpgraph"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    loaded = {name.partition(".")[0] for name in re.findall(r"\|\s+([\w.]+)$", told, re.MULTILINE)}
    assert {"numpy", "array_api_compat", "xpgraph"} <= loaded
    assert loaded & HEAVY == set()


@pytest.mark.parametrize("name", xpgraph.__all__)
def test_every_public_name_is_explained(name):
    thing = getattr(xpgraph, name)
    words = vars(thing).get("__doc__") if isinstance(thing, type) else thing.__doc__
    assert words and words.strip()


def test_public_names_stand_in_the_list_once():
    assert len(xpgraph.__all__) == len(set(xpgraph.__all__))


@pytest.mark.parametrize(
    "folder", [name for name in MODULES if MODULES[name].name == "__init__.py" and name != "__init__"]
)
def test_every_folder_says_what_lives_there(folder):
    assert len(ast.get_docstring(ast.parse(MODULES[folder].read_text("utf-8"))) or "") > 40


PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_are_there(page):
    if page.name == "CHANGELOG.md":
        pytest.skip("the changelog names files that are gone")
    named = re.findall(r"(?<![\w/.])((?:xpgraph|tests|ci|benchmarks|docs)/[\w./-]*\w)", page.read_text("utf-8"))
    assert [name for name in named if not (ROOT / name).exists() and not name.startswith("docs/bad-inputs")] == []


def test_the_helpers_of_the_tests_are_listed():
    folder = ROOT / "tests" / "support"
    text = (folder / "README.md").read_text("utf-8")
    assert set(re.findall(r"^\| `(\w+\.py)` \|", text, re.MULTILINE)) == {path.name for path in folder.glob("*.py")}
