"""PyTorch: its products alone, eager, fused, compiled, and on a GPU one captured graph."""

from __future__ import annotations

import importlib
from typing import Any, ClassVar

from .contender import Contender, layers
from .workloads import BETA1, BETA2, EPS, Task


class Torch(Contender):
    """Holds the data: ready batches on the CPU; on a GPU all rows, and the order in which batches take them."""

    library, needs = "torch", ("torch",)
    devices: ClassVar[tuple[str, ...]] = ("cpu", "cuda")

    def available(self, device: str) -> str | None:
        missing = super().available(device)
        if missing or device == "cpu":
            return missing
        return None if importlib.import_module("torch").cuda.is_available() else "torch finds no usable GPU"

    def start(self, task: Task) -> None:
        self.task, self.made, torch = task, 0, importlib.import_module("torch")
        self.torch: Any = torch
        torch.manual_seed(0)
        torch.set_float32_matmul_precision("high" if task.precision == "tf32" else "highest")  # high: TF32
        self.resident = task.device == "cuda"
        if self.resident:
            self.x, self.t, self.order = (self.put(a) for a in (task.x, task.t, task.order))
        else:
            self.batches = [(self.put(x), self.put(t)) for x, t in task.ready_batches()]

    def put(self, a: Any) -> Any:
        return self.torch.from_numpy(a).to(self.task.device)

    def batch(self) -> tuple[Any, Any]:
        i = self.made % self.task.workload.batches
        self.made += 1
        return self.gather(self.order[i]) if self.resident else self.batches[i]

    def gather(self, rows: Any) -> tuple[Any, Any]:
        return self.x.index_select(0, rows), self.t.index_select(0, rows)

    def wait(self) -> None:
        if self.resident:
            self.torch.cuda.synchronize()

    def describe(self) -> dict[str, Any]:
        torch = self.torch
        found = {"torch": torch.__version__, "threads": torch.get_num_threads()}
        found |= {"blas": "MKL" if torch.backends.mkl.is_available() else "not MKL"}
        found |= {"kernels": torch.backends.cpu.get_cpu_capability()}
        if self.resident:
            found |= {"cuda": torch.version.cuda, "precision": torch.get_float32_matmul_precision()}
        return found


class Gemm(Torch):
    """The matrix products of a step, into existing memory; on a GPU as one captured graph."""

    name, trains = "gemm-torch", False

    def start(self, task: Task) -> None:
        super().start(task)
        torch = self.torch
        self.W = [self.put(W) for W in task.weights[::2]]
        n = task.workload.batch
        self.y = [torch.empty((n, W.shape[1]), dtype=W.dtype, device=W.device) for W in self.W]
        self.dy, self.dW = [torch.randn_like(y) for y in self.y], [torch.empty_like(W) for W in self.W]
        self.fixed = self.gather(self.order[0])[0] if self.resident else None
        self.graph = capture(torch, lambda: self.products(self.fixed)) if self.resident else None

    def products(self, x: Any) -> None:
        mm, inputs = self.torch.mm, [x, *self.y[:-1]]
        for a, W, y in zip(inputs, self.W, self.y, strict=True):
            mm(a, W, out=y)
        for i in range(len(self.W) - 1, -1, -1):
            mm(inputs[i].T, self.dy[i], out=self.dW[i])
            if i:
                mm(self.dy[i], self.W[i].T, out=self.dy[i - 1])

    def run(self, steps: int) -> None:
        for _ in range(steps):
            if self.graph is None:
                self.products(self.batch()[0])
            else:
                self.graph.replay()
        self.wait()


class Eager(Torch):
    """nn.Linear, nn.Sigmoid, cross_entropy, and the optimizer with its defaults."""

    name = "torch-eager"
    options: ClassVar[dict[str, Any]] = {}  # of the optimizer

    def start(self, task: Task) -> None:
        super().start(task)
        torch, nodes = self.torch, []
        for W, b in layers(task.weights):
            linear = torch.nn.Linear(*W.shape, dtype=getattr(torch, task.dtype), device=task.device)
            with torch.no_grad():
                linear.weight.copy_(torch.from_numpy(W).T)
                linear.bias.copy_(torch.from_numpy(b))
            nodes += [linear, torch.nn.Sigmoid()]
        self.model = torch.nn.Sequential(*nodes[:-1])
        self.loss_of: Any = lambda x, t: torch.nn.functional.cross_entropy(self.model(x), t)
        self.optimizer = self.make_optimizer()

    def make_optimizer(self) -> Any:
        w, optim = self.task.workload, self.torch.optim
        if w.optimizer == "sgd":
            options = {k: v for k, v in self.options.items() if k != "capturable"}
            return optim.SGD(self.model.parameters(), lr=w.lr, **options)
        return optim.Adam(self.model.parameters(), lr=w.lr, betas=(BETA1, BETA2), eps=EPS, **self.options)

    def step(self, x: Any, t: Any) -> Any:
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss_of(x, t)
        loss.backward()
        self.optimizer.step()
        return loss

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.step(*self.batch())
        self.wait()

    def losses(self, n: int) -> list[float]:
        return [float(self.step(*self.batch()).detach()) for _ in range(n)]


class Fused(Eager):
    """The same with the fused optimizer."""

    name, options = "torch-fused", {"fused": True}


class Compile(Fused):
    """Forward and backward through torch.compile, on a GPU with mode reduce-overhead, and the fused optimizer."""

    name = "torch-compile"

    def start(self, task: Task) -> None:
        super().start(task)
        self.loss_of = self.torch.compile(self.loss_of, mode="reduce-overhead" if self.resident else None)

    def step(self, x: Any, t: Any) -> Any:
        if self.resident:
            self.torch.compiler.cudagraph_mark_step_begin()
        return super().step(x, t)


class Graph(Eager):
    """The whole step in one CUDA graph, with gather and fused optimizer; the index of the batch is on the device."""

    name, devices, options = "torch-graph", ("cuda",), {"fused": True, "capturable": True}

    def start(self, task: Task) -> None:
        super().start(task)
        torch = self.torch
        self.cursor = torch.zeros(1, dtype=torch.int64, device="cuda")
        before = [p.detach().clone() for p in self.model.parameters()]
        self.graph = capture(torch, self.whole_step, lambda: self.optimizer.zero_grad(set_to_none=True))
        with torch.no_grad():  # the warm-up made steps
            for p, first in zip(self.model.parameters(), before, strict=True):
                p.copy_(first)
                for value in self.optimizer.state[p].values():
                    if torch.is_tensor(value):
                        value.zero_()
        torch.cuda.synchronize()

    def whole_step(self) -> None:
        rows = self.order.index_select(0, self.cursor).view(-1)
        loss = self.loss_of(*self.gather(rows))
        loss.backward()
        self.optimizer.step()
        self.cursor.add_(1)
        self.loss = loss.detach()

    def replay(self) -> None:
        if self.made % self.task.workload.batches == 0:
            self.cursor.zero_()
        self.made += 1
        self.graph.replay()

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.replay()
        self.wait()

    def losses(self, n: int) -> list[float]:
        found = []
        for _ in range(n):
            self.replay()
            found.append(float(self.loss))
        return found


def capture(torch: Any, step: Any, before: Any = lambda: None) -> Any:
    """A CUDA graph of a step; ``before`` runs before each of the two steps of the warm-up, and before the capture."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(2):
            before()
            step()
    torch.cuda.current_stream().wait_stream(stream)
    torch.cuda.synchronize()
    before()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        step()
    return graph
