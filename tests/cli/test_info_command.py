"""``xpgraph info``: backends, BLAS, GPUs, caches and known problems."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from commands import run

from xpgraph.arrays import cpu
from xpgraph.arrays.installed import Usable, usable
from xpgraph.cli import info_command

POOL = {
    "user_api": "blas", "internal_api": "openblas", "version": "0.3.30", "architecture": "Haswell", "num_threads": 2,
    "filepath": "/x/numpy.libs/libopenblas.so",
}  # fmt: skip


def info_with(monkeypatch, *pools):
    monkeypatch.setattr("threadpoolctl.threadpool_info", lambda: list(pools))
    return info_command.info(kernels=False)


def line(lines, word):
    return next(text for text in lines if text.startswith(word))


def test_it_names_blas_its_kernels_and_threads(monkeypatch):
    second = {**POOL, "version": "0.3.1", "filepath": "/x/scipy.libs/libopenblas.so"}
    openmp = {"user_api": "openmp", "internal_api": "openmp", "filepath": "/x/torch/libgomp.so", "num_threads": 3}
    lines = info_with(monkeypatch, openmp, second, POOL)
    first, other = (text for text in lines if text.startswith("BLAS"))
    assert f"openblas 0.3.30, kernels Haswell, 2 threads on {os.cpu_count()} processors" in first
    assert other.endswith("of scipy.libs, not used by xpgraph")
    assert cpu.arithmetic()["BLAS"] == "openblas 0.3.30 Haswell"
    assert "none that threadpoolctl knows" in line(info_with(monkeypatch), "BLAS")
    assert cpu.arithmetic()["BLAS"] == "unknown"


def test_the_bodies(monkeypatch):
    assert cpu.arithmetic()["bodies"] == "without a compiler"  # XPGRAPH_NUMBA=0 in the tests
    monkeypatch.setenv("XPGRAPH_GENERIC", "1")
    assert cpu.arithmetic()["bodies"] == "generic"
    assert "XPGRAPH_GENERIC is set, so no fast body is used; unset it" in info_command.problems()


def test_a_gpu(monkeypatch):
    here = Usable(True, version="14.0", device="NVIDIA X", devices=2)
    monkeypatch.setattr(info_command, "usable", lambda name: here if name == "cupy" else usable(name))
    monkeypatch.setattr(info_command, "place", lambda name: type("P", (), {"free": lambda self: 3 << 30})())
    monkeypatch.setattr(info_command, "driver", lambda: (13000, "a driver for CUDA 13.0 was found"))
    lines = info_command.info(kernels=False)
    assert line(lines, "CUDA driver").endswith("a driver for CUDA 13.0 was found")
    assert line(lines, "memory of cuda:1").endswith("3.0 GiB free")
    assert "off: float32 products keep all bits" in line(lines, "TF32")
    assert "kernel_cache" in line(lines, "CuPy cache")


def test_the_caches(monkeypatch, tmp_path):
    monkeypatch.setattr(info_command.idx, "cache_folder", lambda: tmp_path / "data")
    assert line(info_command.info(False), "data cache").endswith(f"{tmp_path}/data (not made yet)")
    monkeypatch.setattr(info_command, "compiler_for", lambda name: "numba")
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    fast = Path(sys.modules["xpgraph"].__file__).parent / "fast"
    assert fast.is_dir() and f"{fast}{os.sep}__pycache__" in line(info_command.info(False), "numba cache")
    (tmp_path / "data/deep").mkdir(parents=True)
    (tmp_path / "data/deep/file").write_bytes(bytes(1 << 20))
    assert line(info_command.info(False), "data cache").endswith("(1 files, 1.0 MiB; may be deleted)")


def test_problems_say_what_to_do(monkeypatch):
    pools = [{**POOL, "num_threads": 4096}]
    monkeypatch.setattr("threadpoolctl.threadpool_info", lambda: pools)
    monkeypatch.setattr(
        info_command.metadata, "requires", lambda name: ["click>=8.1", 'numpy>=99; extra == "x"', "none>=1"]
    )
    environment = {"OPENBLAS_CORETYPE": "Haswell", "CUPY_TF32": "1", "NUMBA_DISABLE_JIT": "1", "XPGRAPH_GENERIC": "0"}
    texts = [*info_command.problems(environment)]
    assert [text.split()[0] for text in texts] == [
        "OPENBLAS_CORETYPE=Haswell", "CUPY_TF32", "NUMBA_DISABLE_JIT", "BLAS", "xpgraph",
    ]  # fmt: skip
    assert f"set OPENBLAS_NUM_THREADS={os.cpu_count()}" in texts[3]
    assert texts[4].startswith("xpgraph is not tested with numpy ") and texts[4].endswith("; pip install 'numpy>=99'")
    assert f"problem: {texts[3]}" in info_command.info(False)


@pytest.mark.parametrize(
    ("version", "bound", "fits"),
    [
        ("2.0.0", ">=2.0", True), ("2.0", ">=2.0.0", True), ("1.26.4", ">=2.0", False), ("14.2.0", ">=14", True),
        ("15.0", "<15", False), ("14.9.1", "<15", True), ("2.13.0+cpu", ">=2.5", True), ("0.68.1", ">=0.68", True),
        ("0.9", ">=0.68", False), ("3.1", "", True), ("1.0", "==1.0", True),
    ],
)  # fmt: skip
def test_versions_are_numbers(version, bound, fits):
    assert info_command.satisfies(version, bound) is fits


def test_nothing_here_is_outdated():
    assert [*info_command.outdated(info_command.requirements())] == []
    assert info_command.requirements()


def test_the_command(capsys, monkeypatch):
    for name in ("OPENBLAS_CORETYPE", "CUPY_TF32", "NUMBA_DISABLE_JIT", "XPGRAPH_GENERIC"):
        monkeypatch.delenv(name, raising=False)
    code, lines, _ = run(capsys, "info")
    assert code == 0
    assert {"BLAS", "bodies", "CUDA", "TF32", "data"} <= {text.split()[0] for text in lines if text}
    assert lines[-1] == "no known problems"


def test_info_names_every_backend_and_kernel(capsys):
    code, out, _ = run(capsys, "info", "--kernels")
    assert code == 0
    words = {line.split()[0] for line in out if line}
    assert {"numpy", "cupy", "torch", "array_api_strict", "matmul", "adam", "sigmoid"} <= words
    assert next(line for line in out if line.startswith("matmul")).split()[1:3] == ["basic", "numpy"]


def test_info_does_not_import_the_bodies_of_a_library_that_is_not_here(capsys, monkeypatch):
    monkeypatch.setattr(
        sys.modules["xpgraph.arrays.libraries"],
        "usable",
        lambda name: usable(name) if name == "numpy" else Usable(False, "no"),
    )
    loaded = []
    monkeypatch.setattr("xpgraph.cli.info_command.load_fast", loaded.append)
    code, _, err = run(capsys, "info", "--kernels")
    assert (code, err, loaded) == (0, [], ["numpy"])
