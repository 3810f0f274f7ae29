"""Floor 4: Graph, any network of nodes, made of nodes that were called on wires.

x, z = wire("x"), wire("z")
h = Affine(W, b)(x)
y = Add()(h, Multiply()(h, z))
g = Graph(inputs=(x, z), outputs=y)
g.forward(x, z);  dx, dz = g.backward(dy)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from ..arrays.libraries import Array, namespace_of
from ..errors import Error, ShapeError
from ..nodes.basic import add
from ..nodes.node import namespace_copy, uses
from ..nodes.wires import Call, Wire, check_name
from .evaluation import graph_judged, graph_scores
from .gradient_check import Edge, check_edges
from .network import Held, Network
from .plan import Wires, check, collect, lay, rewire
from .slots import Record, add_up, distribute, forget, full, seeds, table

_SEVERAL = (tuple, list)


class Graph(Network):
    """A network of nodes from ``inputs`` to ``outputs``, each a Wire or a tuple of them; itself a Node, so graphs nest.

    ``forward(*inputs)`` and ``backward(*douts)`` take and return the bare array for one, a tuple in order for several.
    A wire that is used k times gets the sum of its k gradients. A node object called twice is one set of parameters
    used twice (see Chain), and a wire made by ``parameter`` is a parameter of the graph. The calls run in the order in
    which they were made; those that no output depends on do not run.

    Gradients of inputs: of zeros for one that no output depends on; none for labels (an input for which its node
    returns no gradient), which are left out at the end and None elsewhere. ``backward()`` without arguments starts
    from 1 where the one output is 0-d. Where that output is a SoftmaxWithLoss's, ``backward`` computes the parameters'
    gradients only and returns None, unless ``input_grad=True``, as a Chain with a loss does.

    The last run stands in ``values`` and ``gradients``, by wire. Raises TypeError or ValueError for what makes no
    graph; an error inside a run carries a note that names the call.
    """

    saved = ("_wires", "_values", "_gradients", "_kept")

    def __init__(self, inputs: Wire | Sequence[Wire], outputs: Wire | Sequence[Wire]) -> None:
        self._kept: Any = None  # by slot, what backward needs the shape of
        self._values: Any = None  # of the last run, by slot
        self._gradients: Any = None
        given, wanted = _several(inputs), _several(outputs)
        wires, held = collect(given, check(given, wanted))
        self.nodes, twins = uses(call.node for call in wires.calls)  # those that run: for a second use, a twin
        for w in held:  # a name may have been given after the wire was made
            check_name("Graph: a parameter", w.name)
        self.held = [w.array for w in held]
        self.held_grads = [namespace_of(a).zeros_like(a) for a in self.held]
        self.wiring = lay(wires, held, len(given), wanted, self.nodes, twins)
        self.keeps = True  # values and gradients of the last run
        self._wires: Wires | None = wires
        doubled = [name for name, n in Counter(self._paths()).items() if n > 1]
        if doubled:
            raise ValueError(f"Graph: two parameters have the name {doubled[0]!r}; give each a name of its own.")

    # --- what it is made of ---

    def _wired(self) -> Wires:
        if self._wires is None:  # a copy: it gets wires of its own when somebody asks
            self._wires = rewire(self.wiring, self.nodes, self.held)
        return self._wires

    @property
    def wires(self) -> tuple[Wire, ...]:
        """All wires: the inputs, the parameters, then the outputs of the calls."""
        return self._wired().all

    @property
    def calls(self) -> tuple[Call, ...]:
        """The calls in the order in which they run; ``nodes[i]`` runs for ``calls[i]`` (a twin, for a second use)."""
        return self._wired().calls

    @property
    def inputs(self) -> tuple[Wire, ...]:
        return self.wires[: self.wiring.inputs]

    @property
    def outputs(self) -> tuple[Wire, ...]:
        return tuple(self.wires[s] for s in self.wiring.outputs)

    @property
    def n_inputs(self) -> int:
        return self.wiring.inputs

    @property
    def n_outputs(self) -> int:  # type: ignore[override]
        return len(self.wiring.outputs)

    @property
    def loss(self) -> Any:
        """The node that gives the one output, where it is a loss; else None."""
        if not self.wiring.loss:
            return None
        return next(
            n for n, (_, outs) in zip(self.nodes, self.wiring.steps, strict=True) if outs == self.wiring.outputs
        )

    @property
    def capturable(self) -> bool:  # type: ignore[override]
        return all(getattr(node, "capturable", False) for node in self.nodes)

    def _inside(self) -> list[tuple[str, Any]]:
        held = self.wiring.held
        return [
            (str(k), self.nodes[k]) if k >= 0 else (held[~k], Held([self.held[~k]], [self.held_grads[~k]]))
            for k in self.wiring.order
        ]

    @property
    def params(self) -> list[Array]:  # type: ignore[override]
        return self._gathered("params", self.held)

    @property
    def grads(self) -> list[Array]:  # type: ignore[override]
        return self._gathered("grads", self.held_grads)

    def _gathered(self, name: str, held: list[Array]) -> list[Array]:
        rows = ((held[~k],) if k < 0 else getattr(self.nodes[k], name, ()) for k in self.wiring.order)
        return [a for row in rows for a in row]

    # --- running ---

    def forward(self, *inputs: Any) -> Any:
        w = self.wiring
        if len(inputs) != w.inputs:
            names = ", ".join(map(repr, self.inputs))
            raise TypeError(f"Graph.forward: {len(inputs)} arrays came for the inputs ({names}); give one for each.")
        self._kept = self._values = self._gradients = None  # a run that fails leaves nothing to go backward from
        values: list[Any] = [*inputs, *self.held]
        values += [None] * (len(w.names) - len(values))
        try:
            for node, step in zip(self.nodes, w.fetch, strict=True):
                n, source, target = step
                if n == 1:
                    y = node.forward(values[source])
                elif n == 2:
                    y = node.forward(values[source[0]], values[source[1]])
                else:
                    y = node.forward(*source(values))
                if target.__class__ is int and y.__class__ is not tuple:
                    values[target] = y
                else:
                    distribute(values, target, y)
        except Exception as error:
            self._tell(error, "forward", next(k for k, other in enumerate(w.fetch) if other is step))
            raise
        self._kept = {s: values[s] for s in w.kept}
        self._values, self._gradients = (values, None) if self.keeps else (None, None)
        ys = tuple(namespace_copy(values[s]) if s in w.copied else values[s] for s in w.outputs)
        return ys if len(ys) > 1 else ys[0]

    def _scores(self, *inputs: Any) -> Any:
        return graph_scores(self, *inputs)

    def _judged(self, *inputs: Any) -> tuple[Any, Any, Any]:
        return graph_judged(self, *inputs)

    def backward(self, *douts: Any, input_grad: bool | None = None) -> Any:
        w, nodes, keeps = self.wiring, self.nodes, self.keeps
        if self._kept is None:
            raise Error("Graph.backward: forward has not been called; call it before backward.")
        input_grad = not w.loss if input_grad is None else bool(input_grad)
        slopes = seeds(self, douts)
        labels: set[int] = set()
        try:
            for back in w.back[input_grad]:
                k, option, wanted, source, target = back
                node = nodes[k]
                if target.__class__ is int:
                    dy = slopes[target]
                    if dy is None:
                        forget(node)
                        continue
                    dx = node.backward(dy) if option is None else node.backward(dy, input_grad=option)
                    if not keeps:
                        slopes[target] = None
                elif all(slopes[s] is None for s in target):
                    forget(node)
                    continue
                else:
                    dys = [self._zeros(s) if slopes[s] is None else slopes[s] for s in target]
                    dx = node.backward(*dys) if option is None else node.backward(*dys, input_grad=option)
                if not wanted:
                    continue
                if source.__class__ is int and dx.__class__ not in _SEVERAL and dx is not None:
                    before = slopes[source]
                    slopes[source] = dx if before is None else add(before, dx)
                elif dx.__class__ is tuple and source.__class__ is tuple and len(dx) == len(source):
                    for s, d in zip(source, dx):  # noqa: B905  (strict= costs as much as the rest of the line)
                        if d is None:
                            labels.add(s)
                        else:
                            before = slopes[s]
                            slopes[s] = d if before is None else add(before, d)
                else:
                    add_up(self, slopes, labels, back, dx)
        except Exception as error:
            self._tell(error, "backward", back.node)
            raise
        self._store(slopes)
        if keeps:
            self._gradients = slopes
        return self._input_gradients(slopes, labels) if input_grad else None

    def _store(self, slopes: list[Any]) -> None:
        """The gradients of the parameter wires, into their arrays."""
        for i, grad in enumerate(self.held_grads, self.wiring.inputs):
            d = slopes[i]
            if d is not None and tuple(d.shape) != tuple(grad.shape):
                raise ShapeError(
                    f"Graph.backward: the gradient of {self.wires[i]!r} came as {tuple(d.shape)}, the parameter is "
                    f"{tuple(grad.shape)}; a node that uses it must sum over what was broadcast."
                )
            grad[...] = 0.0 if d is None else d

    def _input_gradients(self, slopes: list[Any], labels: set[int]) -> Any:
        dxs = [
            self._zeros(i) if slopes[i] is None and i not in labels else slopes[i] for i in range(self.wiring.inputs)
        ]
        while dxs and dxs[-1] is None:
            dxs.pop()
        return (dxs[0] if dxs else None) if len(dxs) < 2 else tuple(dxs)

    def _zeros(self, slot: int) -> Array:
        """The gradient of a floating value that nothing depends on; None for another value, such as labels."""
        value = self._kept[slot]
        xp = namespace_of(value) if hasattr(value, "dtype") else None
        return xp.zeros_like(value) if xp and xp.isdtype(value.dtype, "real floating") else None

    def _tell(self, error: Exception, what: str, k: int) -> None:
        error.add_note(f"in Graph.{what}, call {k}: {self.calls[k]!r}")

    # --- looking at it ---

    @property
    def values(self) -> Record:
        """The value on each wire in the last forward; empty before it, in a copy, and where ``keeps`` is False."""
        return Record(self.wires, self._values or ())

    @property
    def gradients(self) -> Record:
        """The gradient on each wire in the last backward, summed over the wire's uses."""
        slopes = self._gradients or []
        return Record(self.wires, [full(v, d) for d, v in zip(slopes, self._values or (), strict=False)])

    def trace(self, *inputs: Any) -> Any:
        """Run forward, then backward from ones; ``values`` and ``gradients`` have the run. Returns the outputs.

        The gradients of the parameters are overwritten, as by any backward.
        """
        before, self.keeps = self.keeps, True
        try:
            y = self.forward(*inputs)
            ones = [namespace_of(v).ones_like(v) if getattr(v, "shape", ()) else 1 for v in _several(y)]
            self.backward(*ones, input_grad=True)
            return y
        finally:
            self.keeps = before

    def check_gradients(self, *inputs: Any) -> list[Edge]:
        """Hold every edge and parameter to central differences in float64; the edge with the largest error comes first.

        Each node is judged by itself, with the values and the gradients that reach it in this graph, so that a wrong
        one is named and not those behind it. ``edges[0].error`` is relative; ``edges[0].right`` says whether it passes.
        """
        return check_edges(self, inputs)

    def __repr__(self) -> str:
        names = self.wiring.names
        ins = ", ".join(n or "_" for n in names[: self.wiring.inputs])
        outs = ", ".join(names[s] or "_" for s in self.wiring.outputs)
        return f"Graph({ins} -> {outs}, {len(self.nodes)} call{'s' * (len(self.nodes) != 1)})"

    def __str__(self) -> str:
        return f"{self!r}\n{table(self)}"

    def __getstate__(self) -> dict[str, Any]:
        """For pickle: without wires, which hang on each other by thousands, and without the last run."""
        return {name: None if name in self.saved else part for name, part in vars(self).items()}


def _several(wires: Any) -> tuple[Any, ...]:
    return tuple(wires) if isinstance(wires, list | tuple) else (wires,)
