"""What cuBLASLt's C headers declare of the functions used here, and where the library is found.

Names and values are those of ``cublasLt.h``, ``cublas_api.h`` and ``library_types.h``, without their prefixes.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
from ctypes import POINTER, c_float, c_int, c_int32, c_int64, c_size_t, c_uint32, c_uint64, c_void_p
from typing import Any

Attribute = tuple[int, Any]  # its number in the header, and its C type

# For the dynamic linker, where cuda.pathfinder is missing or does not find the library.
NAMES = ["cublasLt64_13.dll", "cublasLt64_12.dll"] if os.name == "nt" else ["libcublasLt.so.13", "libcublasLt.so.12"]

STATUS = {
    1: "CUBLAS_STATUS_NOT_INITIALIZED",
    3: "CUBLAS_STATUS_ALLOC_FAILED",
    7: "CUBLAS_STATUS_INVALID_VALUE",
    8: "CUBLAS_STATUS_ARCH_MISMATCH",
    11: "CUBLAS_STATUS_MAPPING_ERROR",
    13: "CUBLAS_STATUS_EXECUTION_FAILED",
    14: "CUBLAS_STATUS_INTERNAL_ERROR",
    15: "CUBLAS_STATUS_NOT_SUPPORTED",
    16: "CUBLAS_STATUS_LICENSE_ERROR",
}
INVALID_VALUE, NOT_SUPPORTED = 7, 15

R_32F, R_64F = 0, 1  # cudaDataType_t
COMPUTE_32F, COMPUTE_64F, COMPUTE_32F_FAST_TF32 = 68, 70, 77  # cublasComputeType_t
OP_N, OP_T = 0, 1  # cublasOperation_t
EPILOGUE_BIAS, EPILOGUE_BGRADA = 4, 256  # cublasLtEpilogue_t; 1, the default, is no epilogue

# Other attributes keep their defaults: alpha and beta in host memory, column-major order, a bias of the type of D.
DESC_TRANSA: Attribute = 3, c_int32
DESC_TRANSB: Attribute = 4, c_int32
DESC_EPILOGUE: Attribute = 7, c_uint32
DESC_BIAS_POINTER: Attribute = 8, c_void_p
PREF_MAX_WORKSPACE_BYTES: Attribute = 1, c_uint64
PREF_MIN_ALIGNMENT_BYTES: list[Attribute] = [(number, c_uint32) for number in (5, 6, 7, 8)]  # of A, B, C, D


class Algo(ctypes.Structure):
    """cublasLtMatmulAlgo_t"""

    _fields_ = (("data", c_uint64 * 8),)


class HeuristicResult(ctypes.Structure):
    """cublasLtMatmulHeuristicResult_t"""

    _fields_ = (("algo", Algo), ("workspace", c_size_t), ("state", c_int), ("waves", c_float), ("reserved", c_int * 4))


_NEW, _SIZE = POINTER(c_void_p), c_size_t  # where a new object's address is written; a size in bytes
_SET = [c_void_p, c_int, c_void_p, _SIZE]  # object, attribute, where its value is, size of the value
FUNCTIONS: dict[str, list[Any]] = {
    "cublasLtCreate": [_NEW],
    "cublasLtMatmulDescCreate": [_NEW, c_int, c_int],  # compute type, type of alpha and beta
    "cublasLtMatmulDescSetAttribute": _SET,
    "cublasLtMatmulDescDestroy": [c_void_p],
    "cublasLtMatrixLayoutCreate": [_NEW, c_int, c_uint64, c_uint64, c_int64],  # type, rows, columns, leading dimension
    "cublasLtMatrixLayoutDestroy": [c_void_p],
    "cublasLtMatmulPreferenceCreate": [_NEW],
    "cublasLtMatmulPreferenceSetAttribute": _SET,
    "cublasLtMatmulPreferenceDestroy": [c_void_p],
    # handle, descriptor, A, B, C, D, preference, how many results are wanted, results, how many were written
    "cublasLtMatmulAlgoGetHeuristic": [*[c_void_p] * 7, c_int, POINTER(HeuristicResult), POINTER(c_int)],
    # handle, descriptor, alpha, A and its layout, B, beta, C, D, algorithm, workspace, its size, stream
    "cublasLtMatmul": [*[c_void_p] * 14, _SIZE, c_void_p],
}


class Owned(c_void_p):
    """The address of an object of the library, destroyed with the last reference to it."""

    destroy: Any = None

    def __del__(self) -> None:
        if self.value and self.destroy is not None:
            self.destroy(self)


def find() -> Any:
    """The library, its functions declared. Raises OSError if it is missing, AttributeError if a function is."""
    library, errors = None, []
    for name in candidates():
        try:
            library = ctypes.CDLL(name)
            break
        except OSError as error:
            errors.append(str(error))
    if library is None:
        raise OSError("; ".join(errors))
    for name, arguments in FUNCTIONS.items():
        function = getattr(library, name)
        function.argtypes, function.restype = arguments, c_int
    return library


def candidates() -> list[str]:
    """Names and paths for the dynamic linker, in the order to try them."""
    names = list(NAMES)
    with contextlib.suppress(Exception):  # whatever stops cuda.pathfinder, the plain names may still work
        found = importlib.import_module("cuda.pathfinder").load_nvidia_dynamic_lib("cublasLt")
        names.insert(0, found.abs_path or NAMES[0])
    return names
