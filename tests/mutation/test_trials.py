"""Mutants in processes of their own: what kills them, what the report says, the exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from mutation.changes import draw, mutant
from mutation.trials import Finding, Group, run, tried

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="each mutant needs os.fork")
MUTANTS = [mutant("version.py", f"f{i}", operator, (0, 0), f"{i} ") for i, operator in enumerate("aabbcc")]
LEFT: dict[str, str] = {}


def fates(m):
    """f0 survives, f1 is seen, f2 is seen elsewhere, f3 crashes, f4 hangs, f5 leaves a process behind."""
    if m is None or m.function == "f0":
        return None
    if m.function == "f3":
        os.abort()
    if m.function == "f4":
        time.sleep(60)
    if m.function == "f5":
        subprocess.Popen([sys.executable, "-c", f"import time; time.sleep(1); open({LEFT['file']!r}, 'w')"])
    return Finding("a look", "1 is not 2", named=m.function != "f2")


def fails_anyway(m):
    return Finding("a look", "all is lost")


def cannot_plant(m):
    if m:
        raise KeyError(m.function)


@pytest.mark.slow("mutants")
def test_each_mutant_has_a_process_that_it_may_crash_or_hang(tmp_path, monkeypatch):
    monkeypatch.setitem(LEFT, "file", str(tmp_path / "left"))
    done = list(tried(fates, MUTANTS, 3, limit=2.0))
    assert [t.mutant for t in done] == MUTANTS
    assert [t.finding and t.finding.by for t in done] == [None, "a look", "a look", "a crash", "time", "a look"]
    assert done[3].finding.words == "the process ends with -6"
    time.sleep(1.5)
    assert not (tmp_path / "left").exists()


def test_the_report(capsys):
    assert run([Group("some", fates, MUTANTS[:5], patience=1.0)], killed=0.8, named=0.6, jobs=3) == 0
    said = capsys.readouterr().out
    assert said.startswith("   1 version.py:1 f0, a: survived\n   2 version.py:1 f1, a: killed by a look\n")
    first = (mutant("version.py", "f0", "a", (0, 0), "").before, MUTANTS[0].after)
    assert f"\nsurvivors: 1\n  version.py:1 f0, a\n      was: {first[0]}\n      is:  {first[1]}\n" in said
    assert "\nnamed elsewhere: 1\n  version.py:1 f2, b\n" in said
    assert "\nby operator: a 1 of 2, b 2 of 2, c 1 of 1\n" in said
    assert said.endswith("killed 4 of 5 (1 by time), named 3\n")


@pytest.mark.parametrize(
    ("judge", "killed", "named", "code", "words"),
    [
        (fates, 0.5, 0.5, 0, ""),
        (fates, 0.7, 0.0, 1, ""),
        (fates, 0.0, 0.5, 0, ""),
        (fails_anyway, 0.0, 0.0, 2, "some: nothing is changed, yet a look: all is lost\n"),
        (cannot_plant, 0.0, 0.0, 2, "some: version.py:1 f0, a cannot be tried: KeyError: 'f0'\n"),
    ],
)
def test_the_exit_code(judge, killed, named, code, words, capsys):
    assert run([Group("some", judge, MUTANTS[:2])], killed, named) == code
    assert capsys.readouterr().err == words


def test_the_draw_is_the_same_each_time_and_has_nothing_twice():
    first = draw(MUTANTS, 4, 3, "operator", "line")
    assert first == draw(MUTANTS, 4, 3, "operator", "line")
    assert len(set(first)) == 4
    assert [first, first] != [draw(MUTANTS, 4, seed, "operator", "line") for seed in (4, 5)]
    assert draw(MUTANTS, 6, 3) == MUTANTS
