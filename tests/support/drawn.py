"""Graphs to draw, and functions that read texts and edges from their pictures."""

import xml.etree.ElementTree as ET

import numpy as np

from xpgraph import Add, Affine, Chain, Graph, Multiply, Sigmoid, SoftmaxWithLoss, wire

SVG = "{http://www.w3.org/2000/svg}"
R = np.random.default_rng(0)
X, T = np.asarray([[0.5, -1.0, 2.0], [1.0, 0.25, -0.5]]), np.asarray([0, 1])


def array(*numbers):
    return np.asarray(numbers[0] if len(numbers) == 1 else numbers, dtype=np.float64)


GOODS = array(100), array(2), array(150), array(3), array(1.1)


def shopping(names=("apple", "apples", "orange", "oranges", "tax")):
    apple, apples, orange, oranges, tax = inputs = [wire(name) for name in names]
    price = Multiply()(Add()(Multiply()(apple, apples), Multiply()(orange, oranges)), tax)
    price.name = "price"
    g = Graph(inputs, price)
    g.trace(*GOODS)
    return g


def mlp():
    shapes = (3, 4), (4,), (4, 2), (2,)
    generator = np.random.default_rng(0)  # its own: the same weights in every test
    W1, b1, W2, b2 = (generator.normal(size=shape).round(2) for shape in shapes)
    return Chain(Affine(W1, b1), Sigmoid(), Affine(W2, b2), loss=SoftmaxWithLoss())


def texts(svg, colour=None):
    """The texts of one colour of the palette, or all."""
    found = ET.fromstring(svg).iter(f"{SVG}text")
    return ["".join(t.itertext()) for t in found if colour is None or t.get("class") == f"xpg-{colour}"]


def edges(picture):
    """{(text of the tail, text of the head): edge}; a vertex without a text counts by its kind."""
    names = [v.text or v.kind for v in picture.vertices]
    return {(names[e.tail], names[e.head]): e for e in picture.edges}


def numbers(block):
    return None if block is None else block.text
