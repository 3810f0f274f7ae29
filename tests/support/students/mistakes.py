"""Ten mistakes that students make, one in a class, among classes that are right."""

import numpy as np


class AddLayer:
    def forward(self, x, y):
        return x + y

    def backward(self, dout):
        return dout * 1, dout * 1


class MulLayer:
    """1: the factors are not swapped."""

    def forward(self, x, y):
        self.x, self.y = x, y
        return x * y

    def backward(self, dout):
        return dout * self.x, dout * self.y


class Branch:
    def __init__(self, n=2):
        self.n = n

    def forward(self, x):
        return [x.copy() for _ in range(self.n)]

    def backward(self, *douts):
        return sum(douts)


class MatMul:
    """2: a new array takes the place of the one that the optimizer knows."""

    def __init__(self, W):
        self.params = [W]
        self.grads = [np.zeros_like(W)]

    def forward(self, x):
        self.x = x
        return np.dot(x, self.params[0])

    def backward(self, dout):
        self.grads[0] = np.dot(self.x.T, dout)
        return np.dot(dout, self.params[0].T)


class Affine:
    """3: the gradient of the bias is a mean."""

    def __init__(self, W, b):
        self.params = [W, b]
        self.grads = [np.zeros_like(W), np.zeros_like(b)]

    def forward(self, x):
        self.x = x
        return np.dot(x, self.params[0]) + self.params[1]

    def backward(self, dout):
        self.grads[0][...] = np.dot(self.x.T, dout)
        self.grads[1][...] = np.mean(dout, axis=0)
        return np.dot(dout, self.params[0].T)


class Sigmoid:
    """4: half of y(1 - y)."""

    def forward(self, x):
        z = np.exp(-np.abs(x))
        self.out = np.where(x >= 0, 1, z) / (1 + z)
        return self.out

    def backward(self, dout):
        return dout * (1 - self.out)


class Tanh:
    def forward(self, x):
        self.out = np.tanh(x)
        return self.out

    def backward(self, dout):
        return dout * (1 - self.out * self.out)


class Relu:
    """5: the zeros go into the caller's array."""

    def forward(self, x):
        self.mask = x <= 0
        x[self.mask] = 0
        return x

    def backward(self, dout):
        return np.where(self.mask, 0, dout)


def softmax(x):
    """6: no shift."""
    return np.exp(x) / np.sum(np.exp(x), axis=-1, keepdims=True)


def cross_entropy_error(y, t):
    """7: class indices alone."""
    return -np.mean(np.log(y[np.arange(len(y)), t] + 1e-7))


class SoftmaxWithLoss:
    """8: not divided by the batch size."""

    def forward(self, x, t):
        self.t = t if t.ndim == 1 else t.argmax(axis=1)
        z = x - x.max(axis=1, keepdims=True)
        s = np.exp(z).sum(axis=1, keepdims=True)
        self.y = np.exp(z) / s
        return -np.mean((z - np.log(s))[np.arange(len(x)), self.t])

    def backward(self, dout=1):
        dx = self.y.copy()
        dx[np.arange(len(dx)), self.t] -= 1
        return dx * dout


class SGD:
    def __init__(self, lr=0.01):
        self.lr = lr

    def update(self, params, grads):
        for i in range(len(params)):
            params[i] -= self.lr * grads[i]


class Momentum:
    """9: uphill."""

    def __init__(self, lr=0.01, momentum=0.9):
        self.lr, self.momentum, self.v = lr, momentum, None

    def update(self, params, grads):
        if self.v is None:
            self.v = [np.zeros_like(p) for p in params]
        for i in range(len(params)):
            self.v[i] = self.momentum * self.v[i] + self.lr * grads[i]
            params[i] += self.v[i]


class AdaGrad:
    def __init__(self, lr=0.01):
        self.lr, self.h = lr, None

    def update(self, params, grads):
        if self.h is None:
            self.h = [np.zeros_like(p) for p in params]
        for i in range(len(params)):
            self.h[i] += grads[i] * grads[i]
            params[i] -= self.lr * grads[i] / (np.sqrt(self.h[i]) + 1e-7)


class Adam:
    """10: no bias correction."""

    def __init__(self, lr=0.001, beta1=0.9, beta2=0.999):
        self.lr, self.beta1, self.beta2, self.m, self.v = lr, beta1, beta2, None, None

    def update(self, params, grads):
        if self.m is None:
            self.m = [np.zeros_like(p) for p in params]
            self.v = [np.zeros_like(p) for p in params]
        for i in range(len(params)):
            self.m[i] = self.beta1 * self.m[i] + (1 - self.beta1) * grads[i]
            self.v[i] = self.beta2 * self.v[i] + (1 - self.beta2) * grads[i] ** 2
            params[i] -= self.lr * self.m[i] / (np.sqrt(self.v[i]) + 1e-7)


def clip_grads(grads, max_norm):
    norm = np.sqrt(sum(np.sum(g * g) for g in grads))
    rate = max_norm / (norm + 1e-6)
    if rate < 1:
        for g in grads:
            g *= rate
