"""NumPy: the products alone, the chapter's code, and the step as one would tune it by hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from .contender import Contender, layers
from .workloads import BETA1, BETA2, Task, adam_rates

BLOCK = 1 << 16  # elements of each buffer that Adam works on at a time


class Numpy(Contender):
    """Steps over ready batches."""

    library = "numpy"

    def start(self, task: Task) -> None:
        self.workload, self.dtype, self.batches = task.workload, np.dtype(task.dtype), task.ready_batches()
        self.made = 0
        self.begin([w.copy() for w in task.weights])

    def begin(self, weights: list[np.ndarray]) -> None:
        raise NotImplementedError

    def step(self, x: np.ndarray, t: np.ndarray) -> Any:
        raise NotImplementedError

    def run(self, steps: int) -> None:
        for _ in range(steps):
            batch = self.batches[self.made % len(self.batches)]
            self.made += 1
            self.step(*batch)

    def losses(self, n: int) -> list[float]:
        found = []
        for x, t in self.batches[:n]:
            self.made += 1
            found.append(float(self.step(x, t)))
        return found

    def describe(self) -> dict[str, Any]:
        return {"numpy": np.__version__}


class Gemm(Numpy):
    """The matrix products of a step, into existing memory; without the gradient of the data."""

    name = "gemm"
    trains = False

    def begin(self, weights: list[np.ndarray]) -> None:
        self.W = weights[::2]
        n = self.workload.batch
        self.y = [np.empty((n, W.shape[1]), self.dtype) for W in self.W]
        self.dy = [np.random.default_rng(0).random(y.shape, dtype=self.dtype) for y in self.y]
        self.dW = [np.empty_like(W) for W in self.W]

    def step(self, x: np.ndarray, t: np.ndarray) -> None:
        inputs = [x, *self.y[:-1]]
        for a, W, y in zip(inputs, self.W, self.y, strict=True):
            np.matmul(a, W, out=y)
        for i in range(len(self.W) - 1, -1, -1):
            np.matmul(inputs[i].T, self.dy[i], out=self.dW[i])
            if i:
                np.matmul(self.dy[i], self.W[i].T, out=self.dy[i - 1])


class Chapter(Numpy):
    """The chapter's layers and optimizers: plain NumPy, a new array for every term, the gradient of the data too.

    Two constants are not the chapter's, so that the losses can be compared: ε of Adam is the paper's, and the smallest
    normal number keeps the argument of the logarithm above 0.
    """

    name = "chapter"

    def begin(self, weights: list[np.ndarray]) -> None:
        self.params, self.grads = weights, [np.zeros_like(w) for w in weights]
        self.m, self.v = [np.zeros_like(w) for w in weights], [np.zeros_like(w) for w in weights]
        self.iter, self.tiny = 0, np.finfo(self.dtype).tiny

    def step(self, x: np.ndarray, t: np.ndarray) -> Any:
        loss = self.gradients(x, t)
        if self.workload.optimizer == "sgd":
            for i in range(len(self.params)):
                self.params[i] -= self.workload.lr * self.grads[i]
            return loss
        self.iter += 1
        lr_t, eps = adam_rates(self.workload, self.iter)
        for i in range(len(self.params)):
            self.m[i] += (1 - BETA1) * (self.grads[i] - self.m[i])
            self.v[i] += (1 - BETA2) * (self.grads[i] ** 2 - self.v[i])
            self.params[i] -= lr_t * self.m[i] / (np.sqrt(self.v[i]) + eps)
        return loss

    def gradients(self, x: np.ndarray, t: np.ndarray) -> Any:
        inputs, rows = [], np.arange(len(t))
        for i, (W, b) in enumerate(layers(self.params)):
            x = x if i == 0 else 1 / (1 + np.exp(-x))
            inputs.append(x)
            x = np.dot(x, W) + b
        x = x - x.max(axis=1, keepdims=True)
        y = np.exp(x)
        y /= y.sum(axis=1, keepdims=True)
        loss = -np.sum(np.log(y[rows, t] + self.tiny)) / len(t)
        dout = y.copy()
        dout[rows, t] -= 1
        dout = dout / len(t)
        for i in range(len(inputs) - 1, -1, -1):
            W, out = self.params[2 * i], inputs[i]
            self.grads[2 * i][...] = np.dot(out.T, dout)
            self.grads[2 * i + 1][...] = np.sum(dout, axis=0)
            dout = np.dot(dout, W.T)
            if i:
                dout = dout * (1.0 - out) * out
        return loss


class Tuned(Numpy):
    """The step as one would tune it by hand: products and activations in place, an update of flat buffers in blocks."""

    name = "numpy-tuned"

    def begin(self, weights: list[np.ndarray]) -> None:
        self.flat, self.params = _one_buffer(weights)
        self.flat_grad, self.grads = _one_buffer([np.zeros_like(w) for w in weights])
        self.m, self.v = (np.zeros_like(self.flat) for _ in range(2))
        self.scratch = np.empty(min(BLOCK, self.flat.size), self.dtype)
        n = self.workload.batch
        self.y = [np.empty((n, b.size), self.dtype) for b in weights[1::2]]
        self.dy, self.spare = [np.empty_like(y) for y in self.y[:-1]], [np.empty_like(y) for y in self.y[:-1]]
        self.ones, self.rows, self.iter = np.ones(n, self.dtype), np.arange(n), 0

    def step(self, x: np.ndarray, t: np.ndarray) -> Any:
        inputs = [x, *self.y[:-1]]
        for i, (W, b) in enumerate(layers(self.params)):
            y = np.matmul(inputs[i], W, out=self.y[i])
            y += b
            if i + 1 < len(inputs):
                np.negative(y, out=y)
                np.exp(y, out=y)
                y += 1
                np.reciprocal(y, out=y)
        y -= y.max(axis=1, keepdims=True)
        picked = y[self.rows, t]
        np.exp(y, out=y)
        total = y.sum(axis=1, keepdims=True)
        loss = float(np.log(total).sum() - picked.sum()) / len(t)
        total *= len(t)
        y /= total
        y[self.rows, t] -= 1 / len(t)
        self._backward(inputs, y)
        if self.workload.optimizer == "sgd":
            self.flat_grad *= self.workload.lr
            self.flat -= self.flat_grad
        else:
            self._adam()
        return loss

    def _backward(self, inputs: list[np.ndarray], dy: np.ndarray) -> None:
        for i in range(len(inputs) - 1, -1, -1):
            a = inputs[i]
            np.matmul(a.T, dy, out=self.grads[2 * i])
            np.matmul(self.ones, dy, out=self.grads[2 * i + 1])
            if i:
                s = np.subtract(1, a, out=self.spare[i - 1])
                s *= a
                dy = np.matmul(dy, self.params[2 * i].T, out=self.dy[i - 1])
                dy *= s

    def _adam(self) -> None:
        self.iter += 1
        alpha, eps = adam_rates(self.workload, self.iter)
        for start in range(0, self.flat.size, BLOCK):
            p, g, m, v = (a[start : start + BLOCK] for a in (self.flat, self.flat_grad, self.m, self.v))
            s = self.scratch[: p.size]
            np.multiply(g, 1 - BETA1, out=s)
            m *= BETA1
            m += s
            np.multiply(g, g, out=g)
            g *= 1 - BETA2
            v *= BETA2
            v += g
            np.sqrt(v, out=s)
            s += eps
            np.divide(m, s, out=s)
            s *= alpha
            p -= s


def _one_buffer(arrays: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    """One flat array that holds all of these, and a view of it for each."""
    flat = np.concatenate([a.reshape(-1) for a in arrays])
    ends = np.cumsum([a.size for a in arrays])
    return flat, [flat[end - a.size : end].reshape(a.shape) for a, end in zip(arrays, ends, strict=True)]
