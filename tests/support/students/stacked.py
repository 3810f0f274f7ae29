"""A correct file with several results in one array, dataclasses, and arguments by name alone."""

from dataclasses import dataclass, field

import numpy as np


class Multiply:
    def forward(self, x, y):
        self.other = np.stack([y, x])
        return x * y

    def backward(self, dout):
        return dout * self.other


class Add:
    def forward(self, *xs):
        return np.add(*xs)

    def backward(self, dout):
        return np.repeat(dout[np.newaxis], 2, axis=0)


@dataclass
class Branch:
    number_of: int = 3

    def forward(self, x):
        return np.array([x] * self.number_of)

    def backward(self, douts):
        return douts.sum(axis=0)


@dataclass
class Repeat:
    many: int = 7
    along: int = 0

    def forward(self, x):
        return np.repeat(x, self.many, self.along)

    def backward(self, dout):
        return dout.sum(self.along, keepdims=True)


@dataclass
class Sum:
    along: int = 1
    keep: bool = False

    def forward(self, x):
        self.shape = x.shape
        return x.sum(axis=self.along, keepdims=self.keep)

    def backward(self, dout):
        dout = dout if self.keep else np.expand_dims(dout, self.along)
        return dout + np.zeros(self.shape)


@dataclass
class SGD:
    speed: float = 1.0

    def update(self, params, grads):
        for p, g in zip(params, grads, strict=True):
            p -= self.speed * g


@dataclass(kw_only=True)
class Momentum:
    inertia: float = 0.5
    speed: float = 0.1
    memory: list = field(default_factory=list)

    def update(self, params, grads):
        self.memory = self.memory or [np.zeros_like(p) for p in params]
        for p, g, v in zip(params, grads, self.memory, strict=True):
            v[...] = self.inertia * v - self.speed * g
            p += v


class RMSprop:
    def __init__(self, eta=0.001, beta=0.9, eps=1e-10):
        self.eta, self.one_minus_beta, self.eps, self.h = eta, 1 - beta, eps, None

    def update(self, params, grads):
        self.h = [0.0] * len(params) if self.h is None else self.h
        for i, (p, g) in enumerate(zip(params, grads, strict=True)):
            self.h[i] += self.one_minus_beta * (g**2 - self.h[i])
            p -= self.eta * g / np.sqrt(self.h[i] + self.eps)
