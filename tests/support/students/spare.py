"""A correct file that does without: no params and grads where there is nothing to learn, losses as Python floats."""

import math

import numpy as np


class Sigmoid:
    def forward(self, x):
        self.y = 0.5 * (1 + np.tanh(0.5 * x))
        return self.y

    def backward(self, dy):
        return dy * (self.y - self.y**2)


class Tanh:
    def forward(self, x):
        self.y = np.tanh(x)
        return (self.y,)

    def backward(self, dy):
        return (dy * (1 + self.y) * (1 - self.y),)


class ReLU:
    def forward(self, x):
        self.on = (x > 0).astype(float)
        return x * self.on

    def backward(self, dy):
        return dy * self.on


class Softmax:
    def forward(self, x):
        rows = [np.exp(row - max(row)) for row in x]
        self.y = np.array([row / sum(row) for row in rows])
        return self.y

    def backward(self, dy):
        return np.array([(np.diag(y) - np.outer(y, y)) @ d for y, d in zip(self.y, dy, strict=True)])


class SoftmaxWithLoss:
    def forward(self, x, t):
        self.x, self.t = x, t if t.ndim == 2 else np.eye(x.shape[1])[t]
        m = x.max(axis=1)
        logs = m + np.log(np.exp(x - m[:, None]).sum(axis=1))
        return float(np.sum(logs - (x * self.t).sum(axis=1)) / len(x))

    def backward(self):
        e = np.exp(self.x - self.x.max(axis=1, keepdims=True))
        return (e / e.sum(axis=1, keepdims=True) - self.t) / len(self.x)


def cross_entropy_error(y, t):
    t = t if t.ndim == 2 else np.eye(y.shape[1])[t]
    return math.fsum(-math.log(max(p, 1e-300)) for p in (y * t).sum(axis=1)) / len(y)


def clip_grads(grads, max_norm):
    norm = math.sqrt(sum(float(np.vdot(g, g)) for g in grads))
    for g in grads:
        g *= min(1.0, max_norm / norm)


class Add:
    def forward(self, x, y):
        return x + y

    def backward(self, dy):
        return (dy, dy)


class Branch:
    def forward(self, x):
        return (x, x)

    def backward(self, one, other):
        return one + other


class Repeat:
    def __init__(self, D, N):
        self.D, self.N = D, N

    def forward(self, x):
        return x * np.ones((self.N, 1))

    def backward(self, dy):
        return np.ones((1, self.N)) @ dy


class Sum:
    def forward(self, x):
        self.ones = np.ones((len(x), 1))
        return (self.ones * x).sum(axis=0)

    def backward(self, dy):
        return self.ones * dy
