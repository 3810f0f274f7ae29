"""Are gradients right? What ``backward`` gives is compared with central differences of ``forward``, in float64.

For outputs y and weights r (the gradients that ``backward`` is given), let s = Σ r·y. Along a direction v, the slope of
s is Σ v·dx by ``backward``, and (s(x + εv) - s(x - εv)) / 2ε by differences. ``check_slope`` compares the two for one
input or parameter of any node; ``check_edges`` does so for every call in a graph.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..arrays.libraries import Array, Place, is_array, namespace_of, place_of, to_numpy
from ..arrays.random_numbers import normal, permutation
from ..nodes.copying import move, namespace_copy
from ..nodes.node import takes_input_grad
from ..nodes.sharing import plan
from ..nodes.wires import node_name
from .slots import several, zero_gradient

EPS = 1e-6  # ε: differences are wrong by about ε² because of the curve, and by 1e-16 / ε because of rounding
ABSOLUTE, RELATIVE = 1e-6, 1e-5
ROUNDING = 1e-15  # a few roundings of float64, as a part of Σ|r·y|
KINK = 1e3  # the slopes left and right of a kink, as that of ReLU at 0, differ by more than this many allowances
RANDOM, AXES = 2, 24  # directions: random ones, and single elements

Total = Callable[[np.ndarray], tuple[float, float]]  # step of x -> Σ r·y and Σ|r·y| at x + step


class Edge(NamedTuple):
    """The slope along one input or parameter of a node, twice, and how far apart the two may be."""

    name: str
    backward: float
    differences: float
    allowed: float

    @property
    def error(self) -> float:
        """The distance of the two slopes; for slopes above 1 relative to the slope; NaN where one of them is."""
        return abs(self.backward - self.differences) / max(1.0, abs(self.differences))

    @property
    def right(self) -> bool:
        return abs(self.backward - self.differences) <= self.allowed

    def __str__(self) -> str:
        verdict = "right" if self.right else "WRONG"
        return f"{self.name}: {verdict}, {self.backward:.6g} by backward, {self.differences:.6g} by differences"


def check_slope(
    name: str,
    shape: tuple[int, ...],
    gradient: np.ndarray,
    total: Total,
    *,
    random: int = RANDOM,
    axes: int = AXES,
    seed: int = 0,
) -> Edge:
    """Compare a gradient with differences in several directions; returns the one in which they are farthest apart.

    ``shape``: of the input or parameter; a gradient of another shape is wrong. ``total``: see ``Total``; ``weighted``
    computes what it returns. ``random`` directions are drawn by ``seed``, and so are ``axes``: elements that are moved
    alone. An input without elements is right.
    """
    if gradient.shape != shape:
        return Edge(name, math.nan, 0.0, 0.0)
    edges = [Edge(name, 0.0, 0.0, ABSOLUTE)]
    edges += [_along(name, v, gradient, total) for v in _directions(shape, random, axes, seed)]
    return max(edges, key=_excess)


def weighted(weights: Iterable[np.ndarray], outputs: Iterable[Any]) -> tuple[float, float]:
    """(Σ r·y, Σ|r·y|) over all outputs y of a forward, with a weight r (NumPy) for each of their elements."""
    terms = [r * host(y) for r, y in zip(weights, outputs, strict=True)]
    return math.fsum(float(np.sum(t)) for t in terms), math.fsum(float(np.sum(np.abs(t))) for t in terms)


def host(a: Any) -> np.ndarray:
    """A NumPy copy of an array of any library, or of a number."""
    return np.array(to_numpy(a)) if is_array(a) else np.array(a)


def _along(name: str, v: np.ndarray, gradient: np.ndarray, total: Total) -> Edge:
    """The slopes along one direction v. At a kink any slope between those of its two sides counts as right."""
    (up, size), (down, _) = total(EPS * v), total(-EPS * v)
    exact, slope = float(np.sum(v * gradient)), (up - down) / (2 * EPS)
    allowed = ABSOLUTE + RELATIVE * abs(slope) + ROUNDING * size / EPS
    edge = Edge(name, exact, slope, allowed)
    if not edge.right:
        here, _ = total(0.0 * v)
        left, right = sorted(((here - down) / EPS, (up - here) / EPS))
        if right - left > KINK * allowed and left - allowed <= exact <= right + allowed:
            return edge._replace(differences=exact)
    return edge


def _directions(shape: tuple[int, ...], number: int, axes: int, seed: int) -> Iterator[np.ndarray]:
    size = math.prod(shape)
    for k in range(number if size else 0):
        yield np.asarray(normal(shape, seed, "data", k))
    for place in permutation(size, seed, "data", number)[:axes]:
        axis = np.zeros(shape)
        axis.reshape(-1)[place] = 1.0
        yield axis


def _excess(edge: Edge) -> float:
    """The distance of the slopes over what is allowed; ∞ where one of them is NaN."""
    far = abs(edge.backward - edge.differences) / edge.allowed
    return math.inf if math.isnan(far) else far


def check_edges(graph: Any, inputs: Sequence[Any]) -> list[Edge]:
    """All edges of a Graph, the largest error first. A float64 copy of the graph is run, not the graph itself.

    Each call is checked alone, with the values and gradients that it has in a run of the whole graph.
    """
    where = next((place_of(a) for a in (*inputs, *graph.params) if hasattr(a, "dtype")), None)
    if where is None:
        raise TypeError("Graph.check_gradients: there is no array among the inputs; give those of forward.")
    copy = move(graph, where, "float64")
    copy.keep_values = True
    ys = several(copy.forward(*(_float64(where, a) for a in inputs)))
    drawn = [normal(np.shape(host(y)), 0, "data", 100 + i) for i, y in enumerate(ys)]
    copy.backward(*(where.asarray(d, "float64") if d.shape else 1 for d in map(np.asarray, drawn)), input_grad=True)
    values, gradients = copy.values, copy.gradients
    edges: list[Edge] = []
    for k, (call, own, node) in enumerate(zip(graph.calls, copy.calls, copy.nodes, strict=True)):
        if any(w in gradients for w in own.outputs):
            dys = [gradients[w] if w in gradients else zero_gradient(values[w]) for w in own.outputs]
            # an input may be the very array of a parameter, which is moved: take a copy
            xs = [namespace_copy(a) if hasattr(a, "dtype") else a for a in (values[w] for w in own.inputs)]
            edges += [edge._replace(name=f"{edge.name} (call {k})") for edge in _edges(node, call, xs, dys, where)]
    return sorted(edges, key=lambda edge: math.inf if math.isnan(edge.error) else edge.error, reverse=True)


def _edges(node: Any, call: Any, xs: list[Any], dys: list[Any], where: Place) -> Iterator[Edge]:
    """Each input and parameter of one call; ``node`` is the copy that is run, ``call`` has the names."""
    weights = [host(dy) for dy in dys]

    def step_input(i: int, step: np.ndarray) -> tuple[float, float]:
        moved = [*xs[:i], xs[i] + where.asarray(step), *xs[i + 1 :]]
        return weighted(weights, several(node.forward(*moved)))

    def step_parameter(p: Array, start: Array, step: np.ndarray) -> tuple[float, float]:
        p[...] = start + where.asarray(step)
        try:
            return weighted(weights, several(node.forward(*xs)))
        finally:
            p[...] = start

    node.forward(*xs)
    options = {"input_grad": True} if takes_input_grad(node.backward) else {}
    dxs = [None if dx is None else host(dx) for dx in several(node.backward(*dys, **options))]
    params = _merged(list(getattr(node, "params", ())), list(getattr(node, "grads", ())))
    who = node_name(call.node)
    for i, (w, dx) in enumerate(zip(call.inputs, dxs, strict=False)):
        if dx is not None:
            name = f"{w!r} into {who}, its input {i}"
            yield check_slope(name, np.shape(host(xs[i])), dx, partial(step_input, i), axes=2)
    names = getattr(node, "names", ())
    for j, p, g in params:
        name = f"{names[j] if j < len(names) else f'parameter {j}'} of {who}"
        yield check_slope(name, tuple(p.shape), g, partial(step_parameter, p, namespace_copy(p)), axes=2)


def _merged(params: list[Array], grads: list[Array]) -> list[tuple[int, Array, np.ndarray]]:
    """(number, parameter, gradient) of each distinct parameter: a step of one that is used twice moves both uses."""
    totals: dict[int, Any] = {}
    seen: set[int] = set()  # gradient arrays: one that is listed twice counts once
    for (first, transposed), g in zip(plan(params), grads, strict=True):
        if id(g) not in seen:
            seen.add(id(g))
            totals[first] = totals.get(first, 0.0) + (host(g).T if transposed else host(g))
    return [(j, params[j], total) for j, total in totals.items()]


def _float64(where: Place, a: Any) -> Any:
    floating = hasattr(a, "dtype") and namespace_of(a).isdtype(a.dtype, "real floating")
    return where.asarray(a, "float64", copy=True) if floating else a
