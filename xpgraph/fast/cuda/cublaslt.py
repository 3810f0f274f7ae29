"""Matrix products of CuPy arrays through cuBLASLt, which is called by ctypes.

``cupy.matmul`` cannot be captured in a CUDA graph: CuPy refuses every call of cuBLAS while a stream is capturing. The
refusal is CuPy's own, not CUDA's; cuBLASLt called directly, with a handle and a workspace of our own, can be captured.
How it computes a product, a *plan*, is chosen once for each device, precision, dtypes, shapes, strides and alignment.
"""

from __future__ import annotations

import threading
from functools import cache
from typing import Any

import cupy

from ...arrays.libraries import Array
from . import cublaslt_header as header
from .cublaslt_plan import CublasLtError, Matrix, Plan, failure
from .device import PER_THREAD

Arrays = tuple[Array, Array, Array]
MIB = 1 << 20
MAX_PLANS = 4096  # when there are more, all are forgotten and made anew

COMPUTE_TYPES = {"fp32": header.COMPUTE_32F, "tf32": header.COMPUTE_32F_FAST_TF32}  # of float32 products

plans: dict[Any, Plan | None] = {}  # None: cuBLASLt cannot do it
workspaces: dict[tuple[int, int, int], Any] = {}  # by device, stream, thread; never freed: a graph may hold the address
_making = threading.Lock()


def available() -> str | None:
    """None if cuBLASLt can be loaded, else the reason. Never raises."""
    try:
        load()
    except Exception as error:
        return str(error).removeprefix("cuBLASLt: ")
    return None


@cache
def _find() -> tuple[Any, str]:
    """The library and "", or None and why it cannot be loaded."""
    try:
        return header.find(), ""
    except (OSError, AttributeError) as error:
        return None, str(error)


