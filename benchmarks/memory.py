"""Peak memory of training: of the whole process, and of the arrays alone."""

from __future__ import annotations

import importlib
import tracemalloc

from .training import Training

STEPS = 5


class PeakMemory(Training):
    """Five steps in a process of its own. Imported libraries count too, so compare a backend only with itself."""

    def setup(self, workload: str, backend: str, body: str) -> None:
        super().setup(workload, backend, body)
        if backend == "cupy":
            raise NotImplementedError("on a GPU the memory of the device counts: see ArrayMemory")

    def peakmem_steps(self, workload: str, backend: str, body: str) -> None:
        """Peak bytes in main memory."""
        for _ in range(STEPS):
            self.step(backend)


class ArrayMemory(Training):
    """Five steps, and making data, model and optimizer. n/a for PyTorch, which does not count memory on the CPU."""

    def setup(self, workload: str, backend: str, body: str) -> None:
        super().setup(workload, backend, body)
        if backend == "torch":
            raise NotImplementedError("PyTorch does not count what it allocates on the CPU")

    def track_bytes(self, workload: str, backend: str, body: str) -> int:
        """Peak bytes: on NumPy what tracemalloc traces, on CuPy what its pool took (a pool returns nothing)."""
        where = self.where
        del self.x, self.t, self.model, self.optimizer
        if backend == "cupy":
            pool = importlib.import_module("cupy").get_default_memory_pool()
            pool.free_all_blocks()
        else:
            tracemalloc.start()
        try:
            self.make(workload, where)
            for _ in range(STEPS):
                self.step(backend)
            return pool.total_bytes() if backend == "cupy" else tracemalloc.get_traced_memory()[1]
        finally:
            if backend != "cupy":
                tracemalloc.stop()

    track_bytes.unit = "bytes"  # type: ignore[attr-defined]
