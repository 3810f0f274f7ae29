"""The steps of the page: what goes in, forward node by node, backward node by node, the update, the result."""

from __future__ import annotations

from html import escape
from typing import Any

from ...arrays.libraries import namespace_of
from ...graph.graph import Graph
from . import calls
from .document import Page, Step, formula_line, group, scalar_text, spoken
from .update import add_result, add_updates

Parts = list[tuple[str, Any]]  # of the gradient of a wire: (where it came from, gradient)


def make_page(graph: Graph, inputs: tuple[Any, ...], optimizer: Any) -> Page:
    """Run the graph, update it, and make a step of everything. Give copies: graph and optimizer change."""
    record = calls.trace_backward(graph, inputs)
    page = Page(graph)
    _add_inputs(page)
    value_steps: dict[int, int] = {}  # by slot
    for k, (_, outs) in enumerate(graph.wiring.steps):
        value_steps |= dict.fromkeys(outs, _add_forward(page, k))
    start = _add_start_of_backward(page)
    gradient_steps: dict[tuple[int, int], int] = {}  # by (call, number of its input or parameter)
    sums = _sums(page, record)
    for at, back in enumerate(record):
        step, known = _add_backward(page, back)
        gradient_steps |= {(back.call, i): step for i in known}
        for slot, parts in sums.get(at, []):
            name = page.name(slot)
            title = f"{name}, used {len(parts)} times"
            page.add_sum(title, f"d{name}", parts, page.gradient(slot), page.scene.slot_edges(slot))
    page.scene.set_steps(value_steps, gradient_steps, start)
    before = [page.value(slot) for slot in graph.wiring.outputs]
    add_updates(page, optimizer)
    after = graph.forward(*inputs)
    add_result(page, before, list(after) if isinstance(after, tuple) else [after])
    return page


def _add_inputs(page: Page) -> None:
    slots = [slot for slot, w in enumerate(page.graph.wires) if w.call is None]
    n = page.graph.wiring.inputs
    figures = [page.figure(page.value(slot), page.name(slot)) for slot in slots]
    names = ", ".join(map(page.name, slots[:n]))
    page.add(Step("start", "What goes in", group("Inputs", figures), f"What goes in: {names}."))
    for vertex in range(n):
        page.point_at(vertex)
        page.steps[-1].edges += page.scene.edges_out_of(vertex)


def _add_forward(page: Page, k: int) -> int:
    """Add the step of call k; return its number."""
    ins, outs = page.graph.wiring.steps[k]
    node, title = page.graph.nodes[k], page.titles[k]
    xs, ys = calls.input_letters(node, len(ins)), calls.output_letters(node, len(outs))
    text = calls.formula(node).forward
    parameters = page.parameters(k)
    arrays = [*zip(xs, map(page.value, ins), strict=True), *zip(ys, map(page.value, outs), strict=True)]
    arrays += [(name, p) for name, p, _ in parameters]
    numbers = {letter: n for letter, a in dict(arrays).items() if (n := scalar_text(a)) is not None}
    figures_in = [page.figure(page.value(s), x, page.name(s)) for x, s in zip(xs, ins, strict=True)]
    figures_in += [page.figure(p, name, f"of {title}") for name, p, _ in parameters]
    figures_out = [page.figure(page.value(s), y, page.name(s)) for y, s in zip(ys, outs, strict=True)]
    body = formula_line(text) + formula_line(calls.with_numbers(text, numbers))
    body += group("In", figures_in) + group("Out", figures_out)
    results = ", ".join(f"{page.name(s)} {spoken(page.value(s))}" for s in outs)
    return _add_call(page, Step("forward", title, body, f"{title}. {text}. {results}."), k)


def _add_call(page: Page, step: Step, k: int) -> int:
    """Add a step that points at call k and its edges."""
    vertex = page.scene.call(k)
    step.edges += [*page.scene.edges_into(vertex), *page.scene.edges_out_of(vertex)]
    return page.add(step, vertex)


