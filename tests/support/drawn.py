"""Graphs to draw, and what is read off their pictures."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np

from xpgraph import (
    Add,
    Affine,
    Chain,
    Graph,
    Multiply,
    Sigmoid,
    SoftmaxWithLoss,
    wire,
)

SVG = "{http://www.w3.org/2000/svg}"
R = np.random.default_rng(0)


def array(*numbers):
    return np.asarray(numbers[0] if len(numbers) == 1 else numbers, dtype=np.float64)


def shopping(names=("apple", "apples", "orange", "oranges", "tax")):
    a, n, o, k, tax = given = [wire(name) for name in names]
    price = Multiply()(Add()(Multiply()(a, n), Multiply()(o, k)), tax)
    price.name = "price"
    g = Graph(given, price)
    g.trace(*map(array, (100, 2, 150, 3, 1.1)))
    return g


def mlp():
    shapes = (3, 4), (4,), (4, 2), (2,)
    random = np.random.default_rng(0)  # its own, so that the order of the tests changes nothing
    W1, b1, W2, b2 = (random.normal(size=shape).round(2) for shape in shapes)
    return Chain(Affine(W1, b1), Sigmoid(), Affine(W2, b2), loss=SoftmaxWithLoss())


def texts(svg, colour=None):
    """The text elements of one colour."""
    found = ET.fromstring(svg).iter(f"{SVG}text")
    return ["".join(t.itertext()) for t in found if colour is None or t.get("class") == f"xpg-{colour}"]


def edges(p):
    """{(tail, head): edge} by the texts of the vertices."""
    return {(p.vertices[e.tail].text or p.vertices[e.tail].kind, p.vertices[e.head].text or p.vertices[e.head].kind): e
            for e in p.edges}  # fmt: skip


def numbers(b):
    return None if b is None else b.text
