"""Part of ci/gpu: the same training on two backends, from the same bits, and how far apart they end."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any, NamedTuple

BACKENDS = ("numpy", "cupy")  # what is compared, the reference first


class Training(NamedTuple):
    """One training, done once on each backend from the same bits."""

    sizes: tuple[int, ...]
    optimizer: str
    hyper: dict[str, float]
    epochs: int
    batch: int


TRAININGS = {
    "digits": Training((64, 100, 10), "adam", {}, 30, 32),
    "spiral": Training((2, 10, 3), "sgd", {"lr": 1.0}, 300, 30),
    "mnist": Training((784, 100, 10), "sgd", {"lr": 0.1}, 2, 100),
}
# Largest max|a-b| / max|a| of a parameter array after so many steps. Seen between NumPy and PyTorch on a CPU: 1e-6
# (float32) and 2e-15 (float64) at all three. Adam divides noise by noise, so only its first step is held.
BARS = {
    ("sgd", "float32"): {1: 1e-5, 100: 1e-4, 1000: 1e-3},
    ("sgd", "float64"): {1: 1e-13, 100: 1e-10, 1000: 1e-8},
    ("adam", "float32"): {1: 1e-3},
    ("adam", "float64"): {1: 1e-12},
}
POINTS = 0.003  # of the test accuracy; one row, where the test has too few to show that
RANDOM_ROWS = 60_000, 10_000  # to train and to test on, where MNIST is absent


def watch(trainer: Any, at: tuple[int, ...]) -> Any:
    """A report that keeps the weights, on the host, after certain steps: it takes part in no step, nor in its graph."""
    from xpgraph import Report

    class Watch(Report):
        def step(self, progress: Any) -> None:
            if trainer.steps in at:
                self.kept[trainer.steps] = on_host(trainer.model.params)

    report: Any = Watch()
    report.kept = {}
    return report


def on_host(arrays: list[Any]) -> list[Any]:
    from xpgraph import to_numpy

    return [to_numpy(a).copy() for a in arrays]


def train(training: Training, data: Any, dtype: str, backend: str) -> dict[str, Any]:
    from xpgraph import Trainer, mlp
    from xpgraph.training.optimizers import OPTIMIZERS

    model = mlp(training.sizes, dtype=dtype, backend=backend)
    trainer, first = Trainer(model, OPTIMIZERS[training.optimizer](**training.hyper)), on_host(model.params)
    report = watch(trainer, (1, 100, 1000))
    start = time.perf_counter()
    trainer.fit(data.x, data.t, training.epochs, training.batch, eval_interval=1, report=report)
    on_host(model.params)  # waits for the device
    seconds = time.perf_counter() - start
    loss, accuracy = model.evaluate(data.x_test, data.t_test)
    last = trainer.history[-1]
    return {
        "first": first, "weights": report.kept, "steps": trainer.steps, "seconds": seconds,
        "samples_per_second": last["samples"] / last["seconds"],  # of the last epoch: nothing is compiled there
        "train_loss": last["loss"], "test_loss": loss, "test_accuracy": accuracy,
        "test_rows": len(data.x_test),
    }  # fmt: skip


def judge(a: dict[str, Any], b: dict[str, Any], bars: dict[int, float]) -> list[dict[str, Any]]:
    """Run b against the reference a: every check with its value, its bar, and whether it holds (a NaN never does)."""
    same = all(p.tobytes() == q.tobytes() for p, q in zip(a["first"], b["first"], strict=True))
    checks = [("weights at the start differ", 0.0 if same else 1.0, 0.0)]
    for step, bar in bars.items():
        if step <= a["steps"]:
            pairs = zip(a["weights"][step], b["weights"][step], strict=True)
            checks.append((f"weights after {step}", max(float(abs(p - q).max() / abs(p).max()) for p, q in pairs), bar))
    if len(bars) > 1:
        loss = abs(a["train_loss"] - b["train_loss"]) / abs(a["train_loss"])
        checks.append(("training loss", loss, max(bars.values())))
    points = max(POINTS, 1.5 / a["test_rows"])
    checks.append(("test accuracy", abs(a["test_accuracy"] - b["test_accuracy"]), points))
    return [{"check": name, "value": number(value), "bar": bar, "ok": value <= bar} for name, value, bar in checks]


def compare(
    name: str, training: Training, backends: tuple[str, str] = BACKENDS, mnist: Path | None = None
) -> dict[str, Any]:
    """One training on both backends, in both dtypes: "pass" or "fail", and every number that says so."""
    runs, source = [], ""
    for dtype in ("float32", "float64"):
        data = load(name, dtype, mnist)
        source = data.source
        results = [train(training, data, dtype, backend) for backend in backends]
        checks = judge(*results, BARS[training.optimizer, dtype])
        for backend, result in zip(backends, results, strict=True):
            kept = {key: number(value) for key, value in result.items() if key not in ("first", "weights")}
            runs.append({"backend": backend, "dtype": dtype, **kept})
        runs[-1]["checks"] = checks
    bad = [f"{run['dtype']} {c['check']}: {c['value']}, bar {c['bar']}"
           for run in runs for c in run.get("checks", ()) if not c["ok"]]  # fmt: skip
    rates = ", ".join(f"{run['backend']} {run['dtype']} {run['samples_per_second']:,.0f}" for run in runs)
    return {
        "status": "fail" if bad else "pass", "note": "; ".join(bad) or f"samples/s: {rates}",
        "data": source, **training._asdict(), "runs": runs,
    }  # fmt: skip


def load(name: str, dtype: str, mnist: Path | None) -> Any:
    from xpgraph import datasets

    if name != "mnist" or mnist:
        return datasets.load(name, dtype=dtype, data_dir=mnist if name == "mnist" else None)
    return random_images(*RANDOM_ROWS, dtype)


def random_images(rows: int, test: int, dtype: str) -> Any:
    """Data of MNIST's shape where MNIST is not to be had: uniform pixels, classes drawn by a random linear map."""
    import numpy as np

    from xpgraph import datasets
    from xpgraph.arrays import random_numbers

    x = random_numbers.uniform((rows + test, 784), 0, "data").astype(dtype)
    t = np.argmax((x - 0.5) @ random_numbers.normal((784, 10), 0, "data", 1).astype(dtype), axis=1)
    return datasets.Dataset(
        "random", x[:rows], t[:rows], x[rows:], t[rows:], 1.0, 10, "random data of MNIST's shape, not MNIST"
    )


def number(value: Any) -> Any:
    """JSON has no NaN."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
