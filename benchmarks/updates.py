"""One update of each optimizer: all parameters of a 784-512-512-10 perceptron, float32."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np

from xpgraph.training.optimizers import OPTIMIZERS

from .common import BACKENDS, BODIES, backend_place, bodies, median_seconds, need_body, synchronise
from .samples import parameters


class Update:
    """``optimizer.update(params, grads)``. Body fast is n/a where the optimizer's rule has none."""

    version = "1"
    params = (tuple(OPTIMIZERS), BACKENDS, BODIES)
    param_names = ("optimizer", "backend", "body")

    def setup(self, optimizer: str, backend: str, body: str) -> None:
        self.chosen = ExitStack()  # first of all: asv calls teardown after a setup that gave n/a, too
        where = backend_place(backend)
        need_body(backend, body, OPTIMIZERS[optimizer].rule.row.name)
        random = np.random.default_rng(0)
        self.values, self.grads = ([where.asarray(a) for a in parameters(random)] for _ in range(2))
        self.optimizer = OPTIMIZERS[optimizer]()
        self.chosen.enter_context(bodies(body))
        for _ in range(3):
            self.time_update(optimizer, backend, body)

    def teardown(self, optimizer: str, backend: str, body: str) -> None:
        self.chosen.close()

    def time_update(self, optimizer: str, backend: str, body: str) -> None:
        """Seconds for one update, the device's work included."""
        self.optimizer.update(self.values, self.grads)
        synchronise(backend)

    def track_parameters_per_second_unguarded(self, optimizer: str, backend: str, body: str) -> float:
        """Numbers updated a second: higher is better, which asv cannot guard; time_update is guarded."""
        seconds = median_seconds(lambda: self.time_update(optimizer, backend, body))
        return round(sum(p.size if backend != "torch" else p.numel() for p in self.values) / seconds)

    track_parameters_per_second_unguarded.unit = "numbers/s"  # type: ignore[attr-defined]
