"""Matrix products of CuPy arrays through cuBLASLt, called by ctypes.

``cupy.matmul`` cannot be captured in a CUDA graph: CuPy refuses every call of cuBLAS while a stream is capturing.
The refusal is CuPy's own; cuBLASLt, with a handle and a workspace of ours, does not pass through it.

cuBLASLt thinks in columns: a row-major matrix is, in columns, its transpose. C = A B in rows is Cᵀ = Bᵀ Aᵀ in columns,
so the library's A is our b and its B is our a. A transposed view is an operation on its operand, never a copy.
"""

from __future__ import annotations

import threading
from ctypes import byref, c_double, c_float, c_int, c_void_p, sizeof
from functools import cache
from typing import Any, NamedTuple

import cupy

from ...arrays.libraries import Array
from ...errors import Error
from . import cublaslt_c as c
from .device import PER_THREAD

MIB = 1 << 20
PLANS = 4096  # kept; when there are more, all are made anew
VECTORS = 256  # the same of one plan's operations, of which each bias vector has its own

_TYPES = {"float32": (c.R_32F, c_float), "float64": (c.R_64F, c_double)}
_COMPUTE = {"fp32": c.COMPUTE_32F, "tf32": c.COMPUTE_32F_FAST_TF32}

_handles: dict[int, c_void_p] = {}  # by device; never destroyed: at exit the device may be gone before them
_workspaces: dict[tuple[int, int, int], Any] = {}  # by device and stream, kept for ever: a graph may hold the address
_plans: dict[Any, Plan | None] = {}  # None: not supported
_making = threading.Lock()


class LtError(Error, RuntimeError):
    """cuBLASLt cannot be loaded, or a call of it failed."""


def available() -> str | None:
    """None if cuBLASLt can be loaded, else the reason. Never raises."""
    try:
        load()
    except Exception as error:
        return str(error).removeprefix("cuBLASLt: ")
    return None


@cache
def _found() -> tuple[Any, str]:
    try:
        return c.find(), ""
    except (OSError, AttributeError) as error:
        return None, str(error)


def load() -> Any:
    """The library, its functions as attributes; looked for once. Raises LtError when it cannot be loaded."""
    lib, why = _found()
    if lib is None:
        raise LtError(f"cuBLASLt: {why}; it comes with CuPy's extra [ctk] and with the CUDA toolkit")
    return lib


def matmul(
    a: Array,
    b: Array,
    out: Array,
    *,
    bias: Array | None = None,
    column_sum: Array | None = None,
    precision: str = "fp32",
) -> bool:
    """out = a b (+ bias in every row): (m, k), (k, n) -> (m, n); ``column_sum`` (n,) receives the column sums of b.

    False, with nothing launched, for what cuBLASLt cannot do: other dtypes than float32 and float64, layouts that need
    a copy, an empty axis, ``bias`` and ``column_sum`` at once or with ``out`` in columns, ``column_sum`` of b in
    columns, whatever it knows no algorithm for. ``precision`` is "fp32" or "tf32"; float64 ignores it. ``out`` shares
    no memory with a and b.

    Runs on the current stream. If that is capturing, the same product must have run on it before: plans and workspaces
    are made at first use, and that a capture may not allow. Raises LtError when a call fails.
    """
    device, stream = _device(), _stream()
    first, second, to, at = b.data.ptr, a.data.ptr, out.data.ptr, 0
    vector, epilogue = column_sum if bias is None else bias, None
    if vector is not None:
        at = vector.data.ptr
        epilogue = (bias is None, column_sum is None, vector.dtype, vector.shape, vector.strides)
    low = (first | second | to | at) & 15
    key = (device, precision, low & -low, a.dtype, a.shape, a.strides, b.dtype, b.shape, b.strides,
           out.dtype, out.shape, out.strides, epilogue)  # fmt: skip
    try:
        plan = _plans[key]
    except KeyError:
        plan = _remember(key, a, b, out, bias, column_sum, precision, low & -low or 16)
    if plan is None:
        return False
    if plan.in_columns:
        first, second = second, first
    workspace = _workspace(device, stream) if plan.workspace else None
    status = plan.call(
        plan.handle, plan.operations.get(at) or plan.operation(at), plan.one, first, plan.first, second, plan.second,
        plan.zero, to, plan.to, to, plan.to, plan.algo, workspace, plan.workspace, stream,
    )  # fmt: skip
    if status:
        raise _failure("cublasLtMatmul", status)
    return True