def load() -> Any:
    """The library, with its functions as attributes; searched for once. Raises CublasLtError if it cannot be loaded."""
    library, reason = _find()
    if library is None:
        raise CublasLtError(f"cuBLASLt: {reason}; it comes with CuPy's extra [ctk] and with the CUDA toolkit")
    return library


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

    Returns False, with nothing launched, for what cuBLASLt cannot do: other dtypes than float32 and float64, layouts
    that need a copy, an empty axis, ``bias`` and ``column_sum`` at once or with a column-major ``out``, ``column_sum``
    of a column-major b, whatever it has no algorithm for. ``precision`` is "fp32" or "tf32"; float64 ignores it.
    ``out`` must share no memory with a and b.

    Runs on the current stream. If that stream is capturing, the same product must have run on it before, because plans
    and workspaces are made at first use, which a capture may not allow. Raises CublasLtError when a call fails.
    """
    device, stream = device_number(), stream_address()
    left, right, result, vector_address = b.data.ptr, a.data.ptr, out.data.ptr, 0
    vector, epilogue = column_sum if bias is None else bias, None
    if vector is not None:
        vector_address = vector.data.ptr
        epilogue = (bias is None, column_sum is None, vector.dtype, vector.shape, vector.strides)
    low_bits = (left | right | result | vector_address) & 15
    alignment = low_bits & -low_bits or 16
    key = (device, precision, alignment, a.dtype, a.shape, a.strides, b.dtype, b.shape, b.strides,
           out.dtype, out.shape, out.strides, epilogue)  # fmt: skip
    try:
        plan = plans[key]
    except KeyError:
        plan = _plan_once(key, device, (a, b, out), bias, column_sum, precision, alignment)
    if plan is None:
        return False
    if plan.column_major:
        left, right = right, left
    workspace = workspace_address(device, stream) if plan.workspace else None
    status = plan.call(
        plan.handle, plan.descriptors.get(vector_address) or plan.descriptor(vector_address), plan.one, left, plan.left,
        right, plan.right, plan.zero, result, plan.result, result, plan.result, plan.algorithm, workspace,
        plan.workspace, stream,
    )  # fmt: skip
    if status:
        raise failure("cublasLtMatmul", status)
    return True


# --- the device: the tests replace these four on a machine without a GPU ---------------------------------------


def device_number() -> int:
    return cupy.cuda.runtime.getDevice()


def stream_address() -> int:
    return cupy.cuda.get_current_stream().ptr


@cache
def workspace_limit(device: int) -> int:
    """Bytes of workspace: what NVIDIA recommends for cuBLAS, 32 MiB from Hopper on, 8 MiB before."""
    return (32 if int(cupy.cuda.Device(device).compute_capability) >= 90 else 8) * MIB


def workspace_address(device: int, stream: int) -> int:
    """The workspace of a stream: products on one stream take turns, on two streams they would race for it."""
    key = device, stream, threading.get_ident() if stream == PER_THREAD else 0
    try:
        return workspaces[key].ptr
    except KeyError:
        with _making:
            if key not in workspaces:
                # From the driver, not from a pool: the current pool may belong to a graph, and die with it.
                workspaces[key] = cupy.cuda.Memory(workspace_limit(device))
            return workspaces[key].ptr


def _plan_once(key: Any, *arguments: Any) -> Plan | None:
    with _making:
        if key not in plans:
            if len(plans) >= MAX_PLANS:
                plans.clear()
            plans[key] = _make_plan(*arguments)
        return plans[key]


def _make_plan(
    device: int, arrays: Arrays, bias: Array | None, column_sum: Array | None, precision: str, alignment: int
) -> Plan | None:
    """A plan with its algorithm, or None for what is not supported. ``arrays``: a, b and out."""
    a, b, out = arrays
    if precision not in COMPUTE_TYPES:
        raise ValueError(f"cuBLASLt: precision is {precision!r}; give one of {', '.join(COMPUTE_TYPES)}.")
    dtype, vectors = a.dtype, [x for x in (bias, column_sum) if x is not None]
    if dtype.name not in ("float32", "float64") or any(x.dtype != dtype for x in (b, out, *vectors)):
        return None
    if alignment < dtype.itemsize or not a.ndim == b.ndim == out.ndim == 2 or 0 in (*a.shape, *b.shape):
        return None
    if a.shape[1] != b.shape[0] or out.shape != (a.shape[0], b.shape[1]):
        return None
    matrices = [matrix for matrix in map(_matrix, arrays) if matrix is not None]
    if len(matrices) < 3 or (vectors and not _epilogue_fits(vectors, matrices, column_sum is not None)):
        return None
    epilogue = header.EPILOGUE_BIAS if bias is not None else header.EPILOGUE_BGRADA if column_sum is not None else 0
    compute_type = COMPUTE_TYPES[precision] if dtype.name == "float32" else header.COMPUTE_64F
    plan = Plan(load(), device, dtype.name, compute_type, matrices, epilogue)
    found = plan.find_algorithm(vectors[0].data.ptr if vectors else 0, alignment, workspace_limit(device))
    return plan if found else None


def _matrix(a: Array) -> Matrix | None:
    """How a matrix lies in memory; None for a layout that needs a copy. Strides of axes of length 1 are ignored."""
    (m, n), (down, across), item = a.shape, a.strides, a.dtype.itemsize
    if (n == 1 or across == item) and (m == 1 or (down >= n * item and down % item == 0)):
        return Matrix((m, n), True, n if m == 1 else down // item)
    if (m == 1 or down == item) and across >= m * item and across % item == 0:
        return Matrix((m, n), False, across // item)
    return None


def _epilogue_fits(vectors: list[Array], matrices: list[Matrix], summed: bool) -> bool:
    """Can one epilogue do it? It takes one packed vector as long as a row of ``out``, and sums no transposed matrix."""
    _, b, out = matrices
    (n,), (stride,) = (vectors[0].shape, vectors[0].strides) if vectors[0].ndim == 1 else ((-1,), (-1,))
    packed = n == out.shape[1] and (n == 1 or stride == vectors[0].dtype.itemsize)
    return len(vectors) == 1 and packed and out.row_major and (b.row_major or not summed)
