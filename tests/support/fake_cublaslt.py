"""A fake cuBLASLt that computes in host memory: the same C functions, with the same rules for their arguments.

It is not a copy of the library: it has the functions that fast/cuda uses, and one algorithm, NumPy's.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from functools import partialmethod
from typing import Any

import numpy as np

NOT_INITIALIZED, INVALID_VALUE, NOT_SUPPORTED = 1, 7, 15
TYPES = {0: np.float32, 1: np.float64}
COMPUTES = {68: 0, 77: 0, 70: 1}  # compute type: the data and scale type that fast/cuda uses with it
SIZES = {  # bytes of each attribute in use, as the header declares it
    "descriptor": {2: 4, 3: 4, 4: 4, 7: 4, 8: 8, 26: 4},
    "layout": {0: 4, 1: 4, 2: 8, 3: 8, 4: 8},
    "preference": {1: 8, 5: 4, 6: 4, 7: 4, 8: 4},
}
TRANSA, TRANSB, EPILOGUE, BIAS_POINTER = 3, 4, 7, 8
DEFAULT, BIAS, BGRADA = 1, 4, 256


@dataclass
class Object:
    """What an opaque address refers to: a handle, descriptor, layout or preference."""

    kind: str
    attributes: dict[int, int] = field(default_factory=dict)


@dataclass
class Call:
    """The arguments of one product: sizes and leading dimensions in column-major terms, as the library takes them."""

    m: int
    n: int
    k: int
    ops: tuple[int, int]
    lds: tuple[int, int, int]
    compute: int
    epilogue: int
    bias: int
    workspace: tuple[int, int]
    stream: int


def plain(a: Any) -> int:
    """The number in a ctypes object, a Python number, or None."""
    a = getattr(a, "value", a)
    return 0 if a is None else int(a)


def memory(address: int, kind: type, rows: int, columns: int, ld: int, order: int = 0) -> np.ndarray:
    """A matrix at an address, column-major or (``order`` 1) row-major."""
    if order:
        return memory(address, kind, columns, rows, ld).T
    item = np.dtype(kind).itemsize
    buffer = (ctypes.c_char * ((ld * (columns - 1) + rows) * item)).from_address(address)
    return np.ndarray((rows, columns), kind, buffer, strides=(item, ld * item))


def tf32(a: np.ndarray) -> np.ndarray:
    """Rounded to nearest, ties to even, at 10 bits of mantissa."""
    bits = a.astype(np.float32).view(np.uint32)
    return ((bits + 0xFFF + ((bits >> 13) & 1)) & np.uint32(0xFFFFE000)).view(np.float32)


class CublasLt:
    """The library. ``refuse``: epilogues it has no algorithm for; ``status``: {function: what it returns instead of 0}.

    ``workspace``: bytes that its algorithm needs.
    """

    def __init__(self, refuse: tuple[int, ...] = (), status: dict[str, int] | None = None, workspace: int = 0) -> None:
        self.refuse, self.status, self.workspace = refuse, status or {}, workspace
        self.objects: dict[int, Object] = {}
        self.made = 0
        self.problems: list[tuple[Any, ...]] = []  # every product an algorithm was asked for, and the alignments
        self.calls: list[Call] = []

    def _make(self, to: Any, name: str, kind: str, **attributes: Any) -> int:
        if name in self.status:
            return self.status[name]
        self.made += 1
        number = 0x7F0000000000 + 64 * self.made  # has as many bits as a real address
        self.objects[number] = Object(kind, {int(k[1:]): v for k, v in attributes.items()})
        to._obj.value = number
        return 0

    def _get(self, address: Any, kind: str) -> dict[int, int]:
        found = self.objects[plain(address)]  # KeyError: destroyed, or never made
        assert found.kind == kind, f"a {found.kind} is given for a {kind}"
        return found.attributes

    def _set(self, kind: str, address: Any, number: int, value: Any, size: int) -> int:
        if SIZES[kind].get(number) != size or ctypes.sizeof(value._obj) != size:
            return INVALID_VALUE
        self._get(address, kind)[number] = plain(value._obj)
        return 0

    def _destroy(self, kind: str, address: Any) -> int:
        self._get(address, kind)
        del self.objects[plain(address)]
        return 0

    cublasLtMatmulDescSetAttribute = partialmethod(_set, "descriptor")
    cublasLtMatmulPreferenceSetAttribute = partialmethod(_set, "preference")
    cublasLtMatmulDescDestroy = partialmethod(_destroy, "descriptor")
    cublasLtMatrixLayoutDestroy = partialmethod(_destroy, "layout")
    cublasLtMatmulPreferenceDestroy = partialmethod(_destroy, "preference")

    def cublasLtCreate(self, to):
        return self._make(to, "cublasLtCreate", "handle")

    def cublasLtMatmulDescCreate(self, to, compute, scale):
        return self._make(to, "cublasLtMatmulDescCreate", "descriptor", _0=compute, _1=scale, _7=DEFAULT)

    def cublasLtMatrixLayoutCreate(self, to, kind, rows, columns, ld):
        return self._make(to, "cublasLtMatrixLayoutCreate", "layout", _0=kind, _1=0, _2=rows, _3=columns, _4=ld)

    def cublasLtMatmulPreferenceCreate(self, to):
        alignments = dict.fromkeys(("_5", "_6", "_7", "_8"), 256)
        return self._make(to, "cublasLtMatmulPreferenceCreate", "preference", _1=0, **alignments)

    def _problem(self, descriptor: dict[int, int], layouts: list[dict[int, int]]) -> tuple[Any, ...] | None:
        """A product without its addresses; None if the library would call it invalid."""
        a, b, c, d = ({0: x[0], 1: x[1], "size": (x[2], x[3]), 4: x[4]} for x in layouts)
        if any(x[4] < x["size"][x[1] == 1] or x[0] != COMPUTES[descriptor[0]] for x in (a, b, c, d)) or c != d:
            return None
        ops, epilogue = (descriptor.get(TRANSA, 0), descriptor.get(TRANSB, 0)), descriptor[EPILOGUE]
        (m, k), (k2, n) = (x["size"][:: -1 if op else 1] for x, op in zip((a, b), ops, strict=True))
        bias = descriptor.get(BIAS_POINTER, 0)
        if k != k2 or d["size"] != (m, n) or descriptor[1] != d[0] or (bias != 0) != (epilogue != DEFAULT):
            return None
        if (epilogue == BGRADA and (ops[0] or a[1])) or (epilogue == BIAS and d[1]):
            return None  # BGRADA "only works with non-transposed A" in columns, BIAS with D in columns
        orders = a[1], b[1], d[1]
        return m, n, k, ops, (a[4], b[4], d[4]), descriptor[0], epilogue, orders, _aligned(bias)

    def cublasLtMatmulAlgoGetHeuristic(self, handle, descriptor, a, b, c, d, preference, wanted, results, count):
        if "cublasLtMatmulAlgoGetHeuristic" in self.status:
            return self.status["cublasLtMatmulAlgoGetHeuristic"]
        self._get(handle, "handle")
        descriptor, wish = self._get(descriptor, "descriptor"), self._get(preference, "preference")
        problem = self._problem(descriptor, [self._get(x, "layout") for x in (a, b, c, d)])
        if problem is None or wanted < 1:
            return INVALID_VALUE
        self.problems.append((problem, [wish[i] for i in (5, 6, 7, 8)]))
        if descriptor[EPILOGUE] in self.refuse or wish[1] < self.workspace:
            return NOT_SUPPORTED
        results._obj.algo.data[0] = len(self.problems) - 1
        results._obj.workspace, results._obj.state, count._obj.value = self.workspace, 0, 1
        return 0

    def cublasLtMatmul(
        self, handle, descriptor, alpha, a, la, b, lb, beta, c, lc, d, ld, algo, workspace, size, stream
    ):  # fmt: skip
        if "cublasLtMatmul" in self.status:
            return self.status["cublasLtMatmul"]
        if plain(handle) not in self.objects:
            return NOT_INITIALIZED
        descriptor = self._get(descriptor, "descriptor")
        a, b, c, d = (plain(x) for x in (a, b, c, d))
        problem, alignments = self.problems[algo._obj.data[0]]
        if self._problem(descriptor, [self._get(x, "layout") for x in (la, lb, lc, ld)]) != problem:
            return INVALID_VALUE
        if any(address % n for address, n in zip((a, b, c, d), alignments, strict=True)):
            return INVALID_VALUE
        if size < self.workspace or plain(workspace) % 256 or (size and not plain(workspace)):
            return INVALID_VALUE
        m, n, k, ops, lds, compute, epilogue, orders, _ = problem
        kind, bias = TYPES[COMPUTES[compute]], descriptor.get(BIAS_POINTER, 0)
        first = memory(a, kind, *((k, m) if ops[0] else (m, k)), lds[0], orders[0])
        second = memory(b, kind, *((n, k) if ops[1] else (k, n)), lds[1], orders[1])
        x, y = (tf32(first), tf32(second)) if compute == 77 else (first, second)
        result = alpha._obj.value * ((x.T if ops[0] else x) @ (y.T if ops[1] else y))
        if beta._obj.value:
            result += beta._obj.value * memory(c, kind, m, n, lds[2], orders[2])
        if epilogue == BIAS:
            result += memory(bias, kind, m, 1, m)
        if epilogue == BGRADA:
            memory(bias, kind, m, 1, m)[:, 0] = first.sum(1)
        memory(d, kind, m, n, lds[2], orders[2])[...] = result
        self.calls.append(
            Call(m, n, k, ops, lds, compute, epilogue, bias, (plain(workspace), size), plain(stream))
        )  # fmt: skip
        return 0


def _aligned(address: int) -> int:
    return min(address & -address, 16) or 16
