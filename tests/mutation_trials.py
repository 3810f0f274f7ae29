"""Change the core one place at a time, and list the changes that its tests do not see.

    python tests/mutation_trials.py [--modules nodes,layers,...] [--count N] [--seed 0] [--jobs 2]

Without --count: all changes of all modules, an hour or two; with it N of them, drawn from the seed, the same on every
machine. A change counts as found when a test fails, or when the tests do not end in time. Exit 1 where a change that
``mutation_reasons`` does not declare survives; 2 where the unchanged source fails, or where processes cannot be forked.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

import numpy as np
from cuda_mutations import Change
from source_mutations import changes

TESTS = Path(__file__).parent
ROOT = TESTS.parent
KILLERS = {  # module: the test files that are to see a change of it, the quick ones first
    "nodes": "refusals layers operators graph graph_errors sharing buffers table graph_models nodes kernels bad_inputs",
    "layers": "refusals stability layers nodes agreement kernels bad_inputs",
    "losses": "refusals stability layers losses agreement cuda_capture kernels bad_inputs",
    "optimizers": "state clipping optimizers trajectories kernels bad_inputs",
    "clipping": "clipping kernels",
    "sharing": "sharing state",
    "tensorfile": "checkpoints checkpoint_damage",
    "checkpoints": "checkpoints checkpoint_faults keeping_fit keeping",
    "state": "state state_others keeping_programs",
    "packing": "state_others state keeping_programs",
    "storage": "checkpoints checkpoint_faults run_folder",
    "progress": "keeping progress",
    "keeping": "keeping_fit keeping_parts keeping_programs keeping trainer_refuses",
    "signals": "signals",
}
OPTIONS = ("--no-torch",)  # a witness that is slow to ask, and sees what NumPy and the strict namespace see


class Subject(NamedTuple):
    """A module to change, where its source is, and what pytest is given."""

    module: str
    path: Path
    tests: tuple[str, ...]

    @property
    def short(self) -> str:
        return self.module.rpartition(".")[2]


class Trial(NamedTuple):
    subject: Subject
    change: Change
    outcome: str  # "found", "ended" (out of time), "survives"
    words: str

    def __str__(self) -> str:
        c = self.change
        return f"{self.subject.short}.py:{c.line} {c.function}, {c.kind}\n    was:  {c.before}\n    is:   {c.after}"


def subject(name: str) -> Subject:
    files = tuple(f"tests/test_{killer}.py" for killer in KILLERS[name].split())
    return Subject(f"xpgraph.{name}", ROOT / "xpgraph" / f"{name}.py", (*OPTIONS, *files))


def draw(found: Sequence[Change], count: int | None, seed: int) -> list[Change]:
    """``count`` of them, all different, in the order of the source."""
    if count is None or count >= len(found):
        return list(found)
    bits = np.random.Philox(key=seed)  # its raw output is the same in every version of NumPy
    order = sorted((int(bits.random_raw()), i) for i in range(len(found)))
    return [found[i] for i in sorted(i for _, i in order[:count])]


class Worker:
    """A process that imports what all trials need, and forks for each."""

    def __init__(self, folder: Path) -> None:
        variables = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "XPGRAPH_NUMBA": "0"}
        worker = [sys.executable, str(TESTS / "mutation_worker.py")]
        self.process = subprocess.Popen(
            worker, cwd=folder, env=variables, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def __call__(self, subject: Subject, text: str, limit: float) -> tuple[int | None, str]:
        """(exit code of pytest or None, the first failure)"""
        assert self.process.stdin and self.process.stdout
        request = {"module": subject.module, "path": str(subject.path), "text": text, "limit": limit}
        self.process.stdin.write(json.dumps({**request, "tests": subject.tests}) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        return answer["code"], answer["words"]

    def close(self) -> None:
        self.process.communicate()


class Trials:
    """``jobs`` workers; ``with Trials(2) as trials: trials.of(subject(name), changes)``."""

    def __init__(self, jobs: int, folder: Path = ROOT) -> None:
        self.workers = [Worker(folder) for _ in range(jobs)]
        self.free: SimpleQueue[Worker] = SimpleQueue()
        for worker in self.workers:
            self.free.put(worker)

    def _ask(self, subject: Subject, text: str, limit: float) -> tuple[int | None, str]:
        worker = self.free.get()
        try:
            return worker(subject, text, limit)
        finally:
            self.free.put(worker)

    def unchanged(self, subject: Subject) -> float:
        """How many seconds the tests take on the source as it is; RuntimeError where they fail."""
        start = time.monotonic()
        code, words = self._ask(subject, subject.path.read_text("utf-8"), 1800)
        if code != 0:
            raise RuntimeError(f"{subject.module}: nothing is changed, yet its tests end with {code}: {words}")
        return time.monotonic() - start

    def of(self, subject: Subject, some: Sequence[Change], limit: float) -> Iterator[Trial]:
        """Each change tried, in the order given."""

        def one(change: Change) -> Trial:
            code, words = self._ask(subject, change.text, limit)
            outcome = "survives" if code == 0 else "ended" if code is None else "found"
            return Trial(subject, change, outcome, words)

        with ThreadPoolExecutor(len(self.workers)) as pool:
            yield from pool.map(one, some)

    def __enter__(self) -> Trials:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.close()


def run(subjects: Sequence[Subject], count: int | None, seed: int, jobs: int, limit: float | None = None) -> int:
    """The experiment; ``limit``: seconds for one change, by default ten and twice what the unchanged source takes."""
    rows = [(s, c) for s in subjects for c in changes(s.path.read_text("utf-8"), s.short)]
    chosen = set(draw([c for _, c in rows], count, seed))
    survivors, total = [], 0
    with Trials(jobs, subjects[0].path.parents[1]) as trials:
        for s in subjects:
            some = [c for of, c in rows if of is s and c in chosen]
            try:
                seconds = trials.unchanged(s) if some else 0.0
            except RuntimeError as error:
                print(f"mutation trials: {error}", file=sys.stderr)
                return 2
            left, hung = [], 0
            for trial in trials.of(s, some, limit or 2 * seconds + 10):
                hung += trial.outcome == "ended"
                if trial.outcome == "survives":
                    left.append(trial)
                    print(trial, flush=True)
            print(f"{s.short}: {len(some)} changes, {len(some) - len(left)} found ({hung} by time)", flush=True)
            survivors += left
            total += len(some)
    print(f"\nfound {total - len(survivors)} of {total} changes; survivors: {len(survivors)}")
    return int(bool(survivors))


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Change the core one place at a time, and list what no test sees.")
    parser.add_argument("--modules", default=",".join(KILLERS), help="of " + ", ".join(KILLERS))
    parser.add_argument("--count", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    asked = parser.parse_args(arguments)
    names = asked.modules.split(",")
    if unknown := set(names) - set(KILLERS):
        parser.error(f"--modules: {', '.join(sorted(unknown))}: not one of {', '.join(KILLERS)}")
    if not hasattr(os, "fork"):
        print("mutation trials: this system forks no processes; run them on Linux or macOS", file=sys.stderr)
        return 2
    return run([subject(name) for name in names], asked.count, asked.seed, asked.jobs)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
