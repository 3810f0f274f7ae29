"""Floor 4: every edge of a graph against central differences, node by node, in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from ..arrays import random_numbers
from ..arrays.libraries import Array, Place, namespace_of, number, place_of
from ..nodes.copying import move, namespace_copy
from ..nodes.node import takes_input_grad
from ..nodes.sharing import plan
from ..nodes.wires import node_name
from .slots import zero_gradient

EPS = 1e-6  # of central differences: their error is about EPS² from the curve and 1e-16 / EPS from rounding
ABSOLUTE, RELATIVE, ROUNDING = 1e-6, 1e-5, 1e-15
DIRECTIONS = 2  # random ones, for each edge


class Edge(NamedTuple):
    """The slope along one edge: by ``backward``, by ``differences`` of forward, and how far apart they may be."""

    name: str
    backward: float
    differences: float
    room: float

    @property
    def error(self) -> float:
        """The distance of the two, for slopes above 1 as a part of the slope; NaN where one of them is."""
        return abs(self.backward - self.differences) / max(1.0, abs(self.differences))

    @property
    def right(self) -> bool:
        return abs(self.backward - self.differences) <= self.room

    def __str__(self) -> str:
        verdict = "right" if self.right else "WRONG"
        return f"{self.name}: {verdict}, {self.backward:.6g} by backward, {self.differences:.6g} by differences"


def check_edges(graph: Any, inputs: Sequence[Any]) -> list[Edge]:
    """All edges of a Graph, the largest error first; the graph itself is not run: a float64 copy is."""
    where = next((place_of(a) for a in (*inputs, *graph.params) if hasattr(a, "dtype")), None)
    if where is None:
        raise TypeError("Graph.check_gradients: there is no array among the inputs; give those of forward.")
    copy = move(graph, where, "float64")
    copy.keep_values = True
    ys = copy.forward(*(_float64(where, a) for a in inputs))
    ys = ys if isinstance(ys, tuple) else (ys,)
    douts = [_drawn(where, y, 100 + i) if getattr(y, "shape", ()) else 1 for i, y in enumerate(ys)]
    copy.backward(*douts, input_grad=True)
    values, slopes = ([of.get(w) for w in copy.wires] for of in (copy.values, copy.gradients))
    found = []
    for k, ((ins, outs), node) in enumerate(zip(copy.wiring.steps, copy.nodes, strict=True)):
        if any(slopes[s] is not None for s in outs):
            dys = [zero_gradient(copy.saved_values[s]) if slopes[s] is None else slopes[s] for s in outs]
            found += [
                Edge(f"{what} (call {k})", *row)
                for what, *row in _edges(node, graph.calls[k], [_own(values[s]) for s in ins], dys, where)
            ]
    return sorted(found, key=lambda edge: -edge.error if edge.error == edge.error else float("-inf"))


def _edges(node: Any, call: Any, xs: list[Any], dys: list[Any], where: Place) -> Iterator[tuple[str, Any, Any, Any]]:
    """(name, by backward, by differences, room) of each input and parameter of one call."""

    def total() -> tuple[float, float]:
        """(Σ dy·y, Σ|dy·y|) of a forward."""
        ys = node.forward(*xs)
        ys = ys if isinstance(ys, tuple | list) else (ys,)
        terms = [dy * y for dy, y in zip(dys, ys, strict=True)]
        return sum(map(_sum, terms)), sum(_sum(abs(t)) for t in terms)

    total()
    dxs = node.backward(*dys, input_grad=True) if takes_input_grad(node.backward) else node.backward(*dys)
    dxs = dxs if isinstance(dxs, tuple | list) else (dxs,)
    grads = list(getattr(node, "grads", ()))
    who = node_name(call.node)
    for i, (w, dx) in enumerate(zip(call.inputs, dxs, strict=False)):
        if dx is not None:
            x = xs[i]

            def put(step: Array, i: int = i, x: Array = x) -> None:
                xs[i] = x + step

            yield (f"{w!r} into {who}, its input {i}", *_slope(put, total, x, dx, where))
            xs[i] = x
    names = getattr(node, "names", ())
    params = list(getattr(node, "params", ()))
    for j, p, g in _merged(params, grads):
        kept = namespace_of(p).asarray(p, copy=True)

        def put_parameter(step: Array, p: Array = p, kept: Array = kept) -> None:
            p[...] = kept + step

        name = names[j] if j < len(names) else f"parameter {j}"
        yield (f"{name} of {who}", *_slope(put_parameter, total, kept, g, where))
        p[...] = kept


def _merged(params: list[Array], grads: list[Array]) -> Iterator[tuple[int, Array, Array]]:
    """(number, parameter, gradient) of each distinct parameter: a step of one that is used twice moves both uses."""
    totals: dict[int, Array] = {}
    seen: set[int] = set()  # gradient arrays: one that is listed twice counts once
    for (first, transposed), g in zip(plan(params), grads, strict=True):
        if id(g) not in seen:
            seen.add(id(g))
            part = namespace_of(g).matrix_transpose(g) if transposed else g
            totals[first] = totals[first] + part if first in totals else part
    return ((j, params[j], total) for j, total in totals.items())


def _own(value: Any) -> Any:
    """An input apart from the parameters, which move under it where both are one array."""
    return namespace_copy(value) if hasattr(value, "dtype") else value


def _slope(
    put: Callable[[Array], None], total: Callable[[], tuple[float, float]], x: Array, dx: Array, where: Place
) -> tuple[float, float, float]:
    """(by backward, by differences, room) along the random direction in which the two are farthest apart."""
    if tuple(dx.shape) != tuple(x.shape):
        return float("nan"), 0.0, 0.0
    put(0.0 * x)
    here, size = total()
    found = [(0.0, 0.0, ABSOLUTE)]
    for k in range(DIRECTIONS if 0 not in x.shape else 0):
        v = _drawn(where, x, k)
        put(EPS * v)
        up, _ = total()
        put(-EPS * v)
        down, _ = total()
        slope, exact = (up - down) / (2 * EPS), _sum(v * dx)
        room = ABSOLUTE + RELATIVE * abs(slope) + ROUNDING * size / EPS
        left, right = (here - down) / EPS, (up - here) / EPS
        if abs(right - left) > 1e3 * room and min(left, right) - room <= exact <= max(left, right) + room:
            slope = exact  # a kink, as that of ReLU at 0: any slope between the two is one
        found.append((exact, slope, room))
    return max(found, key=lambda row: abs(row[0] - row[1]) / row[2])


def _sum(a: Any) -> float:
    return number(namespace_of(a).sum(a) if getattr(a, "shape", ()) else a)  # sync


def _drawn(where: Place, like: Array, index: int) -> Array:
    return where.asarray(random_numbers.normal(tuple(like.shape), 0, "data", index), "float64")


def _float64(where: Place, a: Any) -> Any:
    floating = hasattr(a, "dtype") and namespace_of(a).isdtype(a.dtype, "real floating")
    return where.asarray(a, "float64", copy=True) if floating else a
