"""docs/examples: each script runs by itself, from any folder, says what it should, and leaves nothing behind."""

import ast
import re
import runpy
import subprocess
import sys

import pytest
from idxfiles import replace_all
from pages import ROOT

FOLDER = ROOT / "docs" / "examples"
EXAMPLES = sorted(FOLDER.glob("*.py"))
SAYS = {
    "spiral": r"300 points, 3 classes\nloss 1\.\d\d at first, 0\.[01]\d at last\n.* 0\.9\d\n([.o#]{48}\n){24}",
    "mnist": r"MNIST is not here: give --data-dir DIR, or download it once: .*\n",
    "own_node": r"PReLU: nothing found\nCareless: Careless: gradient of input 0: .*\naccuracy 0\.9\d, slope -?\S{4}\n",
    "own_callback": r"the last weights: loss 0\.\d{3}\ntheir average:    loss 0\.\d{3}\nCtrl-C after step 350\n"
    r"resumed: 405 steps, 91 in the average, and the same bits: True\n",
    "tied_weights": r"4 arrays, 3 parameters\nmean square 0\.1\d+ at first, 0\.0[01]\d at last\n([ .:*#]{34}\n){8}",
    "killed": r"killed:\n.*step 61 is saved in run\nrun again:\n.* at step 61\nand again:\n.* at step 135\n.*\nnever"
    r" interrupted:\n61 steps, then up to 135 and the same bits: True\naccuracy 0\.9\d+\n",
    "early_stopping": r"to the end: 60 epochs, validation loss 0\.\d{3}\nstopped after epoch \d+: val_loss has not "
    r"been lower than in epoch \d+ \(0\.\d+\) for 5 epochs\nthe weights of epoch \d+ are kept: val_loss 0\.\d+\n"
    r"stopped early: \d+ epochs, validation loss 0\.\d{3}\nthe weights of epoch \d+ are kept: val_loss 0\.\d+\n"
    r"with a schedule: 60 epochs, validation loss 0\.\d{3}\nrates: 0\.0030 0\.0093 .* then 0\.0000\n"
    r"test accuracy 0\.9\d+\n",
    "cupy_or_numpy": r"(backend 'cupy' .*\n)?arrays by (numpy|cupy)\n\S+ \(360, 10\) accuracy 0\.9\d+\n\[\[.*\]\]\n",
}


def run(name, folder, *arguments):
    done = subprocess.run(
        [sys.executable, "-W", "error", FOLDER / f"{name}.py", *arguments],
        cwd=folder, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_page_lists_them():
    page = (ROOT / "docs" / "examples.md").read_text("utf-8")
    assert re.findall(r"\(examples/(\w+)\.py\)", page) and set(re.findall(r"\(examples/(\w+)\.py\)", page)) == set(SAYS)
    assert {path.stem for path in EXAMPLES} == set(SAYS)


SOON = ("mnist", "own_node")  # the others train for seconds


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow("processes")] * (name not in SOON)) for name in SAYS]
)
def test_example(name, tmp_path, monkeypatch):
    monkeypatch.setenv("XPGRAPH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    said = run(name, tmp_path / "here")
    assert re.fullmatch(SAYS[name], said), said
    assert not list((tmp_path / "here").iterdir())


def test_mnist_trains_on_the_files_of_a_folder(tmp_path, monkeypatch, capsys):
    """Small files in the place of the real ones, so in this process."""
    for stem, raw in replace_all(monkeypatch)["mnist"].items():
        (tmp_path / stem).write_bytes(raw)
    monkeypatch.setattr(sys, "argv", ["mnist.py", "--data-dir", str(tmp_path)])
    runpy.run_path(str(FOLDER / "mnist.py"), run_name="__main__")
    assert re.fullmatch(r"(epoch \d: accuracy [01]\.\d{4}\n){2}", capsys.readouterr().out)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_short_and_a_notebook(path):
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= 90 and ast.parse(text)
    assert text.startswith("# %% [markdown]\n# # ") and text.count("\n# %%\n") >= 2
