"""Forward node by node, backward node by node, then the update of each parameter: a run as the steps of a page."""

from __future__ import annotations

from collections import Counter
from html import escape
from typing import Any

from ...arrays.libraries import namespace_of
from ...graph.graph import Graph
from ..drawing.graph_reader import picture_of
from .document import Step, group, letters
from .figures import Limits, figure, said, scalar_text
from .formulas import formula, gradient_letter, input_letters, output_letters, with_numbers
from .scene import Scene
from .tracing import Heard, derivatives, trace, uses_of
from .update import end, update

_MANY = 12  # parameters of one node that are listed


class Explanation:
    """The steps of one run of a graph, which it owns: the graph is run, and then updated."""

    def __init__(self, graph: Graph, inputs: tuple[Any, ...], optimizer: Any) -> None:
        self.graph, self.optimizer = graph, optimizer
        self.heard = trace(graph, inputs)
        self.values, self.slopes = graph.values, graph.gradients
        self.scene = Scene(graph, picture_of(graph))
        self.steps: list[Step] = []
        classes = [type(node).__name__ for node in graph.nodes]
        often, seen = Counter(classes), Counter[str]()
        self.titles = []
        for name in classes:
            seen[name] += 1
            self.titles.append(name if often[name] == 1 else f"{name} {seen[name]}")
        self.makers = {s: k for k, (_, outs) in enumerate(graph.wiring.steps) for s in outs}
        figures = 6 * len(graph.nodes) + 3 * len(graph.params)
        self.limits = Limits.of_page(figures)
        self.value_step: dict[int, int] = {}
        self.gradient_step: dict[tuple[int, int], int] = {}
        self.run(inputs)

    def run(self, inputs: tuple[Any, ...]) -> None:
        self.begin()
        for k in range(len(self.graph.nodes)):
            self.forward(k)
        seeded = self.seed()
        sums = self.sums()
        for at, h in enumerate(self.heard):
            self.backward(h)
            for slot, parts in sums.get(at, []):
                self.add_up(slot, parts)
        self.scene.settle(self.value_step, self.gradient_step, seeded)
        branches = {b for e in range(len(self.scene.values)) if (b := self.scene.branch(e)) is not None}
        for vertex in branches:
            self.scene.gather(vertex, max(self.scene.leads[vertex], default=None))
        before = [self.value(slot) for slot in self.graph.wiring.outputs]
        update(self)
        after = self.graph.forward(*inputs)
        end(self, before, list(after) if isinstance(after, tuple) else [after])

    # --- names and numbers --------------------------------------------------------------------------------------

    def value(self, slot: int) -> Any:
        return self.values.get(self.graph.wires[slot])

    def slope(self, slot: int) -> Any:
        return self.slopes.get(self.graph.wires[slot])

    def name(self, slot: int) -> str:
        """What a wire is called on the page."""
        w = self.graph.wires[slot]
        if w.name is not None:
            return w.name
        if slot in self.makers:
            return f"result of {self.titles[self.makers[slot]]}"
        return "input" if slot < self.graph.wiring.inputs else "parameter"

    def parameters(self, k: int) -> list[tuple[str, Any, Any]]:
        """(name, value, gradient) of a call's own parameters."""
        node = self.graph.nodes[k]
        if hasattr(node, "_named"):
            return node._named()[:_MANY]
        params, grads, names = (list(getattr(node, part, ())) for part in ("params", "grads", "names"))
        return [(names[i] if i < len(names) else f"p{i}", p, g)
                for i, (p, g) in enumerate(zip(params, grads, strict=False))][:_MANY]  # fmt: skip

    def shown(self, a: Any, letter: str, name: str = "", colour: str = "value") -> str:
        return figure(a, letter, name, colour, self.limits)

    def add(self, step: Step, vertex: int | None = None) -> int:
        number = len(self.steps)
        self.steps.append(step)
        if vertex is not None:
            step.vertices.append(vertex)
            self.scene.leads[vertex].append(number)
        return number

    # --- the steps ----------------------------------------------------------------------------------------------

    def begin(self) -> None:
        n = self.graph.wiring.inputs
        figures = [self.shown(self.value(i), self.name(i)) for i in range(n)]
        figures += [self.shown(self.value(n + i), self.name(n + i)) for i in range(len(self.graph.held))]
        names = ", ".join(map(self.name, range(n)))
        step = Step("start", "What goes in", group("Inputs", figures), f"What goes in: {names}.")
        number = self.add(step)
        for i in range(n):
            step.vertices.append(i)
            self.scene.leads[i].append(number)
            step.edges += self.scene.out.get(i, [])

    def forward(self, k: int) -> None:
        ins, outs = self.graph.wiring.steps[k]
        node, title = self.graph.nodes[k], self.titles[k]
        xs, ys = input_letters(node, len(ins)), output_letters(node, len(outs))
        text = formula(node).forward
        parameters = self.parameters(k)
        numbers = {letter: scalar_text(self.value(s)) for letter, s in (*zip(xs, ins), *zip(ys, outs))}  # noqa: B905
        numbers |= {name: scalar_text(p) for name, p, _ in parameters}
        put_in = with_numbers(text, {letter: n for letter, n in numbers.items() if n is not None})
        into = [self.shown(self.value(s), x, self.name(s)) for x, s in zip(xs, ins, strict=True)]
        into += [self.shown(p, name, f"of {title}") for name, p, _ in parameters]
        out = [self.shown(self.value(s), y, self.name(s)) for y, s in zip(ys, outs, strict=True)]
        told = ", ".join(f"{self.name(s)} {said(self.value(s))}" for s in outs)
        body = letters(text) + letters(put_in) + group("In", into) + group("Out", out)
        v = self.scene.call(k)
        step = Step("forward", title, body, f"{title}. {text}. {told}.")
        step.edges += [*self.scene.into.get(v, []), *self.scene.out.get(v, [])]
        number = self.add(step, v)
        self.value_step |= dict.fromkeys(outs, number)

    def seed(self) -> int:
        """Where backward begins: the gradient of an output by itself is 1."""
        slots = self.graph.wiring.outputs
        names = " + ".join(map(self.name, slots))
        one = len(slots) == 1 and not getattr(self.value(slots[0]), "shape", ())
        text = f"∂{names} / ∂{names} = 1" if one and " " not in names else "the gradient of each output is 1"
        seeds = [self.seeded(s) for s in slots]
        figures = [self.shown(d, "d", self.name(s), "gradient") for s, d in zip(slots, seeds, strict=True)]
        told = f"Backward begins. {text}."
        number = self.add(Step("backward", "Start with 1", letters(text) + group("Gradient", figures), told))
        for j in range(len(slots)):
            v = self.scene.output(j)
            self.steps[number].vertices.append(v)
            self.steps[number].edges += self.scene.into[v]
            self.scene.leads[v].append(number)
        return number

    def seeded(self, slot: int) -> Any:
        """The gradient that backward starts from, before what comes back from inside is added to it."""
        like = self.value(slot)
        return 1 if not getattr(like, "shape", ()) else namespace_of(like).ones_like(like)

    def sums(self) -> dict[int, list[tuple[int, list[tuple[str, Any]]]]]:
        """{place in ``heard``: what is added up after it}: the wires whose gradient has several parts."""
        parts: dict[int, list[tuple[str, Any]]] = {}
        last: dict[int, int] = {}
        for at, call, slot, slope in uses_of(self.heard, self.graph.wiring.steps):
            if slot in self.graph.wiring.outputs and slot not in parts:
                parts[slot] = [("as an output", self.seeded(slot))]
            parts.setdefault(slot, []).append((f"from {self.titles[call]}", slope))
            last[slot] = at
        found: dict[int, list[tuple[int, list[tuple[str, Any]]]]] = {}
        for slot, several in parts.items():
            if len(several) > 1:
                found.setdefault(last[slot], []).append((slot, several))
        return found

    def backward(self, h: Heard) -> None:
        k = h.call
        ins, outs = self.graph.wiring.steps[k]
        node, title = self.graph.nodes[k], self.titles[k]
        xs, ys = input_letters(node, len(ins)), output_letters(node, len(outs))
        text = formula(node).backward
        parameters = self.parameters(k)
        into = [self.shown(d, gradient_letter(y), self.name(s), "gradient")
                for y, s, d in zip(ys, outs, h.douts, strict=False)]  # fmt: skip
        local = derivatives(node, [self.value(s) for s in ins], [self.value(s) for s in outs])
        between = [self.shown(d, f"∂{ys[0]}/∂{x}", "", "local") for x, d in zip(xs, local or [], strict=False)]
        if not between:
            words = f"applied, not written out: {text or f'by the backward of {type(node).__name__}'}"
            between = [f'<p class="letters">{escape(words)}</p>']
        known = [(x, s, d) for x, s, d in zip(xs, ins, h.slopes, strict=False) if d is not None]
        out = [self.shown(d, f"d{x}", self.name(s), "gradient") for x, s, d in known]
        out += [self.shown(g, f"d{name}", f"of {title}", "gradient") for name, _, g in parameters]
        told = ", ".join(f"gradient of {self.name(s)} {said(d)}" for _, s, d in known)
        body = letters(text) + group("Gradient in", into) + group("Local derivative", between)
        v = self.scene.call(k)
        step = Step("backward", title, body + group("Gradient out", out), f"{title}. {text}. {told}.")
        step.edges += [*self.scene.into.get(v, []), *self.scene.out.get(v, [])]
        number = self.add(step, v)
        self.gradient_step |= {(k, i): number for i, d in enumerate(h.slopes) if d is not None}
        self.gradient_step |= {(k, len(ins) + i): number for i in range(len(parameters))}

    def add_up(self, slot: int, parts: list[tuple[str, Any]]) -> None:
        """A wire that is used several times: an implicit branch."""
        name = self.name(slot)
        self.branch(
            f"{name}, used {len(parts)} times", f"d{name}", parts, self.slope(slot), self.scene.slot_edges(slot)
        )

    def branch(self, title: str, letter: str, parts: list[tuple[str, Any]], total: Any, edges: list[int]) -> None:
        into = [self.shown(d, letter, where, "gradient") for where, d in parts]
        numbers = [scalar_text(d) for _, d in parts]
        text = f"{letter} = Σ {letter}ᵢ, the sum over the uses"
        put_in = f"{scalar_text(total)} = {' + '.join(str(n) for n in numbers)}" if None not in numbers else ""
        body = letters(text) + letters(put_in) + group("Gradient in", into)
        body += group("Sum", [self.shown(total, letter, "", "gradient")])
        step = Step("backward", f"Sum: {title}", body, f"Sum of gradients: {title}. {letter} is {said(total)}.")
        vertex = next((b for e in edges if (b := self.scene.branch(e)) is not None), None)
        step.edges += edges + (self.scene.into.get(vertex, []) if vertex is not None else [])
        self.add(step, vertex)
