"""``xpgraph info``: what does the arithmetic, where caches lie, what is to be mended; and streams that never fail."""

from __future__ import annotations

import io
import os

import pytest

from xpgraph.arrays import cpu as machine
from xpgraph.arrays.installed import Usable, usable
from xpgraph.cli import info_command as cli_info
from xpgraph.cli import streams
from xpgraph.cli.app import main

POOL = {
    "user_api": "blas", "internal_api": "openblas", "version": "0.3.30", "architecture": "Haswell", "num_threads": 2,
    "filepath": "/x/numpy.libs/libopenblas.so",
}  # fmt: skip


def told(monkeypatch, *pools):
    monkeypatch.setattr("threadpoolctl.threadpool_info", lambda: list(pools))
    return cli_info.info(kernels=False)


def line(lines, word):
    return next(text for text in lines if text.startswith(word))


def test_it_names_blas_its_kernels_and_threads(monkeypatch):
    second = {**POOL, "version": "0.3.1", "filepath": "/x/scipy.libs/libopenblas.so"}
    openmp = {"user_api": "openmp", "internal_api": "openmp", "filepath": "/x/torch/libgomp.so", "num_threads": 3}
    lines = told(monkeypatch, openmp, second, POOL)
    first, other = (text for text in lines if text.startswith("BLAS"))
    assert f"openblas 0.3.30, kernels Haswell, 2 threads on {os.cpu_count()} processors" in first
    assert other.endswith("of scipy.libs, not used by xpgraph")
    assert machine.arithmetic()["BLAS"] == "openblas 0.3.30 Haswell"
    assert "none that threadpoolctl knows" in line(told(monkeypatch), "BLAS")
    assert machine.arithmetic()["BLAS"] == "unknown"


def test_the_bodies(monkeypatch):
    assert machine.arithmetic()["bodies"] == "without a compiler"  # XPGRAPH_NUMBA=0 in the tests
    monkeypatch.setenv("XPGRAPH_GENERIC", "1")
    assert machine.arithmetic()["bodies"] == "generic"
    assert "XPGRAPH_GENERIC is set, so no fast body is used; unset it" in cli_info.issues()


def test_a_gpu(monkeypatch):
    found = usable
    here = Usable(True, version="14.0", device="NVIDIA X", devices=2)
    monkeypatch.setattr(cli_info, "usable", lambda name: here if name == "cupy" else found(name))
    monkeypatch.setattr(cli_info, "place", lambda name: type("P", (), {"free": lambda self: 3 << 30})())
    monkeypatch.setattr(cli_info, "driver", lambda: (13000, "a driver for CUDA 13.0 was found"))
    lines = cli_info.info(kernels=False)
    assert line(lines, "CUDA driver").endswith("a driver for CUDA 13.0 was found")
    assert line(lines, "memory of cuda:1").endswith("3.0 GiB free")
    assert "off: float32 products keep all bits" in line(lines, "TF32")
    assert "kernel_cache" in line(lines, "CuPy cache")


def test_the_caches(monkeypatch, tmp_path):
    monkeypatch.setattr(cli_info.idx, "cache_folder", lambda: tmp_path / "data")
    assert line(cli_info.info(False), "data cache").endswith(f"{tmp_path}/data (not made yet)")
    (tmp_path / "data/deep").mkdir(parents=True)
    (tmp_path / "data/deep/file").write_bytes(bytes(1 << 20))
    assert line(cli_info.info(False), "data cache").endswith("(1 files, 1.0 MiB; may be deleted)")


def test_what_is_to_be_mended(monkeypatch):
    pools = [{**POOL, "num_threads": 4096}]
    monkeypatch.setattr("threadpoolctl.threadpool_info", lambda: pools)
    monkeypatch.setattr(
        cli_info.metadata, "requires", lambda name: ["click>=8.1", 'numpy>=99; extra == "x"', "none>=1"]
    )
    environment = {"OPENBLAS_CORETYPE": "Haswell", "CUPY_TF32": "1", "NUMBA_DISABLE_JIT": "1", "XPGRAPH_GENERIC": "0"}
    found = [*cli_info.issues(environment)]
    assert [text.split()[0] for text in found] == [
        "OPENBLAS_CORETYPE=Haswell", "CUPY_TF32", "NUMBA_DISABLE_JIT", "BLAS", "numpy",
    ]  # fmt: skip
    assert f"set OPENBLAS_NUM_THREADS={os.cpu_count()}" in found[3]
    assert found[4].endswith("pip install 'numpy>=99'")


@pytest.mark.parametrize(
    ("version", "bound", "fits"),
    [
        ("2.0.0", ">=2.0", True), ("2.0", ">=2.0.0", True), ("1.26.4", ">=2.0", False), ("14.2.0", ">=14", True),
        ("15.0", "<15", False), ("14.9.1", "<15", True), ("2.13.0+cpu", ">=2.5", True), ("0.68.1", ">=0.68", True),
        ("0.9", ">=0.68", False), ("3.1", "", True), ("1.0", "==1.0", True),
    ],
)  # fmt: skip
def test_versions_are_numbers(version, bound, fits):
    assert cli_info._within(version, bound) is fits


def test_here_nothing_is_out_of_date():
    assert [*cli_info.outdated(cli_info._declared())] == []
    assert cli_info._declared()


def test_the_command(capsys, monkeypatch):
    for name in ("OPENBLAS_CORETYPE", "CUPY_TF32", "NUMBA_DISABLE_JIT", "XPGRAPH_GENERIC"):
        monkeypatch.delenv(name, raising=False)
    assert main(["info"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {"BLAS", "bodies", "CUDA", "TF32", "data"} <= {text.split()[0] for text in lines if text}
    assert lines[-1] == "nothing to mend is known"


def test_a_stream_whose_writes_fail_falls_silent(tmp_path):
    reads, writes = os.pipe()
    os.close(reads)
    stream = io.TextIOWrapper(
        io.BufferedWriter(streams._Quiet(writes, "w")), "ascii", "backslashreplace", line_buffering=True
    )
    for _ in range(3):
        assert stream.write("汉\n") == 2
    stream.close()


def test_streams_of_tests_and_notebooks_are_left_alone(monkeypatch):
    own = io.StringIO()
    monkeypatch.setattr("sys.stdout", own)
    monkeypatch.setattr("sys.stderr", None)
    streams.steady()
    import sys

    assert sys.stdout is own
    print("nobody hears it", file=sys.stderr)
    sys.stderr.close()
