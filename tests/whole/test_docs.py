"""What the pages show is true: their code runs, their links lead somewhere, their options exist."""

import re
from importlib import import_module

import pytest
from pages import ROOT

import xpgraph

PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
WHOLE = ("chapter.md", "chapter.zh.md")  # each block needs those before it: test_pages.py runs them
BLOCKS = [
    pytest.param(code, id=f"{page.name}:{i}")
    for page in PAGES
    if page.name not in WHOLE
    for i, code in enumerate(re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), flags=re.DOTALL))
]


@pytest.mark.parametrize("code", BLOCKS)
def test_the_code_runs(code, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "<page>", "exec"), {"__name__": "page"})


def test_the_five_lines_learn_the_spiral(capsys):
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), flags=re.DOTALL)[1]
    assert len(re.findall(r"^\w", code.partition("\n\n")[2], flags=re.MULTILINE)) == 5
    exec(compile(code, "<README>", "exec"), {"__name__": "page"})
    printed = capsys.readouterr().out.splitlines()
    assert float(re.search(r"accuracy=([\d.]+)", printed[-1])[1]) > 0.9


def test_the_run_that_the_readme_shows_is_a_real_one(tmp_path, monkeypatch, capsys):
    cli = pytest.importorskip("xpgraph.cli.app", reason="the command line needs click")
    for needed in ("matplotlib", "rich"):
        pytest.importorskip(needed, reason=f"a run needs {needed}")
    shown = re.search(
        r"```console\n\$ ci/train (.*?)\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), flags=re.DOTALL
    )
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", *shown[1].split(), "--backend", "numpy"]) == 0
    pages = [re.sub(r"time [\d.]+", "time", text).splitlines() for text in (shown[2], capsys.readouterr().out)]
    assert pages[0][2:] == pages[1][2:]  # after the backend and the folder


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_are_there(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_the_page_of_options_names_each_option():
    cli = pytest.importorskip("xpgraph.cli.app", reason="the command line needs click")
    text = (ROOT / "docs" / "training.md").read_text("utf-8")
    for option in cli.commands.commands["train"].params:
        assert f"`{option.opts[0]}" in text, option.opts[0]


def test_the_changelog_knows_this_version():
    assert f"## {xpgraph.__version__} " in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_what_the_changelog_says_to_import_instead_can_be_imported():
    rows = re.findall(r"^\| .* \| (.*) \|$", (ROOT / "CHANGELOG.md").read_text("utf-8"), flags=re.MULTILINE)
    lines = [line for row in rows for line in re.findall(r"`(from xpgraph import [\w, ]+)`", row)]
    modules = [name for row in rows for name in re.findall(r"`(xpgraph(?:\.\w+)+)`", row)]
    assert len(lines) > 5 and len(modules) > 30
    exec("\n".join(lines), {})
    for name in modules:
        if not name.startswith("xpgraph.cli"):
            import_module(name)
