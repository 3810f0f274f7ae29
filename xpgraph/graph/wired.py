"""What a Graph is made of: wires, calls, nodes and the lists of parameters. How it runs stands in graph.py."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ..arrays.libraries import Array, namespace_of
from ..nodes.copying import uses
from ..nodes.wires import Call, Wire, check_name
from .network import Network, OwnParameter
from .plan import Wires, check_wires, collect, make_wiring, rewire
from .slots import call_table


class WiredNetwork(Network):
    """A network whose nodes are connected by wires; the base of Graph."""

    def __init__(self, inputs: tuple[Any, ...], outputs: tuple[Any, ...]) -> None:
        wires, parameters = collect(inputs, check_wires(inputs, outputs))
        self.nodes, twins = uses(call.node for call in wires.calls)  # those that run: for a second use, a twin
        for w in parameters:  # a name may have been given after the wire was made
            check_name("Graph: a parameter", w.name)
        self.own_params = [w.array for w in parameters]
        self.own_grads = [namespace_of(a).zeros_like(a) for a in self.own_params]
        self.wiring = make_wiring(wires, parameters, len(inputs), outputs, self.nodes, twins)
        self._wires: Wires | None = wires
        doubled = [path for path, n in Counter(self._all_paths()).items() if n > 1]
        if doubled:
            raise ValueError(f"Graph: two parameters have the name {doubled[0]!r}; give each a name of its own.")

    def _wires_and_calls(self) -> Wires:
        if self._wires is None:  # a copy gets wires of its own when they are asked for
            self._wires = rewire(self.wiring, self.nodes, self.own_params)
        return self._wires

    @property
    def wires(self) -> tuple[Wire, ...]:
        """All wires: the inputs, the parameters, then the outputs of the calls."""
        return self._wires_and_calls().all

    @property
    def calls(self) -> tuple[Call, ...]:
        """The calls in the order in which they run; ``nodes[i]`` runs for ``calls[i]`` (a twin, for a second use)."""
        return self._wires_and_calls().calls

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
        steps = zip(self.nodes, self.wiring.steps, strict=True)
        return next(node for node, (_, outs) in steps if outs == self.wiring.outputs)

    def named_children(self) -> list[tuple[str, Any]]:
        rows = zip(self.wiring.parameters, self.own_params, self.own_grads, strict=True)
        own = [(name, OwnParameter([p], [grad])) for name, p, grad in rows]
        return [(str(k), self.nodes[k]) if k >= 0 else own[~k] for k in self.wiring.order]

    @property
    def params(self) -> list[Array]:  # type: ignore[override]
        return self._in_order("params", self.own_params)

    @property
    def grads(self) -> list[Array]:  # type: ignore[override]
        return self._in_order("grads", self.own_grads)

    def _in_order(self, name: str, own: list[Array]) -> list[Array]:
        rows = ((own[~k],) if k < 0 else getattr(self.nodes[k], name, ()) for k in self.wiring.order)
        return [a for row in rows for a in row]

    def describe(self) -> dict[str, Any]:
        w = self.wiring
        return {
            "type": type(self).__name__, "nodes": self._describe_nodes(w.twins), "steps": w.steps,
            "outputs": w.outputs, "inputs": w.inputs, "parameters": w.parameters, "names": w.names,
        }  # fmt: skip

    def __repr__(self) -> str:
        names = self.wiring.names
        ins = ", ".join(n or "_" for n in names[: self.wiring.inputs])
        outs = ", ".join(names[s] or "_" for s in self.wiring.outputs)
        return f"Graph({ins} -> {outs}, {len(self.nodes)} call{'s' * (len(self.nodes) != 1)})"

    def __str__(self) -> str:
        return f"{self!r}\n{call_table(self)}"

    def __getstate__(self) -> dict[str, Any]:
        """For pickle: without wires, which depend on each other by thousands, and without the last run."""
        return {name: None if name in self.saved else part for name, part in vars(self).items()}
