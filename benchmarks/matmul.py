"""The product of two square float32 matrices, which every Affine and MatMul comes down to."""

from __future__ import annotations

import numpy as np

from xpgraph.nodes import matmul

from .common import BACKENDS, BODIES, backend_place, median_seconds, need_fast_body, synchronise


class Matmul:
    """C = A B, written into C, (n, n) @ (n, n): 2 n³ operations. Body fast is n/a where matmul has no fast body."""

    version = "1"
    params = ((256, 512, 1024), BACKENDS, BODIES)
    param_names = ("n", "backend", "body")

    def setup(self, n: int, backend: str, body: str) -> None:
        where = backend_place(backend)
        if body == "fast":
            need_fast_body(backend, "matmul")
        random = np.random.default_rng(0)
        self.a, self.b, self.c = (where.asarray(random.standard_normal((n, n)).astype("float32")) for _ in range(3))
        self.body = matmul.row.body(backend, generic=body == "namespace")
        for _ in range(3):
            self.time_product(n, backend, body)

    def time_product(self, n: int, backend: str, body: str) -> None:
        """Seconds for one product, the device's work included."""
        self.body(self.a, self.b, self.c)
        synchronise(backend)

    def track_gflops_unguarded(self, n: int, backend: str, body: str) -> float:
        """10⁹ operations a second: higher is better, which asv cannot guard; time_product is guarded."""
        return round(2e-9 * n**3 / median_seconds(lambda: self.time_product(n, backend, body)), 1)

    track_gflops_unguarded.unit = "GFLOP/s"  # type: ignore[attr-defined]
