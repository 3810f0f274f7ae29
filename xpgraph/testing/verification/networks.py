"""The networks that ``xpgraph verify`` trains when none is given; together they have every node and every optimizer."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ... import datasets
from ...arrays import random_numbers
from ...arrays.libraries import Array, place
from ...graph.chain import mlp
from ...graph.graph import Graph
from ...nodes.axes import Concat, Reshape, Split, Transpose
from ...nodes.basic import Add, Branch, MatMul, Multiply, Repeat
from ...nodes.layers import Affine, ReLU, Sigmoid, Softmax, Tanh
from ...nodes.losses import SoftmaxWithLoss
from ...nodes.operators import Divide, Dot, Exp, Log, Power, Subtract
from ...nodes.reductions import Max, Mean, Sum
from ...nodes.wires import parameter, wire
from ...training.optimizers import SGD, AdaGrad, Adam, Momentum, RMSprop


class Network(NamedTuple):
    """A model, data for it, an optimizer, and where gradients are clipped."""

    name: str
    model: Any
    x: np.ndarray
    t: np.ndarray
    optimizer: Any
    max_grad: float | None = None
    batch_size: int = 32


def _weights(scale: float, seed: int, i: int, *shape: int) -> Array:
    return place("numpy").asarray(scale * random_numbers.normal(shape, seed, "init", i))


def nodes(inputs: int, classes: int, seed: int) -> Graph:
    """The nodes of networks of layers, once each; V is used twice, as it is and transposed.

    h = tanh(x W + b); h₁, h₂ = branch h; p = h₁ · (Σ h₂ over columns); p₁, p₂ = branch p
    r = repeat(relu(p₁ V), 2);  s = sigmoid(r Z Vᵀ) + p₂;  loss of y = softmax(s) U + c
    """

    draw = partial(_weights, 0.4, seed)
    x, t, V = wire("x"), wire("t"), draw(2, 12, 6)
    h1, h2 = Branch(2)(Tanh()(Affine(draw(0, inputs, 12), draw(1, 12))(x)))
    p1, p2 = Branch(2)(Multiply()(h1, Sum(axis=1)(h2)))
    r = Repeat(2, axis=1)(ReLU()(MatMul(V)(p1)))
    s = Add()(Sigmoid()(MatMul(V.T)(MatMul(draw(3, 12, 6))(r))), p2)
    y = Affine(3.0 * draw(4, 12, classes), draw(5, classes))(Softmax()(s))
    return Graph((x, t), SoftmaxWithLoss()(y, t))


def formulas(inputs: int, classes: int, seed: int) -> Graph:
    """The nodes that formulas are written with, once each; t are probabilities.

    h = x U;  a, b = the halves of h, its columns reordered;  c = a², b - max b, max b, repeated d
    q = e^(c V) / Σ e^(c V);  loss = mean over rows of Σ t · ln 1/q
    """

    draw = partial(_weights, 0.3, seed)
    x, t = wire("x"), wire("t")
    h = Dot()(x, parameter(draw(10, inputs, 12), "U"))
    turned = Transpose((0, 2, 1))(Reshape((-1, 3, 4))(h))
    a, b = Split(2, axis=1)(Reshape((-1, 12))(turned))
    largest = Max(axis=1)(b)
    d = Repeat(like=b)(parameter(draw(11, 6), "d"))
    c = Concat(axis=1)(Power(2)(a), Subtract()(b, largest), largest, d)
    e = Exp()(Dot()(c, parameter(draw(12, 19, classes), "V")))
    terms = Multiply()(t, Log()(Divide()(Sum(axis=1)(e), e)))
    return Graph((x, t), Mean(axis=None, keepdims=False)(Sum(axis=1)(terms)))


def network(name: str, seed: int, optimizer: Any = None, max_grad: float | None = None) -> Network:
    """``"nodes"``, ``"formulas"``, or sizes of a perceptron such as ``"64-50-10"``, on the digits.

    Sizes that do not fit those train on drawn data.
    """
    x, t = _data(64, 10, seed)
    if name == "nodes":
        return Network(name, nodes(64, 10, seed), x, t, optimizer or Momentum(lr=0.1), max_grad or 0.5)
    if name == "formulas":
        return Network(name, formulas(64, 10, seed), x, np.eye(10)[t], optimizer or SGD(lr=0.1), max_grad)
    try:
        sizes = [int(n) for n in name.split("-")]
        model = mlp(sizes, seed=seed)
    except ValueError as error:
        raise ValueError(
            f"--model is {name!r}; give nodes, formulas, sizes such as 64-50-10, or a run's folder."
        ) from error
    x, t = _data(sizes[0], sizes[-1], seed)
    return Network(name, model, x, t, optimizer or SGD(lr=0.5), max_grad)


def networks(seed: int) -> list[Network]:
    """The usual ones."""
    small = [network("64-16-10", seed, rule) for rule in (Adam(0.01), AdaGrad(0.05), RMSprop(0.003))]
    return [network("nodes", seed), network("formulas", seed), network("64-50-10", seed), *small]


def _data(columns: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    if (columns, classes) == (64, 10):
        data = datasets.load("digits", seed=seed)
        return data.x, data.t
    t = random_numbers.permutation(1024, seed, "data", 0) % classes
    noise, centres = (random_numbers.normal((n, columns), seed, "data", i) for i, n in ((1, 1024), (2, classes)))
    return noise + centres[t], t
