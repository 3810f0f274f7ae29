"""The product of two square matrices, which every Affine and MatMul comes down to."""

from __future__ import annotations

import time

from xpgraph.nodes.basic import matmul

from . import common
from .common import BACKENDS, BODIES, backend_place, median_seconds, need_body, synchronise
from .samples import LAYOUTS, square_matrices

NS, DTYPES = (256, 512, 1024), ("float32", "float64")


class Matmul:
    """C = A B, written into C, (n, n) @ (n, n): 2 n³ operations. Body fast is n/a where matmul has no fast body.

    ``layout``: a.T and b.T are transposes of packed matrices, as the products of a backward pass have them.
    """

    version = "1"
    params = (NS, DTYPES, LAYOUTS, BACKENDS, BODIES[:2])
    param_names = ("n", "dtype", "layout", "backend", "body")

    def setup(self, n: int, dtype: str, layout: str, backend: str, body: str) -> None:
        where = backend_place(backend)
        need_body(backend, body, "matmul")
        a, b, c = (where.asarray(m if m.flags.c_contiguous else m.T) for m in square_matrices(n, dtype, layout))
        self.a, self.b, self.c = a.T if layout == "a.T" else a, b.T if layout == "b.T" else b, c
        self.body = matmul.row.body(backend, generic=body == "namespace")
        for _ in range(2):
            self.time_product(n, dtype, layout, backend, body)

    def time_product(self, n: int, dtype: str, layout: str, backend: str, body: str) -> None:
        """Seconds for one product, the device's work included."""
        self.body(self.a, self.b, self.c)
        synchronise(backend)


class MatmulRate:
    """The same as a rate, for packed matrices and the body that users get. asv guards Matmul.time_product instead."""

    version = "1"
    params = (NS, DTYPES, BACKENDS)
    param_names = ("n", "dtype", "backend")

    def setup(self, n: int, dtype: str, backend: str) -> None:
        self.place = backend_place(backend)
        self.a, self.b, self.c = map(self.place.asarray, square_matrices(n, dtype, "plain"))
        for _ in range(2):
            self.product(backend)

    def product(self, backend: str) -> None:
        matmul(self.a, self.b, self.c)
        synchronise(backend)

    def track_gflops_unguarded(self, n: int, dtype: str, backend: str) -> float:
        """10⁹ operations a second: higher is better, which asv cannot guard."""
        return round(2e-9 * n**3 / median_seconds(lambda: self.product(backend)), 1)

    def track_fraction_of_peak_unguarded(self, n: int, dtype: str, backend: str) -> float:
        """The rate as a fraction of ``peak``, the fastest large product that this machine made just now."""
        rate = 2.0 * n**3 / median_seconds(lambda: self.product(backend))
        return round(rate / peak(backend, dtype), 3)

    track_gflops_unguarded.unit = "GFLOP/s"  # type: ignore[attr-defined]
    track_fraction_of_peak_unguarded.unit = "of peak"  # type: ignore[attr-defined]


def peak(backend: str, dtype: str) -> float:
    """Operations a second of the array library's own large product, the best of several.

    On the CPU NumPy's, whatever the backend, with as many threads as the BLAS was given; on a GPU CuPy's.
    """
    library = "cupy" if backend == "cupy" else "numpy"
    place, n = backend_place(library), 4096 if backend == "cupy" else 1536
    a, b, c = map(place.asarray, square_matrices(n, dtype, "plain"))
    best, end = float("inf"), time.perf_counter() + 2 * common.BUDGET
    while best == float("inf") or time.perf_counter() < end:
        start = time.perf_counter()
        place.xp.matmul(a, b, out=c)
        synchronise(library)
        best = min(best, time.perf_counter() - start)
    return 2.0 * n**3 / best
