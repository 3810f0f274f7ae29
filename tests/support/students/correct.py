"""A careful student's file: everything right, in other words than the library's."""

import matplotlib.pyplot as plt
import numpy as np


class Add:
    def forward(self, x, y):
        return x + y

    def backward(self, dout):
        return dout, dout


class Multiply:
    def __init__(self):
        self.x = self.y = None

    def forward(self, x, y):
        self.x, self.y = x, y
        return x * y

    def backward(self, dout):
        return dout * self.y, dout * self.x


class Branch:
    def forward(self, x):
        return x, x

    def backward(self, douts):
        first, second = douts
        return first + second


class Repeat:
    def __init__(self, N, axis=0):
        self.N, self.axis = N, axis

    def forward(self, x):
        return np.repeat(x, self.N, axis=self.axis)

    def backward(self, dout):
        return np.sum(dout, axis=self.axis, keepdims=True)


class Sum:
    def forward(self, x):
        self.N = x.shape[0]
        return np.sum(x, axis=0, keepdims=True)

    def backward(self, dout):
        return np.repeat(dout, self.N, axis=0)


class MatMul:
    def __init__(self, W):
        self.params = [W]
        self.grads = [np.zeros_like(W)]

    def forward(self, x):
        self.x = x
        return x @ self.params[0]

    def backward(self, dout):
        self.grads[0][...] = self.x.T @ dout
        return dout @ self.params[0].T


class Affine:
    def __init__(self, W, b):
        self.params = [W, b]
        self.grads = [np.zeros_like(W), np.zeros_like(b)]

    def forward(self, x):
        self.x = x
        W, b = self.params
        return np.dot(x, W) + b

    def backward(self, dout):
        self.grads[0][...] = np.dot(self.x.T, dout)
        self.grads[1][...] = dout.sum(axis=0)
        return np.dot(dout, self.params[0].T)


class Sigmoid:
    def __init__(self):
        self.params, self.grads = [], []

    def forward(self, x):
        z = np.exp(-np.abs(x))
        self.out = np.where(x >= 0, 1, z) / (1 + z)
        return self.out

    def backward(self, dout):
        return dout * self.out * (1 - self.out)


class Tanh:
    def forward(self, x):
        self.out = np.tanh(x)
        return self.out

    def backward(self, dout):
        return dout * (1 - self.out**2)


class Relu:
    def forward(self, x):
        self.mask = x <= 0
        out = x.copy()
        out[self.mask] = 0
        return out

    def backward(self, dout):
        dx = dout.copy()
        dx[self.mask] = 0
        return dx


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


class Softmax:
    def forward(self, x):
        self.y = softmax(x)
        return self.y

    def backward(self, dout):
        return self.y * (dout - np.sum(dout * self.y, axis=-1, keepdims=True))


def cross_entropy_loss(y, t):
    if y.ndim == 1:
        y, t = y[np.newaxis], np.reshape(t, (1, -1))
    if t.ndim == 2:
        t = t.argmax(axis=1)
    return -np.mean(np.log(y[np.arange(len(y)), t] + 1e-7))


class SoftmaxWithLoss:
    def forward(self, x, t):
        self.t = t if t.ndim == 1 else t.argmax(axis=1)
        self.y = softmax(x)
        z = x - x.max(axis=1, keepdims=True)
        log_y = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
        return -log_y[np.arange(len(x)), self.t].mean()

    def backward(self, dout=1):
        dx = self.y.copy()
        dx[np.arange(len(dx)), self.t] -= 1
        return dx * dout / len(dx)


class SGD:
    def __init__(self, lr=0.1):
        self.lr = lr

    def update(self, params, grads):
        for p, g in zip(params, grads, strict=True):
            p -= self.lr * g


class Momentum:
    def __init__(self, lr=0.01, momentum=0.9):
        self.lr, self.momentum, self.v = lr, momentum, None

    def update(self, params, grads):
        if self.v is None:
            self.v = [np.zeros_like(p) for p in params]
        for p, g, v in zip(params, grads, self.v, strict=True):
            v *= self.momentum
            v += g
            p -= self.lr * v


class AdaGrad:
    def __init__(self, lr=0.01):
        self.lr, self.h = lr, None

    def update(self, params, grads):
        if self.h is None:
            self.h = [np.zeros_like(p) for p in params]
        for i in range(len(params)):
            self.h[i] += grads[i] ** 2
            params[i] -= self.lr * grads[i] / (np.sqrt(self.h[i]) + 1e-8)


class RMSprop:
    def __init__(self, lr=0.01, rho=0.9):
        self.lr, self.rho, self.h = lr, rho, None

    def update(self, params, grads):
        if self.h is None:
            self.h = [np.zeros_like(p) for p in params]
        for i, (p, g) in enumerate(zip(params, grads, strict=True)):
            self.h[i] = self.rho * self.h[i] + (1 - self.rho) * g * g
            p[...] = p - self.lr * g / np.sqrt(self.h[i] + 1e-8)


class Adam:
    """In the form of the paper."""

    def __init__(self, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8):
        self.lr, self.beta1, self.beta2, self.eps = lr, beta1, beta2, eps
        self.t, self.m, self.v = 0, None, None

    def update(self, params, grads):
        if self.m is None:
            self.m, self.v = ([np.zeros_like(p) for p in params] for _ in range(2))
        self.t += 1
        for p, g, m, v in zip(params, grads, self.m, self.v, strict=True):
            m += (1 - self.beta1) * (g - m)
            v += (1 - self.beta2) * (g**2 - v)
            m_hat, v_hat = m / (1 - self.beta1**self.t), v / (1 - self.beta2**self.t)
            p -= self.lr * m_hat / (np.sqrt(v_hat) + self.eps)


def remove_duplicates(params, grads):
    kept, sums = [], []
    for p, g in zip(params, grads, strict=True):
        for i, q in enumerate(kept):
            if p is q:
                sums[i] += g
                break
            if p.shape == q.T.shape and np.shares_memory(p, q):
                sums[i] += g.T
                break
        else:
            kept.append(p)
            sums.append(g)
    return kept, sums


def clip_grads(grads, max_norm):
    norm = np.sqrt(sum(np.sum(g**2) for g in grads))
    if norm > max_norm:
        for g in grads:
            g *= max_norm / norm


class Trainer:
    def __init__(self, model, optimizer):
        self.model, self.optimizer, self.loss_list = model, optimizer, []

    def fit(self, x, t, max_epoch=10, batch_size=32, max_grad=None, eval_interval=20):
        for epoch in range(max_epoch):
            order = np.random.permutation(len(x))
            for i, start in enumerate(range(0, len(x), batch_size)):
                rows = order[start : start + batch_size]
                loss = self.model.forward(x[rows], t[rows])
                self.model.backward()
                params, grads = remove_duplicates(self.model.params, self.model.grads)
                if max_grad is not None:
                    clip_grads(grads, max_grad)
                self.optimizer.update(params, grads)
                if eval_interval is not None and i % eval_interval == 0:
                    print("epoch", epoch, "loss", loss)
                    self.loss_list.append(float(loss))


# try it out
layer = Affine(np.random.randn(3, 4), np.zeros(4))
print(layer.forward(np.random.randn(2, 3)))
plt.plot([1, 2, 3])
plt.show()
