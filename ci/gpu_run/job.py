"""A program: one whole job, from the command to a test accuracy, in a process of its own.

    python -m gpu_run.job xpgraph-graph|xpgraph-eager|torch-graph|torch-eager --start SECONDS --json FILE ...

784-500-10 with sigmoids, Adam, batches of 100, the data on the device; it ends after the first epoch that reaches the
accuracy. Its times are seconds since --start, which is time.time() when the command was given.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

TARGET = 0.974
HIDDEN, LR, BATCH, EPOCHS = 500, 0.004, 100, 12  # reached in the 3rd or 4th epoch, seen with NumPy


class Stopwatch:
    """When each epoch ended and the accuracy then, and the seconds spent in training alone."""

    def __init__(self, start: float, target: float) -> None:
        self.start, self.target = start, target
        self.times: dict[str, float | None] = {"reached": None}
        self.training = 0.0
        self.accuracies: list[float] = []
        self.mark = time.perf_counter()

    def note(self, moment: str) -> None:
        """Keep the seconds since the command under a name, and start the clock of the training."""
        self.times[moment], self.mark = time.time() - self.start, time.perf_counter()

    def epoch(self, accuracy: Any) -> bool:
        """An epoch ended; ``accuracy()`` is called with the training's clock stopped. True once it is high enough."""
        self.training += time.perf_counter() - self.mark
        self.accuracies.append(float(accuracy()))
        enough = self.accuracies[-1] >= self.target
        if enough:
            self.note("reached")
        self.mark = time.perf_counter()
        return enough

    def result(self) -> dict[str, Any]:
        self.note("ended")
        epochs = {"epochs": len(self.accuracies), "accuracies": self.accuracies}
        return {**self.times, "training": self.training, **epochs}


def load(options: argparse.Namespace) -> Any:
    from xpgraph import datasets

    return datasets.load("mnist", data_dir=options.mnist) if options.mnist else datasets.load("digits")


def with_xpgraph(options: argparse.Namespace, watch: Stopwatch) -> None:
    import xpgraph
    from xpgraph.arrays.libraries import place

    watch.note("imported")
    data, where = load(options), place(options.backend)
    sizes = (data.x.shape[1], options.hidden, data.classes)
    model = xpgraph.mlp(sizes, seed=options.seed, backend=where)
    trainer = xpgraph.Trainer(model, xpgraph.Adam(LR), seed=options.seed)
    test = where.asarray(data.x_test), where.asarray(data.t_test)

    def ended(trainer: Any, record: dict[str, Any]) -> None:
        if watch.epoch(lambda: model.evaluate(*test)[1]):
            trainer.stop()

    watch.note("ready")
    graph = options.job == "xpgraph-graph" and options.backend == "cupy"
    trainer.fit(data.x, data.t, options.epochs, BATCH, eval_interval=None, on_epoch=ended, graph=graph)


def with_torch(options: argparse.Namespace, watch: Stopwatch) -> None:
    """The step of benchmarks.rivals, from xpgraph's initial weights; the order of the rows is drawn on the device."""
    import torch

    watch.note("imported")
    import numpy as np

    from benchmarks.rivals import with_torch, workloads
    from xpgraph import mlp

    data, device = load(options), "cuda" if options.backend == "cupy" else "cpu"
    graph = options.job == "torch-graph" and device == "cuda"

    class Workload(workloads.Workload):
        lr = LR

    class Training(with_torch.Graph if graph else with_torch.Fused):
        def make_optimizer(self) -> Any:
            optimizer = super().make_optimizer()
            watch.note("ready")  # what follows, the capture, counts as training, as xpgraph's does
            return optimizer

    if device == "cpu":
        torch.set_num_threads(1)  # a rehearsal shares its cores
    x_test, t_test = (torch.from_numpy(a).to(device) for a in (data.x_test, data.t_test))
    sizes, rows = (data.x.shape[1], options.hidden, data.classes), len(data.x)
    steps, weights = rows // BATCH, mlp(sizes, seed=options.seed).params
    order = np.random.default_rng(options.seed).permutation(rows)[: steps * BATCH].reshape(steps, BATCH)
    workload = Workload("job", sizes, BATCH, "adam", steps)
    task = workloads.Task(workload, device, "float32", "fp32", weights, data.x, data.t, order)
    training = Training()

    def accuracy() -> float:
        with torch.no_grad():
            return (training.model(x_test).argmax(1) == t_test).double().mean().item()

    training.start(task)
    for _ in range(options.epochs):
        if device == "cuda":
            training.order.copy_(torch.randperm(rows, device=device)[: steps * BATCH].view(steps, BATCH))
        training.run(steps)
        if watch.epoch(accuracy):
            break


JOBS = ("xpgraph-graph", "xpgraph-eager", "torch-graph", "torch-eager")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("job", choices=JOBS)
    parser.add_argument("--start", type=float, default=time.time())
    parser.add_argument("--json", type=Path, required=True, metavar="FILE")
    parser.add_argument("--mnist", type=Path, help="folder of the four IDX files; digits without it")
    parser.add_argument("--backend", default="cupy", help="cupy means CUDA for torch, too; anything else the CPU")
    parser.add_argument("--hidden", type=int, default=HIDDEN)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--target", type=float, default=TARGET)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    watch = Stopwatch(options.start, options.target)
    (with_torch if options.job.startswith("torch") else with_xpgraph)(options, watch)
    options.json.write_text(json.dumps(watch.result()), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
