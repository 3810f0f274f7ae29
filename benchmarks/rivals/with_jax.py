"""JAX: its products alone, and the whole step under jax.jit with donated state."""

from __future__ import annotations

import importlib
import math
import os
from typing import Any

from .contender import Contender, layers
from .workloads import BETA1, BETA2, EPS, Task


class Jax(Contender):
    """Holds the data: ready batches on the CPU; on a GPU all rows, and the order in which batches take them."""

    library, needs, devices = "jax", ("jax",), ("cpu", "cuda")

    def available(self, device: str) -> str | None:
        if device == "cuda":
            os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # it would take most of the GPU's memory from others
        missing = super().available(device)
        if missing:
            return missing
        jax = importlib.import_module("jax")
        if device == "cpu":
            jax.config.update("jax_platforms", "cpu")
        return None if device == "cpu" or jax.default_backend() == "gpu" else "jax finds no usable GPU"

    def start(self, task: Task) -> None:
        self.task, self.made, jax = task, 0, importlib.import_module("jax")
        self.jax, self.jnp = jax, importlib.import_module("jax.numpy")
        if task.dtype == "float64":
            jax.config.update("jax_enable_x64", True)
        self.resident = task.device == "cuda"
        if self.resident:
            jax.config.update(
                "jax_default_matmul_precision", "tensorfloat32" if task.precision == "tf32" else "highest"
            )
            self.data = tuple(jax.device_put(a) for a in (task.x, task.t.astype("int32"), task.order.astype("int32")))
        else:
            self.batches = [(jax.device_put(x), jax.device_put(t.astype("int32"))) for x, t in task.ready_batches()]

    def batch(self) -> tuple[Any, ...]:
        """What the step takes after its state: the resident data, or the next batch."""
        i = self.made % self.task.workload.batches
        self.made += 1
        return self.data if self.resident else self.batches[i]

    def describe(self) -> dict[str, Any]:
        found = {"jax": self.jax.__version__, "jaxlib": importlib.import_module("jaxlib").__version__}
        found |= {"blas": "XLA's own", "device": str(self.jax.devices()[0])}
        if self.resident:
            found |= {"precision": self.jax.config.jax_default_matmul_precision, "preallocate": "false"}
        return found


class Gemm(Jax):
    """The matrix products of a step, under jax.jit.

    The scores of one step are the gradient of the next: steps that do not depend on each other would run at the same
    time on the CPU.
    """

    name, trains = "gemm-jax", False

    def start(self, task: Task) -> None:
        super().start(task)
        jax, jnp = self.jax, self.jnp
        self.W = [jax.device_put(W) for W in task.weights[::2]]
        self.dy = jnp.ones((task.workload.batch, task.workload.sizes[-1]), dtype=task.dtype)
        self.fixed = self.data[0][: task.workload.batch] if self.resident else None

        def products(x: Any, weights: list[Any], dy: Any) -> Any:
            inputs = [x]
            for W in weights:
                inputs.append(inputs[-1] @ W)
            grads = []
            for a, W in zip(inputs[-2::-1], weights[::-1], strict=True):
                grads.append(a.T @ dy)
                dy = dy @ W.T if a is not x else dy
            return inputs[-1], grads

        self.products = jax.jit(products, donate_argnums=2)

    def run(self, steps: int) -> None:
        found = None
        for _ in range(steps):
            x = self.fixed if self.resident else self.batch()[0]
            found = self.dy, _ = self.products(x, self.W, self.dy)
        self.jax.block_until_ready(found)


class Jit(Jax):
    """value_and_grad and the update in one jitted function; parameters, m, v and the counts are donated."""

    name = "jax-jit"

    def start(self, task: Task) -> None:
        super().start(task)
        jax, jnp, w = self.jax, self.jnp, task.workload
        params = [jnp.array(a, copy=True) for a in task.weights]
        slots = [[jnp.zeros_like(p) for p in params] for _ in range(2 if w.optimizer == "adam" else 0)]
        self.state: Any = params, slots, jnp.zeros((), jnp.int32)

        def loss_of(params: list[Any], x: Any, t: Any) -> Any:
            pairs = layers(params)
            for W, b in pairs[:-1]:
                x = jax.nn.sigmoid(x @ W + b)
            W, b = pairs[-1]
            rows = jax.nn.log_softmax(x @ W + b)
            return -jnp.mean(jnp.take_along_axis(rows, t[:, None], axis=1))

        def step(state: Any, *data: Any) -> Any:
            params, slots, made = state
            if self.resident:
                x, t, order = data
                rows = jax.lax.dynamic_index_in_dim(order, made % w.batches, keepdims=False)
                data = tuple(a.at[rows].get(mode="promise_in_bounds") for a in (x, t))
            loss, grads = jax.value_and_grad(loss_of)(params, *data)
            made = made + 1
            if not slots:
                return ([p - w.lr * g for p, g in zip(params, grads, strict=True)], slots, made), loss
            count = made.astype(params[0].dtype)
            root = jnp.sqrt(-jnp.expm1(count * math.log(BETA2)))
            alpha, eps = w.lr * root / -jnp.expm1(count * math.log(BETA1)), EPS * root
            m = [BETA1 * mi + (1 - BETA1) * g for mi, g in zip(slots[0], grads, strict=True)]
            v = [BETA2 * vi + (1 - BETA2) * g * g for vi, g in zip(slots[1], grads, strict=True)]
            new = [p - alpha * mi / (jnp.sqrt(vi) + eps) for p, mi, vi in zip(params, m, v, strict=True)]
            return (new, [m, v], made), loss

        self.step = jax.jit(step, donate_argnums=0)

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.state, _ = self.step(self.state, *self.batch())
        self.jax.block_until_ready(self.state)

    def losses(self, n: int) -> list[float]:
        found = []
        for _ in range(n):
            self.state, loss = self.step(self.state, *self.batch())
            found.append(float(loss))
        return found
