"""Small models, and what the tests of training ask of them."""

import numpy as np

import xpgraph as xg

MAKE = {
    "SGD": xg.SGD,
    "Momentum": xg.Momentum,
    "AdaGrad": xg.AdaGrad,
    "RMSprop": xg.RMSprop,
    "Adam": xg.Adam,
    "Adam-chapter": lambda **hyper: xg.Adam(**hyper, form="chapter"),
}


class Witness:
    """A model that learns nothing and records the labels of its batches; its loss is the mean of x."""

    def __init__(self):
        self.params, self.grads = [np.zeros(1)], [np.zeros(1)]
        self.batches = []

    def forward(self, x, t):
        self.batches.append(t.tolist())
        return float(np.mean(x))

    def backward(self):
        pass


def weights(seed=0, d=4, h=6, classes=3):
    rng = np.random.Generator(np.random.Philox(seed))
    return [rng.standard_normal(s) for s in ((d, h), (h,), (h, classes), (classes,))]


def net(lib, w):
    W1, b1, W2, b2 = (lib.param(a) for a in w)
    return xg.Chain(xg.Affine(W1, b1), xg.Sigmoid(), xg.Affine(W2, b2), loss=xg.SoftmaxWithLoss())


def bits(lib, params):
    return [lib.numpy(p).tobytes() for p in params]


def columns(n):
    """(x, t) of n rows in which both are the number of the row."""
    return np.arange(n, dtype=np.float64)[:, None], np.arange(n)


class Means(Witness):
    """A model whose loss is the mean of the batch's row numbers, so that averages can be computed by hand."""

    def forward(self, x, t):
        super().forward(x, t)
        return float(np.mean(t))


class Notes(xg.Report):
    """A report that records every call."""

    def __init__(self):
        self.heard = []

    def begin(self, epochs, samples):
        self.heard.append(("begin", epochs, samples))

    def note(self, text):
        self.heard.append(("note", text))

    def step(self, progress):
        self.heard.append(("step", progress.epoch, progress.epochs, progress.iteration, progress.samples))

    def epoch(self, record):
        self.heard.append(("epoch", record["epoch"]))

    def end(self):
        self.heard.append(("end",))


def shopping():
    """The price of apples and oranges with tax, as a Graph."""
    names = ("apples", "apple price", "oranges", "orange price", "tax")
    apples, apple_price, oranges, orange_price, tax = wires = tuple(xg.wire(name) for name in names)
    fruit = xg.Add()(xg.Multiply()(apples, apple_price), xg.Multiply()(oranges, orange_price))
    return xg.Graph(wires, xg.Multiply()(fruit, tax))
