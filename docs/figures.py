"""The chapter's figures: python docs/figures.py draws them into docs/img; --check only compares (see ci/docs)."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from xpgraph import (
    Add,
    Affine,
    Branch,
    Graph,
    MatMul,
    Multiply,
    Repeat,
    Sigmoid,
    SoftmaxWithLoss,
    Sum,
    wire,
)
from xpgraph.pictures import drawing

INTO = Path(__file__).parent / "img"


def array(*numbers):
    """One number, or rows of them, in float64."""
    return np.asarray(numbers[0] if len(numbers) == 1 else numbers, dtype=np.float64)


def one_node(node, *inputs, dout, names="xy", output="z"):
    """A graph of one node, run forward on these arrays and backward on ``dout``."""
    wires = tuple(wire(name) for name in names[: len(inputs)])
    outputs = node(*wires)
    outs = outputs if isinstance(outputs, tuple) else (outputs,)
    for i, w in enumerate(outs):
        w.name = output if len(outs) == 1 else f"{output}{i + 1}"
    g = Graph(wires, outputs)
    g.forward(*inputs)
    g.backward(*(dout if isinstance(dout, tuple) else (dout,)))
    return g


X = array([1.0, -2.0, 0.5], [0.3, 0.8, -1.0])  # two rows of data
W = array([0.2, -0.5, 1.0, 0.1], [0.4, 0.3, -0.6, 0.7], [-1.0, 0.9, 0.5, 0.2])
B = array([0.1, -0.2, 0.3, 0.4])
DY = array([1.0, 0.5, -0.5, 0.2], [-0.3, 0.6, 1.0, -1.0])


def node_plus():
    return drawing.svg(one_node(Add(), array(2), array(3), dout=array(7)), title="Addition")


def node_times():
    return drawing.svg(one_node(Multiply(), array(2), array(3), dout=array(7)), title="Multiplication")


def node_branch():
    g = one_node(Branch(2), array(2), dout=(array(3), array(4)), output="y")
    return drawing.svg(g, title="Branch")


def node_repeat():
    g = one_node(Repeat(2), X[:1], dout=X[::-1].copy(), output="y")
    return drawing.svg(g, title="Repeat")


def node_sum():
    return drawing.svg(one_node(Sum(0), X, dout=array([[0.5, -1.0, 2.0]]), output="y"), title="Sum")


def node_matmul():
    return drawing.svg(one_node(MatMul(W), X, dout=DY, output="y"), title="Matrix product")


def node_affine():
    g = one_node(Affine(W, B), X, dout=DY, output="y")
    return drawing.svg(g, open=("Affine",), title="Affine layer: matrix product, repetition of b, sum")


def shopping():
    """2 apples at 100 and 3 oranges at 150, with 10 % tax."""
    inputs = apple, apples, orange, oranges, tax = [
        wire(name) for name in ("apple", "apples", "orange", "oranges", "tax")
    ]
    price = Multiply()(Add()(Multiply()(apple, apples), Multiply()(orange, oranges)), tax)
    price.name = "price"
    g = Graph(inputs, price)
    g.trace(*map(array, (100, 2, 150, 3, 1.1)))
    return drawing.svg(g, title="Shopping: apples and oranges, with tax")


def two_layer_net():
    """Three inputs, four hidden units, two classes, two rows of data."""
    x, t = wire("x"), wire("t")
    hidden = Sigmoid()(Affine(W.copy(), B.copy())(x))
    scores = Affine(array([0.5, -0.3], [-0.8, 0.6], [0.2, 0.9], [1.1, -0.4]), array([0.2, -0.1]))(hidden)
    loss = SoftmaxWithLoss()(scores, t)
    loss.name = "L"
    g = Graph((x, t), loss)
    g.trace(X, np.array([0, 1]))
    return drawing.svg(g, title="A network of two layers")


FIGURES = {
    "node-plus": node_plus,
    "node-times": node_times,
    "node-branch": node_branch,
    "node-repeat": node_repeat,
    "node-sum": node_sum,
    "node-matmul": node_matmul,
    "node-affine": node_affine,
    "shopping": shopping,
    "two-layer-net": two_layer_net,
}


def main(arguments):
    if set(arguments) - {"--check"}:
        sys.exit(f"figures: {' '.join(arguments)} is unknown; give --check, or nothing.")
    different = []
    for name, figure in FIGURES.items():
        path, text = INTO / f"{name}.svg", figure()
        if path.exists() and path.read_text("utf-8") == text:
            continue
        different.append(path.name)
        if not arguments:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, "utf-8", newline="\n")
    if arguments and different:
        sys.exit(f"figures: {', '.join(different)} would be drawn differently; run ci/docs and look at what changed.")
    print(f"figures: {len(FIGURES)}, {'drawn: ' + ', '.join(different) if different else 'all as committed'}")


if __name__ == "__main__":
    main(sys.argv[1:])
