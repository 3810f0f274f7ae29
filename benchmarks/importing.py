"""How long ``import xpgraph`` takes, without NumPy and array-api-compat."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile

RUNS = 7


def own_milliseconds() -> float:
    """Median over new processes of the time in xpgraph's own byte-compiled modules, as -X importtime measures it."""
    with tempfile.TemporaryDirectory() as cache:
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = cache
        command = [sys.executable, "-X", "importtime", "-c", "import xpgraph"]
        runs = [
            subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stderr
            for _ in range(RUNS + 1)  # the first one compiles
        ]
    return statistics.median(sum(_own(line) for line in run.splitlines()) for run in runs[1:]) / 1000


def _own(line: str) -> int:
    """Microseconds of a line "import time: self | cumulative | module" that names a module of xpgraph."""
    own, _, module = line.removeprefix("import time:").split("|")
    return int(own) if module.strip().partition(".")[0] == "xpgraph" else 0


class Import:
    """Seconds that a program waits for xpgraph itself; the dependencies are measured by their own projects."""

    version = "1"
    params = (("own",),)
    param_names = ("share",)

    def track_seconds(self, share: str) -> float:
        """Lower is better, so asv guards it."""
        return float(f"{own_milliseconds() / 1000:.4g}")

    track_seconds.unit = "s"  # type: ignore[attr-defined]


if __name__ == "__main__":
    print(f"import xpgraph: {own_milliseconds():.1f} ms of its own (median of {RUNS})")
