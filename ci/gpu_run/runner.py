"""The checks and measurements that need a GPU, in one command.

    ci/gpu --rehearse              anywhere, within 40 s: the same steps without a device, with the Python that runs
                                   this; installs nothing and names what was left out
    ci/gpu --pack [--mnist DIR]    beforehand, where there is a network and pip: fetch into .gpu-packages what a bare
                                   CUDA machine may lack, and MNIST's four IDX files if their folder is given
    ci/gpu [--mnist DIR]           there, under 9 minutes; needs Python, NumPy, CuPy and a GPU, neither network nor git
    ci/gpu --only PART             one part alone, such as suite; may be given again
    ci/gpu --asv gpu.json ...      afterwards, in a checkout: its results for the asv board

Runs the parts of parts.py in their order. Prints a summary, last a short table, and writes gpu.json and the logs into
the folder $OUT, or gpu-results. Ends with 0 if no part failed and every one was run or left out for what the machine
lacks, 1 if one failed or was not run, 2 if there is no usable GPU, and then nothing was run.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import sys
import time
from collections.abc import Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import board, children
from .machine import clocks, facts, find_gpu
from .packages import PACKED, ROOT, commit, pack, packed_paths
from .results import LEFT_OUT, NO_TIME, NOT_RUN, PASS, Context, Result, by_reason, guarded, installed, write
from .timing import why_no_rig

if TYPE_CHECKING:
    from .parts import Part

NEEDED = ("array_api_compat", "pytest", "hypothesis")
LIMIT, REHEARSAL_LIMIT = 525, 60  # seconds, after which a watchdog ends everything
SPARE = 10  # seconds before that, by which everything should have ended
SHOWN = ("step (", "nodes of", "no sync", "epilogue", "copy", "relu", "adam", "graph gap", "host:")  # checklist rows
FIGURES = ("tflops", "tb_per_second", "us_per_node", "host_us", "seconds", "reached", "training", "whole", "error")


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    if options.pack:
        return pack(options.mnist)
    if options.asv:
        return board.convert(options.asv, options.into)
    cupy = None if options.rehearse else find_gpu()
    if isinstance(cupy, str):
        print(f"ci/gpu: {cupy}; nothing was run.")
        return 2
    sys.path.insert(0, str(ROOT))
    sys.path += map(str, packed_paths())
    missing = [name for name in NEEDED if not installed(name)]
    if missing and not options.rehearse:
        print(f"ci/gpu: {', '.join(missing)} missing; run ci/gpu --pack where there is a network. Nothing was run.")
        return 1
    if "array_api_compat" in missing:
        print("ci/gpu: rehearsal: left out: everything: array_api_compat is not installed, and xpgraph needs it.")
        return 0
    from .parts import PARTS  # they import xpgraph, which may need what was just put on the path

    mnist = options.mnist or (PACKED / "mnist" if (PACKED / "mnist").is_dir() else None)
    folder = Path(os.environ.get("OUT") or ROOT / "gpu-results" / ("rehearsal" if options.rehearse else ""))
    limit = REHEARSAL_LIMIT if options.rehearse else LIMIT
    faulthandler.dump_traceback_later(limit, exit=True)  # even out of a call that hangs in the driver
    try:
        context = Context(folder, options.rehearse, None if options.rehearse else mnist)
        return run_parts(PARTS, context, cupy, limit - SPARE, options.only or ())
    finally:
        faulthandler.cancel_dump_traceback_later()


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="ci/gpu", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rehearse", action="store_true", help="the same steps without a device, and end")
    parser.add_argument("--pack", action="store_true", help="fetch packages for a machine without network, and end")
    parser.add_argument("--mnist", type=Path, metavar="DIR", help="folder of MNIST's four IDX files")
    parser.add_argument("--only", action="append", metavar="PART", help="such as checklist; may be given again")
    parser.add_argument("--asv", type=Path, nargs="+", metavar="FILE", help="turn gpu.json into asv results, and end")
    parser.add_argument("--into", type=Path, metavar="DIR", help="of --asv, in place of benchmarks/results")
    return parser.parse_args(arguments)


def run_parts(parts: Sequence[Part], context: Context, cupy: Any, limit: float, only: Collection[str] = ()) -> int:
    """Run the parts within ``limit`` seconds, print the summary, and return the exit code."""
    context.folder.mkdir(parents=True, exist_ok=True)
    runner = Runner(parts, context, limit)
    try:
        machine = facts(cupy)
    except Exception as error:  # what could not be told must not cost the checks
        machine = {"commit": commit(), "error": f"{type(error).__name__}: {error}"}
    runner.record |= {"rehearsal": context.rehearsal, "machine": machine, "parts": runner.results, "board": []}
    title = "ci/gpu: rehearsal: " if context.rehearsal else "ci/gpu: "
    print(title + ", ".join(f"{key} {value}" for key, value in machine.items()), flush=True)
    if context.rehearsal:
        why_no_rig()  # imports CuPy: before there are threads
    runner.run(only)
    return 0 if print_summary(runner.record, runner.file) else 1


class Runner:
    """Runs parts in their order, two of those beside each other that may; gpu.json tells how far a broken run came."""

    def __init__(self, parts: Sequence[Part], context: Context, limit: float) -> None:
        self.parts, self.context, self.record = parts, context, context.record
        self.file, self.start, self.limit = context.folder / "gpu.json", time.perf_counter(), limit
        self.results: dict[str, Result] = {
            part.name: {"status": NOT_RUN, "note": "the run ended before it"} for part in parts
        }

    def run(self, only: Collection[str]) -> None:
        for part in self.parts:
            if only and part.name not in only and part.name.split()[0] not in only:
                self.results[part.name] = {"status": LEFT_OUT, "note": "not asked for", "seconds": 0.0}
        chosen = [part for part in self.parts if self.results[part.name]["status"] != LEFT_OUT]
        with ThreadPoolExecutor(2) as pool:
            try:
                beside = {p.name: pool.submit(self.result_of, p) for p in chosen if p.beside(self.context.rehearsal)}
                for part in chosen:
                    self.run_one(part, beside.get(part.name))
                for name, future in beside.items():  # a rehearsal times nothing: they are waited for at the end
                    if self.context.rehearsal:
                        self.finish(name, future.result())
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                children.end_everything()
                raise
        self.write()

    def run_one(self, part: Part, future: Future[Result] | None) -> None:
        """Run a part, or wait for the thread that runs it."""
        self.results[part.name] = {"status": NOT_RUN, "note": "the run was ended while it was under way"}
        self.write()
        if self.context.rehearsal and future:
            return
        before = {} if self.context.rehearsal else clocks()
        result = future.result() if future else self.result_of(part)
        self.finish(part.name, result | ({"clocks": [before, clocks()]} if before else {}))

    def finish(self, name: str, result: Result) -> None:
        self.results[name] = result
        self.write()
        print(line(name, result, 300), flush=True)

    def result_of(self, part: Part) -> Result:
        """The part's result; an exception in it is a result, too."""
        start, seconds = time.perf_counter(), self.seconds_for(part)
        context = replace(self.context, end=start + seconds)
        if seconds > 2:
            result = guarded(part.run, context, rehearsal=self.context.rehearsal)
        else:
            result = {"status": NOT_RUN, "note": NO_TIME}
        return {**result, "seconds": round(time.perf_counter() - start, 1)}

    def seconds_for(self, part: Part) -> float:
        """Seconds for a part now: what is left, but for what is kept for later parts that do not run beside it."""
        rehearsal = self.context.rehearsal
        later = [p for p in self.parts[self.parts.index(part) + 1 :] if self.results[p.name]["status"] != LEFT_OUT]
        others = [p for p in later if not (p.beside(rehearsal) and part.beside(rehearsal))]
        kept = sum(1 if rehearsal else p.least for p in others)
        return self.limit - (time.perf_counter() - self.start) - kept

    def write(self) -> None:
        self.record["seconds"] = round(time.perf_counter() - self.start, 1)
        write(self.file, self.record)


