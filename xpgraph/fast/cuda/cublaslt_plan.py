"""A plan: everything that cuBLASLt needs for a product except the addresses of its arrays.

cuBLASLt is column-major: what it reads in a row-major matrix is the transpose. C = A B in rows is Cᵀ = Bᵀ Aᵀ in
columns, so its left factor is our b and its right one our a. A transposed view becomes a flag of its factor, never a
copy.
"""

from __future__ import annotations

from ctypes import byref, c_double, c_float, c_int, c_void_p, sizeof
from typing import Any, NamedTuple

from ...errors import Error
from . import cublaslt_header as header

MAX_DESCRIPTORS = 256  # of one plan, one for each address of a bias vector; when there are more, all are made anew
TYPES = {"float32": (header.R_32F, c_float), "float64": (header.R_64F, c_double)}

handles: dict[int, c_void_p] = {}  # by device; never destroyed: at exit, the device may be gone before them


class CublasLtError(Error, RuntimeError):
    """cuBLASLt cannot be loaded, or a call of it failed."""


class Matrix(NamedTuple):
    """How a matrix lies in memory: rows or columns one after the other, ``ld`` elements from one to the next."""

    shape: tuple[int, int]
    row_major: bool
    ld: int


class Plan:
    """The arguments of cublasLtMatmul, as objects that ctypes passes on unchanged.

    ``matrices``: a, b and out. ``epilogue``: what is done besides the product, 0 for nothing.
    """

    def __init__(
        self, library: Any, device: int, dtype: str, compute_type: int, matrices: list[Matrix], epilogue: int
    ) -> None:
        a, b, out = matrices
        self.library, self.call, self.handle = library, library.cublasLtMatmul, _handle(library, device)
        self.column_major = not out.row_major  # then the factors keep their order
        left, right = (a, b) if self.column_major else (b, a)
        self.data_type, number = TYPES[dtype]
        self.compute_type, self.epilogue = compute_type, epilogue
        self.left_op, self.right_op = (
            header.OP_N if x.row_major == out.row_major else header.OP_T for x in (left, right)
        )
        self.left, self.right, self.result = (self._layout(matrix) for matrix in (left, right, out))
        self.one, self.zero = byref(number(1)), byref(number(0))
        self.descriptors: dict[int, c_void_p] = {}
        self.algorithm: Any = None
        self.workspace = 0  # bytes

    def _layout(self, matrix: Matrix) -> c_void_p:
        rows, columns = reversed(matrix.shape) if matrix.row_major else matrix.shape
        return create(self.library, "MatrixLayout", self.data_type, rows, columns, matrix.ld)

    def descriptor(self, vector_address: int) -> c_void_p:
        """The descriptor with this bias vector; never changed afterwards, so threads and captures may share it."""
        made = create(self.library, "MatmulDesc", self.compute_type, self.data_type)
        values = [(header.DESC_TRANSA, self.left_op), (header.DESC_TRANSB, self.right_op)]
        if self.epilogue:
            values += [(header.DESC_EPILOGUE, self.epilogue), (header.DESC_BIAS_POINTER, vector_address)]
        set_attributes(self.library, "MatmulDesc", made, values)
        if len(self.descriptors) >= MAX_DESCRIPTORS:
            self.descriptors.clear()
        self.descriptors[vector_address] = made
        return made

    def find_algorithm(self, vector_address: int, alignment: int, limit: int) -> bool:
        """Ask for an algorithm that takes addresses aligned to so many bytes and a workspace of at most ``limit``."""
        preference = create(self.library, "MatmulPreference")
        aligned = [(attribute, alignment) for attribute in header.PREF_MIN_ALIGNMENT_BYTES]
        values = [(header.PREF_MAX_WORKSPACE_BYTES, limit), *aligned]
        set_attributes(self.library, "MatmulPreference", preference, values)
        result, count = header.HeuristicResult(), c_int()
        status = self.library.cublasLtMatmulAlgoGetHeuristic(
            self.handle, self.descriptor(vector_address), self.left, self.right, self.result, self.result, preference,
            1, byref(result), byref(count),
        )  # fmt: skip
        unsupported = (header.NOT_SUPPORTED, header.INVALID_VALUE) if self.epilogue else (header.NOT_SUPPORTED,)
        if status not in unsupported:  # for an epilogue that it lacks for a dtype, it may return either
            check("cublasLtMatmulAlgoGetHeuristic", status)
        if status or not count.value or result.state:
            return False
        self.algorithm, self.workspace = byref(result.algo), result.workspace
        return True


def _handle(library: Any, device: int) -> c_void_p:
    if device not in handles:
        made = c_void_p()
        check("cublasLtCreate", library.cublasLtCreate(byref(made)))
        handles[device] = made
    return handles[device]


def create(library: Any, kind: str, *arguments: Any) -> c_void_p:
    """A new object of the library: a MatmulDesc, MatrixLayout or MatmulPreference."""
    made = header.Owned()
    check(f"cublasLt{kind}Create", getattr(library, f"cublasLt{kind}Create")(byref(made), *arguments))
    made.destroy = getattr(library, f"cublasLt{kind}Destroy")
    return made


def set_attributes(library: Any, kind: str, owner: c_void_p, values: list[tuple[header.Attribute, int]]) -> None:
    """Write attributes of such an object."""
    name = f"cublasLt{kind}SetAttribute"
    for (number, c_type), value in values:
        check(name, getattr(library, name)(owner, number, byref(c_type(value)), sizeof(c_type)))


def check(name: str, status: int) -> None:
    """Raise CublasLtError if a function returned another status than 0."""
    if status:
        raise failure(name, status)


def failure(name: str, status: int) -> CublasLtError:
    return CublasLtError(
        f"cuBLASLt: {name} returned status {status} ({header.STATUS.get(status, 'unknown')}); "
        "XPGRAPH_GENERIC=1 in the environment computes without it."
    )
