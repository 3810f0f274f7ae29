"""Which tests does this checkout have that another commit has not, and the other way round?

    python ci/compare_tests.py COMMIT        with an interpreter that has the extras test, torch and cuda-test

Tests are compared by the name of their function and their parameters; the file does not count, so a test that moved is
the same test. Prints each name that only one of the two has, and each that has fewer cases than before.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def collected(root: Path) -> Counter[str]:
    """{name of a test: its number of cases}, of the tree at ``root``."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    if "--all" in (root / "tests" / "conftest.py").read_text("utf-8"):
        command.append("--all")
    env = {**os.environ, "PYTHONPATH": str(root)}
    run = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        sys.exit(f"compare_tests: the tests of {root} cannot be collected:\n{run.stdout[-2000:]}{run.stderr[-2000:]}")
    return Counter(re.findall(r"^\S+?::(\w+)", run.stdout, re.MULTILINE))


def main(commit: str) -> int:
    after = collected(ROOT)
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "before"
        subprocess.run(["git", "worktree", "add", "-q", "--detach", str(tree), commit], cwd=ROOT, check=True)
        try:
            before = collected(tree)
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(tree)], cwd=ROOT, check=True)
    print(f"{before.total()} cases of {len(before)} tests at {commit}, {after.total()} of {len(after)} here")
    for words, names in (
        (f"only at {commit}", before.keys() - after.keys()),
        ("only here", after.keys() - before.keys()),
        ("fewer cases here", {name for name in before.keys() & after.keys() if after[name] < before[name]}),
    ):
        print(f"\n{words}: {len(names)}")
        for name in sorted(names):
            print(f"  {name}  {before[name]} -> {after[name]}")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
