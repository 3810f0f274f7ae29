"""A correct file with names of its own: Greek letters, private attributes, lists of results, losses in a history."""

import numpy as np


class AddNode:
    def forward(self, a, b):
        return [a + b]

    def backward(self, grad):
        return [grad * 1.0, grad * 1.0]


class MulNode:
    def forward(self, a, b):
        self.saved = [a, b]
        return a * b

    def backward(self, grad):
        a, b = self.saved
        return [grad * b, grad * a]


class BranchNode:
    def __init__(self, how_many=5):
        self._k = how_many

    def forward(self, a):
        return [a.copy() for _ in range(self._k)]

    def backward(self, grads):
        return np.sum(grads, axis=0)


class RepeatNode:
    def __init__(self, how_many):
        self._k = how_many

    def forward(self, a):
        return np.tile(a, (self._k, 1))

    def backward(self, grad):
        return grad.sum(axis=0, keepdims=True)


class SumNode:
    def __init__(self, rows, width):
        self._shape = rows, width

    def forward(self, a):
        self._shape = a.shape
        return a.sum(axis=0, keepdims=True)

    def backward(self, grad):
        return np.broadcast_to(grad, self._shape)


class MatMul:
    def __init__(self, weight):
        self.params, self.grads = (weight,), (np.zeros(weight.shape),)

    def forward(self, a):
        self._a = a
        return a @ self.params[0]

    def backward(self, grad):
        np.matmul(self._a.T, grad, out=self.grads[0])
        return grad @ self.params[0].T


class Affine:
    def __init__(self, weight, bias):
        self.params, self.grads = (weight, bias), (np.zeros(weight.shape), np.zeros(bias.shape))

    def forward(self, a):
        self._a = a
        return np.einsum("nd,dh->nh", a, self.params[0]) + self.params[1]

    def backward(self, grad):
        self.grads[0][:] = np.einsum("nd,nh->dh", self._a, grad)
        self.grads[1][:] = np.einsum("nh->h", grad)
        return np.einsum("nh,dh->nd", grad, self.params[0])


class SGD:
    def __init__(self, alpha=0.1):
        self._alpha = alpha

    def update(self, params, grads):
        for w, g in zip(params, grads, strict=True):
            np.subtract(w, self._alpha * g, out=w)


class Momentum:
    def __init__(self, eta, m=0.8):
        self._e, self._m, self._velocity = eta, m, {}

    def update(self, params, grads):
        for i, (w, g) in enumerate(zip(params, grads, strict=True)):
            self._velocity[i] = self._m * self._velocity.get(i, 0) - self._e * g
            w += self._velocity[i]


class AdaGrad:
    def __init__(self, step_size=0.1, tiny=1e-8):
        self._lr, self._tiny, self._sums = step_size, tiny, {}

    def update(self, params, grads):
        for i, (w, g) in enumerate(zip(params, grads, strict=True)):
            self._sums[i] = self._sums.get(i, 0) + g * g
            w -= self._lr * g / (np.sqrt(self._sums[i]) + self._tiny)


class RMSprop:
    def __init__(self, lr, forget=0.9):
        self._rate, self._forget, self._mean = lr, forget, {}

    def update(self, params, grads):
        for i, (w, g) in enumerate(zip(params, grads, strict=True)):
            self._mean[i] = self._forget * self._mean.get(i, 0) + (1 - self._forget) * g * g
            w -= self._rate * g / (np.sqrt(self._mean[i]) + 1e-7)


class Adam:
    def __init__(self, *, first=0.9, second=0.99, speed=0.01, eps=1e-8, weight_decay=0.0):
        self._f, self._s, self._speed, self._eps, self._decay = first, second, speed, eps, weight_decay
        self._t, self._m, self._v = 0, {}, {}

    def update(self, params, grads):
        self._t += 1
        for i, (w, g) in enumerate(zip(params, grads, strict=True)):
            self._m[i] = self._f * self._m.get(i, 0) + (1 - self._f) * g
            self._v[i] = self._s * self._v.get(i, 0) + (1 - self._s) * g * g
            m, v = self._m[i] / (1 - self._f**self._t), self._v[i] / (1 - self._s**self._t)
            w -= self._speed * (m / (np.sqrt(v) + self._eps) + self._decay * w)


class Trainer:
    def __init__(self, net, opt):
        self.net, self.opt, self.history = net, opt, {"loss": []}
        self._rng = np.random.default_rng(1)

    def fit(self, data, labels, epochs=10, batch_size=32, shuffle=True):
        if batch_size > len(data):
            raise ValueError("more rows in a batch than there are")
        for _ in range(epochs):
            idx = self._rng.permutation(len(data)) if shuffle else np.arange(len(data))
            for rows in np.split(idx, range(batch_size, len(idx), batch_size)):
                self.history["loss"].append(self.net.forward(data[rows], labels[rows]))
                self.net.backward()
                self.opt.update(self.net.params, self.net.grads)