def line(name: str, result: Result, width: int) -> str:
    return f"{name:14} {result['status']:8} {result.get('seconds', 0.0):6.1f} s  {result['note'][:width]}"


def print_summary(record: Result, file: Path) -> bool:
    """Print the figures and the table of the parts; True if no part failed and each was run or left out."""
    results: dict[str, Result] = record["parts"]
    rows = {part: results.get(part, {}).get("rows", {}) for part in ("checklist", "rivals", "jobs")}
    if not record["rehearsal"]:
        for part, found in rows.items():
            for name, row in found.items():
                if part != "checklist" or name.startswith(SHOWN):
                    print(f"{part} | {name} | {figures(row)}")
        for line_of_rates in rates(rows["checklist"]):
            print(line_of_rates)
    print("\n".join(["", *(line(name, result, 110) for name, result in results.items())]))
    everything = [*results.items()]
    everything += [(f"{part}: {name}", row) for part, r in results.items() for name, row in r.get("rows", {}).items()]
    left_out = {name: result["note"] for name, result in everything if result["status"] == LEFT_OUT}
    for note, names in by_reason(left_out).items():
        print(f"left out, {note[:120]}: {', '.join(names)[:400]}")
    passed = all(result["status"] in (PASS, LEFT_OUT) for result in results.values())
    words = "every part passed" if passed else "NOT every part passed"
    words += ", but for what was left out" * (passed and bool(left_out))
    print(f"ci/gpu: {'rehearsal: ' * record['rehearsal']}{words}; {record['seconds']:.0f} s; {file}")
    return passed


def figures(row: Result) -> str:
    """A row in a few words."""
    numbers = [f"{key} {row[key]:.4g}" for key in FIGURES if isinstance(row.get(key), float)]
    status = "" if row["status"] == PASS else row["status"]
    return " ".join(filter(None, [status, *numbers, row.get("note", "")]))[:250]


def rates(rows: dict[str, Result]) -> list[str]:
    """A line for each kind of matrix product: TFLOP/s by size."""
    found: dict[str, list[str]] = {}
    for name, row in rows.items():
        if name.startswith("gemm ") and "tflops" in row:
            _, size, kind = name.split(" ", 2)
            found.setdefault(kind, []).append(f"{size}: {row['tflops']:.1f}")
    return [f"checklist | TFLOP/s | {kind} | {', '.join(values)}" for kind, values in found.items()]
