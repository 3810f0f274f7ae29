"""The most memory that training takes: of the process, and of the arrays alone."""

from __future__ import annotations

import importlib
import tracemalloc

from .training import Training

STEPS = 5


class PeakMemory(Training):
    """Five steps in a process of its own. The libraries that it imports count, too: compare a backend with itself."""

    def setup(self, workload: str, backend: str, body: str) -> None:
        super().setup(workload, backend, body)
        if backend == "cupy":
            raise NotImplementedError("the memory that counts is the device's: ArrayMemory")

    def peakmem_steps(self, workload: str, backend: str, body: str) -> None:
        """Bytes at the most, in main memory."""
        for _ in range(STEPS):
            self.step(backend)


class ArrayMemory(Training):
    """Five steps, from the making of data, model and optimizer on. n/a for PyTorch, which tells it of no CPU."""

    def setup(self, workload: str, backend: str, body: str) -> None:
        super().setup(workload, backend, body)
        if backend == "torch":
            raise NotImplementedError("PyTorch does not count what it allocates on the CPU")

    def track_bytes(self, workload: str, backend: str, body: str) -> int:
        """Bytes at the most: on NumPy what Python traces, on CuPy what its pool took, and it gives none back."""
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
