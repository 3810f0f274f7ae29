"""Each kernel of the table, its generic body beside the fast one. The rules of the optimizers are in updates.py."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import numpy as np

from xpgraph.arrays.kernels import TABLE
from xpgraph.training.optimizers import OPTIMIZERS

from .common import BACKENDS, BODIES, backend_place, bodies, need_body, synchronise
from .samples import SAMPLES, every_array

RULES = {kind.rule.row.name for kind in OPTIMIZERS.values()}


class Kernel:
    """One call with float32 arrays of a 784-512-512-10 perceptron. Body fast is n/a where the kernel has none."""

    version = "1"
    params = (tuple(sorted(SAMPLES.keys() - RULES)), BACKENDS, BODIES)
    param_names = ("kernel", "backend", "body")

    def setup(self, kernel: str, backend: str, body: str) -> None:
        self.chosen = ExitStack()  # first of all: asv calls teardown after a setup that gave n/a, too
        where = backend_place(backend)
        need_body(backend, body, kernel)
        self.args: Any = every_array(lambda a: where.asarray(a, copy=True), SAMPLES[kernel](np.random.default_rng(0)))
        self.chosen.enter_context(bodies(body))  # for the kernels, too, that this one calls
        self.body = TABLE[kernel].body(backend)
        for _ in range(3):
            self.time_kernel(kernel, backend, body)

    def teardown(self, kernel: str, backend: str, body: str) -> None:
        self.chosen.close()

    def time_kernel(self, kernel: str, backend: str, body: str) -> None:
        """Seconds for one call, the device's work included."""
        self.body(*self.args)
        synchronise(backend)
