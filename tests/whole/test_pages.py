"""The pages that are read from top to bottom: each block runs after the ones before it and prints what is shown.

The two languages of a page hold the same code, and the pages convert to notebooks that run.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import subprocess
import sys

import numpy as np
import pytest
from pages import ROOT, blocks

import xpgraph as xg

CHAPTER, CHINESE = ROOT / "docs" / "chapter.md", ROOT / "docs" / "chapter.zh.md"


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines()]


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """An empty folder to write into; options of printing are what they were afterwards."""
    monkeypatch.chdir(tmp_path)
    with np.printoptions():
        yield tmp_path


def run(page) -> dict:
    scope: dict = {"__name__": "page"}
    for i, (code, shown) in enumerate(blocks(page)):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, f"<{page.name}, block {i}>", "exec"), scope)
        assert lines(printed.getvalue()) == lines(shown), f"block {i}:\n{code}"
    return scope


def test_the_chapter_prints_what_it_shows(scratch):
    scope = run(CHAPTER)
    assert len(blocks(CHAPTER)) > 25 and sum(bool(b.shown) for b in blocks(CHAPTER)) > 20
    assert {p.name for p in scratch.iterdir()} == {"loss.png", "net.svg", "step.html"}
    assert "<svg" in (scratch / "net.svg").read_text("utf-8")
    assert "<html" in (scratch / "step.html").read_text("utf-8")
    assert isinstance(scope["shopping"], xg.Graph)


@pytest.mark.parametrize("english", [CHAPTER, ROOT / "README.md"], ids=lambda page: page.name)
def test_both_languages_hold_the_same_code(english):
    """The blocks, and the order in which pictures, formulas and headings come between them."""
    chinese = english.with_suffix(".zh.md")
    assert blocks(english) == blocks(chinese) and blocks(chinese)
    if english == CHAPTER:
        shapes = [
            re.findall(r"^(#+ |!.*\(.*\)|\$\$$|```\w+)", p.read_text("utf-8"), re.MULTILINE) for p in (english, chinese)
        ]
        without_words = [[re.sub(r"!\[.*\]", "!", mark) for mark in shape] for shape in shapes]
        assert without_words[0] == without_words[1] and "$$" in without_words[0]
        formulas = [
            re.findall(r"^\$\$\n(.*?)^\$\$", p.read_text("utf-8"), re.MULTILINE | re.DOTALL) for p in (english, chinese)
        ]
        assert formulas[0] == formulas[1]


def test_the_commands_of_the_readme_are_the_same_in_chinese():
    english, chinese = ((ROOT / name).read_text("utf-8") for name in ("README.md", "README.zh.md"))
    consoles = [re.findall(r"```console\n.*?```", text, flags=re.DOTALL) for text in (english, chinese)]
    assert consoles[0] == consoles[1] and consoles[0]
    commands = [
        re.findall(r"^(ci/\w+|pip install [^#\n]*?|xpgraph \w+[^#\n]*?)(?: *#.*)?$", t, re.MULTILINE)
        for t in (english, chinese)
    ]
    assert commands[0] == commands[1] and len(commands[0]) >= 5


def test_the_chapter_shows_its_figures():
    """Those that docs/figures.py draws, in both languages."""
    drawn = re.findall(r'^    "([\w-]+)": \w+,$', (ROOT / "docs" / "figures.py").read_text("utf-8"), re.MULTILINE)
    for page in (CHAPTER, CHINESE):
        shown = re.findall(r"\(img/([\w-]+)\.svg\)", page.read_text("utf-8"))
        assert sorted(shown) == sorted(drawn) and len(shown) >= 9, page.name


@pytest.mark.slow("processes")
def test_notebooks_run_from_top_to_bottom(tmp_path):
    """docs/notebooks.py, which ci/book calls: pages and scripts become notebooks, and these run."""
    for needed in ("jupytext", "nbclient", "ipykernel"):
        pytest.importorskip(needed, reason=f"notebooks need {needed}: pip install .[docs]")
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "notebooks.py", tmp_path], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    made = {path.name for path in tmp_path.glob("*.ipynb")}
    assert made == {"chapter.ipynb", "chapter.zh.ipynb"} | {
        p.stem + ".ipynb" for p in (ROOT / "docs/examples").glob("*.py")
    }
    cells = json.loads((tmp_path / "chapter.ipynb").read_text("utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(code) == len(blocks(CHAPTER))
    for cell, block in zip(code, blocks(CHAPTER), strict=True):
        printed = "".join("".join(out["text"]) for out in cell["outputs"] if out["output_type"] == "stream")
        assert lines(printed) == lines(block.shown), block.code
    assert not any("```text" in "".join(cell["source"]) for cell in cells)  # the cell's own output takes its place


def test_the_book_holds_every_page():
    listed = re.findall(r"^\s*(?:root:|- file:) (\S+)$", (ROOT / "docs" / "_toc.yml").read_text("utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(path.name.removesuffix(".md") for path in (ROOT / "docs").glob("*.md"))
