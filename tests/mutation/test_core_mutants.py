"""Mutants of the core: what is changed, what is killed, what is listed as a survivor; the experiment is ci/soak."""

from __future__ import annotations

import os
from functools import cache, partial

import pytest

from mutation.__main__ import main
from mutation.changes import declared, draw
from mutation.core import KILLERS, ROOT, judge, killers, mutants, try_out
from mutation.equivalents import CORE
from mutation.trials import Group

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

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="each mutant needs os.fork")


@pytest.fixture
def toy(tmp_path):
    """Makes a package of one module, with a test; gives all its mutants."""

    def make(source, test):
        (tmp_path / "toys").mkdir(exist_ok=True)
        (tmp_path / "toys" / "toy.py").write_text(source, "utf-8")
        (tmp_path / "test_toy.py").write_text(test, "utf-8")
        file = tmp_path / "toys" / "toy.py"
        return Group("toy", partial(judge, file, ["test_toy.py"], tmp_path), mutants(str(file)), patience=2.0)

    return make


def test_what_is_changed_and_what_is_not(toy):
    assert [(m.line, m.operator, m.after) for m in toy(SOURCE, TEST).mutants] == [
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
        (15, "arithmetic", "n += 1"),
        (15, "missing", "pass"),
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
def test_what_is_done_to_an_expression(before, after, toy):
    text = f"def refuse(a) -> NoReturn:\n    assert a > 1\n\n\nx = {before}\n"
    assert {m.after.removeprefix("x = ") for m in toy(text, "").mutants} == after


@pytest.mark.slow("mutants")
def test_survivors_are_listed_and_a_mutant_that_hangs_is_ended(toy, capsys):
    group = toy(SOURCE, TEST)
    assert try_out([group._replace(mutants=[group.mutants[i] for i in (5, 6, 15)])], jobs=2) == 1
    said = capsys.readouterr().out
    assert "toy.py:6 between, comparison: survived\n" in said
    assert "toy.py:7 between, return: killed by test_toy.py::test_all: test_toy.py:6: AssertionError\n" in said
    assert "toy.py:15 down, arithmetic: killed by time\n" in said
    assert said.endswith("killed 2 of 3 (1 by time)\n")


@pytest.mark.slow("mutants")
def test_where_all_is_killed_the_exit_code_is_0_and_where_nothing_is_changed_nothing_may_fail(toy, capsys):
    source, test = "def f(x):\n    return 1\n", "from toys.toy import f\n\ndef test():\n    assert f(1) == 1\n"
    group = toy(source, test)
    assert try_out([group], jobs=1) == 0
    assert capsys.readouterr().out.endswith("killed 3 of 3 (0 by time)\n")
    toy(source, test.replace("== 1", "== 2"))
    assert try_out([group], jobs=1) == 2
    said = capsys.readouterr().err
    assert said.startswith("toy: nothing is changed, yet test_toy.py::test: ")
    assert said.endswith("pytest ends with 1\n")


@cache
def everything():
    return {file: mutants(file, left_out=False) for file in KILLERS}


def test_the_draw_has_nothing_twice():
    some = everything()["storage/tensorfile.py"]
    assert len(set(draw(some, 30, seed=3))) == 30
    assert draw(some, 30, seed=3) == draw(some, 30, seed=3) != draw(some, 30, seed=4)


@pytest.mark.parametrize("file", KILLERS)
def test_every_module_has_mutants_and_test_files(file):
    of = everything()[file]
    assert len(of) > 20
    for m in of[::9]:
        compile(m.text, file, "exec", dont_inherit=True)  # else any test would kill it
    files = killers(file)[2:]  # after two options
    assert len(set(files)) == len(files) > 0
    assert [name for name in files if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize("row", CORE)
def test_what_is_declared_is_still_there_and_says_why(row):
    assert any(declared((row,), m) for some in everything().values() for m in some)
    assert len(row[-1]) > 10


def test_a_module_that_is_none_of_them(capsys):
    assert main(["core", "--modules", "nodes/basic.py,nothing.py"]) == 2
    assert "--modules: nothing.py: not one of nodes/basic.py, nodes/reductions.py" in capsys.readouterr().err
