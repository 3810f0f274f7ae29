"""Gradient checks: for each node class a row that draws a node, its inputs and its parameters, in NumPy."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes
from layouts import lay

import xpgraph as xg
from xpgraph.graph.gradient_check import check_slope, weighted

_seeds = st.integers(0, 2**32 - 1)


@dataclass
class Case:
    """``make(*params)`` is the node; ``labels`` follow the inputs in ``forward`` and have no gradient."""

    make: Callable[..., Any]
    inputs: list[np.ndarray]
    params: list[np.ndarray]
    labels: list[np.ndarray]
    rng: np.random.Generator

    def build(self, lib, dtype="float64", layout="C"):
        """The node and its inputs and labels in a library."""
        node = self.make(*(lib.param(p.astype(dtype)) for p in self.params))
        inputs = [lay(lib, x.astype(dtype), layout) for x in self.inputs]
        return node, inputs, [lib.array(t if t.dtype.kind == "i" else t.astype(dtype)) for t in self.labels]


def outputs(y) -> list:
    return list(y) if isinstance(y, tuple) else [y]


def shapes(least_axes=0, least_side=0):
    return st.lists(st.integers(least_side, 7), min_size=least_axes, max_size=4).map(tuple)


def _case(draw, make, inputs, params=(), labels=lambda rng: []):
    rng = np.random.default_rng(draw(_seeds))
    xs, ps = ([rng.standard_normal(s) for s in each] for each in (inputs, params))
    return Case(make, xs, ps, labels(rng), rng)


def _pair(node):
    return lambda draw: _case(
        draw, node, draw(mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=7, min_side=0))[0]
    )


def _one(node, least_axes=0, last=0):
    return lambda draw: _case(draw, node, [draw(shapes(least_axes).filter(lambda s: not s or s[-1] >= last))])


def _branch(draw):
    n = draw(st.integers(1, 4))
    return _case(draw, lambda: xg.Branch(n), [draw(shapes())])


def _repeat(draw):
    shape, n = draw(shapes(1)), draw(st.integers(1, 3))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    return _case(draw, lambda: xg.Repeat(n, axis), [shape])


def _matmul(draw):
    x, H = draw(shapes(1)), draw(st.integers(0, 7))
    return _case(draw, xg.MatMul, [x], [(x[-1], H)])


def _affine(draw):
    x, H = draw(shapes(1)), draw(st.integers(0, 7))
    return _case(draw, xg.Affine, [x], [(x[-1], H), (H,)])


def _relu(draw):
    case = _one(xg.ReLU)(draw)
    case.inputs = [x + np.copysign(1e-3, x) for x in case.inputs]  # away from the kink, where there is no derivative
    return case


def _loss(draw):
    shape, form = draw(shapes(1, 1)), draw(st.sampled_from(["indices", "one-hot", "soft"]))

    def labels(rng):
        t = rng.integers(0, shape[-1], shape[:-1])
        return [t if form == "indices" else np.eye(shape[-1], dtype=int)[t] if form == "one-hot" else rng.random(shape)]

    return _case(draw, xg.SoftmaxWithLoss, [shape], labels=labels)


def _quotient(draw):
    case = _pair(xg.Divide)(draw)
    case.inputs[1] = np.copysign(1.0 + np.abs(case.inputs[1]), case.inputs[1])  # away from the pole
    return case


def _above_zero(node):
    def case(draw):
        found = _one(node)(draw)
        found.inputs = [0.5 + np.abs(x) for x in found.inputs]
        return found

    return case


def _power(draw):
    p = draw(st.sampled_from([2, 3, 1, 0, -1, 0.5, 2.5]))
    return _above_zero(lambda: xg.Power(p))(draw)


def _dot(draw):
    x, H = draw(shapes(1)), draw(st.integers(0, 7))
    return _case(draw, xg.Dot, [x, (x[-1], H)])


def _reduced(kind, least_side=1):
    """Max and Mean need axes with elements; along the first at most two: a layout that repeats it makes ties, and each
    of two tied elements has half the gradient, by differences too."""

    def case(draw):
        shape = draw(shapes(0, least_side))
        shape = (min(2, shape[0]), *shape[1:]) if shape and least_side else shape
        axes = draw(st.lists(st.sampled_from(range(len(shape))), unique=True).map(tuple)) if shape else ()
        axis = draw(st.sampled_from([None, axes, axes[0] if axes else None]))
        keep = draw(st.booleans())
        return _case(draw, lambda: kind(axis, keepdims=keep), [shape])

    return case


def _transpose(draw):
    shape = draw(shapes())
    axes = draw(st.one_of(st.none(), st.permutations(range(len(shape))).map(tuple)))
    return _case(draw, lambda: xg.Transpose(axes), [shape])


def _reshape(draw):
    shape = draw(shapes(1, 1))
    to = draw(st.sampled_from([(-1,), (1, -1), (math.prod(shape),), (shape[0], -1), (-1, shape[-1], 1)]))
    return _case(draw, lambda: xg.Reshape(to), [shape])


def _concat(draw):
    shape = draw(shapes(1))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    lengths = draw(st.lists(st.integers(0, 4), min_size=1, max_size=3))
    several = [tuple(n if i == axis % len(shape) else m for i, m in enumerate(shape)) for n in lengths]
    return _case(draw, lambda: xg.Concat(axis), several)


def _split(draw):
    shape, n = draw(shapes(1)), draw(st.integers(1, 3))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    longer = tuple(m * n if i == axis % len(shape) else m for i, m in enumerate(shape))
    return _case(draw, lambda: xg.Split(n, axis), [longer])


def _graph(draw):
    """h = x W is used three times, once by a node that returns no gradient; b is a parameter wire."""
    n, D, H = (draw(st.integers(1, 5)) for _ in range(3))

    def make(W, b):
        x, z = xg.wire("x"), xg.wire("z")
        h = xg.MatMul(W)(x)
        y = xg.Add()(h, xg.Repeat(like=h)(xg.parameter(b, "b")))
        return xg.Graph((x, z), (y, xg.Multiply()(xg.Tanh()(y), xg.Subtract()(h, z))))

    return _case(draw, make, [(n, D), (n, H)], [(D, H), (H,)])


def _chain(draw):
    n, D, H = (draw(st.integers(1, 7)) for _ in range(3))
    return _case(
        draw, lambda W, b, V: xg.Chain(xg.Affine(W, b), xg.Tanh(), xg.MatMul(V)), [(n, D)], [(D, H), (H,), (H, 3)]
    )


NODES: dict[str, Callable[[Any], Case]] = {
    "Add": _pair(xg.Add),
    "Multiply": _pair(xg.Multiply),
    "Branch": _branch,
    "Repeat": _repeat,
    "Sum": _reduced(xg.Sum, least_side=0),
    "MatMul": _matmul,
    "Affine": _affine,
    "Sigmoid": _one(xg.Sigmoid),
    "ReLU": _relu,
    "Tanh": _one(xg.Tanh),
    "Softmax": _one(xg.Softmax, least_axes=1, last=1),
    "SoftmaxWithLoss": _loss,
    "Chain": _chain,
    "Graph": _graph,
    "Subtract": _pair(xg.Subtract),
    "Divide": _quotient,
    "Exp": _one(xg.Exp),
    "Log": _above_zero(xg.Log),
    "Power": _power,
    "Dot": _dot,
    "Max": _reduced(xg.Max),
    "Mean": _reduced(xg.Mean),
    "Transpose": _transpose,
    "Reshape": _reshape,
    "Concat": _concat,
    "Split": _split,
}


def check_gradient(lib, case: Case, layout: str) -> None:
    """Each input and parameter of a case, by the gradient check of the library: random weights, and two directions."""
    node, inputs, labels = case.build(lib, layout=layout)
    case.inputs = [lib.numpy(x) for x in inputs]  # a broadcast layout repeats the first slice
    r = [case.rng.standard_normal(y.shape) for y in outputs(node.forward(*inputs, *labels))]
    dxs = [*outputs(node.backward(*(lib.array(g) for g in r))), *node.grads]
    for x, dx in zip([*case.inputs, *case.params], dxs, strict=True):

        def total(step, x=x):
            here = x.copy()
            x += step
            node, inputs, labels = case.build(lib, layout="C" if layout == "broadcast" else layout)
            x[...] = here
            return weighted(r, outputs(node.forward(*inputs, *labels)))

        seed = int(case.rng.integers(2**32))
        edge = check_slope(f"{node!r} {layout}", x.shape, lib.numpy(dx), total, random=1, axes=1, seed=seed)
        assert edge.right, str(edge)
