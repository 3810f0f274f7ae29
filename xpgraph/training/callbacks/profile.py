"""A profile of a training: the time of each kernel and node, compared with the time of its matrix products alone.

    profile = Profile(model)
    trainer.fit(x, t, ..., callbacks=[profile], graph=False)
    print("\\n".join(profile.lines()))

Outside of ``fit``, ``with profile:`` times the block. Use it with ``graph=False``: a replayed step makes no calls.

The time of a call does not include the calls that it makes. On a GPU, each call waits for the device, so the sum is
longer than the same run without a profile; each call is also an NVTX range, which NVIDIA's tools show.
"""

from __future__ import annotations

import importlib
import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

from ...arrays import random_numbers
from ...arrays.kernels import TABLE
from ...arrays.libraries import Array, Place, dtype_name, layout, library_of, on_host, place_of
from ...graph.inputs import first_parameter
from ...graph.text_table import columns
from ...nodes.basic import matmul
from ...nodes.copying import parts
from ..callback import Callback
from ..state import TrainingState

PRODUCTS: dict[str, Callable[..., tuple[Array, Array]]] = {  # {kernel: the factors of its matrix product}
    "matmul": lambda a, b, out=None: (a, b),
    "affine": lambda x, W, b: (x, W),
    "affine_grad": lambda x, dy, dW, db: (x.T, dy),
}
REPEATS = 5  # for each product alone; the fastest counts


class Profile(Callback):
    """Times every kernel on the model's library, and every node of the model, while a fit or a block runs.

    Parameters
    ----------
    model : Any
        The model to time, with at least one parameter.

    Attributes
    ----------
    seconds, calls : dict
        By (what, name): what is "kernel", "forward" or "backward".
    products : Counter
        How often each matrix product was made, by the shapes of its factors.
    total : float
        Seconds of all blocks and fits that were timed.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.seconds: dict[tuple[str, str], float] = defaultdict(float)
        self.calls: Counter[tuple[str, str]] = Counter()
        self.products: Counter[tuple[Any, ...]] = Counter()
        self.running: list[tuple[str, str]] = []  # the calls that have not returned yet, the outermost first
        self.inner: list[float] = []  # for each of them, the time of the calls that it made
        self.total = 0.0

    def __enter__(self) -> Profile:
        W = first_parameter(self.model)
        if W is None:
            raise ValueError("Profile: the model has no parameters, so there is no library to time.")
        self.like, self.kind = W, type(W)
        self.wait, self.push, self.pop = _device(W)
        self.bodies = {name: row.bodies.pop(self.kind, None) for name, row in TABLE.items()}
        library = library_of(W).name
        for name, row in TABLE.items():
            row.bodies[self.kind] = self._timed("kernel", name, row.body(library))
        self.named = [(f"{i} {type(part).__name__}", part) for i, part in enumerate(_leaves(self.model))]
        for name, part in self.named:
            part.forward = self._timed("forward", name, part.forward)
            part.backward = self._timed("backward", name, part.backward)
        self.start = time.perf_counter()
        return self

    def __exit__(self, *error: object) -> None:
        self.wait()
        self.total += time.perf_counter() - self.start
        for name, row in TABLE.items():
            row.bodies.pop(self.kind, None)
            if (body := self.bodies[name]) is not None:
                row.bodies[self.kind] = body
        for _, part in self.named:
            del part.forward, part.backward

    def begin(self, state: TrainingState) -> None:
        self.__enter__()

    def end(self, state: TrainingState) -> None:
        self.__exit__()

    def interrupt(self, state: TrainingState, error: BaseException) -> None:
        self.__exit__()

    def _timed(self, what: str, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        key, factors = (what, name), PRODUCTS.get(name) if what == "kernel" else None

        def timed(*args: Any, **more: Any) -> Any:
            if factors is not None and not any(k[0] == "kernel" and k[1] in PRODUCTS for k in self.running):
                a, b = factors(*args)  # only of the outermost: the generic body of affine calls matmul
                self.products[_layout(a), _layout(b)] += 1
            self.inner.append(0.0)
            self.running.append(key)
            self.push(name)
            begin = time.perf_counter()
            try:
                return call(*args, **more)
            finally:
                self.wait()
                took = time.perf_counter() - begin
                self.pop()
                self.running.pop()
                self.seconds[key] += took - self.inner.pop()
                self.calls[key] += 1
                if self.inner:
                    self.inner[-1] += took

        return timed

    def product_seconds(self) -> float:
        """Seconds of the matrix products alone: each made again, into memory that exists; the fastest of five times."""
        where, dtype, total = place_of(self.like), dtype_name(self.like), 0.0
        for (a, b), count in self.products.items():
            left, right = (_drawn(where, shape, turned, dtype) for shape, turned in (a, b))
            out = _drawn(where, (a[0][0], b[0][1]), False, dtype)
            times = []
            for _ in range(REPEATS):
                begin = time.perf_counter()
                matmul(left, right, out)
                self.wait()
                times.append(time.perf_counter() - begin)
            total += count * min(times)
        return total

    def rows(self) -> list[tuple[str, str, int, float]]:
        """(what, name, calls, seconds), the longest first; the last row is the time outside of kernels and nodes."""
        rows = [(what, name, self.calls[what, name], s) for (what, name), s in self.seconds.items()]
        rest = self.total - math.fsum(s for *_, s in rows)
        return [*sorted(rows, key=lambda row: -row[3]), ("rest", "Trainer, data, report", 1, max(0.0, rest))]

    def lines(self) -> list[str]:
        """The table of ``rows`` with shares of the total, and the total as a multiple of ``product_seconds``."""
        table = [("seconds", "share", "calls", "", "")]
        for what, name, calls, seconds in self.rows():
            table.append((f"{seconds:.4f}", f"{seconds / self.total:.1%}", str(calls), what, name))
        last, alone = f"{self.total:.4f} s in all", self.product_seconds()
        if alone:
            last += f"; its matrix products alone take {alone:.4f} s: {self.total / alone:.2f} times that"
        return [*columns(table, right=(0, 1, 2)), last]


def _leaves(model: Any) -> list[Any]:
    """The nodes that contain no other nodes, in order."""
    return [part for part in parts(model) if len(list(parts(part))) == 1]


def _layout(a: Array) -> tuple[tuple[int, int], bool]:
    """(shape of a matrix, is it stored column by column)."""
    strides = layout(a).strides
    return (a.shape[0], a.shape[1]), strides[0] < strides[1]


def _drawn(where: Place, shape: tuple[int, int], turned: bool, dtype: str) -> Array:
    """A random matrix; ``turned``: stored column by column."""
    a = where.asarray(random_numbers.uniform(shape[::-1] if turned else shape, 0, "data"), dtype)
    return a.T if turned else a


def _device(a: Array) -> tuple[Callable[[], None], Callable[[str], None], Callable[[], None]]:
    """Three functions: wait for the device of a; begin, and end, an NVTX range."""
    if on_host(a):
        return (lambda: None), (lambda name: None), (lambda: None)
    cuda = importlib.import_module(library_of(a).name).cuda
    return (lambda: cuda.Device().synchronize()), cuda.nvtx.RangePush, cuda.nvtx.RangePop  # sync
