"""Nodes of a user's own in NumPy, without a base class: all of them are right."""

import numpy as np


class Square:
    """Right: y = x², dx = 2x dy."""

    def forward(self, x):
        self.x = x
        return x * x

    def backward(self, dy):
        return 2.0 * self.x * dy


class Scale:
    """Right, with a parameter: y = x w, w (3,)."""

    def __init__(self):
        self.params, self.grads = [np.array([1.0, -2.0, 3.0])], [np.zeros(3)]

    def forward(self, x):
        self.x = x
        return x * self.params[0]

    def backward(self, dy):
        self.grads[0][...] = (self.x * dy).reshape(-1, 3).sum(axis=0)
        return dy * self.params[0]


class MeanSquareLoss:
    """Right, and the loss is a Python number."""

    def forward(self, y, t):
        self.d = y - t
        return float((self.d**2).mean())

    def backward(self, dout=1):
        return 2 * self.d * dout / self.d.size


class LossWithoutArgument:
    """Right: backward of the last node of a network, that takes nothing."""

    def forward(self, x, t):
        e = np.exp(x - x.max(axis=1, keepdims=True))
        self.y, self.t = e / e.sum(axis=1, keepdims=True), t
        return np.mean(np.log(e.sum(axis=1)) - (x - x.max(axis=1, keepdims=True))[np.arange(len(x)), t])

    def backward(self):
        return (self.y - np.eye(self.y.shape[1], dtype=self.y.dtype)[self.t]) / len(self.t)


class Exp:
    """Right: e^x has no finite value at 1e4 that could be asked for."""

    def forward(self, x):
        self.y = np.exp(x)
        return self.y.copy()

    def backward(self, dy):
        return dy * self.y


class Log(Square):
    """Right where it is defined."""

    def forward(self, x):
        self.x = x
        return np.log(x)

    def backward(self, dy):
        return dy / self.x


class Embedding:
    """Right: integers in, no gradient for them."""

    def __init__(self):
        self.params, self.grads = [np.arange(12.0).reshape(6, 2)], [np.zeros((6, 2))]

    def forward(self, ids):
        self.ids = ids
        return self.params[0][ids]

    def backward(self, dy):
        self.grads[0][...] = 0
        np.add.at(self.grads[0], self.ids, dy)


class Centred(Square):
    """Right: rows that know each other are not held to the rule for 3-D inputs."""

    def forward(self, x):
        return x - x.mean(axis=0)

    def backward(self, dy):
        return dy - dy.mean(axis=0)


class Slotted:
    """Right: no __dict__, and parameters that must not be changed by the checks."""

    __slots__ = ("grads", "params", "x")

    def __init__(self):
        self.params, self.grads = [np.array([1.0, -2.0, 3.0])], [np.zeros(3)]

    forward, backward = Scale.forward, Scale.backward
