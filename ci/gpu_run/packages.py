"""Packages that a bare CUDA machine may lack, fetched beforehand, and the commit of the tree that is carried there."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from importlib.machinery import PathFinder
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKED = ROOT / ".gpu-packages"
NAMES = (
    "array-api-compat", "pytest", "pluggy", "iniconfig", "packaging", "pygments", "hypothesis", "sortedcontainers",
    "array-api-strict", "click", "rich", "markdown-it-py", "mdurl", "threadpoolctl", "pooch", "platformdirs",
    "safetensors",
)  # fmt: skip
PACKAGES = {name: name.removesuffix("-py").replace("-", "_") for name in NAMES}  # name for pip: name for import
PURE = ("--implementation", "py", "--abi", "none", "--platform", "any")
COMPILED = {  # packages that are not pure Python: built for Linux on x86-64
    "safetensors": ("--implementation", "cp", "--abi", "abi3", "--platform", "manylinux2014_x86_64"),
}
LARGEST = 60 << 20  # bytes of the whole folder: what can be carried along may be limited
SOURCES = ("xpgraph", "tests", "ci", "benchmarks")  # the folders whose contents identify a tree
TARGET = "3.12"  # the Python to pack for


def pack(mnist: Path | None) -> int:
    """Fetch each package into a folder of its own, so that there only what the machine lacks is put on the path."""
    shutil.rmtree(PACKED, ignore_errors=True)
    for name in PACKAGES:
        print(f"ci/gpu: packing {name}", flush=True)
        command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-compile", "--only-binary=:all:"]
        command += ["--python-version", TARGET, *COMPILED.get(name, PURE), "--target", str(PACKED / name), name]
        subprocess.run(command, check=True)
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


def output(*command: str) -> str:
    """What a command prints; nothing if it does not exist or fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def commit() -> str:
    """The commit of this tree, with "+changes" if files differ from it; from git, or from what --pack wrote down."""
    if (ROOT / ".git").exists() and (head := output("git", "-C", str(ROOT), "rev-parse", "HEAD")):
        return head + ("+changes" if output("git", "-C", str(ROOT), "status", "--porcelain") else "")
    try:
        head, digest = (PACKED / "COMMIT").read_text("ascii").split()[:2]
    except (OSError, ValueError):
        return "unknown"
    return head if digest == tree_digest() else head.removesuffix("+changes") + "+changes"


def commit_date() -> int:
    """The time of this tree's commit, in seconds since 1970; 0 if it is unknown."""
    try:
        if (ROOT / ".git").exists():
            return int(output("git", "-C", str(ROOT), "show", "-s", "--format=%ct", "HEAD"))
        return int((PACKED / "COMMIT").read_text("ascii").split()[2])
    except (OSError, ValueError, IndexError):
        return 0


def tree_digest() -> str:
    """One SHA-256 of the sources; it tells a copy without git whether it is still what was packed."""
    total = hashlib.sha256()
    for path in sorted(p for d in SOURCES for p in (ROOT / d).rglob("*")):
        name = path.relative_to(ROOT).as_posix()
        if path.is_file() and "__pycache__" not in path.parts and not name.startswith("benchmarks/results/"):
            total.update(f"{name} {path.stat().st_size}\n".encode() + path.read_bytes())
    return total.hexdigest()
