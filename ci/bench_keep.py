"""Part of ci/bench --keep: results of the environment at hand get a name that says what is in it, and no path.

python ci/bench_keep.py benchmarks/results/MACHINE
"""

from __future__ import annotations

import json
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

NAMED = ("numpy", "numba", "torch", "cupy-cuda13x", "cupy-cuda12x")


def main(folder: Path) -> None:
    name = "-".join([f"py{platform.python_version()}", *filter(None, map(_with_version, NAMED))])
    for path in sorted(folder.glob("*-existing-py*.json")):
        result = json.loads(path.read_text("utf-8"))
        result["env_name"], result["python"] = name, platform.python_version()
        result["params"]["python"] = platform.python_version()
        kept = path.with_name(f"{result['commit_hash'][:8]}-{name}.json")
        kept.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
        path.unlink()
        print(f"ci/bench: wrote {kept}")


def _with_version(package: str) -> str:
    try:
        return f"{package}{version(package)}"
    except PackageNotFoundError:
        return ""


if __name__ == "__main__":
    main(Path(sys.argv[1]))
