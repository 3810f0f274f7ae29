"""``xpgraph info``: the usable backends, BLAS and GPUs, the cache folders, and known problems."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path

from ..arrays.cpu import arithmetic, blas
from ..arrays.installed import driver, usable
from ..arrays.kernels import TABLE, compiler_for, load_fast
from ..arrays.libraries import LIBRARIES, available, place
from ..datasets import idx
from ..graph.text_table import columns
from ..version import __version__

DISTRIBUTION = "xpgraph-nn"
PACKAGE = Path(__file__).parents[1]


def info(kernels: bool) -> list[str]:
    """The lines of ``xpgraph info``; with ``kernels``, also the table of kernels."""
    rows = [("backend", "use", "version", "device", "")]
    for name, library in LIBRARIES.items():
        found = usable(name)
        use = ("yes" if library.advertised else "witness, untuned") if found.usable else "no"
        compiled = f"loops compiled by {compiler_for(name)}" if compiler_for(name) else ""
        rows.append((name, use, found.version, found.device, compiled if found.usable else found.why))
    lines = [f"xpgraph {__version__}, Python {platform.python_version()}, {platform.platform()}", "", *columns(rows)]
    lines += ["", *columns([*_cpu(), *_gpu(), *_caches()]), ""]
    lines += [f"problem: {text}" for text in problems()] or ["no known problems"]
    return lines + (_kernels() if kernels else [])


def _cpu() -> Iterator[tuple[str, str]]:
    """BLAS, its kernels and threads; which bodies (versions of a kernel) NumPy arrays use."""
    for i, pool in enumerate(blas()):
        words = [str(pool[key]) for key in ("internal_api", "version") if pool.get(key)]
        kernels = f", kernels {pool['architecture']}" if pool.get("architecture") else ""
        owner = "" if i == 0 else f", of {Path(pool['filepath']).parent.name}, not used by xpgraph"
        yield "BLAS", f"{' '.join(words)}{kernels}, {pool['num_threads']} threads on {os.cpu_count()} processors{owner}"
    if not blas():
        yield "BLAS", "none that threadpoolctl knows"
    yield "bodies", arithmetic()["bodies"]


def _gpu() -> Iterator[tuple[str, str]]:
    """The driver, the free memory of each GPU, and the precision of float32 products."""
    yield "CUDA driver", driver()[1]
    cupy = usable("cupy")
    for i in range(cupy.devices if cupy.usable else 0):
        free = place(f"cupy:{i}").free()
        yield f"memory of cuda:{i}", "unknown" if free is None else f"{free / 2**30:.1f} GiB free"
    off = not _is_set(os.environ, "CUPY_TF32")
    yield "TF32", "off: float32 products keep all bits, unless --precision tf32" if off else "CUPY_TF32 is set"


def _caches() -> Iterator[tuple[str, str]]:
    """The folders that keep downloaded data and compiled code."""
    yield "data cache", _size(Path(idx.cache_folder()))
    if compiler_for("numpy"):
        folder = Path(os.environ.get("NUMBA_CACHE_DIR") or PACKAGE / "fast/numba/__pycache__")
        yield "numba cache", _size(folder, "*.nb[ci]")
    if usable("cupy").version:
        yield "CuPy cache", _size(Path(os.environ.get("CUPY_CACHE_DIR") or Path.home() / ".cupy/kernel_cache"))


def _size(folder: Path, pattern: str = "*") -> str:
    """A folder, and the number and size of its files that match ``pattern``."""
    try:
        sizes = [path.stat().st_size for path in folder.rglob(pattern) if path.is_file()]
    except OSError as error:
        return f"{folder}: {error.strerror or error}"
    if not folder.is_dir():
        return f"{folder} (not made yet)"
    return f"{folder} ({len(sizes)} files, {sum(sizes) / 2**20:.1f} MiB; may be deleted)"


def problems(environment: Mapping[str, str] = os.environ) -> Iterator[str]:
    """A line for each thing here that makes runs slower or changes their numbers: what it is, and what to do."""
    if _is_set(environment, "XPGRAPH_GENERIC"):
        yield "XPGRAPH_GENERIC is set, so no fast body is used; unset it"
    if core := environment.get("OPENBLAS_CORETYPE"):
        yield f"OPENBLAS_CORETYPE={core} makes BLAS use the kernels of that processor; unset it, and BLAS finds its own"
    if _is_set(environment, "CUPY_TF32"):
        yield "CUPY_TF32 is set, so CuPy's own products keep 10 bits; unset it, and give --precision tf32"
    if _is_set(environment, "NUMBA_DISABLE_JIT"):
        yield "NUMBA_DISABLE_JIT is set, so no loop is compiled; unset it"
    for pool in blas()[:1]:
        cores = os.cpu_count() or 1
        if pool["num_threads"] > cores:
            yield f"BLAS has {pool['num_threads']} threads for {cores} processors; set OPENBLAS_NUM_THREADS={cores}"
    yield from outdated(requirements())


def _is_set(environment: Mapping[str, str], name: str) -> bool:
    return environment.get(name, "0") not in ("", "0")


def requirements() -> list[str]:
    """What the installed package requires, such as ``numpy>=2.0``; [] for a copy that is not installed."""
    try:
        return metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return []


def outdated(required: list[str]) -> Iterator[str]:
    """A line for each installed package whose version is not one of those required."""
    seen = set()
    for line in required:
        name, bounds = re.match(r"([\w.-]+)(?:\[[^]]*\])?([^;]*)", line).groups()  # type: ignore[union-attr]
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        bounds = bounds.strip()
        if not all(satisfies(version, bound) for bound in bounds.split(",") if bound) and (name, bounds) not in seen:
            seen.add((name, bounds))
            yield f"xpgraph is not tested with {name} {version}; pip install '{name}{bounds}'"


def satisfies(version: str, bound: str) -> bool:
    """Is ``version``, such as "2.1.0", within ``bound``, such as ">=2.0"? Versions are compared number by number."""
    relation, limit = re.match(r"\s*(>=|<=|==|!=|<|>|~=)?\s*(\S*)", bound).groups()  # type: ignore[union-attr]
    here, there = _numbers(version), _numbers(limit)
    return {">=": here >= there, "<=": here <= there, "<": here < there, ">": here > there}.get(relation, True)


def _numbers(version: str) -> tuple[int, ...]:
    """The first four numbers of a version, zeros for missing ones; "+cpu" and the like do not count."""
    numbers = [int(number) for number in re.findall(r"\d+", version.partition("+")[0])][:4]
    return (*numbers, *[0] * (4 - len(numbers)))


def _kernels() -> list[str]:
    """The table of kernels, with the fast bodies for the libraries that are usable here."""
    here = available(advertised=False)
    for name in here:  # fast bodies import their library, so only those of usable libraries are loaded
        load_fast(name)
    rows = [("kernel", "module", "fast bodies of the libraries here")]
    for kernel in TABLE.values():
        bodies = " ".join(name for name in kernel.fast_bodies if name.partition("+")[0] in here)
        rows.append((kernel.name, kernel.module.rpartition(".")[2], bodies or "-"))
    return ["", *columns(rows)]
