"""Checklist: TFLOP/s of matrix products, xpgraph's beside CuPy's and PyTorch's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cupy
import numpy as np

from xpgraph.fast.cuda import cublaslt, device

from .captured import replay
from .results import LeftOut, Result, Rows, need
from .timing import Bench, product_rate

SIZES = (512, 1024, 2048, 4096, 8192)
TINY = (8, 16)  # sizes of a rehearsal
GROUP = 32  # products in one captured graph
BEYOND = 256 << 20  # bytes that the operands of a row take together: several times the L2 of an H200
SHOWN = {"xpgraph fp32": "fp32", "xpgraph tf32": "tf32"}  # in the last table


def add_rows(bench: Bench, rows: Rows) -> None:
    for name, (kind, *options) in CONTENDERS.items():
        contender = kind(bench, *options)
        for n in SIZES if bench.real else TINY:
            rows.row(f"gemm {n} {name}", contender.measure, n)


def summary(rows: dict[str, Result]) -> list[str]:
    """The rates of the largest products."""
    largest = max(SIZES if any(f"gemm {SIZES[-1]} {name}" in rows for name in SHOWN) else TINY)
    found = {kind: rows.get(f"gemm {largest} {name}", {}) for name, kind in SHOWN.items()}
    return [f"{kind} {row['tflops']:.0f} TFLOP/s" for kind, row in found.items() if "tflops" in row]


class Products:
    """(n, n) @ (n, n) of one library into memory that exists; random operands rotate beyond the L2.

    With ``graph``, GROUP of them are captured in a graph, so that the host does not show.
    """

    def __init__(self, bench: Bench, dtype: str, precision: str, graph: bool = False) -> None:
        self.bench, self.dtype, self.precision, self.graph = bench, dtype, precision, graph
        self.length = max(2 * SIZES[-1] ** 2, BEYOND // 4) if bench.real else 4 * TINY[-1] ** 2
        self.numbers: Any = None  # made by the first row that needs them

    def measure(self, n: int) -> Result:
        if self.graph and n > 2048:
            raise LeftOut("the host does not show at this size")
        if self.numbers is None:
            self.numbers = self.random()
        square = n * n
        sets = max(1, min(-(-BEYOND // (3 * square * self.itemsize())), self.length // (2 * square)))
        views = [self.numbers[k * square : (k + 1) * square].reshape(n, n) for k in range(2 * sets)]
        operands = [(views[2 * k], views[2 * k + 1], self.empty((n, n))) for k in range(sets)]

        def call(i: int) -> None:
            self.multiply(*operands[i % sets])

        if not self.graph:
            return product_rate(self.bench, n, call)
        replay_all = self.capture(call)  # it knows only the addresses of the operands
        return product_rate(self.bench, n, lambda i: replay_all(), GROUP)

    def itemsize(self) -> int:
        return self.numbers.itemsize

    def random(self) -> Any:
        """``length`` random numbers on the device."""
        block = np.random.default_rng(0).random(min(self.length, 1 << 25), np.float32) - np.float32(0.5)
        return self.bench.array(np.resize(block, self.length).astype(self.dtype, copy=False))

    def empty(self, shape: tuple[int, int]) -> Any:
        return cupy.empty(shape, self.dtype)

    def multiply(self, a: Any, b: Any, out: Any) -> None:
        """out = a @ b."""
        raise NotImplementedError

    def capture(self, call: Callable[[int], None]) -> Callable[[], None]:
        """Capture GROUP calls; what replays them."""
        raise NotImplementedError


class OfXpgraph(Products):
    def multiply(self, a: Any, b: Any, out: Any) -> None:
        if not cublaslt.matmul(a, b, out, precision=self.precision):
            raise LeftOut(f"cuBLASLt has no algorithm for {self.dtype} {self.precision}")

    def capture(self, call: Callable[[int], None]) -> Callable[[], None]:
        lane = device.Lane()
        with lane.enter():
            call(0)
        lane.join()
        graph = lane.capture(lambda: [call(i) for i in range(GROUP)])
        lane.join()
        return lambda: replay(lane, graph)


class OfCupy(Products):
    def random(self) -> Any:
        if self.dtype == "bfloat16":
            need("ml_dtypes")
            from ml_dtypes import bfloat16

            self.dtype = bfloat16
        self.bench.need_device()
        return super().random()

    def multiply(self, a: Any, b: Any, out: Any) -> None:
        cupy.matmul(a, b, out=out)


class OfTorch(Products):
    """In a rehearsal on the CPU."""

    def random(self) -> Any:
        need("torch")
        import torch

        torch.set_float32_matmul_precision(self.precision)
        where = "cuda" if self.bench.real else "cpu"
        return torch.empty(self.length, device=where).uniform_(-0.5, 0.5).to(getattr(torch, self.dtype))

    def itemsize(self) -> int:
        return self.numbers.element_size()

    def empty(self, shape: tuple[int, int]) -> Any:
        return self.numbers.new_empty(shape)

    def multiply(self, a: Any, b: Any, out: Any) -> None:
        import torch

        torch.mm(a, b, out=out)

    def capture(self, call: Callable[[int], None]) -> Callable[[], None]:
        import torch

        from benchmarks.rivals.with_torch import capture

        self.bench.need_device()
        return capture(torch, lambda: [call(i) for i in range(GROUP)]).replay


CONTENDERS = {  # class, dtype, precision in the library's words, whether captured in a graph
    "xpgraph fp32": (OfXpgraph, "float32", "fp32"),
    "xpgraph tf32": (OfXpgraph, "float32", "tf32"),
    "xpgraph fp64": (OfXpgraph, "float64", "fp32"),
    "xpgraph fp32, graph": (OfXpgraph, "float32", "fp32", True),
    "xpgraph tf32, graph": (OfXpgraph, "float32", "tf32", True),
    "cupy fp32": (OfCupy, "float32", "fp32"),
    "cupy bf16": (OfCupy, "bfloat16", ""),
    "torch fp32": (OfTorch, "float32", "highest"),
    "torch tf32": (OfTorch, "float32", "high"),
    "torch bf16": (OfTorch, "bfloat16", "highest"),
    "torch fp32, graph": (OfTorch, "float32", "highest", True),
    "torch tf32, graph": (OfTorch, "float32", "high", True),
}
