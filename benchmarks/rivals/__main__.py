"""python -m benchmarks.rivals [--workload book] [--contender xpgraph] [--device cuda] [--json FILE] [--chart FILE]

The usual contenders on the usual workloads of the device: all checked to compute the same losses, then timed in turns,
each in a process of its own. Run it on an idle machine. Exit status: 0, or 1 if --gate is asked for and missed.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from . import contender, workloads
from .machine import in_words, machine
from .runner import Settings, compare
from .table import described, failures, table


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    settings = Settings(
        options.device, options.dtype, options.precision, options.rounds or (2 if options.quick else 7),
        2 if options.quick else 3, patience=options.patience,
    )  # fmt: skip
    memory_only = options.peak_memory and not options.workload and options.device == "cpu"
    chosen = options.workload or (["wide"] if memory_only else workloads.USUAL[options.device])
    names = list(dict.fromkeys(options.contender or contender.USUAL[options.device]))
    here, results = machine(options.device), []
    for name in dict.fromkeys(chosen):
        results.append(
            compare(workloads.WORKLOADS[name], names, settings, lambda text: print(text, file=sys.stderr, flush=True))
        )
    report = {"machine": here, "results": results}
    missed = failures(results) if options.gate else []
    lines = [*in_words(here), ""]
    for result in results:
        lines += [*table(result, options.peak_memory), ""]
    print("\n".join([*lines, *described(results), *(f"gate: {line}" for line in missed)]))
    if options.gate and not missed:
        print("gate: passed")
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    if options.chart:
        from .chart import chart

        chart(results, here, options.chart)
    return 1 if missed else 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.rivals", description=__doc__.split("\n\n")[1])
    parser.add_argument("--workload", action="append", choices=workloads.WORKLOADS, help="may be given again")
    parser.add_argument("--contender", action="append", metavar="NAME", help="may be given again; module:Class too")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--precision", choices=("fp32", "tf32"), default="fp32", help="of float32 products on a GPU")
    parser.add_argument("--rounds", type=int, help="turns of each contender; 7, with --quick 2")
    parser.add_argument("--quick", action="store_true", help="few rounds, for a first look")
    parser.add_argument("--patience", type=float, default=60.0, metavar="SECONDS", help="to repeat disturbed turns; 60")
    parser.add_argument("--peak-memory", action="store_true", help="show peak memory; of wide, unless --workload")
    parser.add_argument("--gate", action="store_true", help="exit 1 if xpgraph is slower than it may be")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="a PNG or SVG")
    options = parser.parse_args(arguments)
    for name in options.contender or ():
        if name not in contender.CONTENDERS and ":" not in name:
            parser.error(f"--contender {name}: unknown. Known: {', '.join(contender.CONTENDERS)}, module:Class.")
    if options.precision == "tf32" and (options.device, options.dtype) != ("cuda", "float32"):
        parser.error("--precision tf32 is for --device cuda and float32")
    if options.rounds is not None and options.rounds < 1:
        parser.error("--rounds: give 1 or more")
    return options


if __name__ == "__main__":
    sys.exit(main())
