"""Part of ci/gpu: what a bare CUDA machine may lack, fetched beforehand, and which commit was carried there."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from importlib.machinery import PathFinder
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKED = ROOT / ".gpu-packages"
PACKAGES = {  # name for pip: name for import
    "array-api-compat": "array_api_compat",
    "pytest": "pytest",
    "pluggy": "pluggy",
    "iniconfig": "iniconfig",
    "packaging": "packaging",
    "pygments": "pygments",
    "hypothesis": "hypothesis",
    "sortedcontainers": "sortedcontainers",
    "array-api-strict": "array_api_strict",
    "click": "click",
    "rich": "rich",
    "markdown-it-py": "markdown_it",
    "mdurl": "mdurl",
    "threadpoolctl": "threadpoolctl",
    "pooch": "pooch",
    "platformdirs": "platformdirs",
    "safetensors": "safetensors",
}
PURE = ("--implementation", "py", "--abi", "none", "--platform", "any")
COMPILED = {  # for those that are not pure Python: what runs on a Linux of this kind of processor
    "safetensors": ("--implementation", "cp", "--abi", "abi3", "--platform", "manylinux2014_x86_64"),
}
LARGEST = 60 << 20  # bytes of all: what is carried along may be limited
SOURCES = ("xpgraph", "tests", "ci", "benchmarks")  # by these a tree is known; not by results
TARGET = "3.12"  # the Python to pack for


def pack(mnist: Path | None) -> int:
    """Each package into a folder of its own, so that only what the machine lacks is put on the path there."""
    shutil.rmtree(PACKED, ignore_errors=True)
    for name in PACKAGES:
        print(f"ci/gpu: packing {name}", flush=True)
        subprocess.run(
            [
                sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-compile",
                "--python-version", TARGET, *COMPILED.get(name, PURE), "--only-binary=:all:",
                "--target", str(PACKED / name), name,
            ],
            check=True,
        )  # fmt: skip
    if mnist:
        (PACKED / "mnist").mkdir()
        for path in mnist.glob("*-ubyte*"):
            shutil.copyfile(path, PACKED / "mnist" / path.name)
    (PACKED / "COMMIT").write_text(f"{commit()}\n{tree_digest()}\n{commit_date()}\n", "ascii")
    size = sum(path.stat().st_size for path in PACKED.rglob("*") if path.is_file())
    words = f"{len(PACKAGES)} packages for Python {TARGET}{' and MNIST' if mnist else ''}, {size / 2**20:.1f} MiB"
    print(f"ci/gpu: packed {words}, into {PACKED}")
    if size > LARGEST:
        print(f"ci/gpu: that is more than {LARGEST >> 20} MiB; give --mnist a folder of the packed .gz files.")
    return int(size > LARGEST)


def packed_paths() -> list[Path]:
    """The folders of the packages that this machine lacks."""
    sites = [p for p in sys.path if not p.startswith(str(PACKED))]
    lacking = [name for name, module in PACKAGES.items() if PathFinder.find_spec(module, sites) is None]
    return [PACKED / name for name in lacking if (PACKED / name).is_dir()]


def child_environment(**more: str) -> dict[str, str]:
    """This process's environment for a Python that finds the checkout, and the packed packages where there are none."""
    paths = [str(ROOT), *map(str, packed_paths()), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **more}


def said(*command: str) -> str:
    """What a command prints; nothing if it is not there or fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def commit() -> str:
    """The commit of this tree, "+changes" where files differ from it; from git, or from what --pack wrote down."""
    if (ROOT / ".git").exists() and (head := said("git", "-C", str(ROOT), "rev-parse", "HEAD")):
        return head + ("+changes" if said("git", "-C", str(ROOT), "status", "--porcelain") else "")
    try:
        head, digest = (PACKED / "COMMIT").read_text("ascii").split()[:2]
    except (OSError, ValueError):
        return "unknown"
    return head if digest == tree_digest() else head.removesuffix("+changes") + "+changes"


def commit_date() -> int:
    """When the commit of this tree was made, in seconds since 1970; 0 where nobody knows."""
    try:
        if (ROOT / ".git").exists():
            return int(said("git", "-C", str(ROOT), "show", "-s", "--format=%ct", "HEAD"))
        return int((PACKED / "COMMIT").read_text("ascii").split()[2])
    except (OSError, ValueError, IndexError):
        return 0


def tree_digest() -> str:
    """One SHA-256 of the sources, by which a copy without git knows that it is still what was packed."""
    total = hashlib.sha256()
    for path in sorted(p for d in SOURCES for p in (ROOT / d).rglob("*")):
        name = path.relative_to(ROOT).as_posix()
        if path.is_file() and "__pycache__" not in path.parts and not name.startswith("benchmarks/results/"):
            total.update(f"{name} {path.stat().st_size}\n".encode() + path.read_bytes())
    return total.hexdigest()
