"""Nodes with one flaw each, for each thing that check_node can find."""

import numpy as np

from .own import Scale, Square


class Raises(Square):
    def backward(self, dy):
        raise NotImplementedError("later")


class OneGradient(Square):
    def forward(self, x, y):
        self.x, self.y = x, y
        return x * y

    def backward(self, dz):
        return dz * self.y


class NotSummedBack(Square):
    def forward(self, x, y):
        return x + y

    def backward(self, dz):
        return dz.copy(), dz.copy()


class NoGrads(Square):
    def __init__(self):
        self.params = [np.ones(3)]


class NewGrads(Scale):
    def backward(self, dy):
        dx = super().backward(dy)
        self.grads[0] = self.grads[0].copy()
        return dx


class LossOfRows(Square):
    def forward(self, x):
        e = np.exp(x - x.max(axis=-1, keepdims=True))
        self.x = x
        return e / e.sum(axis=-1, keepdims=True)

    def backward(self, dout=1):
        return 2.0 * self.x * dout


class WritesIntoInput(Square):
    def forward(self, x):
        y = super().forward(x.copy())
        x -= 1.0
        return y


class WritesIntoGradient(Square):
    def backward(self, dy):
        dx = super().backward(dy)
        dy *= 0.0
        return dx


class WritesIntoInputLater(Square):
    def forward(self, x):
        self.given = x
        return super().forward(x.copy())

    def backward(self, dy):
        self.given -= 1.0
        return super().backward(dy)


class WritesIntoParameters(Scale):
    def backward(self, dy):
        dx = super().backward(dy)
        self.given = self.params[0]
        self.given -= 0.5
        self.restore = self.given
        return dx

    def forward(self, x):
        if hasattr(self, "restore"):
            self.restore += 0.5
            del self.restore
        return super().forward(x)


class WrongSlope(Square):
    def backward(self, dy):
        return 3.0 * self.x * dy


class WrongInOneElement(Square):
    def backward(self, dy):
        dx = super().backward(dy)
        dx.reshape(-1)[-1] *= 1.001
        return dx


class WrongParameterSlope(Scale):
    def backward(self, dy):
        dx = super().backward(dy)
        self.grads[0][...] /= 4.0
        return dx


class Accumulates(Scale):
    def backward(self, dy):
        self.grads[0] += (self.x * dy).reshape(-1, 3).sum(axis=0)
        return dy * self.params[0]


class NotQuiteLinear(Square):
    def backward(self, dy):
        return super().backward(dy) + 1e-9


class Counts(Square):
    n = 0

    def forward(self, x):
        self.n = self.n + 1
        return super().forward(x) + 1e-9 * self.n


class AlwaysFloat64(Square):
    def forward(self, x):
        return super().forward(x) * np.ones(())


class ReturnsItsInput(Square):
    def forward(self, x):
        return x

    def backward(self, dy):
        return 1.0 * dy


class ReturnsItsGradient(Square):
    def forward(self, x):
        return 1.0 * x

    def backward(self, dy):
        return dy


class ReturnsWhatItKeeps(Square):
    def forward(self, x):
        self.y = np.tanh(x)
        return self.y

    def backward(self, dy):
        return dy * (1 - self.y**2)


class Overflows(Square):
    def forward(self, x):
        self.y = 1 / (1 + np.exp(-x))
        return self.y.copy()

    def backward(self, dy):
        return dy * self.y * (1 - self.y)


class OneMaximum(Square):
    """Takes the maximum of all rows: what is far below it is 0 / 0."""

    def forward(self, x):
        e = np.exp(x - x.max())
        self.y = e / e.sum(axis=-1, keepdims=True)
        return self.y.copy()

    def backward(self, dy):
        return self.y * (dy - np.sum(dy * self.y, axis=-1, keepdims=True))


class TwoAxes(Square):
    def forward(self, x):
        self.x = x
        return x / (1 + np.sum(x * x, axis=1, keepdims=True))

    def backward(self, dy):
        s = 1 + np.sum(self.x**2, axis=1, keepdims=True)
        return dy / s - 2 * self.x * np.sum(self.x * dy, axis=1, keepdims=True) / s**2


class TwoAxesOrAnError(Square):
    def forward(self, x):
        n, d = x.shape
        assert n * d == x.size
        return super().forward(x)
