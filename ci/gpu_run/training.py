"""Two backends side by side: the same trainings, from the same bits, and the certificate of ``xpgraph verify``."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from xpgraph import Report, Trainer, datasets, mlp, to_numpy
from xpgraph.arrays import random_numbers as draws
from xpgraph.training.optimizers import OPTIMIZERS

from .results import FAIL, PASS, Context, LeftOut, Result, installed, plain


class Training(NamedTuple):
    """One training."""

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
# The largest max|a-b| / max|a| of a parameter array after so many steps. NumPy and PyTorch on a CPU differ by 1e-6
# (float32) and 2e-15 (float64) at all three. Adam divides noise by noise, so only its first step is compared.
BARS = {
    ("sgd", "float32"): {1: 1e-5, 100: 1e-4, 1000: 1e-3},
    ("sgd", "float64"): {1: 1e-13, 100: 1e-10, 1000: 1e-8},
    ("adam", "float32"): {1: 1e-3},
    ("adam", "float64"): {1: 1e-12},
}
POINTS = 0.003  # the largest difference of test accuracies; or one row, if the test set is too small to show that
VERIFY_STEPS = 100
RANDOM_ROWS = 60_000, 10_000  # to train and to test on, where MNIST is absent


def run(name: str, context: Context) -> Result:
    training, rows = TRAININGS[name], RANDOM_ROWS
    if context.rehearsal:
        training, rows = training._replace(epochs=1), (300, 60)
    return compare(name, training, backends(context), context.mnist, rows)


def verify(context: Context) -> Result:
    """The certificate: every node and optimizer on both backends, in float32 and float64."""
    return certificate(backends(context), 1 if context.rehearsal else VERIFY_STEPS, context)


def certificate(pair: tuple[str, str], steps: int, context: Context) -> Result:
    """Compare two backends; what was found is kept in verify.json, and what was said in verify.txt."""
    if pair[0] == pair[1]:
        raise LeftOut("neither array_api_strict nor torch is installed")
    from xpgraph.cli.verify_command import run as run_verify  # which needs click

    lines: list[str] = []
    out = str(context.folder / "verify.json")
    passed = run_verify(pair, ("float32", "float64"), steps, None, None, None, None, 0, out, lines.append)
    (context.folder / "verify.txt").write_text("\n".join(lines) + "\n", "utf-8")
    return {"status": PASS if passed else FAIL, "note": f"{lines[-1]}; see verify.txt"}


def backends(context: Context) -> tuple[str, str]:
    """The two backends that are compared, the reference first."""
    witnesses = [name for name in ("array_api_strict", "torch", "numpy") if installed(name)]
    return "numpy", witnesses[0] if context.rehearsal else "cupy"


def compare(
    name: str, training: Training, pair: tuple[str, str], mnist: Path | None = None, rows: tuple[int, int] = RANDOM_ROWS
) -> Result:
    """Run one training on both backends, in both dtypes; every check with its value and its bar."""
    runs, source = [], ""
    for dtype in ("float32", "float64"):
        data = load(name, dtype, mnist, rows)
        source = data.source
        results = [train(training, data, dtype, backend) for backend in pair]
        checks = judge(*results, BARS[training.optimizer, dtype])
        for backend, result in zip(pair, results, strict=True):
            figures = {key: plain(value) for key, value in result.items() if key not in ("initial", "weights")}
            runs.append({"backend": backend, "dtype": dtype, **figures})
        runs[-1]["checks"] = checks
    bad = [f"{one['dtype']} {check['check']}: {check['value']}, bar {check['bar']}"
           for one in runs for check in one.get("checks", ()) if not check["ok"]]  # fmt: skip
    rates = ", ".join(f"{one['backend']} {one['dtype']} {one['samples_per_second']:,.0f}" for one in runs)
    note = "; ".join(bad) or f"samples/s: {rates}"
    return {"status": FAIL if bad else PASS, "note": note, "data": source, **training._asdict(), "runs": runs}


def train(training: Training, data: Any, dtype: str, backend: str) -> dict[str, Any]:
    """Run a training once: its weights at the start and after some steps, its losses, accuracy and speed."""
    model = mlp(training.sizes, dtype=dtype, backend=backend)
    trainer, initial = Trainer(model, OPTIMIZERS[training.optimizer](**training.hyper)), on_host(model.params)
    weights: dict[int, list[np.ndarray]] = {}

    def look() -> None:
        if trainer.steps in (1, 100, 1000):
            weights[trainer.steps] = on_host(model.params)

    start = time.perf_counter()
    trainer.fit(data.x, data.t, training.epochs, training.batch, eval_interval=1, report=at_each_line(look))
    on_host(model.params)  # waits for the device
    seconds = time.perf_counter() - start
    loss, accuracy = model.evaluate(data.x_test, data.t_test)
    last = trainer.history[-1]
    return {
        "initial": initial, "weights": weights, "steps": trainer.steps, "seconds": seconds,
        "samples_per_second": last["samples"] / last["seconds"],  # of the last epoch: nothing is compiled there
        "train_loss": last["loss"], "test_loss": loss, "test_accuracy": accuracy, "test_rows": len(data.x_test),
    }  # fmt: skip


def at_each_line(call: Callable[[], None]) -> Report:
    """A report that calls ``call`` every ``eval_interval`` steps; it takes part in no step, nor in a captured graph."""

    class Calling(Report):
        def step(self, progress: Any) -> None:
            call()

    return Calling()


def on_host(arrays: list[Any]) -> list[np.ndarray]:
    return [to_numpy(a).copy() for a in arrays]


def judge(a: dict[str, Any], b: dict[str, Any], bars: dict[int, float]) -> list[dict[str, Any]]:
    """Run ``b`` against the reference ``a``: every check, its value, its bar and whether it holds. NaN never does."""
    same = all(p.tobytes() == q.tobytes() for p, q in zip(a["initial"], b["initial"], strict=True))
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
    return [{"check": name, "value": plain(value), "bar": bar, "ok": bool(value <= bar)} for name, value, bar in checks]


def load(name: str, dtype: str, mnist: Path | None, rows: tuple[int, int]) -> Any:
    """A data set; MNIST's stand-in where MNIST is absent."""
    if name == "mnist" and mnist is None:
        return random_images(*rows, dtype)
    return datasets.load(name, dtype=dtype, data_dir=mnist if name == "mnist" else None)


def random_images(rows: int, test: int, dtype: str) -> Any:
    """Data of MNIST's shape: uniform pixels, and classes drawn by a random linear map."""
    x = draws.uniform((rows + test, 784), 0, "data").astype(dtype)
    t = np.argmax((x - 0.5) @ draws.normal((784, 10), 0, "data", 1).astype(dtype), axis=1)
    return datasets.Dataset(
        "random", x[:rows], t[:rows], x[rows:], t[rows:], 1.0, 10, "random data of MNIST's shape, not MNIST"
    )
