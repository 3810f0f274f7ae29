"""The house: imports point down, libraries are named in few files, ``import xpgraph`` stays light, names are told."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import xpgraph

HOME = Path(xpgraph.__file__).parent
FLOORS = {
    0: {"namespace", "installed", "errors", "draws", "text", "precision", "signals", "streams"},
    1: {"kernel"},
    2: {"node", "wires", "machine"},
    3: {"nodes", "shapes", "operators", "axes", "layers", "losses", "optimizers", "clipping", "replay"},
    4: {"sharing", "border", "report", "live", "plot", "network", "wiring", "running", "graph", "edges", "judging"}
    | {"storage", "tensorfile", "packing", "npzfile"},
    5: {"trainer", "steps", "run", "profiler", "models", "files", "datasets", "idx", "testing"}
    | {"drawing", "explaining", "checkpoints", "state", "progress", "keeping", "runfolder", "csvfile", "csvdata"},
    6: {"cli", "commands", "__main__"},
}
FLOOR = {name: floor for floor, names in FLOORS.items() for name in names}
# Who may import NumPy. Data is born on the host: drawn, read from files, written to them; testing is an oracle there.
LIBRARIES = {"numpy", "cupy", "torch", "array_api_compat", "array_api_strict"}
HOST_FILES = {
    "namespace",
    "draws",
    "datasets",
    "idx",
    "csvfile",
    "csvdata",
    "npzfile",
    "files",
    "tensorfile",
    "packing",
    "checkpoints",
    "state",
    "progress",
    "keeping",
    "testing",
    "cli",
    "cli_predict",
    "cli_train",
}
LAZY = {
    "threadpoolctl",
    "cupy",
    "torch",
    "matplotlib",
    "rich",
    "click",
    "pooch",
    "safetensors",
    "IPython",
    "array_api_strict",
}


def floor(name):
    """Of a module by its dotted name; the modules of a package stand on the package's floor."""
    first = name.partition(".")[0]
    return 3 if first == "fast" else 6 if first.startswith("cli_") else FLOOR[first]


def modules():
    """(dotted name, path) of every module but the package itself and the empty fast/__init__."""
    for path in sorted(HOME.rglob("*.py")):
        parts = path.relative_to(HOME).with_suffix("").parts
        if parts not in (("__init__",), ("fast", "__init__"), ("fast", "cuda", "__init__")):
            yield ".".join(parts), path


MODULES = dict(modules())


def imports(name):
    """(own modules, other packages) that a module imports, wherever in it."""
    own, others = set(), set()
    for part in ast.walk(ast.parse(MODULES[name].read_text("utf-8"))):
        if isinstance(part, ast.Import):
            others |= {alias.name.partition(".")[0] for alias in part.names}
        elif isinstance(part, ast.ImportFrom) and not part.level:
            others.add(part.module.partition(".")[0])
        elif isinstance(part, ast.ImportFrom):
            home = name.split(".")[: -part.level]
            named = [part.module] if part.module else [alias.name for alias in part.names]
            own |= {".".join([*home, each]) for each in named if home or not each.startswith("__")}
    assert "xpgraph" not in others, f"{name}: import from xpgraph itself with a dot"
    return own, others


def test_every_module_has_its_floor():
    first = {name.partition(".")[0] for name in MODULES}
    assert {name for name in first if not name.startswith("cli_")} <= {*FLOOR, "fast"}, "give the new module a floor"


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_down(name):
    own, _ = imports(name)
    assert {other for other in own if floor(other) > floor(name)} == set()
    if not name.startswith("fast."):
        assert not any(other.startswith("fast") for other in own), "fast bodies are loaded by name, imported by nobody"


@pytest.mark.parametrize("name", MODULES)
def test_array_libraries_are_imported_in_few_files(name):
    _, others = imports(name)
    allowed = {
        "namespace": {"numpy", "array_api_compat"},
        "fast": {"numpy", "cupy" if name.startswith("fast.cuda.") else name.removeprefix("fast.")},
        **{host: {"numpy"} for host in HOST_FILES - {"namespace"}},
    }
    assert others & LIBRARIES <= allowed.get(name.partition(".")[0], set())


@pytest.mark.parametrize("name", [name for name in MODULES if not name.startswith("fast.")])
def test_heavy_libraries_are_imported_where_they_are_used(name):
    top = ast.parse(MODULES[name].read_text("utf-8")).body
    named = {alias.name.partition(".")[0] for part in top if isinstance(part, ast.Import) for alias in part.names}
    named |= {part.module.partition(".")[0] for part in top if isinstance(part, ast.ImportFrom) and part.module}
    assert named & (LAZY - {"click"} if floor(name) == 6 else LAZY) == set()


def test_import_xpgraph_loads_numpy_and_array_api_compat_and_nothing_heavy():
    command = [sys.executable, "-X", "importtime", "-c", "import xpgraph"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    loaded = {name.partition(".")[0] for name in re.findall(r"\|\s+([\w.]+)$", told, re.MULTILINE)}
    assert {"numpy", "array_api_compat", "xpgraph"} <= loaded
    assert loaded & LAZY == set()


@pytest.mark.parametrize("name", xpgraph.__all__)
def test_every_public_name_is_explained(name):
    thing = getattr(xpgraph, name)
    words = vars(thing).get("__doc__") if isinstance(thing, type) else thing.__doc__
    assert words and words.strip()


def test_public_names_stand_in_the_list_once():
    assert len(xpgraph.__all__) == len(set(xpgraph.__all__))
