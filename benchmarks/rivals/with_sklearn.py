"""scikit-learn's MLPClassifier, one partial_fit for each batch."""

from __future__ import annotations

import importlib
from typing import Any

from .contender import Contender
from .workloads import BETA1, BETA2, EPS, Task


class Sklearn(Contender):
    """Without its regularisation (alpha=0) and its shuffling.

    Its Adam adds ε to √v uncorrected, Adam's paper to √v̂: epsilon is set to what the paper's is in the first step, so
    later steps agree approximately, and so does the loss, which is compared within 1 %.
    """

    name, library, needs = "scikit-learn", "sklearn", ("sklearn",)
    slack = 1e-2
    note = "scikit-learn: ε of Adam and its loss agree approximately; losses compared within 1 %; alpha=0"

    def start(self, task: Task) -> None:
        kind = importlib.import_module("sklearn.neural_network").MLPClassifier
        w, self.batches, self.made = task.workload, task.ready_batches(), 0
        self.classes = list(range(w.sizes[-1]))
        self.net = kind(
            w.sizes[1:-1], activation="logistic", solver=w.optimizer, alpha=0.0, batch_size=w.batch, shuffle=False,
            learning_rate_init=w.lr, momentum=0.0, nesterovs_momentum=False, beta_1=BETA1, beta_2=BETA2,
            epsilon=EPS * (1 - BETA2) ** 0.5,
        )  # fmt: skip
        self.net.partial_fit(*self.batches[0], classes=self.classes)  # makes its arrays, which are then overwritten
        for mine, given in ((self.net.coefs_, task.weights[::2]), (self.net.intercepts_, task.weights[1::2])):
            for a, b in zip(mine, given, strict=True):
                a[...] = b
        del self.net._optimizer  # it has made a step: the next partial_fit makes a new one

    def run(self, steps: int) -> None:
        for _ in range(steps):
            batch = self.batches[self.made % len(self.batches)]
            self.made += 1
            self.net.partial_fit(*batch)

    def losses(self, n: int) -> list[float]:
        found = []
        for _ in range(n):
            self.run(1)
            found.append(float(self.net.loss_))
        return found

    def describe(self) -> dict[str, Any]:
        return {name: importlib.import_module(name).__version__ for name in ("sklearn", "numpy", "scipy")}
