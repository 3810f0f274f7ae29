"""How cuBLASLt is found; and, where it is installed, how the library reads what we pass. No GPU is needed."""

import ctypes
import re

import numpy as np
import pytest

pytest.importorskip("cupy", reason="CuPy is not installed")

from xpgraph.fast.cuda import cublaslt, cublaslt_plan
from xpgraph.fast.cuda import cublaslt_header as header
from xpgraph.fast.cuda.cublaslt_plan import Matrix


def test_a_missing_library(monkeypatch):
    monkeypatch.setattr(header, "candidates", lambda: ["libnot-there.so.13"])
    cublaslt._find.cache_clear()
    try:
        assert re.match(r"libnot-there\.so\.13: .*; it comes with ", cublaslt.available())
        with pytest.raises(cublaslt.CublasLtError, match="cuBLASLt: libnot-there"):
            cublaslt.load()
    finally:
        cublaslt._find.cache_clear()


def test_a_library_that_lacks_a_function(monkeypatch):
    monkeypatch.setattr(header, "candidates", lambda: [np._core._multiarray_umath.__file__])  # some other
    cublaslt._find.cache_clear()
    try:
        assert "cublasLtCreate" in cublaslt.available()
    finally:
        cublaslt._find.cache_clear()


def test_the_sizes_of_the_structures():
    assert (ctypes.sizeof(header.Algo), ctypes.sizeof(header.HeuristicResult)) == (64, 96)
    assert (header.HeuristicResult.workspace.offset, header.HeuristicResult.state.offset) == (64, 72)


# --- the library itself: its descriptors need no GPU --------------------------------------------------------


@pytest.fixture
def real(monkeypatch):
    """The library, and the log that it writes of its calls."""
    reason = cublaslt.available()
    if reason:
        pytest.skip(f"cuBLASLt is not installed: {reason}")
    lib, log = cublaslt.load(), []
    callback = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p)
    keep = callback(lambda level, name, message: log.append(f"{name.decode()} {message.decode()}"))
    lib.cublasLtLoggerSetCallback(keep)
    lib.cublasLtLoggerSetLevel(5)
    monkeypatch.setattr(cublaslt_plan, "handles", {0: ctypes.c_void_p(0)})  # creating one needs a GPU
    yield lib, log
    lib.cublasLtLoggerSetLevel(0)
    lib.cublasLtLoggerSetCallback(callback())


@pytest.mark.parametrize("compute", ["32F", "32F_FAST_TF32", "64F"])
@pytest.mark.parametrize("epilogue", ["DEFAULT", "BIAS", "BGRADA"])
def test_the_library_reads_our_numbers_as_meant(real, compute, epilogue):
    """It refuses the call, because the handle is null, but its log says how it read the arguments."""
    lib, log = real
    kind, dtype = ("R_64F", "float64") if compute == "64F" else ("R_32F", "float32")
    at, number = (0, 0) if epilogue == "DEFAULT" else (0x7F0000001000, getattr(header, f"EPILOGUE_{epilogue}"))
    matrices = [Matrix((4, 5), False, 7), Matrix((5, 6), True, 8), Matrix((4, 6), True, 9)]
    plan = cublaslt_plan.Plan(lib, 0, dtype, getattr(header, f"COMPUTE_{compute}"), matrices, number)
    with pytest.raises(cublaslt.CublasLtError, match=r"GetHeuristic returned status [17] "):
        plan.find_algorithm(at, 16, 8 * cublaslt.MIB)
    (asked,) = [line for line in log if "GetHeuristic" in line and "computeDesc" in line]
    operation = re.search(r"computeDesc=\[(.*?)\]", asked).group(1).split()
    wanted = [f"computeType=COMPUTE_{compute}", f"scaleType={kind}", "transb=OP_T"]
    assert operation == wanted + ([f"epilogue=EPILOGUE_{epilogue}", f"biasPointer={at:#x}"] if at else [])
    for name, rows, columns, ld in (("A", 6, 5, 8), ("B", 4, 5, 7), ("C", 6, 4, 9), ("D", 6, 4, 9)):
        assert f"{name}desc=[type={kind} rows={rows} cols={columns} ld={ld}]" in asked
        assert f"minBytesAlignment{name}=16" in asked
    assert f"maxWorkspaceSizeinBytes={8 * cublaslt.MIB}" in asked


def test_the_library_refuses_a_wrong_number_or_size(real):
    lib, _ = real
    operation = cublaslt_plan.create(lib, "MatmulDesc", header.COMPUTE_32F, header.R_32F)
    for which in ((999, ctypes.c_int32), (header.DESC_EPILOGUE[0], ctypes.c_int64)):
        with pytest.raises(cublaslt.CublasLtError, match="cublasLtMatmulDescSetAttribute returned status 7"):
            cublaslt_plan.set_attributes(lib, "MatmulDesc", operation, [(which, 1)])