def _add_start_of_backward(page: Page) -> int:
    """Add the step in which backward starts: the gradient of an output with respect to itself is 1."""
    slots = page.graph.wiring.outputs
    names = " + ".join(map(page.name, slots))
    one = len(slots) == 1 and not getattr(page.value(slots[0]), "shape", ())
    text = f"∂{names} / ∂{names} = 1" if one and " " not in names else "the gradient of each output is 1"
    figures = [page.figure(_ones(page, s), "d", page.name(s), "gradient") for s in slots]
    body = formula_line(text) + group("Gradient", figures)
    number = page.add(Step("backward", "Start with 1", body, f"Backward begins. {text}."))
    for j in range(len(slots)):
        page.point_at(page.scene.output(j))
        page.steps[-1].edges += page.scene.edges_into(page.scene.output(j))
    return number


def _ones(page: Page, slot: int) -> Any:
    """The gradient from which backward starts at an output."""
    y = page.value(slot)
    return 1 if not getattr(y, "shape", ()) else namespace_of(y).ones_like(y)


def _sums(page: Page, record: list[calls.BackwardCall]) -> dict[int, list[tuple[int, Parts]]]:
    """{place in ``record``: (slot, parts) to add up after it} for each wire whose gradient has several parts."""
    parts: dict[int, Parts] = {}
    last: dict[int, int] = {}
    for at, back in enumerate(record):
        for slot, d in zip(page.graph.wiring.steps[back.call][0], back.dxs, strict=False):
            if d is None:
                continue
            if slot in page.graph.wiring.outputs and slot not in parts:
                parts[slot] = [("as an output", _ones(page, slot))]
            parts.setdefault(slot, []).append((f"from {page.titles[back.call]}", d))
            last[slot] = at
    sums: dict[int, list[tuple[int, Parts]]] = {}
    for slot, of_slot in parts.items():
        if len(of_slot) > 1:
            sums.setdefault(last[slot], []).append((slot, of_slot))
    return sums


def _add_backward(page: Page, back: calls.BackwardCall) -> tuple[int, list[int]]:
    """Add the step of one backward; return its number and those of the inputs and parameters that got gradients."""
    k = back.call
    ins, outs = page.graph.wiring.steps[k]
    node, title = page.graph.nodes[k], page.titles[k]
    xs, ys = calls.input_letters(node, len(ins)), calls.output_letters(node, len(outs))
    text = calls.formula(node).backward
    parameters = page.parameters(k)
    figures_in = [
        page.figure(d, calls.gradient_letter(y), page.name(s), "gradient")
        for y, s, d in zip(ys, outs, back.douts, strict=False)
    ]
    local = calls.local_derivatives(node, [page.value(s) for s in ins], [page.value(s) for s in outs]) or []
    derivatives = [page.figure(d, f"∂{ys[0]}/∂{x}", "", "local") for x, d in zip(xs, local, strict=False)]
    if not derivatives:
        words = f"applied, not written out: {text or f'by the backward of {type(node).__name__}'}"
        derivatives = [f'<p class="letters">{escape(words)}</p>']
    known = [i for i, d in enumerate(back.dxs) if d is not None]
    figures_out = [page.figure(back.dxs[i], f"d{xs[i]}", page.name(ins[i]), "gradient") for i in known]
    figures_out += [page.figure(g, f"d{name}", f"of {title}", "gradient") for name, _, g in parameters]
    body = formula_line(text) + group("Gradient in", figures_in) + group("Local derivative", derivatives)
    body += group("Gradient out", figures_out)
    results = ", ".join(f"gradient of {page.name(ins[i])} {spoken(back.dxs[i])}" for i in known)
    number = _add_call(page, Step("backward", title, body, f"{title}. {text}. {results}."), k)
    return number, [*known, *range(len(ins), len(ins) + len(parameters))]
