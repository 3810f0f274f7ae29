"""xpgraph: through Trainer.fit, and by hand; on NumPy or on CuPy."""

from __future__ import annotations

import importlib
import os
import time
from contextlib import ExitStack
from typing import Any

import xpgraph
from xpgraph.arrays.installed import usable
from xpgraph.arrays.kernels import compiler_for
from xpgraph.arrays.libraries import Place, place
from xpgraph.nodes.basic import matmul
from xpgraph.training.callbacks.report import Lines

from .contender import Contender, layers
from .workloads import BETA1, BETA2, EPS, SEED, Task


class Xpgraph(Contender):
    """Makes the model; the precision stays chosen until the process ends."""

    library = "numpy"

    def available(self, device: str) -> str | None:
        missing = super().available(device)
        if missing or device == "cpu":
            return missing
        found = usable("cupy")
        return None if found.usable else f"cupy {found.why}"

    def start(self, task: Task) -> None:
        self.task, w = task, task.workload
        self.place: Place = place("cupy" if task.device == "cuda" else "numpy")
        self.chosen = ExitStack()
        if task.precision == "tf32":
            self.chosen.enter_context(xpgraph.precision("tf32"))
        nodes: list[Any] = []
        for W, b in layers([self.place.asarray(a, copy=True) for a in task.weights]):
            nodes += [xpgraph.Affine(W, b), xpgraph.Sigmoid()]
        self.model = xpgraph.Chain(*nodes[:-1], loss=xpgraph.SoftmaxWithLoss())
        self.optimizer = xpgraph.SGD(w.lr) if w.optimizer == "sgd" else xpgraph.Adam(w.lr, BETA1, BETA2, eps=EPS)

    def wait(self) -> None:
        if self.task.device == "cuda":
            importlib.import_module("cupy").cuda.Device().synchronize()

    def describe(self) -> dict[str, Any]:
        found = {"xpgraph": xpgraph.__version__, "numpy": importlib.import_module("numpy").__version__}
        if self.task.device == "cpu" and compiler_for("numpy"):
            found["numba"] = importlib.import_module("numba").__version__
        if self.task.device == "cuda":
            cupy = importlib.import_module("cupy")
            found |= {"cupy": cupy.__version__, "cuda": cupy.cuda.runtime.runtimeGetVersion()}
            found |= {"precision": self.task.precision}
        return found


class Fit(Xpgraph):
    """Trainer.fit with its batching, checks and report, whole epochs; on the CPU it writes every 20th loss.

    On a GPU one call makes an epoch more than is counted, in which the step is captured. A step alone is one of an
    epoch in which every loss is read.
    """

    name = "xpgraph"
    graph: bool | None = None

    def start(self, task: Task) -> None:
        super().start(task)
        self.trainer = xpgraph.Trainer(self.model, self.optimizer, seed=SEED)
        self.data = self.place.asarray(task.x), self.place.asarray(task.t)

    def fit(self, epochs: int, every: int | None) -> float:
        """Seconds that the epochs took; on a GPU after one more."""
        ends: list[float] = []
        more: dict[str, Any] = {} if self.graph is None else {"graph": self.graph}
        if self.task.device == "cuda":
            epochs, more["on_epoch"] = epochs + 1, lambda *_: ends.append(self.now())
        report = None if every is None else Lines(write=lambda line: None)
        ends.append(self.now())
        self.trainer.fit(*self.data, epochs, self.task.workload.batch, eval_interval=every, report=report, **more)
        return self.now() - ends[min(1, len(ends) - 1)]

    def now(self) -> float:
        self.wait()
        return time.perf_counter()

    def multiple(self) -> int:
        return self.task.workload.batches

    def losses(self, n: int) -> list[float]:
        self.fit(1, 1)
        return self.trainer.loss_list[:n]

    def run(self, steps: int) -> float:
        return self.fit(steps // self.multiple(), 20 if self.task.device == "cpu" else None)

    def one(self) -> float:
        return self.fit(1, 1) / self.multiple()


class NumpyFit(Fit):
    """Trainer.fit without numba."""

    name = "xpgraph-numpy"

    def start(self, task: Task) -> None:
        os.environ["XPGRAPH_NUMBA"] = "0"
        super().start(task)


class EagerFit(Fit):
    """Trainer.fit on a GPU, step by step."""

    name, library, needs, devices, graph = "xpgraph-eager", "cupy", ("cupy",), ("cuda",), False


class GraphFit(EagerFit):
    """Trainer.fit on a GPU, the step captured once and replayed."""

    name, graph = "xpgraph-graph", True


class Step(Xpgraph):
    """forward, backward and update, by hand, over ready batches."""

    name = "xpgraph-step"

    def start(self, task: Task) -> None:
        super().start(task)
        self.batches, self.made = task.ready_batches(), 0

    def step(self) -> Any:
        x, t = self.batches[self.made % len(self.batches)]
        self.made += 1
        loss = self.model.forward(x, t)
        self.model.backward()
        self.optimizer.update(self.model.params, self.model.grads)
        return loss

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.step()

    def losses(self, n: int) -> list[float]:
        return [float(self.step()) for _ in range(n)]


class Gemm(Xpgraph):
    """The matrix products of a step on CuPy, through xpgraph's own product, in the chosen precision."""

    name, library, needs, devices, trains = "gemm-cupy", "cupy", ("cupy",), ("cuda",), False

    def start(self, task: Task) -> None:
        super().start(task)
        asarray, n = self.place.asarray, task.workload.batch
        self.x, self.W = asarray(task.x[:n], copy=True), self.model.params[::2]
        self.dW = self.model.grads[::2]
        self.y = [self.place.xp.zeros((n, W.shape[1]), dtype=W.dtype) for W in self.W]
        self.dy = [self.place.xp.ones_like(y) for y in self.y]

    def run(self, steps: int) -> None:
        for _ in range(steps):
            inputs = [self.x, *self.y[:-1]]
            for a, W, y in zip(inputs, self.W, self.y, strict=True):
                matmul(a, W, y)
            for i in range(len(self.W) - 1, -1, -1):
                matmul(inputs[i].T, self.dy[i], self.dW[i])
                if i:
                    matmul(self.dy[i], self.W[i].T, self.dy[i - 1])
        self.wait()
