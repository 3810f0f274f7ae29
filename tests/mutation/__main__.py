"""python tests/mutation kernels|core|cuda [--count N] [--seed 0] [--jobs 2] [--modules nodes/basic.py,...]

Exit 0 where enough mutants are killed, 1 where too many survive; 2 where the checks fail without a mutant, where a tool
is missing, or where this system cannot fork. The same seed draws the same mutants on every machine.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
PATHS = [str(path) for path in (TESTS.parent, TESTS, TESTS / "support")]  # of xpgraph, mutation, and their helpers


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="mutation", description="Count the mutants that the checks kill.")
    parser.add_argument("target", choices=("kernels", "core", "cuda"))
    parser.add_argument("--count", type=int, help="how many mutants: kernels 100, cuda 60, core all of them")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    parser.add_argument("--modules", help="of the core, their paths in xpgraph/")
    asked = parser.parse_args(arguments)
    if not hasattr(os, "fork"):
        print("mutation: each mutant needs os.fork, which this system lacks; use Linux or macOS", file=sys.stderr)
        return 2
    return importlib.import_module(f"mutation.{asked.target}").main(asked)


if __name__ == "__main__":
    sys.path[:1] = PATHS
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # threads on such small products only wait for each other
    sys.exit(main(sys.argv[1:]))
