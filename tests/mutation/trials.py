"""The experiment: each mutant in a process of its own, which it may crash or hang; what killed it; the score."""

from __future__ import annotations

import contextlib
import faulthandler
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import wait
from typing import Any, NamedTuple

from mutation.changes import Mutant

MEMORY = 8 << 30  # bytes of address space: what a mutant asks for beyond that is refused
TIME = "time"


class Finding(NamedTuple):
    """What killed a mutant: which check, in which words; does it name what was changed?"""

    by: str
    words: str
    named: bool = True


class Trial(NamedTuple):
    mutant: Mutant | None  # None: the source as it is
    finding: Finding | None  # None: it survived
    seconds: float


class Group(NamedTuple):
    """Mutants that the same checks judge: ``judge(mutant)`` plants one in its process and gives what killed it."""

    name: str
    judge: Callable[[Mutant | None], Finding | None]
    mutants: Sequence[Mutant]
    patience: float = 300.0  # seconds, besides twice what the source as it is takes


class Child:
    """A process with one mutant, the leader of a process group that ends with it."""

    def __init__(self, context: Any, judge: Callable[..., Finding | None], mutant: Mutant | None, limit: float) -> None:
        self.mutant, self.start, self.limit = mutant, time.monotonic(), limit
        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.pipe, there = context.Pipe(duplex=False)
        self.process = context.Process(target=_child, args=(judge, mutant, limit, there, self.folder.name))
        self.process.start()
        there.close()

    @property
    def left(self) -> float:
        return max(0.0, self.start + self.limit - time.monotonic())

    def trial(self) -> Trial:
        """After it has answered, died or run out of time."""
        seconds, answer = time.monotonic() - self.start, None
        try:
            answer = self.pipe.recv() if self.pipe.poll() else Finding(TIME, f"no end after {self.limit:.0f} s")
        except EOFError:
            self.process.join()
            late = self.process.exitcode == -signal.SIGPROF
            answer = Finding(TIME if late else "a crash", f"the process ends with {self.process.exitcode}")
        finally:
            self.end()
        if isinstance(answer, str):
            raise RuntimeError(f"{self.mutant or 'the source as it is'} cannot be tried: {answer}")
        return Trial(self.mutant, answer, seconds)

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # also what its tests left running
        self.process.kill()
        self.process.join()
        self.folder.cleanup()


def _child(judge: Callable[..., Any], mutant: Mutant | None, limit: float, pipe: Any, folder: str) -> None:
    os.setsid()
    faulthandler.disable()  # a crash is no news here
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    seconds = int(limit) + 10  # of processor time: should nobody be left who ends it
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    for number in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), number)
    os.environ["TMPDIR"] = tempfile.tempdir = folder
    try:
        answer: Any = judge(mutant)
    except Exception as error:  # not the mutant failed, but its planting
        answer = f"{type(error).__name__}: {error}"
    pipe.send(answer)
    os._exit(0)


def tried(
    judge: Callable[..., Finding | None], mutants: Sequence[Mutant | None], jobs: int, limit: float, start: str = "fork"
) -> Iterator[Trial]:
    """Each mutant tried, ``jobs`` at a time; in the order given. RuntimeError where one cannot be planted."""
    context = multiprocessing.get_context(start)
    waiting, running, done = list(enumerate(mutants)), {}, {}
    try:
        for wanted in range(len(mutants)):
            while wanted not in done:
                while waiting and len(running) < jobs:
                    i, mutant = waiting.pop(0)
                    running[i] = Child(context, judge, mutant, limit)
                pipes = [child.pipe for child in running.values()]
                ready = wait(pipes, min(child.left for child in running.values()))
                for i, child in list(running.items()):
                    if child.pipe in ready or not child.left:
                        done[i] = running.pop(i).trial()
            yield done.pop(wanted)
    finally:
        for child in running.values():
            child.end()


def run(groups: Sequence[Group], killed: float = 1.0, named: float = 0.0, jobs: int = 2, start: str = "fork") -> int:
    """The experiment and its report; the exit code, of which ``__main__`` tells. ``killed``: the least score."""
    trials: list[Trial] = []
    for name, judge, mutants, patience in groups:
        try:
            sound = next(tried(judge, [None], 1, 1800, start))
            if sound.finding:
                print(f"{name}: nothing is changed, yet {sound.finding.by}: {sound.finding.words}", file=sys.stderr)
                return 2
            for trial in tried(judge, mutants, jobs, patience + 2 * sound.seconds, start):
                trials.append(trial)
                by = f"killed by {trial.finding.by}" if trial.finding else "survived"
                print(f"{len(trials):4d} {trial.mutant}: {by}", flush=True)
        except RuntimeError as error:
            print(f"{name}: {error}", file=sys.stderr)
            return 2
    return report(trials, killed, named)


def report(trials: Sequence[Trial], killed: float, named: float) -> int:
    dead = [t for t in trials if t.finding]
    elsewhere = [t for t in dead if not t.finding.named]
    print(f"\nsurvivors: {len(trials) - len(dead)}", *(_change(t) for t in trials if not t.finding), sep="\n")
    if elsewhere:
        print(f"\nnamed elsewhere: {len(elsewhere)}", *map(_change, elsewhere), sep="\n")
    print()
    for title in ("file", "operator"):
        every, gone = (Counter(getattr(t.mutant, title) for t in some) for some in (trials, dead))
        print(f"by {title}: " + ", ".join(f"{value} {gone[value]} of {every[value]}" for value in sorted(every)))
    late = sum(t.finding.by == TIME for t in dead)
    right = f", named {len(dead) - len(elsewhere)}" if named else ""
    print(f"killed {len(dead)} of {len(trials)} ({late} by time){right}")
    return int(len(dead) < killed * len(trials) or len(dead) - len(elsewhere) < named * len(trials))


def _change(t: Trial) -> str:
    said = f"\n      said: {t.finding.words}" if t.finding else ""
    return f"  {t.mutant}\n      was: {t.mutant.before}\n      is:  {t.mutant.after}{said}"
