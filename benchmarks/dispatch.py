"""The cost of dispatch: a call of an empty kernel through the table, and of a node on one number."""

from __future__ import annotations

from typing import Any

from xpgraph.arrays.kernels import TABLE, kernel
from xpgraph.nodes.basic import Add

from .common import BACKENDS, backend_place, median_seconds, synchronise

CALLS = 1000


class Dispatch:
    """1,000 calls. ``first``: the first argument, on whose type kernels dispatch: an array or a list of arrays."""

    version = "1"
    params = (("array", "list"), BACKENDS)
    param_names = ("first", "backend")

    def setup(self, first: str, backend: str) -> None:
        x = backend_place(backend).asarray([1.0], "float32")

        def nothing(xp: Any, x: Any) -> Any:
            return x

        self.call = kernel(nothing)
        del TABLE["nothing"]  # the kernel keeps its row; other benchmarks must not find it in the table
        self.body, self.x = self.call.row.body(backend), x if first == "array" else [x]
        self.time_thousand_calls(first, backend)

    def time_thousand_calls(self, first: str, backend: str) -> None:
        """Seconds for 1,000 calls of an empty kernel through the table."""
        call, x = self.call, self.x
        for _ in range(CALLS):
            call(x)

    def track_seconds_of_a_dispatch(self, first: str, backend: str) -> float:
        """Seconds by which a call through the table takes longer than a call of the body itself; lower is better."""

        def direct() -> None:
            body, x = self.body, self.x
            for _ in range(CALLS):
                body(x)

        through = median_seconds(lambda: self.time_thousand_calls(first, backend))
        return float(f"{max(through - median_seconds(direct), 1e-12) / CALLS:.3g}")

    track_seconds_of_a_dispatch.unit = "s"  # type: ignore[attr-defined]


class SmallNode:
    """Add.forward and backward on one number: checks, dispatch and the library's own call; no arithmetic."""

    version = "1"
    params = (BACKENDS,)
    param_names = ("backend",)

    def setup(self, backend: str) -> None:
        where = backend_place(backend)
        self.x, self.y = where.asarray([1.0], "float32"), where.asarray([2.0], "float32")
        self.node = Add()
        self.time_hundred_calls(backend)

    def time_hundred_calls(self, backend: str) -> None:
        """Seconds for 100 times forward and backward."""
        node, x, y = self.node, self.x, self.y
        for _ in range(100):
            node.backward(node.forward(x, y))
        synchronise(backend)
