"""Training on random data: one step (forward, backward, update), and an epoch of ``Trainer.fit``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any
from unittest import mock

import numpy as np

import xpgraph
from xpgraph.arrays.kernels import TABLE
from xpgraph.arrays.libraries import Place

from .common import BACKENDS, BODIES, backend_place, bodies, forget_bodies, median_seconds, need_body, synchronise
from .samples import STEPS

BATCHES = 20  # in an epoch


class Training:
    """A float32 perceptron with sigmoids. Body fast is n/a where the library has no fast body at all."""

    version = "1"
    params: tuple[tuple[Any, ...], ...] = (tuple(STEPS), BACKENDS, BODIES)
    param_names = ("workload", "backend", "body")
    batches = 1

    def setup(self, workload: str, backend: str, body: str) -> None:
        self.chosen = ExitStack()  # first of all: asv calls teardown after a setup that gave n/a, too
        self.where = backend_place(backend)
        need_body(backend, body)
        self.make(workload, self.where)
        self.chosen.enter_context(bodies(body))

    def make(self, workload: str, where: Place) -> None:
        sizes, self.rows, optimizer, numbers = STEPS[workload]
        random, n = np.random.default_rng(0), self.rows * self.batches
        self.x = where.asarray(random.random((n, sizes[0])).astype("float32"))
        self.t = where.asarray(random.integers(0, sizes[-1], n))
        self.model, self.optimizer = xpgraph.mlp(sizes, backend=where), getattr(xpgraph, optimizer)(**numbers)

    def teardown(self, workload: str, backend: str, body: str) -> None:
        self.chosen.close()

    def step(self, backend: str) -> None:
        self.model.forward(self.x, self.t)
        self.model.backward()
        self.optimizer.update(self.model.params, self.model.grads)
        synchronise(backend)


class Step(Training):
    """One step. Gathering the batch and reporting are not in it."""

    def setup(self, workload: str, backend: str, body: str) -> None:
        super().setup(workload, backend, body)
        for _ in range(3):
            self.time_step(workload, backend, body)

    def time_step(self, workload: str, backend: str, body: str) -> None:
        """Seconds for one step, the device's work included."""
        self.step(backend)

    def track_samples_per_second_unguarded(self, workload: str, backend: str, body: str) -> float:
        """Rows a second: higher is better, which asv cannot guard; time_step is guarded."""
        return round(self.rows / median_seconds(lambda: self.time_step(workload, backend, body)), 1)

    track_samples_per_second_unguarded.unit = "samples/s"  # type: ignore[attr-defined]


class Fit(Training):
    """An epoch of 20 batches through ``Trainer.fit``, with shuffling, gathering, checks and a line every 20th step."""

    batches = BATCHES

    def setup(self, workload: str, backend: str, body: str) -> None:
        super().setup(workload, backend, body)
        self.trainer = xpgraph.Trainer(self.model, self.optimizer)
        self.time_epoch(workload, backend, body)

    def time_epoch(self, workload: str, backend: str, body: str) -> None:
        """Seconds for one epoch; on a GPU, with the capture of the step as a CUDA graph."""
        lines = xpgraph.Lines(write=lambda line: None)
        self.trainer.fit(self.x, self.t, 1, self.rows, eval_interval=20, report=lines)
        synchronise(backend)

    def track_samples_per_second_unguarded(self, workload: str, backend: str, body: str) -> float:
        """Rows a second: higher is better, which asv cannot guard; time_epoch is guarded."""
        seconds = median_seconds(lambda: self.time_epoch(workload, backend, body))
        return round(BATCHES * self.rows / seconds, 1)

    track_samples_per_second_unguarded.unit = "samples/s"  # type: ignore[attr-defined]


class Launches(Training):
    """How many bodies of kernels a step calls; on CuPy, how many kernels and products the fast bodies launch.

    Launches that CuPy itself makes are not counted, so its generic bodies are n/a.
    """

    def setup(self, workload: str, backend: str, body: str) -> None:
        super().setup(workload, backend, body)
        if backend == "cupy" and body == "namespace":
            raise NotImplementedError("launches that CuPy itself makes are not counted")
        self.step(backend)

    def track_launches(self, workload: str, backend: str, body: str) -> int:
        """Calls in one step; lower is better, so asv guards it."""
        with counted_on_cupy() if backend == "cupy" else counted_in_table() as calls:
            self.step(backend)
        return sum(calls.values())

    track_launches.unit = "launches"  # type: ignore[attr-defined]


@contextmanager
def counted_in_table() -> Iterator[Counter[str]]:
    """Count the calls of bodies, by kernel, of those kernels that have been called before."""
    calls: Counter[str] = Counter()

    def count(name: str, body: Callable[..., Any], *args: Any) -> Any:
        calls[name] += 1
        return body(*args)

    for name, row in TABLE.items():
        row.bodies.update({kind: partial(count, name, body) for kind, body in row.bodies.items()})
    try:
        yield calls
    finally:
        forget_bodies()


@contextmanager
def counted_on_cupy() -> Iterator[Counter[str]]:
    """Count the launches of our own kernels and of cuBLASLt."""
    from xpgraph.fast.cuda import cublaslt, device

    calls: Counter[str] = Counter()
    launch, matmul = device.launch, cublaslt.matmul

    def count_launch(name: str, *args: Any) -> None:
        calls[name] += 1
        launch(name, *args)

    def count_matmul(*args: Any, **options: Any) -> bool:
        taken = matmul(*args, **options)
        calls["matmul"] += bool(taken)
        return taken

    with mock.patch.object(device, "launch", count_launch), mock.patch.object(cublaslt, "matmul", count_matmul):
        yield calls
