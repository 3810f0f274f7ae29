"""A contender's own process: one JSON request a line on stdin, one JSON answer a line on stdout."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

from .contender import Contender, make
from .workloads import Workload, read_task


def main() -> None:
    """Answer until stdin ends. What libraries print goes to stderr, so that it is no answer."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    held: list[Contender] = []
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = ANSWERS[request["do"]](held, request)
        except Exception as error:  # whatever a library raises is a reason why its contender is left out
            answer = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
        print(json.dumps(answer), file=answers, flush=True)


def start(held: list[Contender], request: dict[str, Any]) -> dict[str, Any]:
    """Make the contender and start it, or say why it is not here."""
    contender = make(request["name"])
    missing = contender.available(request["device"])
    if missing:
        return {"missing": missing}
    workload = dict(request["workload"], sizes=tuple(request["workload"]["sizes"]))
    said = {key: request[key] for key in ("device", "precision")}
    contender.start(read_task(Path(request["folder"]), request["dtype"], workload=Workload(**workload), **said))
    held.append(contender)
    return {key: getattr(contender, key) for key in ("name", "library", "trains", "slack", "note")}


def losses(held: list[Contender], request: dict[str, Any]) -> dict[str, Any]:
    return {"losses": held[0].losses(request["steps"])}


def calibrate(held: list[Contender], request: dict[str, Any]) -> dict[str, Any]:
    """The number of steps that lasts at least so many seconds, a multiple of what the contender makes at once."""
    contender = held[0]
    least = steps = contender.multiple()
    contender.run(steps)
    while True:
        taken = min(_timed(contender.run, steps) for _ in range(2))
        if taken >= request["seconds"]:
            return {"steps": steps}
        steps = least * max(steps // least + 1, round(1.1 * steps / least * min(request["seconds"] / taken, 10)))


def measure(held: list[Contender], request: dict[str, Any]) -> dict[str, Any]:
    """Wake the threads with a part of a call; then seconds per step of some calls, and of some single steps."""
    contender, steps, least = held[0], request["steps"], held[0].multiple()
    contender.run(max(1, steps // (5 * least)) * least)
    calls = [_timed(contender.run, steps) / steps for _ in range(request["calls"])]
    return {"calls": calls, "singles": [_timed(contender.one) for _ in range(request["calls"])]}


def describe(held: list[Contender], request: dict[str, Any]) -> dict[str, Any]:
    """Versions, thread pools and their kernels, and the memory held at most so far (MiB)."""
    return {
        "python": platform.python_version(),
        **held[0].describe(),
        "pools": thread_pools(),
        "peak_mib": peak_memory(),
    }


ANSWERS = {"start": start, "losses": losses, "calibrate": calibrate, "measure": measure, "describe": describe}


def _timed(call: Any, *arguments: Any) -> float:
    begin = time.perf_counter()
    counted = call(*arguments)
    return time.perf_counter() - begin if counted is None else counted


def thread_pools() -> list[str]:
    """Each BLAS and OpenMP pool of this process, as threadpoolctl tells them: library, version, kernels, threads."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return []
    keys = ("internal_api", "version", "architecture", "threading_layer")
    pools = [
        " ".join([*(str(p[k]) for k in keys if p.get(k)), f"{p['num_threads']} threads"]) for p in threadpool_info()
    ]
    return sorted(set(pools))


def peak_memory() -> float:
    """The most memory that this process has held, MiB: of its own, where the system tells (Linux), since its start."""
    try:
        for line in Path("/proc/self/status").read_text("utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) / 1024, 1)
    except OSError:
        pass
    import resource

    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024), 1)


if __name__ == "__main__":
    main()
