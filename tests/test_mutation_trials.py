"""Changes of the core: what is changed, what is found, what is listed as a survivor; the experiment is ci/soak."""

from __future__ import annotations

import os
from functools import cache

import pytest
import source_mutations
from cuda_mutations import declared
from mutation_reasons import THE_SAME
from mutation_trials import KILLERS, OPTIONS, ROOT, Subject, draw, main, run, subject
from source_mutations import changes

SOURCE = '''"""A module of 1 line: x < 2."""


def between(x: int, low: int = 3, high: int = 4) -> int:
    """low if x < low."""
    if x < low:
        return low
    if x > high:
        raise ValueError(f"{x + 1}", x - 1)
    return x


def down(n):
    while n > 0:
        n -= 1
    return n
'''
TEST = """
import pytest
from toys.toy import between, down

def test_all():
    assert [between(x) for x in (2, 3, 4)] == [3, 3, 4] and down(3) == 0
    assert between(9, 9, 9) == 9
    with pytest.raises(ValueError):
        between(5)
"""

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="mutation trials fork, which this system cannot")


@pytest.fixture
def toy(tmp_path):
    """A package of one module, with a test."""
    (tmp_path / "toys").mkdir()
    (tmp_path / "toys" / "toy.py").write_text(SOURCE, "utf-8")
    (tmp_path / "toys" / "__init__.py").write_text("", "utf-8")
    (tmp_path / "test_toy.py").write_text(TEST, "utf-8")
    return Subject("toys.toy", tmp_path / "toys" / "toy.py", ("test_toy.py",))


def test_what_is_changed_and_what_is_not():
    found = [(c.line, c.kind, c.after) for c in changes(SOURCE)]
    assert found == [
        (4, "number", "def between(x: int, low: int = 4, high: int = 4) -> int:"),
        (4, "number", "def between(x: int, low: int = 2, high: int = 4) -> int:"),
        (4, "number", "def between(x: int, low: int = 3, high: int = 5) -> int:"),
        (4, "number", "def between(x: int, low: int = 3, high: int = 3) -> int:"),
        (6, "condition", "if (not x < low):"),
        (6, "comparison", "if (x <= low):"),
        (7, "return", "return None"),
        (8, "condition", "if (not x > high):"),
        (8, "comparison", "if (x >= high):"),
        (9, "missing", "pass"),
        (10, "return", "return None"),
        (14, "condition", "while (not n > 0):"),
        (14, "comparison", "while (n >= 0):"),
        (14, "number", "while n > 1:"),
        (14, "number", "while n > (-1):"),
        (15, "missing", "pass"),
        (15, "operator", "n += 1"),
        (15, "number", "n -= 2"),
        (15, "number", "n -= 0"),
        (16, "return", "return None"),
    ]


SWAPPED = ("2, 'a', 2", "'a', 3, 2", "'a', 1, 2", "'a', 2, 3", "'a', 2, 1")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a and not b", {"(a or not b)", "a and (b)"}),
        ("f(a, b, c=1)", {"f(b, a, c=1)", "f(a, b, c=2)", "f(a, b, c=0)"}),
        ("min(a, b) and f('a', 2, 2)", {"(min(a, b) or f('a', 2, 2))"} | {f"min(a, b) and f({w})" for w in SWAPPED}),
        ("zip(a, strict=True)", set()),
        ("[x for x in a if x in b]", {"[x for x in a if (x not in b)]"}),
        ("a // -2", {"(a * -2)", "a // (-1)", "a // (-3)"}),
        ("a if b else True", {"a if (not b) else True", "a if b else False"}),
        ("refuse(a + 1, b)", set()),
    ],
)
def test_what_is_done_to_an_expression(before, after):
    text = f"def refuse(a) -> NoReturn:\n    assert a > 1\n\n\nx = {before}\n"
    assert {c.after.removeprefix("x = ") for c in changes(text)} == after


def test_survivors_are_listed_and_a_change_that_hangs_is_ended(toy, capsys, monkeypatch):
    the_same = (("toy.between", "x > high", "x >= high", "not the same at all, but declared"),)
    monkeypatch.setattr(source_mutations, "THE_SAME", the_same)
    assert run([toy], 6, 20, jobs=2, limit=2.0) == 1
    said = capsys.readouterr().out
    assert said == (
        "toy.py:6 between, comparison\n    was:  if x < low:\n    is:   if (x <= low):\n"
        "toy: 6 changes, 5 found (1 by time)\n"
        "\nfound 5 of 6 changes; survivors: 1\n"
    )
    assert toy.path.read_text("utf-8") == SOURCE


def test_where_all_is_found_the_exit_code_is_0_and_where_nothing_is_changed_nothing_may_fail(toy, capsys):
    toy.path.write_text("def between(x):\n    return 1\n", "utf-8")
    test = toy.path.parents[1] / "test_toy.py"
    test.write_text("from toys.toy import between\n\ndef test():\n    assert between(1) == 1\n", "utf-8")
    assert run([toy], 2, 0, jobs=1) == 0
    assert capsys.readouterr().out.startswith("toy: 2 changes, 2 found (0 by time)\n")
    test.write_text("from toys.toy import between\n\ndef test():\n    assert between(1) == 2\n", "utf-8")
    assert run([toy], 2, 0, jobs=1) == 2
    assert "toys.toy: nothing is changed, yet its tests end with 1: FAILED test_toy.py::test" in capsys.readouterr().err


@cache
def everything():
    """[(module, change)], what is declared to be the same among them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source_mutations, "THE_SAME", ())
        return [(name, c) for name in KILLERS for c in changes(subject(name).path.read_text("utf-8"), name)]


def test_the_draw_is_the_same_each_time_and_has_nothing_twice():
    all_of_it = [c for name, c in everything() if name == "tensorfile"]
    first = draw(all_of_it, 30, seed=3)
    assert first == draw(all_of_it, 30, seed=3) != draw(all_of_it, 30, seed=4)
    assert len(set(first)) == 30
    assert [c.line for c in first] == sorted(c.line for c in first)
    assert draw(all_of_it, None, 0) == all_of_it


@pytest.mark.parametrize("name", KILLERS)
def test_every_module_has_changes_and_test_files(name):
    of = [c for module, c in everything() if module == name]
    assert len(of) > 20
    for change in of[::9]:
        compile(change.text, name, "exec", dont_inherit=True)  # else any test would find it
    assert all((ROOT / file).is_file() for file in subject(name).tests if file not in OPTIONS)


def test_what_is_declared_is_still_there_and_says_why():
    for row in THE_SAME:
        assert any(declared((row,), f"{name}.{c.function}", c.before, c.after) for name, c in everything()), row
        assert len(row[3]) > 10


def test_a_module_that_is_none_of_them(capsys):
    with pytest.raises(SystemExit):
        main(["--modules", "nodes,nothing"])
    assert "--modules: nothing: not one of nodes, layers" in capsys.readouterr().err
