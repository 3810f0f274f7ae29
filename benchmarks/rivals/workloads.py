"""What is trained: perceptrons with sigmoids and softmax cross-entropy, on random data."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

SEED = 0
BETA1, BETA2, EPS = 0.9, 0.999, 1e-8  # Adam, as its paper has it


@dataclass(frozen=True)
class Workload:
    """``batches``: full batches in the data, which is an epoch; ``checked``: steps whose losses are compared."""

    name: str
    sizes: tuple[int, ...]
    batch: int
    optimizer: str  # sgd or adam
    batches: int
    gate: float | None = None  # xpgraph may take this many times NumPy's gemm
    checked: int = 5

    @property
    def lr(self) -> float:
        return 0.1 if self.optimizer == "sgd" else 0.001

    @property
    def rows(self) -> int:
        return self.batch * self.batches

    def __str__(self) -> str:
        names = {"sgd": "SGD", "adam": "Adam"}
        return f"{'-'.join(map(str, self.sizes))} sigmoid, batch {self.batch}, {names[self.optimizer]}"


WORKLOADS = {
    row.name: row
    for row in (
        Workload("tiny", (8, 6, 3), 4, "adam", 6),  # for the tests: it says nothing about speed
        Workload("book", (784, 50, 10), 100, "sgd", 100, gate=1.9),
        Workload("mlp", (784, 512, 512, 10), 128, "adam", 20, gate=1.8),
        Workload("wide", (1024, 2048, 2048, 2048, 1000), 1024, "adam", 5, gate=1.25),
        Workload("gpu-a", (784, 500, 10), 100, "sgd", 600),
        Workload("gpu-b", (784, 512, 512, 10), 128, "adam", 400),
        Workload("gpu-c", (4096, 4096, 4096, 4096, 4096), 4096, "adam", 4, checked=2),
    )
}
USUAL = {"cpu": ("book", "mlp", "wide"), "cuda": ("gpu-a", "gpu-b", "gpu-c")}


@dataclass
class Task:
    """What a contender starts from: W₁, b₁, W₂, ... (float32 or float64), and rows in the order they are visited."""

    workload: Workload
    device: str  # cpu or cuda
    dtype: str
    precision: str  # fp32 or tf32: how a GPU multiplies float32
    weights: list[np.ndarray]
    x: np.ndarray  # (rows, inputs)
    t: np.ndarray  # (rows,) int64
    order: np.ndarray  # (batches, batch) int64: the rows of each batch of the first epoch, as Trainer.fit draws them

    def ready_batches(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """The batches of the first epoch, gathered: contiguous, each in memory of its own."""
        return [(self.x[rows], self.t[rows]) for rows in self.order]


def write_task(workload: Workload, folder: Path) -> None:
    """Draw weights, data and order into .npy files that every contender reads."""
    from xpgraph.arrays import random_numbers

    random = np.random.default_rng(SEED)
    for i, (n_in, n_out) in enumerate(itertools.pairwise(workload.sizes)):
        W = random.standard_normal((n_in, n_out), dtype=np.float32)
        np.save(folder / f"W{i}.npy", W * np.float32(math.sqrt(2 / (n_in + n_out))))
    np.save(folder / "x.npy", random.random((workload.rows, workload.sizes[0]), dtype=np.float32))
    np.save(folder / "t.npy", random.integers(0, workload.sizes[-1], workload.rows))
    order = random_numbers.permutation(workload.rows, SEED, "order", 0)
    np.save(folder / "order.npy", order.reshape(workload.batches, workload.batch))


def read_task(folder: Path, dtype: str, **said: Any) -> Task:
    """The task of a folder, weights and x as ``dtype``; ``said`` are workload, device and precision."""
    sizes = said["workload"].sizes
    weights = []
    for i, n_out in enumerate(sizes[1:]):
        weights += [np.load(folder / f"W{i}.npy").astype(dtype, copy=False), np.zeros(n_out, dtype)]
    x, t, order = (np.load(folder / f"{name}.npy") for name in ("x", "t", "order"))
    return Task(dtype=dtype, weights=weights, x=x.astype(dtype, copy=False), t=t, order=order, **said)


def adam_rates(workload: Workload, step: int) -> tuple[float, float]:
    """α and ε of Adam's step with the bias correction in: θ ← θ - α m / (√v + ε). ``step`` counts from 1."""
    root = math.sqrt(1 - BETA2**step)
    return workload.lr * root / (1 - BETA1**step), EPS * root
