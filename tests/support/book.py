"""What the chapter and its peers do, restated in a few lines each: the formulas that xpgraph departs from.

test_book.py runs each of its tests on xpgraph, where it must pass, and on these, where it must fail.
"""

from __future__ import annotations

import numpy as np


def softmax_in_place(x):
    """Row 1: shifts its argument itself, and leaves any rank but 1 and 2 as it is."""
    if x.ndim > 2:
        return x
    x -= x.max(axis=-1, keepdims=True)
    return np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)


def labels_by_size(y, t):
    """Row 10: a label array of as many numbers as the scores is one-hot, whatever its shape and dtype."""
    return t.argmax(axis=1) if t.size == y.size else t


def cross_entropy_capped(y, t):
    """Row 2: log(y + 1e-7) is never below -16.2 and above 0 for y = 1."""
    return -np.sum(np.log(y[np.arange(len(y)), labels_by_size(y, t)] + 1e-7)) / len(y)


class LossOfTheBook:
    """Rows 2 and 10: the loss through ``cross_entropy_capped``; an index of -1 is the last class."""

    def forward(self, x, t):
        self.y = softmax_in_place(x.copy())
        self.t = labels_by_size(self.y, t)
        return cross_entropy_capped(self.y, self.t)

    def backward(self, dout=1):
        dx = self.y.copy()
        dx[np.arange(len(dx)), self.t] -= 1
        return dx * dout / len(dx)


class LossThatReturnsProbabilities(LossOfTheBook):
    """Row 3: the chapter's forward computes the loss and returns y."""

    def forward(self, x, t):
        super().forward(x, t)
        return self.y


class SigmoidOfTheBook:
    """Row 4: e^-x overflows, and y(1 - y) is 0 as soon as y rounds to 1."""

    def forward(self, x):
        self.y = 1 / (1 + np.exp(-x))
        return self.y

    def backward(self, dy):
        return dy * self.y * (1 - self.y)


def merge_equal_values(params, grads):
    """Row 5: two parameters are one if the values of one are those of the other, transposed."""
    params, grads = list(params), list(grads)
    for i in range(len(params)):
        for j in range(len(params) - 1, i, -1):
            p, q = params[i], params[j]
            if p is q or (p.ndim == q.ndim == 2 and p.T.shape == q.shape and np.all(q == p.T)):
                grads[i] += grads[j] if p is q else grads[j].T
                del params[j], grads[j]
    return params, grads


class MatMulOfAnyDtype:
    """Row 11: no look at the dtype of W, so integer gradients are cut off and small integers wrap."""

    def __init__(self, W):
        self.params, self.grads = [W], [np.zeros_like(W)]

    def forward(self, x):
        self.x = x
        return x @ self.params[0]

    def backward(self, dy):
        self.grads[0][...] = self.x.T @ dy
        return dy @ self.params[0].T


class AdamOfTheBook:
    """Row 12: ε beside √v before the bias correction, and the step size a NumPy float64."""

    def __init__(self, lr=0.001, beta1=0.9, beta2=0.999):
        self.lr, self.beta1, self.beta2, self.iter, self.m, self.v = lr, beta1, beta2, 0, None, None

    def update(self, params, grads):
        if self.m is None:
            self.m, self.v = ([np.zeros_like(p) for p in params] for _ in range(2))
        self.iter += 1
        step = self.lr * np.sqrt(1.0 - self.beta2**self.iter) / (1.0 - self.beta1**self.iter)
        for p, g, m, v in zip(params, grads, self.m, self.v, strict=True):
            m += (1 - self.beta1) * (g - m)
            v += (1 - self.beta2) * (g**2 - v)
            p -= step * m / (np.sqrt(v) + 1e-7)
