"""One training step on random data: forward, backward, update. Gathering the batch and reporting are not in it."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np

import xpgraph

from .common import BACKENDS, BODIES, backend_place, bodies, median_seconds, need_fast_body, synchronise

WORKLOADS = {  # name: (sizes, rows in a batch, optimizer)
    "784-100-10 SGD": ((784, 100, 10), 100, lambda: xpgraph.SGD(lr=0.1)),
    "784-512-512-10 Adam": ((784, 512, 512, 10), 128, lambda: xpgraph.Adam()),
}


class Step:
    """A float32 perceptron with sigmoids. Body fast is n/a where the library has no fast body at all."""

    version = "1"
    params = (tuple(WORKLOADS), BACKENDS, BODIES)
    param_names = ("workload", "backend", "body")

    def setup(self, workload: str, backend: str, body: str) -> None:
        self.chosen = ExitStack()  # first of all: asv calls teardown after a setup that gave n/a, too
        where = backend_place(backend)
        if body == "fast":
            need_fast_body(backend)
        sizes, self.rows, optimizer = WORKLOADS[workload]
        random = np.random.default_rng(0)
        self.x = where.asarray(random.random((self.rows, sizes[0])).astype("float32"))
        self.t = where.asarray(random.integers(0, sizes[-1], self.rows))
        self.model, self.optimizer = xpgraph.mlp(sizes, backend=where), optimizer()
        self.chosen.enter_context(bodies(body))
        for _ in range(3):
            self.time_step(workload, backend, body)

    def teardown(self, workload: str, backend: str, body: str) -> None:
        self.chosen.close()

    def time_step(self, workload: str, backend: str, body: str) -> None:
        """Seconds for one step, the device's work included."""
        self.model.forward(self.x, self.t)
        self.model.backward()
        self.optimizer.update(self.model.params, self.model.grads)
        synchronise(backend)

    def track_samples_per_second_unguarded(self, workload: str, backend: str, body: str) -> float:
        """Rows a second: higher is better, which asv cannot guard; time_step is guarded."""
        return round(self.rows / median_seconds(lambda: self.time_step(workload, backend, body)), 1)

    track_samples_per_second_unguarded.unit = "samples/s"  # type: ignore[attr-defined]
