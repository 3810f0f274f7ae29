"""Floor 6: ``xpgraph info``: what is usable here, what does the arithmetic, where caches lie, what to mend."""

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

PACKAGE = "xpgraph-nn"


def info(kernels: bool) -> list[str]:
    """The lines of ``xpgraph info``, with the table of kernels if asked for."""
    rows = [("backend", "use", "version", "device", "")]
    for name, library in LIBRARIES.items():
        found = usable(name)
        use = ("yes" if library.advertised else "witness, untuned") if found.usable else "no"
        compiled = f"loops compiled by {compiler_for(name)}" if compiler_for(name) else ""
        rows.append((name, use, found.version, found.device, compiled if found.usable else found.why))
    lines = [f"xpgraph {__version__}, Python {platform.python_version()}, {platform.platform()}", "", *columns(rows)]
    lines += ["", *columns([*_cpu(), *_gpu(), *_folders()])]
    found_issues = [*issues()]
    lines += (
        ["", *(f"to mend: {issue}" for issue in found_issues)] if found_issues else ["", "nothing to mend is known"]
    )
    return lines + (_kernels() if kernels else [])


def _cpu() -> Iterator[tuple[str, str]]:
    """BLAS, its kernels and threads; the bodies that NumPy arrays get."""
    for i, pool in enumerate(blas()):
        words = [str(pool[key]) for key in ("internal_api", "version") if pool.get(key)]
        kernels = f", kernels {pool['architecture']}" if pool.get("architecture") else ""
        owner = "" if i == 0 else f", of {Path(pool['filepath']).parent.name}, not used by xpgraph"
        yield "BLAS", f"{' '.join(words)}{kernels}, {pool['num_threads']} threads on {os.cpu_count()} processors{owner}"
    if not blas():
        yield "BLAS", "none that threadpoolctl knows"
    yield "bodies", arithmetic()["bodies"]


def _gpu() -> Iterator[tuple[str, str]]:
    """The driver, the memory of each GPU, and how its float32 products are rounded."""
    yield "CUDA driver", driver()[1]
    found = usable("cupy")
    for i in range(found.devices if found.usable else 0):
        free = place(f"cupy:{i}").free()
        yield f"memory of cuda:{i}", "unknown" if free is None else f"{free / 2**30:.1f} GiB free"
    tf32 = os.environ.get("CUPY_TF32", "0") not in ("", "0")
    yield "TF32", "off: float32 products keep all bits, unless --precision tf32" if not tf32 else "CUPY_TF32 is set"


def _folders() -> Iterator[tuple[str, str]]:
    yield "data cache", _size(Path(idx.cache_folder()))
    if compiler_for("numpy"):
        folder = os.environ.get("NUMBA_CACHE_DIR") or Path(__file__).parent / "fast/__pycache__"
        yield "numba cache", _size(Path(folder), "*.nb[ci]")
    if usable("cupy").version:
        yield "CuPy cache", _size(Path(os.environ.get("CUPY_CACHE_DIR") or Path.home() / ".cupy/kernel_cache"))


def _size(folder: Path, names: str = "*") -> str:
    try:
        files = [path.stat().st_size for path in folder.rglob(names) if path.is_file()]
    except OSError as error:
        return f"{folder}: {error.strerror or error}"
    if not folder.is_dir():
        return f"{folder} (not made yet)"
    return f"{folder} ({len(files)} files, {sum(files) / 2**20:.1f} MiB; may be deleted)"


def issues(environment: Mapping[str, str] = os.environ) -> Iterator[str]:
    """What is known to slow a run down here, or to change its numbers: what was found, and what to do."""
    if environment.get("XPGRAPH_GENERIC", "0") not in ("", "0"):
        yield "XPGRAPH_GENERIC is set, so no fast body is used; unset it"
    if environment.get("OPENBLAS_CORETYPE"):
        core = environment["OPENBLAS_CORETYPE"]
        yield f"OPENBLAS_CORETYPE={core} chooses the kernels of BLAS for this processor; unset it, and it looks itself"
    if environment.get("CUPY_TF32", "0") not in ("", "0"):
        yield "CUPY_TF32 is set, so what CuPy multiplies itself keeps 10 bits; unset it, and give --precision tf32"
    if environment.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        yield "NUMBA_DISABLE_JIT is set, so no loop is compiled; unset it"
    for pool in blas()[:1]:
        cores = os.cpu_count() or 1
        if pool["num_threads"] > cores:
            yield f"BLAS has {pool['num_threads']} threads for {cores} processors; set OPENBLAS_NUM_THREADS={cores}"
    yield from outdated(_declared())


def _declared() -> list[str]:
    try:
        return metadata.requires(PACKAGE) or []
    except metadata.PackageNotFoundError:  # a copy that is not installed
        return []


def outdated(declared: list[str]) -> Iterator[str]:
    """A line for each installed package that is not of the versions declared, such as ``numpy>=2.0``."""
    told = set()
    for line in declared:
        name, bounds = re.match(r"([\w.-]+)(?:\[[^]]*\])?([^;]*)", line).groups()  # type: ignore[union-attr]
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        bounds = bounds.strip()
        if not all(_within(version, bound) for bound in bounds.split(",") if bound) and (name, bounds) not in told:
            told.add((name, bounds))
            yield f"{name} {version} is not of the versions that xpgraph is tested with; pip install '{name}{bounds}'"


def _within(version: str, bound: str) -> bool:
    relation, limit = re.match(r"\s*(>=|<=|==|!=|<|>|~=)?\s*(\S*)", bound).groups()  # type: ignore[union-attr]
    here, there = _numbers(version), _numbers(limit)
    here, there = (part + (0,) * (4 - len(part)) for part in (here[:4], there[:4]))
    return {">=": here >= there, "<=": here <= there, "<": here < there, ">": here > there}.get(relation, True)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version.partition("+")[0]))


def _kernels() -> list[str]:
    here = available(advertised=False)
    for name in here:  # a body is imported with its library, so only where that is there
        load_fast(name)
    table = [("kernel", "module", "fast bodies of the libraries here")]
    for r in TABLE.values():
        bodies = " ".join(name for name in r.fast_bodies if name.partition("+")[0] in here)
        table.append((r.name, r.module.rpartition(".")[2], bodies or "-"))
    return ["", *columns(table)]
