"""Is the working tree slower than the commit from which it comes?

    ci/bench --compare BASE [--only step|matmul|KERNEL] [--seconds 10]

Two processes, one with each version, work in turns on one core: A B B A, B A A B, ... In each turn the arrays lie
elsewhere in memory, and the shortest of three batches counts. Processor time is compared, with one BLAS thread: it does
not contain the time of other programs; but a slow-down that only several threads show is not seen.

A round gives the logarithm of one ratio; their median has a distribution-free interval of 97 %. Rounds go on until the
interval lies above 5 % (slower) or below 10 % (not slower). Where a process lies in memory also changes its time by
some per cent, so two pairs of processes measure each case. If one of them finds it slower, new pairs follow; the case
is slower if three pairs say so. Exit 1 if a case is slower, 2 for errors.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
WORKER = Path(__file__).with_name("compare_worker.py")
SLOWER, FINE = math.log(1.05), math.log(1.10)
FEWEST, MOST = 6, 60  # rounds of one pair
NEEDED = 3  # pairs that must find a case slower; as many that do not acquit it
MISS = 0.032  # how often the interval may miss the median; that from the least to the largest of six does once in 32
# For the GNU C library: whether it asks the system for new pages depends on what was freed before; at times worth 30 %.
KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 32), "MALLOC_TOP_PAD_": str(1 << 26),
}  # fmt: skip


class Failed(Exception):
    """Nothing could be compared; the message says why."""


class Worker:
    """A process with one version of xpgraph."""

    def __init__(self, tree: Path) -> None:
        fixed = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1") | KEEP_MEMORY
        fixed |= {"PYTHONPATH": str(tree), "PYTHONSAFEPATH": "1", "XPGRAPH_NUMBA": "0"}
        environment = {k: v for k, v in os.environ.items() if k != "XPGRAPH_GENERIC"}
        self.process = subprocess.Popen(
            [sys.executable, str(WORKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=environment | fixed,
        )  # fmt: skip
        assert self.process.stdin is not None and self.process.stdout is not None
        self.to, self.back = self.process.stdin, self.process.stdout
        first = self.back.readline()
        if not first or not Path(json.loads(first)).samefile(tree):
            self.close()
            found = f"; xpgraph was found in {json.loads(first)}" if first else ""
            raise Failed(f"{tree} holds no xpgraph that can be imported{found}")

    def ask(self, **request: Any) -> float:
        """The value of the answer. Raises Failed if the process ended or this version does not know the case."""
        try:
            self.to.write(json.dumps(request) + "\n")
            self.to.flush()
            reply = json.loads(self.back.readline())
        except (OSError, ValueError) as error:
            raise Failed(f"a worker ended with status {self.process.wait()}") from error
        if "error" in reply:
            raise Failed(reply["error"])
        return reply["value"]

    def close(self) -> None:
        self.to.close()
        self.process.wait()
        self.back.close()


@contextmanager
def pair(base: Path, head: Path) -> Iterator[tuple[Worker, Worker]]:
    """Two workers, of which only one works at a time."""
    with ExitStack() as both:
        workers = []
        for tree in (base, head):
            workers.append(Worker(tree))
            both.callback(workers[-1].close)
        yield workers[0], workers[1]


# --- how much slower? -----------------------------------------------------------------------------------------


@dataclass
class Seen:
    """What one pair of processes measured of a case: logarithms of head / base."""

    logs: list[float]
    base: float  # seconds of one call, the median

    def interval(self) -> tuple[float, float]:
        return interval(self.logs)

    @property
    def slower(self) -> bool:
        return len(self.logs) >= FEWEST and self.interval()[0] > SLOWER

    @property
    def fine(self) -> bool:
        return len(self.logs) >= FEWEST and not self.slower and self.interval()[1] < FINE

    def __str__(self) -> str:
        low, high = (math.exp(end) for end in self.interval())
        middle = math.exp(statistics.median(self.logs))
        return f"{self.base * 1e6:10,.1f} µs  x {middle:5.3f}  [{low:.3f}, {high:.3f}]  {len(self.logs):2d} rounds"


def interval(values: Sequence[float]) -> tuple[float, float]:
    """A confidence interval of the median, from order statistics: it assumes nothing about the distribution."""
    ordered, n = sorted(values), len(values)
    k, below = 0, 0.5**n  # below: the chance that at most k of n values lie under the median
    while k + 1 < n // 2 and 2 * (below + math.comb(n, k + 1) * 0.5**n) <= MISS:
        k += 1
        below += math.comb(n, k) * 0.5**n
    return ordered[k], ordered[n - 1 - k]


def look(workers: tuple[Worker, Worker], case: str, seconds: float) -> Seen:
    """Let one pair do rounds until the case is decided or ``seconds`` are over."""
    calls = min(worker.ask(case=case, seed=0) for worker in workers)
    seen, times = Seen([], 0.0), []
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [None]
    end = time.monotonic() + seconds
    while len(seen.logs) < MOST and (len(seen.logs) < FEWEST or time.monotonic() < end):
        i = len(seen.logs)
        took: tuple[list[float], list[float]] = ([], [])
        for turn, side in enumerate((0, 1, 1, 0) if i % 2 == 0 else (1, 0, 0, 1)):
            seed = 2 * i + turn // 2  # both versions get arrays at the same addresses within a page
            took[side].append(workers[side].ask(case=case, seed=seed, calls=calls, core=cores[i // 2 % len(cores)]))
        logs = [sum(map(math.log, side)) / 2 for side in took]
        seen.logs.append(logs[1] - logs[0])
        times += took[0]
        if seen.slower or seen.fine:
            break
    seen.base = statistics.median(times) * 1e-9
    return seen


@dataclass
class Verdict:
    """A case, and what each pair of processes measured."""

    case: str
    seen: list[Seen]
    reason: str = ""  # why it was not compared

    @property
    def slower(self) -> bool:
        return sum(seen.slower for seen in self.seen) >= NEEDED

    @property
    def decided(self) -> bool:
        slow = sum(seen.slower for seen in self.seen)
        return self.slower or len(self.seen) - slow >= NEEDED or (slow == 0 and len(self.seen) > 1)

    def __str__(self) -> str:
        if self.reason:
            return f"{self.case:32s} not compared: {self.reason}"
        whole = Seen([log for seen in self.seen for log in seen.logs], self.seen[0].base)
        word = "SLOWER" if self.slower else "" if any(seen.fine for seen in self.seen) else "unclear"
        return f"{self.case:32s}{whole}, {len(self.seen)} pairs  {word}".rstrip()


def compare(
    base: Path, head: Path, cases: Sequence[str], seconds: float = 10.0, say: Callable[[str], Any] = lambda line: None
) -> list[Verdict]:
    """One verdict for each case; ``seconds`` is the most that one pair takes for one case."""
    verdicts = []
    with pair(base, head) as one, pair(base, head) as two:
        for case in cases:
            verdict = Verdict(case, [])
            try:
                verdict.seen += [look(workers, case, seconds) for workers in (one, two)]
                while not verdict.decided:
                    with pair(base, head) as others:
                        verdict.seen.append(look(others, case, seconds))
            except Failed as error:
                if any(worker.process.poll() is not None for worker in (*one, *two)):
                    raise
                verdict = Verdict(case, [], str(error))
            verdicts.append(verdict)
            say(str(verdict))
    return verdicts


# --- the command ----------------------------------------------------------------------------------------------


@contextmanager
def merge_base(name: str) -> Iterator[tuple[str, Path]]:
    """The commit that the working tree and ``name`` have in common, checked out into a temporary folder."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True)
        if done.returncode:
            raise Failed(f"git {' '.join(words[:2])}: {done.stderr.strip()}")
        return done.stdout.strip()

    commit = git("merge-base", "HEAD", name)
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "base"
        git("worktree", "add", "--detach", "--quiet", str(tree), commit)
        try:
            yield commit, tree
        finally:
            git("worktree", "remove", "--force", str(tree))