# --- the device: what a machine without one has to replace ----------------------------------------------------


def _device() -> int:
    return cupy.cuda.runtime.getDevice()


def _stream() -> int:
    return cupy.cuda.get_current_stream().ptr


@cache
def _limit(device: int) -> int:
    """Bytes of workspace: what NVIDIA recommends for cuBLAS, 32 MiB from Hopper on, less before."""
    return (32 if int(cupy.cuda.Device(device).compute_capability) >= 90 else 8) * MIB


def _workspace(device: int, stream: int) -> int:
    """The address of a stream's workspace: products on one stream take turns, on two streams they would race."""
    key = device, stream, threading.get_ident() if stream == PER_THREAD else 0
    try:
        return _workspaces[key].ptr
    except KeyError:
        with _making:
            if key not in _workspaces:
                # From the driver, of no pool: the current pool may be a graph's own, and would take it along.
                _workspaces[key] = cupy.cuda.Memory(_limit(device))
            return _workspaces[key].ptr


# --- plans ----------------------------------------------------------------------------------------------------


class Matrix(NamedTuple):
    """A matrix as it lies: rows or columns one after the other, ``ld`` elements from one to the next."""

    shape: tuple[int, int]
    in_rows: bool
    ld: int


def _matrix(a: Array) -> Matrix | None:
    """None for a layout that needs a copy. The stride of an axis of length 1 means nothing."""
    (m, n), (down, across), item = a.shape, a.strides, a.dtype.itemsize
    if (n == 1 or across == item) and (m == 1 or (down >= n * item and down % item == 0)):
        return Matrix((m, n), True, n if m == 1 else down // item)
    if (m == 1 or down == item) and across >= m * item and across % item == 0:
        return Matrix((m, n), False, across // item)
    return None


class Plan:
    """All that a product needs but its addresses, as objects that ctypes passes on unchanged."""

    def __init__(self, lib: Any, device: int, dtype: str, compute: int, matrices: list[Matrix], epilogue: int) -> None:
        a, b, out = matrices
        self.lib, self.call, self.handle = lib, lib.cublasLtMatmul, _handle(lib, device)
        self.in_columns = not out.in_rows
        first, second = (a, b) if self.in_columns else (b, a)
        self.kind, number = _TYPES[dtype]
        self.compute, self.epilogue = compute, epilogue
        self.first_op, self.second_op = (c.OP_N if x.in_rows == out.in_rows else c.OP_T for x in (first, second))
        self.first, self.second, self.to = (self._layout(matrix) for matrix in (first, second, out))
        self.one, self.zero = byref(number(1)), byref(number(0))
        self.operations: dict[int, c_void_p] = {}
        self.algo: Any = None
        self.workspace = 0

    def _layout(self, matrix: Matrix) -> c_void_p:
        rows, columns = reversed(matrix.shape) if matrix.in_rows else matrix.shape
        return _new(self.lib, "MatrixLayout", self.kind, rows, columns, matrix.ld)

    def operation(self, at: int) -> c_void_p:
        """The operation with its bias vector ``at`` an address; written once, so threads and captures may share it."""
        made = _new(self.lib, "MatmulDesc", self.compute, self.kind)
        values = [(c.DESC_TRANSA, self.first_op), (c.DESC_TRANSB, self.second_op)]
        if self.epilogue:
            values += [(c.DESC_EPILOGUE, self.epilogue), (c.DESC_BIAS_POINTER, at)]
        _set(self.lib, "MatmulDesc", made, values)
        if len(self.operations) >= VECTORS:
            self.operations.clear()
        self.operations[at] = made
        return made

    def find_algorithm(self, at: int, alignment: int, limit: int) -> bool:
        """Ask for an algorithm that takes addresses so aligned and a workspace of ``limit`` bytes at most."""
        wish = _new(self.lib, "MatmulPreference")
        aligned = [(which, alignment) for which in c.PREF_MIN_ALIGNMENT_BYTES]
        _set(self.lib, "MatmulPreference", wish, [(c.PREF_MAX_WORKSPACE_BYTES, limit), *aligned])
        result, count = c.HeuristicResult(), c_int()
        status = self.lib.cublasLtMatmulAlgoGetHeuristic(
            self.handle, self.operation(at), self.first, self.second, self.to, self.to, wish, 1, byref(result),
            byref(count),
        )  # fmt: skip
        refused = (c.NOT_SUPPORTED, c.INVALID_VALUE) if self.epilogue else (c.NOT_SUPPORTED,)
        if status not in refused:  # of an epilogue that it has not for a type, it may say either
            _check("cublasLtMatmulAlgoGetHeuristic", status)
        if status or not count.value or result.state:
            return False
        self.algo, self.workspace = byref(result.algo), result.workspace
        return True


def _remember(key: Any, *wanted: Any) -> Plan | None:
    with _making:
        if key not in _plans:
            if len(_plans) >= PLANS:
                _plans.clear()
            _plans[key] = _plan(key[0], *wanted)
        return _plans[key]


def _plan(
    device: int,
    a: Array,
    b: Array,
    out: Array,
    bias: Array | None,
    column_sum: Array | None,
    precision: str,
    aligned: int,
) -> Plan | None:
    """A plan with its algorithm, or None for what is not supported."""
    if precision not in _COMPUTE:
        raise ValueError(f"cuBLASLt: precision is {precision!r}; give one of {', '.join(_COMPUTE)}.")
    dtype, vectors = a.dtype, [x for x in (bias, column_sum) if x is not None]
    if dtype.name not in _TYPES or any(x.dtype != dtype for x in (b, out, *vectors)) or aligned < dtype.itemsize:
        return None
    if not a.ndim == b.ndim == out.ndim == 2 or 0 in (*a.shape, *b.shape):
        return None
    if a.shape[1] != b.shape[0] or out.shape != (a.shape[0], b.shape[1]):
        return None
    matrices = [found for found in map(_matrix, (a, b, out)) if found is not None]
    if len(matrices) < 3 or (vectors and not _fits(vectors, matrices, column_sum is not None)):
        return None
    epilogue = c.EPILOGUE_BIAS if bias is not None else c.EPILOGUE_BGRADA if column_sum is not None else 0
    compute = _COMPUTE[precision] if dtype.name == "float32" else c.COMPUTE_64F
    plan = Plan(load(), device, dtype.name, compute, matrices, epilogue)
    return plan if plan.find_algorithm(vectors[0].data.ptr if vectors else 0, aligned, _limit(device)) else None


def _fits(vectors: list[Array], matrices: list[Matrix], summed: bool) -> bool:
    """Can one epilogue do it? Its vector is packed, as long as a row of ``out``; it sums no transposed operand."""
    _, b, out = matrices
    (n,), (stride,) = (vectors[0].shape, vectors[0].strides) if vectors[0].ndim == 1 else ((-1,), (-1,))
    packed = n == out.shape[1] and (n == 1 or stride == vectors[0].dtype.itemsize)
    return len(vectors) == 1 and packed and out.in_rows and (b.in_rows or not summed)


# --- calls ----------------------------------------------------------------------------------------------------


def _handle(lib: Any, device: int) -> c_void_p:
    if device not in _handles:
        made = c_void_p()
        _check("cublasLtCreate", lib.cublasLtCreate(byref(made)))
        _handles[device] = made
    return _handles[device]


def _new(lib: Any, kind: str, *arguments: Any) -> c_void_p:
    made = c.Owned()
    _check(f"cublasLt{kind}Create", getattr(lib, f"cublasLt{kind}Create")(byref(made), *arguments))
    made.destroy = getattr(lib, f"cublasLt{kind}Destroy")
    return made


def _set(lib: Any, kind: str, owner: c_void_p, values: list[tuple[c.Attribute, int]]) -> None:
    name = f"cublasLt{kind}SetAttribute"
    for (number, of_type), value in values:
        _check(name, getattr(lib, name)(owner, number, byref(of_type(value)), sizeof(of_type)))


def _check(name: str, status: int) -> None:
    if status:
        raise _failure(name, status)


def _failure(name: str, status: int) -> LtError:
    return LtError(
        f"cuBLASLt: {name} returned status {status} ({c.STATUS.get(status, 'unknown')}); "
        "XPGRAPH_GENERIC=1 in the environment computes without it."
    )
