"""A process that reads hostile files under a meter.

python hostile_meter.py FOLDER        one JSON line for each file: what was raised, in what time and memory
"""

import gc
import json
import re
import resource
import sys
import time
import tracemalloc
from pathlib import Path

from hostile import GIB, KINDS, STEM

from xpgraph import datasets
from xpgraph.datasets import idx
from xpgraph.storage import checkpoints


def read(path):
    kind = path.parent.parent.name
    if kind == "checkpoint":
        return checkpoints.read(path)
    if kind == "idx":
        return idx.read("mnist", STEM, path.parent)
    return datasets.load(path)


def attempt(path):
    try:
        found = read(path)
    except Exception as error:
        return type(error).__name__, str(error)
    return "read", repr(found)[:200]


def resident(field):
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024


def measured(path):
    gc.collect()
    known = sys.platform == "linux"
    if known:
        Path("/proc/self/clear_refs").write_text("5")  # the highest so far becomes the present
    before = resident("VmRSS") if known else 0
    start = time.process_time()  # of its own, whatever else the machine does
    kind, words = attempt(path)
    seconds = time.process_time() - start
    grown = resident("VmHWM") - before if known else 0
    tracemalloc.start()
    attempt(path)
    traced = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return {
        "path": str(path), "error": kind, "words": words, "seconds": seconds, "resident": grown, "allocated": traced,
    }  # fmt: skip


def main(folder):
    resource.setrlimit(resource.RLIMIT_AS, (8 * GIB, 8 * GIB))  # a reader that believes is stopped, not the machine
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    for kind in KINDS:  # once, for what is imported and cached
        attempt(next(path for path in paths if kind in path.parts))
    for path in paths:
        print(json.dumps(measured(path)), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
