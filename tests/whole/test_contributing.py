"""CONTRIBUTING.md keeps its word: its code runs as printed, in the number of lines that is promised."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pages import ROOT

import xpgraph
from xpgraph import Affine, Chain, Momentum, SoftmaxWithLoss, Trainer
from xpgraph.arrays.kernels import TABLE
from xpgraph.arrays.libraries import LIBRARIES

TEXT = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
BLOCKS = dict(re.findall(r"```python ([\w ]+)\n(.*?)```", TEXT, flags=re.DOTALL))


@pytest.fixture
def made():
    """Run blocks by name; what they declare is gone after the test."""
    kernels, libraries = dict(TABLE), dict(LIBRARIES)

    def run(*names: str) -> dict:
        scope: dict = {"__name__": "contributed"}
        for name in names:
            exec(compile(BLOCKS[name], f"<CONTRIBUTING.md: {name}>", "exec"), scope)
        return scope

    yield run
    TABLE.clear()
    TABLE.update(kernels)
    LIBRARIES.clear()
    LIBRARIES.update(libraries)


def section(title: str) -> str:
    return TEXT.partition(f"## {title}\n")[2].partition("\n## ")[0]


WAY = re.findall(r"^\| `([\w/]+\.py)` \| (.*?) \|", section("One batch, file by file"), flags=re.MULTILINE)


@pytest.mark.parametrize(("file", "names"), WAY, ids=[file for file, _ in WAY])
def test_the_way_of_a_batch_names_what_is_there(file, names):
    tree = ast.parse((ROOT / "xpgraph" / file).read_text("utf-8"))
    defined = {part.name for part in tree.body if isinstance(part, ast.FunctionDef | ast.ClassDef)}
    for cls in (part for part in tree.body if isinstance(part, ast.ClassDef)):
        defined |= {f"{cls.name}.{part.name}" for part in cls.body if isinstance(part, ast.FunctionDef)}
    assert names and set(re.findall(r"`([\w.]+)`", names)) <= defined


def test_files_that_the_page_names_are_there():
    files = [str(path.relative_to(ROOT)) for path in ROOT.rglob("*.py") if ".venv" not in path.parts]
    named = set(re.findall(r"(?<![\w/.>])(?:\w+/)*\w+\.py\b", TEXT))
    assert len(WAY) > 20 and len(named) > 40
    assert {name for name in named if not any(f"/{file}".endswith(f"/{name}") for file in files)} == set()


def lines(name: str) -> int:
    """Lines of code: no blank ones, imports or docstrings of one line."""
    rows = [row.strip() for row in BLOCKS[name].splitlines()]
    return len([r for r in rows if r and not r.startswith(("import ", "from ", '"""', "#"))])


def test_growth_costs_what_is_promised():
    assert set(BLOCKS) == {"node", "optimizer", "fast body", "library"}
    assert lines("node") <= 20
    assert lines("optimizer") <= 15
    assert lines("fast body") <= 10
    assert lines("library") <= 9


def test_the_node_is_right_and_trains(made, lib):
    Softplus = made("node")["Softplus"]
    node = Softplus()
    x = np.array([[-800.0, -1.0, 0.0], [0.5, 3.0, 800.0]])
    y = lib.numpy(node.forward(lib.array(x)))
    dx = lib.numpy(node.backward(lib.array(np.ones_like(x))))
    assert np.allclose(y, np.logaddexp(0, x), rtol=1e-15, atol=0)
    inner = x[:, 1:2]
    central = (np.logaddexp(0, inner + 1e-6) - np.logaddexp(0, inner - 1e-6)) / 2e-6
    assert np.allclose(dx[:, 1:2], central, rtol=1e-8)
    rng = np.random.default_rng(0)
    t = rng.integers(0, 2, 60)
    W = [lib.param(rng.normal(size=s) * 0.5) for s in ((2, 4), (4, 2))]
    b = [lib.param(np.zeros(n)) for n in (4, 2)]
    model = Chain(Affine(W[0], b[0]), Softplus(), Affine(W[1], b[1]), loss=SoftmaxWithLoss())
    data = lib.array(rng.normal(size=(60, 2)) + 3 * t[:, None]), lib.array(t)
    Trainer(model, Momentum(lr=0.1)).fit(*data, max_epoch=10, batch_size=20, eval_interval=None)
    assert model.evaluate(*data).accuracy > 0.9
    assert repr(node) == "Softplus()"


@pytest.mark.slow("processes")
def test_the_blocks_work_inside_the_package(tmp_path):
    """Pasted where the page says, in a copy of the package; the command line then has the optimizer."""
    pytest.importorskip("click", reason="the command line needs click")
    home = tmp_path / "xpgraph"
    shutil.copytree(Path(xpgraph.__file__).parent, home, ignore=shutil.ignore_patterns("__pycache__"))
    body = {name: re.sub(r"^(from|import) .*\n", "", BLOCKS[name], flags=re.MULTILINE) for name in BLOCKS}
    layers, training = home / "nodes" / "layers.py", home / "training"
    rules, optimizers = training / "update_rules.py", training / "optimizers.py"
    rule, _, optimizer = body["optimizer"].partition("class ")
    rules.write_text(rules.read_text("utf-8") + rule, "utf-8")
    layers.write_text(layers.read_text("utf-8") + body["node"], "utf-8")
    entry = 'OPTIMIZERS["nesterov"] = Nesterov\n'
    source = f"{optimizers.read_text('utf-8')}\nfrom .update_rules import nesterov\n\nclass {optimizer}{entry}"
    optimizers.write_text(source, "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "xpgraph", "train", "--optimizer", "nesterov", "--epochs", "1", "--quiet"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("test accuracy ")


def test_the_optimizer_descends_and_restores(made, lib):
    Nesterov = made("optimizer")["Nesterov"]
    p, optimizer = lib.param([3.0, -2.0]), Nesterov(lr=0.1)
    for _ in range(200):
        optimizer.update([p], [p * 2.0])
    assert np.abs(lib.numpy(p)).max() < 1e-6
    assert set(optimizer.state) == {"iter", "v"}
    assert repr(optimizer) == "Nesterov(lr=0.1, momentum=0.9)"


def test_the_fast_body_is_used_and_equal(made, monkeypatch):
    monkeypatch.delenv("XPGRAPH_GENERIC", raising=False)
    scope = made("node", "fast body")
    softplus = scope["softplus"]
    assert softplus.row.body("numpy") is scope["softplus_numpy"]
    x = np.linspace(-50, 50, 101)
    assert np.allclose(softplus(x), softplus.row.body("numpy", generic=True)(x), rtol=1e-15)
    with pytest.raises(TypeError, match="without xp"):
        softplus.fast("numpy")(lambda x, y: x)


def test_the_library_is_one_row(made):
    pytest.importorskip("array_api_strict", reason="array_api_strict is not installed")
    theirs = LIBRARIES.pop("array_api_strict")
    made("library")
    ours = LIBRARIES["array_api_strict"]
    assert (ours.namespace, ours.advertised, ours.layout) == (theirs.namespace, theirs.advertised, theirs.layout)
    a = ours.xp.asarray([[1.0, 2.0]])
    assert ours.to_host(a).tolist() == [[1.0, 2.0]]
    assert ours.on_host(a)
