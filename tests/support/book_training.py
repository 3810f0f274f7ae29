"""The chapter's training rules with what is wrong in them, and models for the tests.

A test runs on xpgraph's rule, where it must pass, and on the chapter's rule, where it must fail. Most of these are in
students/chapter_like.py, the chapter's code as a student hands it in; rows are those of docs/differences.md.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from students import chapter_like

PlainAffine, PlainSigmoid = chapter_like.Affine, chapter_like.Sigmoid

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


class LeakyTrainer(chapter_like.Trainer):
    """Rows 7, 8 and 9: rows beyond the last full batch are left out, what was not yet reported is carried into the
    next epoch, and the order is drawn from NumPy's global generator."""

    def __init__(self, model: Any, optimizer: Any, seed: int = 0) -> None:
        super().__init__(model, optimizer)
        np.random.seed(seed)


# --- models that a reader of the chapter would write ---


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
    """A model that puts a new array into its grads at each step: softmax regression on two shared weights."""

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
