"""Part of ci/gpu: the whole job, from the command to a test accuracy, in a process of its own.

    python ci/gpu_job.py xpgraph-graph|xpgraph-eager|torch-graph|torch-eager --begin SECONDS [--mnist DIR] ...

784-500-10 with sigmoids, Adam, batches of 100, the data resident; it ends after the first epoch that reaches the
accuracy. Prints one line of JSON; times are seconds since --begin, which is time.time() when the command was given.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from gpu_packages import ROOT

TARGET = 0.974
HIDDEN, LR, BATCH, EPOCHS = 500, 0.004, 100, 12  # reached in the 3rd or 4th epoch, seen with NumPy


class Stamps:
    """When each epoch ended, the accuracy then, and the seconds spent in training alone."""

    def __init__(self, begin: float, target: float) -> None:
        self.begin, self.target = begin, target
        self.imported = self.ready = self.reached = 0.0
        self.training = 0.0
        self.accuracies: list[float] = []
        self.mark = time.perf_counter()

    def since(self) -> float:
        return time.time() - self.begin

    def start(self) -> None:
        """Data and model are there."""
        self.ready, self.mark = self.since(), time.perf_counter()

    def epoch(self, accuracy: Any) -> bool:
        """``accuracy()`` is asked after the clock of the training stops. True at the first that is enough."""
        self.training += time.perf_counter() - self.mark
        self.accuracies.append(float(accuracy()))
        enough = self.accuracies[-1] >= self.target
        if enough:
            self.reached = self.since()
        self.mark = time.perf_counter()
        return enough

    def told(self) -> dict[str, Any]:
        return {
            "imported": self.imported, "ready": self.ready, "reached": self.reached or None, "ended": self.since(),
            "training": self.training, "epochs": len(self.accuracies), "accuracies": self.accuracies,
        }  # fmt: skip


def load(options: argparse.Namespace) -> Any:
    from xpgraph import datasets

    return datasets.load("mnist", data_dir=options.mnist) if options.mnist else datasets.load("digits")


def with_xpgraph(options: argparse.Namespace, stamps: Stamps) -> None:
    import xpgraph
    from xpgraph.arrays.libraries import place

    stamps.imported = stamps.since()
    data, where = load(options), place(options.backend)
    sizes = (data.x.shape[1], options.hidden, data.classes)
    model = xpgraph.mlp(sizes, seed=options.seed, backend=where)
    trainer = xpgraph.Trainer(model, xpgraph.Adam(LR), seed=options.seed)
    test = where.asarray(data.x_test), where.asarray(data.t_test)

    def ended(trainer: Any, record: dict[str, Any]) -> None:
        if stamps.epoch(lambda: model.evaluate(*test)[1]):
            trainer.stop()

    stamps.start()
    graph = options.job == "xpgraph-graph" and options.backend == "cupy"
    trainer.fit(data.x, data.t, options.epochs, BATCH, eval_interval=None, on_epoch=ended, graph=graph)


def with_torch(options: argparse.Namespace, stamps: Stamps) -> None:
    import torch

    stamps.imported = stamps.since()
    device = "cuda" if options.backend == "cupy" else "cpu"
    torch.manual_seed(options.seed)
    if device == "cpu":
        torch.set_num_threads(1)  # a rehearsal shares its cores
    data = load(options)
    x, t, x_test, t_test = (torch.from_numpy(a).to(device) for a in (data.x, data.t, data.x_test, data.t_test))
    linear = [torch.nn.Linear(data.x.shape[1], options.hidden), torch.nn.Linear(options.hidden, data.classes)]
    for node in linear:
        torch.nn.init.xavier_normal_(node.weight)
        torch.nn.init.zeros_(node.bias)
    model = torch.nn.Sequential(linear[0], torch.nn.Sigmoid(), linear[1]).to(device)
    graph = options.job == "torch-graph" and device == "cuda"
    optimizer = torch.optim.Adam(model.parameters(), lr=LR, fused=True, capturable=graph)
    rows, cursor = x.shape[0] // BATCH * BATCH, torch.zeros(1, dtype=torch.int64, device=device)
    order = torch.empty((rows // BATCH, BATCH), dtype=torch.int64, device=device)

    def step() -> None:
        batch = order.index_select(0, cursor).view(-1)
        loss = torch.nn.functional.cross_entropy(model(x.index_select(0, batch)), t.index_select(0, batch))
        loss.backward()
        optimizer.step()
        cursor.add_(1)

    def eager() -> None:
        optimizer.zero_grad(set_to_none=True)
        step()

    def captured() -> Any:
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(2):
                eager()
        torch.cuda.current_stream().wait_stream(side)
        torch.cuda.synchronize()
        optimizer.zero_grad(set_to_none=True)
        made = torch.cuda.CUDAGraph()
        with torch.cuda.graph(made, stream=side):
            step()
        return made.replay

    def accuracy() -> float:
        with torch.no_grad():
            return (model(x_test).argmax(1) == t_test).double().mean().item()

    stamps.start()
    order.copy_(torch.randperm(x.shape[0], device=device)[:rows].view(-1, BATCH))
    once = captured() if graph else eager  # its two steps of warming up are steps of the training
    for _ in range(options.epochs):
        order.copy_(torch.randperm(x.shape[0], device=device)[:rows].view(-1, BATCH))
        cursor.zero_()
        for _ in range(rows // BATCH):
            once()
        if device == "cuda":
            torch.cuda.synchronize()
        if stamps.epoch(accuracy):
            break


JOBS = {
    "xpgraph-graph": with_xpgraph, "xpgraph-eager": with_xpgraph,
    "torch-graph": with_torch, "torch-eager": with_torch,
}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("job", choices=JOBS)
    parser.add_argument("--begin", type=float, default=time.time())
    parser.add_argument("--mnist", type=Path, help="folder of the four IDX files; digits without it")
    parser.add_argument("--backend", default="cupy", help="cupy means CUDA for torch, too; anything else the CPU")
    parser.add_argument("--hidden", type=int, default=HIDDEN)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--target", type=float, default=TARGET)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    stamps = Stamps(options.begin, options.target)
    JOBS[options.job](options, stamps)
    print(json.dumps(stamps.told()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
