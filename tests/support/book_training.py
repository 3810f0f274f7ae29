"""The chapter's training rules with what is wrong in them, said again in few lines, and models for the tests.

Each rule here is what a test must be able to refuse: the test's body is run on xpgraph's rule, and then
on the one below, where it has to fail.
"""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np

# --- rows 5 and 5b: which parameters are one ---


def merge_by_value(params: list[Any], grads: list[Any]) -> tuple[list[Any], list[Any]]:
    """Row 5: a matrix is taken for a tied one when its transpose has equal values."""
    params, grads = list(params), list(grads)
    i = 0
    while i < len(params):
        for j in range(len(params) - 1, i, -1):
            p, q = params[i], params[j]
            if p is q:
                grads[i] += grads[j]
            elif p.ndim == q.ndim == 2 and p.T.shape == q.shape and np.all(q == p.T):
                grads[i] += grads[j].T
            else:
                continue
            del params[j], grads[j]
        i += 1
    return params, grads


def merge_nothing(params: list[Any], grads: list[Any]) -> tuple[list[Any], list[Any]]:
    """Row 5b: a layer that is used twice takes two steps."""
    return list(params), list(grads)


# --- clipping ---


def clip_by_branch(grads: list[Any], max_norm: float) -> Any:
    """Row 6: summed in the gradients' own dtype, and a comparison that NaN answers with no."""
    norm = np.sqrt(sum(np.sum(g**2) for g in grads))
    rate = max_norm / (norm + 1e-6)
    if rate < 1:
        for g in grads:
            g *= rate
    return norm


# --- rows 7, 8, 9: the loop ---


class LeakyTrainer:
    """Rows 7, 8 and 9: rows beyond the last full batch are left out, what was not yet reported is carried into the
    next epoch, and the order is drawn from the generator that everybody draws from."""

    def __init__(self, model: Any, optimizer: Any, seed: int = 0) -> None:
        np.random.seed(seed)
        self.model, self.optimizer = model, optimizer
        self.loss_list: list[float] = []

    def fit(self, x: Any, t: Any, max_epoch: int = 10, batch_size: int = 32, eval_interval: int = 20) -> None:
        kept: list[float] = []
        for _ in range(max_epoch):
            order = np.random.permutation(len(x))
            x, t = x[order], t[order]
            for i in range(len(x) // batch_size):
                rows = slice(i * batch_size, (i + 1) * batch_size)
                kept.append(float(self.model.forward(x[rows], t[rows])))
                self.model.backward()
                self.optimizer.update(*merge_by_value(self.model.params, self.model.grads))
                if i % eval_interval == 0:
                    print(f"| loss {np.mean(kept):.2f}")
                    self.loss_list.append(float(np.mean(kept)))
                    kept.clear()


# --- saving ---


def pickled(params: list[Any]) -> bytes:
    """Row 13: weights as float16 in a pickle."""
    return pickle.dumps([p.astype(np.float16) for p in params])


def unpickled(data: bytes) -> list[Any]:
    return pickle.load(io.BytesIO(data))


# --- models that a reader of the chapter would write ---


class PlainAffine:
    """The chapter's layer on plain NumPy arrays."""

    def __init__(self, W: Any, b: Any) -> None:
        self.params, self.grads = [W, b], [np.zeros_like(W), np.zeros_like(b)]

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.params[0] + self.params[1]

    def backward(self, dy: Any) -> Any:
        self.grads[0][...] = self.x.T @ dy
        self.grads[1][...] = dy.sum(axis=0)
        return dy @ self.params[0].T


class PlainSigmoid:
    params: tuple[()] = ()
    grads: tuple[()] = ()

    def forward(self, x: Any) -> Any:
        self.y = 1 / (1 + np.exp(-x))
        return self.y

    def backward(self, dy: Any) -> Any:
        return dy * self.y * (1 - self.y)


class PlainLoss:
    """Softmax with cross-entropy for class indices; forward returns the loss, as Trainer needs."""

    params: tuple[()] = ()
    grads: tuple[()] = ()

    def forward(self, x: Any, t: Any) -> Any:
        e = np.exp(x - x.max(axis=1, keepdims=True))
        self.y, self.t = e / e.sum(axis=1, keepdims=True), t
        return -np.log(self.y[np.arange(len(t)), t]).mean()

    def backward(self, dout: float = 1) -> Any:
        dx = self.y.copy()
        dx[np.arange(len(self.t)), self.t] -= 1
        return dx * dout / len(self.t)


class TwoLayerNet:
    """As the reader of the chapter writes it: lists that are put together once, and three loops."""

    def __init__(self, W1: Any, b1: Any, W2: Any, b2: Any, affine: Any, sigmoid: Any, loss: Any) -> None:
        self.layers = [affine(W1, b1), sigmoid(), affine(W2, b2)]
        self.loss_layer = loss()
        self.params: list[Any] = []
        self.grads: list[Any] = []
        for layer in self.layers:
            self.params += layer.params
            self.grads += layer.grads

    def predict(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def forward(self, x: Any, t: Any) -> Any:
        return self.loss_layer.forward(self.predict(x), t)

    def backward(self, dout: float = 1) -> Any:
        dout = self.loss_layer.backward(dout)
        for layer in reversed(self.layers):
            dout = layer.backward(dout)
        return dout


class FreshGrads:
    """A model that puts a new array into its grads at each step: softmax regression on two weights that are one."""

    def __init__(self, W: Any) -> None:
        self.params, self.grads = [W, W], [np.zeros_like(W), np.zeros_like(W)]
        self.loss_layer = PlainLoss()

    def forward(self, x: Any, t: Any) -> Any:
        self.x = x
        return self.loss_layer.forward(x @ self.params[0] + x @ self.params[1], t)

    def backward(self, dout: float = 1) -> None:
        dW = self.x.T @ self.loss_layer.backward(dout)
        self.grads[0] = dW.copy()
        self.grads[1] = dW.copy()