def chosen(only: str | None) -> list[str]:
    """The cases of "step", of "matmul", of a kernel; all of them for None."""
    from .compare_worker import CASES

    found = [case for case in CASES if only in (None, case, case.partition(" ")[0])]
    if not found:
        raise Failed(f"--only {only}: it is none of {', '.join(dict.fromkeys(c.partition(' ')[0] for c in CASES))}")
    return found


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="ci/bench --compare", description=__doc__.partition("\n")[0])
    parser.add_argument("base", help="a branch or a commit; its merge base with HEAD is compared")
    parser.add_argument("--only", metavar="step|matmul|KERNEL", help="only these cases")
    parser.add_argument("--seconds", type=float, default=10.0, help="the most for one case and pair (%(default)s)")
    wanted = parser.parse_args(arguments)
    try:
        cases = chosen(wanted.only)
        with merge_base(wanted.base) as (commit, base):
            print(f"the working tree against {commit[:10]}, processor time of one thread: base, and head / base")
            verdicts = compare(base, ROOT, cases, wanted.seconds, lambda line: print(line, flush=True))
    except Failed as error:
        print(f"ci/bench --compare: {error}", file=sys.stderr)
        return 2
    slower = [verdict.case for verdict in verdicts if verdict.slower]
    print(f"slower: {', '.join(slower)}" if slower else "no case is slower")
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
