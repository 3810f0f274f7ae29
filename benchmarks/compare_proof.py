"""Does ``ci/bench --compare`` find slow-downs, and only those? They are planted in kernels drawn at random.

    ci/bench --prove [--draws 10] [--percent 20] [--seed 0]

Two copies of the working tree are compared in all cases. In one of them, the body that NumPy runs for the drawn kernel
does busy waiting after each call, for a share of the processor time that the call took. A slow-down is caught if the
comparison names the kernel. As many runs follow without a change, in which nothing may be found slower. Exit 0 if nine
of ten slow-downs are caught and every run without a change passes.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .compare import ROOT, chosen, compare
from .samples import SAMPLES

# Appended to xpgraph/fast/numpy/__init__.py. The cost of reading the clock is taken off the wait.
PLANT = """

def _slow_down(name, share):
    from time import thread_time_ns as clock

    from ...arrays.kernels import TABLE

    row = TABLE[name]
    body = row.body("numpy") if "numpy" in row.fast_bodies else row.body("numpy", generic=True)
    cost = min(-(clock() - clock()) for _ in range(1000))

    def slowed(*args):
        start = clock()
        result = body(*args)
        end = clock()
        goal = end + share * (end - start) - 2 * cost
        while clock() < goal:
            pass
        return result

    row.fast_bodies["numpy"] = slowed


_slow_down({name!r}, {share!r})
"""


@contextmanager
def copies(package: Path, kernel: str | None, share: float) -> Iterator[tuple[Path, Path]]:
    """Two copies of the package, the second with the slow-down."""
    with tempfile.TemporaryDirectory() as folder:
        trees = Path(folder) / "a", Path(folder) / "b"
        for tree in trees:
            shutil.copytree(package, tree / "xpgraph", ignore=shutil.ignore_patterns("__pycache__"))
        if kernel is not None:
            with (trees[1] / "xpgraph" / "fast" / "numpy" / "__init__.py").open("a", encoding="utf-8") as file:
                file.write(PLANT.format(name=kernel, share=share))
        yield trees


def draw(count: int, seed: int) -> list[str]:
    """Kernels drawn at random; none is drawn twice before all were drawn once."""
    chance, drawn = random.Random(seed), []
    while len(drawn) < count:
        drawn += chance.sample(sorted(SAMPLES), len(SAMPLES))
    return drawn[:count]


def slower(package: Path, kernel: str | None, share: float) -> tuple[list[str], float]:
    """The cases found slower, and how many seconds the comparison took."""
    start = time.monotonic()
    with copies(package, kernel, share) as trees:
        verdicts = compare(*trees, chosen(None))
    return [verdict.case for verdict in verdicts if verdict.slower], time.monotonic() - start


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="ci/bench --prove", description=__doc__.partition("\n")[0])
    parser.add_argument("--draws", type=int, default=10, help="kernels, and runs without a change (%(default)s)")
    parser.add_argument("--percent", type=float, default=20, help="the slow-down (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    wanted = parser.parse_args(arguments)
    with copies(ROOT / "xpgraph", None, 0.0) as (snapshot, _):  # so that edits made meanwhile do not matter
        return prove(snapshot / "xpgraph", wanted.draws, wanted.percent, wanted.seed)


def prove(package: Path, draws: int, percent: float, seed: int) -> int:
    """Run the experiment; its exit status."""
    caught = passed = 0
    for kernel in draw(draws, seed):
        found, seconds = slower(package, kernel, percent / 100)
        caught += kernel in found
        others = [case for case in found if case != kernel]
        words = ("caught" if kernel in found else "MISSED") + (f"; slower too: {', '.join(others)}" if others else "")
        print(f"{kernel:28s}+{percent:.0f} %  {words}  ({seconds:.0f} s)", flush=True)
    for _ in range(draws):
        found, seconds = slower(package, None, 0.0)
        passed += not found
        print(f"{'no change':35s}{'FAILED: ' + ', '.join(found) if found else 'passed'}  ({seconds:.0f} s)", flush=True)
    print(f"{caught} of {draws} slow-downs caught; {passed} of {draws} runs without a change passed")
    return 0 if caught >= 0.9 * draws and passed == draws else 1


if __name__ == "__main__":
    sys.exit(main())
