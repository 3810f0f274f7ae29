"""Plant faults one by one in the CUDA path, its kernels and the Python that launches them; count what the checks find.

    python tests/cuda_faults.py [--count 60] [--seed 0]

Needs CuPy and g++, no GPU. Exit 1 unless nine of ten are caught; 2 if something is found where nothing is planted, or
if a tool is missing. Each fault lives in a process of its own, which it may crash or hang.
"""

from __future__ import annotations
import __future__

import argparse
import faulthandler
import importlib
import inspect
import multiprocessing
import re
import signal
import sys
import time
import types
import warnings
from collections.abc import Iterator
from functools import cache
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from cuda_host_mutations import host_changes
from cuda_mutations import KINDS, Change, cuda_changes, functions, parameter_types, plain

import xpgraph
from xpgraph.fast.cuda import sources
from xpgraph.graph.text_table import columns

CAUGHT = 0.9
AT_ONCE = 2  # processes
PATIENCE = 3  # seconds of one launch
ROOT = Path(xpgraph.__file__).parent
HOST = ("fast/cupy.py", "fast/cuda/update.py", "fast/cuda/capture.py", "training/steps.py", "training/batches.py")
USERS = {"add_bias": ["affine"], "column_sum": ["sum_to", "affine_grad"]}  # the bodies of kernels of other names


class Fault(NamedTuple):
    file: str
    change: Change


class Report(NamedTuple):
    """What is seen first: by which of the checks, in which words."""

    by: str
    words: str


# --- the draw -------------------------------------------------------------------------------------------------


def cuda_files() -> dict[str, str]:
    names = [f"fast/cuda/{name}" for name in (sources.PRELUDE, *sources.FILES)]
    return {name: (ROOT / name).read_text("utf-8") for name in names}


def cuda_changes_of_all() -> list[Fault]:
    types = {name: kinds for text in cuda_files().values() for name, kinds in parameter_types(text).items()}
    return [Fault(file, c) for file, text in cuda_files().items() for c in cuda_changes(text, types)]


@cache
def faults() -> list[Fault]:
    """Everything that can be done to the CUDA path, in order."""
    found = cuda_changes_of_all()
    for file in HOST:
        for change in host_changes((ROOT / file).read_text("utf-8")):
            if change.kind == "sync" or file.startswith("fast/"):
                found.append(Fault(file, change))
    return found


def draw(count: int, seed: int) -> list[Fault]:
    """Different faults: of any kind, then any file that has it, then any function, then any line, then any of it."""
    bits = np.random.Philox(key=seed)  # its raw output is the same in every version of NumPy

    def one_of(things: Any) -> Any:
        things = sorted(set(things))
        return things[int(bits.random_raw()) % len(things)]

    drawn: list[Fault] = []
    while len(drawn) < count:
        left = faults()
        for key in (
            lambda f: f.change.kind, lambda f: f.file, lambda f: f.change.function, lambda f: f.change.line,
            lambda f: f.change,
        ):  # fmt: skip
            chosen = one_of(map(key, left))
            left = [f for f in left if key(f) == chosen]
        if left[0] not in drawn:
            drawn.append(left[0])
    return drawn


# --- one fault ------------------------------------------------------------------------------------------------


def reached(fault: Fault) -> set[str]:
    """The kernels that run the changed function, themselves or through others."""
    found = {fault.change.function.partition(".")[0]}
    everything = [f for text in cuda_files().values() for f in _texts(text)]
    size = 0
    while size != len(found):
        size = len(found)
        pattern = re.compile(rf"\b(?:{'|'.join(found)})\b")
        found |= {name.partition(".")[0] for name, text in everything if pattern.search(text)}
    return {name.removeprefix("xp_") for name in found if name.startswith("xp_")}


def _texts(text: str) -> Iterator[tuple[str, str]]:
    for f in functions(text):
        yield f.name, f.head + plain(text)[f.start : f.end]


def planted_sources(fault: Fault | None) -> dict[str, str]:
    """The sources for the emulator; those of files that the fault does not reach stay as they are."""
    texts = {file: sources.text(file) for file in sources.FILES}
    if fault is not None and fault.file.endswith(".cu"):
        whole = (ROOT / fault.file).read_text("utf-8")
        for file in {sources.file_of(name) for name in reached(fault)}:
            assert whole in texts[file]
            texts[file] = texts[file].replace(whole, fault.change.text)
    return texts


def plant(fault: Fault) -> None:
    """Give the functions of a module the code of its changed text; for good, in this process."""
    name = "xpgraph." + fault.file.removesuffix(".py").replace("/", ".")
    module = importlib.import_module(name)
    flags = __future__.annotations.compiler_flag
    new = dict(_codes(compile(fault.change.text, module.__file__ or "", "exec", flags, True)))
    for function in _functions(module):
        function.__code__ = new[function.__code__.co_qualname]


def _codes(code: types.CodeType) -> Iterator[tuple[str, types.CodeType]]:
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield inner.co_qualname, inner
            yield from _codes(inner)


