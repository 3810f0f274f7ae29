"""How cuBLASLt is found, and what the library itself, where it is installed, says of our numbers: no GPU is needed."""

from __future__ import annotations

import ctypes
import re

import numpy as np
import pytest

pytest.importorskip("cupy", reason="CuPy is not installed")

from xpgraph.fast.cuda import cublaslt_c, lt


def test_a_library_that_is_missing(monkeypatch):
    monkeypatch.setattr(cublaslt_c, "_names", lambda: ["libnot-there.so.13"])
    lt._found.cache_clear()
    try:
        assert re.match(r"libnot-there\.so\.13: .*; it comes with ", lt.available())
        with pytest.raises(lt.LtError, match="cuBLASLt: libnot-there"):
            lt.load()
    finally:
        lt._found.cache_clear()


def test_a_library_without_a_function(monkeypatch):
    monkeypatch.setattr(cublaslt_c, "_names", lambda: [np._core._multiarray_umath.__file__])  # some other
    lt._found.cache_clear()
    try:
        assert "cublasLtCreate" in lt.available()
    finally:
        lt._found.cache_clear()


def test_sizes_of_the_structures():
    assert (ctypes.sizeof(cublaslt_c.Algo), ctypes.sizeof(cublaslt_c.HeuristicResult)) == (64, 96)
    assert (cublaslt_c.HeuristicResult.workspace.offset, cublaslt_c.HeuristicResult.state.offset) == (64, 72)


# --- the library itself, whose descriptors need no GPU --------------------------------------------------------


@pytest.fixture
def real(monkeypatch):
    """The library, and the log that it keeps of its calls, in its own words."""
    why = lt.available()
    if why:
        pytest.skip(f"cuBLASLt is not installed: {why}")
    lib, log = lt.load(), []
    callback = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p)
    keep = callback(lambda level, name, message: log.append(f"{name.decode()} {message.decode()}"))
    lib.cublasLtLoggerSetCallback(keep)
    lib.cublasLtLoggerSetLevel(5)
    monkeypatch.setattr(lt, "_handles", {0: ctypes.c_void_p(0)})  # to make one needs a GPU
    yield lib, log
    lib.cublasLtLoggerSetLevel(0)
    lib.cublasLtLoggerSetCallback(callback())


@pytest.mark.parametrize("compute", ["32F", "32F_FAST_TF32", "64F"])
@pytest.mark.parametrize("epilogue", ["DEFAULT", "BIAS", "BGRADA"])
def test_the_library_reads_our_numbers_as_meant(real, compute, epilogue):
    """It refuses the question, for want of a handle, but says in its log what it was asked."""
    lib, log = real
    kind, dtype = ("R_64F", "float64") if compute == "64F" else ("R_32F", "float32")
    at, number = (0, 0) if epilogue == "DEFAULT" else (0x7F0000001000, getattr(cublaslt_c, f"EPILOGUE_{epilogue}"))
    matrices = [lt.Matrix((4, 5), False, 7), lt.Matrix((5, 6), True, 8), lt.Matrix((4, 6), True, 9)]
    plan = lt.Plan(lib, 0, dtype, getattr(cublaslt_c, f"COMPUTE_{compute}"), matrices, number)
    with pytest.raises(lt.LtError, match=r"GetHeuristic returned status [17] "):
        plan.find_algorithm(at, 16, 8 * lt.MIB)
    (asked,) = [line for line in log if "GetHeuristic" in line and "computeDesc" in line]
    operation = re.search(r"computeDesc=\[(.*?)\]", asked).group(1).split()
    wanted = [f"computeType=COMPUTE_{compute}", f"scaleType={kind}", "transb=OP_T"]
    assert operation == wanted + ([f"epilogue=EPILOGUE_{epilogue}", f"biasPointer={at:#x}"] if at else [])
    for name, rows, columns, ld in (("A", 6, 5, 8), ("B", 4, 5, 7), ("C", 6, 4, 9), ("D", 6, 4, 9)):
        assert f"{name}desc=[type={kind} rows={rows} cols={columns} ld={ld}]" in asked
        assert f"minBytesAlignment{name}=16" in asked
    assert f"maxWorkspaceSizeinBytes={8 * lt.MIB}" in asked


def test_the_library_refuses_a_wrong_number_or_size(real):
    lib, _ = real
    operation = lt._new(lib, "MatmulDesc", cublaslt_c.COMPUTE_32F, cublaslt_c.R_32F)
    for which in ((999, ctypes.c_int32), (cublaslt_c.DESC_EPILOGUE[0], ctypes.c_int64)):
        with pytest.raises(lt.LtError, match="cublasLtMatmulDescSetAttribute returned status 7"):
            lt._set(lib, "MatmulDesc", operation, [(which, 1)])