def _functions(module: types.ModuleType) -> Iterator[types.FunctionType]:
    from xpgraph.arrays.kernels import TABLE

    things = [*vars(module).values(), *(body for row in TABLE.values() for body in row.fast_bodies.values())]
    things += [thing for owner in vars(module).values() if inspect.isclass(owner) for thing in vars(owner).values()]
    for thing in things:
        plain_one = inspect.unwrap(thing) if callable(thing) else thing
        if isinstance(plain_one, types.FunctionType) and plain_one.__code__.co_filename == module.__file__:
            yield plain_one


def report(fault: Fault | None) -> Report | None:
    """The first thing that the checks find, or None; to be called in a process of its own."""
    import cuda_battery
    from cuda_emulator import Emulator

    class Impatient(Emulator):
        def launch(self, *args: Any) -> None:
            signal.setitimer(signal.ITIMER_PROF, PATIENCE)  # ends the process
            super().launch(*args)
            signal.setitimer(signal.ITIMER_PROF, 0)

    kernels, bodies = set(cuda_battery.ALL), []
    if fault is not None:
        on_device = fault.file.endswith(".cu")
        kernels = reached(fault) if on_device else set()
        bodies = [b for name in [*kernels, fault.change.function] for b in USERS.get(name, [name])]
        if not on_device:
            plant(fault)
    emulator = Impatient(planted_sources(fault))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sync = fault is not None and fault.change.kind == "sync"
        for by, check in cuda_battery.checks(emulator, kernels, bodies, sync):
            try:
                check()
            except Exception as error:
                words = str(error).strip().splitlines() or [""]
                return Report(by, f"{type(error).__name__}: {words[0]}")
    return None


# --- the experiment -------------------------------------------------------------------------------------------


class Trial(NamedTuple):
    fault: Fault | None
    found: Report | None
    seconds: float


def _send(fault: Fault | None, pipe: Connection) -> None:
    faulthandler.disable()  # a crash is no news here
    pipe.send(report(fault))


def trials(some: list[Fault | None]) -> list[Trial]:
    """Each in a fork of this process, two at a time; a fork that dies has found something."""
    import cuda_battery  # noqa: F401  (once, for all forks)

    fork, waiting, done = multiprocessing.get_context("fork"), list(enumerate(some)), {}
    running: dict[int, tuple[int, Any, Connection, float]] = {}
    while waiting or running:
        while waiting and len(running) < AT_ONCE:
            i, fault = waiting.pop(0)
            here, there = fork.Pipe(duplex=False)
            process = fork.Process(target=_send, args=(fault, there))
            process.start()
            there.close()
            running[process.sentinel] = i, process, here, time.perf_counter()
        for sentinel in wait(running):
            i, process, here, start = running.pop(sentinel)
            process.join()
            if process.exitcode == 1:  # Python's own: not the fault failed, but its planting
                raise RuntimeError(f"{some[i]} could not be planted")
            died = f"the process ends with {process.exitcode}"
            died = "it does not end" if process.exitcode == -signal.SIGPROF else died
            found = here.recv() if process.exitcode == 0 else Report("a crash", died)
            done[i] = Trial(some[i], found, time.perf_counter() - start)
    return [done[i] for i in range(len(some))]


def _table(done: list[Trial]) -> str:
    rows = [("", "file", "place", "kind", "caught by", "said")]
    for i, (fault, found, _) in enumerate(done, 1):
        place = f"{fault.change.function}:{fault.change.line}"
        rows.append((str(i), fault.file.removeprefix("fast/"), place, fault.change.kind, found.by if found else "-",
                     found.words[:70] if found else "-"))  # fmt: skip
    return "\n".join(columns(rows))


def _change(t: Trial) -> str:
    c = t.fault.change
    was = f"\n    was:  {c.before}" if c.before else ""
    return f"  {t.fault.file}, {c.function}:{c.line}, {c.kind}{was}\n    is:   {c.after}"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Plant faults in the CUDA path, and count what the checks find.")
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(arguments)
    import cuda_emulator
    import cuda_rig

    if why := cuda_rig.why_not() or cuda_emulator.why_not():
        print(f"ci/faults --cuda: {why}", file=sys.stderr)
        return 2
    sound, *done = trials([None, *draw(asked.count, asked.seed)])
    if sound.found:
        print(f"nothing is planted, yet: {sound.found.by}: {sound.found.words}", file=sys.stderr)
        return 2
    caught = [t for t in done if t.found]
    survivors = [t for t in done if not t.found]
    print(_table(done))
    print(f"\nsurvivors: {len(survivors)}", *map(_change, survivors), sep="\n")
    kinds = ((k, [t for t in done if t.fault.change.kind == k]) for k in KINDS)
    print("\n" + ", ".join(f"{k} {sum(1 for t in some if t.found)} of {len(some)}" for k, some in kinds))
    print(f"caught {len(caught)} of {len(done)}")
    return int(len(caught) < CAUGHT * len(done))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
