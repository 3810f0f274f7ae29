"""The last steps: the gradients of shared parameters added up, the update of each parameter, the outputs after it."""

from __future__ import annotations

import copy
import inspect
from html import escape
from typing import Any

from ...nodes.copying import namespace_copy, rebuild
from ...nodes.sharing import plan, remove_duplicates
from ...training.optimizers import Optimizer
from ..drawing.values import number_text
from .document import Page, Step, formula_line, group, named_parameters, spoken

_LETTERS = {"lr": "η", "alpha": "α", "mu": "μ", "rho": "ρ", "beta1": "β₁", "beta2": "β₂", "eps": "ε"}


def add_updates(page: Page, optimizer: Any) -> None:
    """Add up the gradients of shared parameters and update all parameters: a step for each sum and each update."""
    graph, scene = page.graph, page.scene
    names = [name for name, _, _ in named_parameters(graph)]
    slots, edges_of = plan(graph.params), _parameter_edges(page)
    uses: dict[int, list[int]] = {}  # of each parameter, by its first place in params: all its places
    for i, slot in enumerate(slots):
        uses.setdefault(slot.first, []).append(i)
    for first, places in uses.items():
        if len(places) > 1:
            parts = [_part(graph.grads[i], names[i], slots[i].transposed) for i in places]
            total = sum((d for _, d in parts[1:]), namespace_copy(parts[0][1]))
            edges = [e for i in places for e in edges_of.get(i, [])]
            name = _shown_name(page, edges, names[first])
            page.add_sum(f"{name}, shared by {len(places)} uses", f"d{name}", parts, total, edges)
            for branch in {b for e in edges if (b := scene.branch(e)) is not None}:
                scene.set_branch_step(branch, len(page.steps) - 1)
    shown_names = [_shown_name(page, edges_of.get(i, []), names[i]) for i in uses]
    params, grads = remove_duplicates(graph.params, graph.grads)
    found = [(state, getattr(optimizer, state, None)) for state in getattr(optimizer, "slots", ())]
    states = [(state, [] if arrays is None else arrays) for state, arrays in found]
    before = []
    for j, (name, p, g) in enumerate(zip(shown_names, params, grads, strict=True)):
        before.append([page.figure(p, "θ", name, "value"), page.figure(g, "g", f"d{name}", "gradient")])
        before[j] += [page.figure(a[j] if j < len(a) else 0.0, state, "state", "local") for state, a in states]
    spoken_before = [spoken(p) for p in params]
    if params:
        optimizer.update(params, grads)
    for j, (i, name) in enumerate(zip(uses, shown_names, strict=True)):
        after = [page.figure(params[j], "θ", name, "value")]
        after += [page.figure(getattr(optimizer, state)[j], state, "state", "local") for state, _ in states]
        body = formula_line(rule(optimizer)) + f'<p class="settings">{escape(settings(optimizer))}</p>'
        change = f"{spoken_before[j]} becomes {spoken(params[j])}"
        say = f"Update of {name} by {optimizer!r}. {rule(optimizer)}. {change}."
        step = Step("update", name, body + group("Before", before[j]) + group("After", after), say)
        step.edges += edges_of.get(i, [])
        page.add(step, scene.origin(step.edges[0]) if step.edges else None)


def add_result(page: Page, before: list[Any], after: list[Any]) -> None:
    """Add the last step: the outputs before and after the update."""
    slots = page.graph.wiring.outputs
    figures = [[page.figure(a, page.name(s)) for s, a in zip(slots, values, strict=True)] for values in (before, after)]
    body = "" if page.graph.params else formula_line("there are no parameters, so nothing was updated")
    body += group("Before the update", figures[0]) + group("After the update", figures[1])
    changes = "; ".join(
        f"{page.name(s)} was {spoken(a)} and is {spoken(b)}" for s, a, b in zip(slots, before, after, strict=True)
    )
    page.add(Step("end", "What came of it", body, f"What came of it: {changes}."))
    for j in range(len(slots)):
        page.point_at(page.scene.output(j))


def _parameter_edges(page: Page) -> dict[int, list[int]]:
    """The edges in the picture of each parameter, by its place in ``params``."""
    edges_of: dict[int, list[int]] = {}
    place, n = 0, page.graph.wiring.inputs
    for k in page.graph.wiring.order:
        if k < 0:
            edges_of[place] = page.scene.slot_edges(n + ~k)
            place += 1
        else:
            count = len(getattr(page.graph.nodes[k], "params", ()))
            edges = page.scene.parameter_edges(k)
            edges_of |= {place + i: [e] for i, e in enumerate(edges)} if len(edges) == count else {}
            place += count
    return edges_of


def _shown_name(page: Page, edges: list[int], path: str) -> str:
    """A parameter's name in the picture (W2), or its path (2.W) if the picture does not show it."""
    shown = page.scene.picture.vertices[page.scene.origin(edges[0])].text if edges else ""
    return shown or path


def _part(grad: Any, path: str, transposed: bool) -> tuple[str, Any]:
    """The gradient of one use of a shared parameter, in the shape of the first use."""
    return (f"of {path}, transposed", grad.T) if transposed else (f"of {path}", grad)


def rule(optimizer: Any) -> str:
    """The update rule in letters: the first paragraph of the kernel's docstring, or of the optimizer's own."""
    documented = getattr(type(optimizer), "rule", None) or type(optimizer)
    return " ".join((documented.__doc__ or type(optimizer).__name__).strip().partition("\n\n")[0].split())


def settings(optimizer: Any) -> str:
    """The optimizer, and the numbers that its rule used in the last update, under their letters."""
    numbers = ""
    if isinstance(optimizer, Optimizer):
        names = list(inspect.signature(type(optimizer).rule).parameters)[2 + len(optimizer.slots) :]
        values = zip(names, optimizer.numbers(optimizer.iter), strict=False)
        numbers = ", ".join(f"{_LETTERS.get(name, name)} = {number_text(value)}" for name, value in values)
    return ": ".join(filter(None, (repr(optimizer), numbers)))


def copy_optimizer(optimizer: Any) -> Any:
    """A copy that can be run without a change to the original. Its arrays are copied in their own library."""
    if not isinstance(optimizer, Optimizer):
        return copy.deepcopy(optimizer)
    new = copy.copy(optimizer)
    for slot in optimizer.slots:
        setattr(new, slot, rebuild(getattr(optimizer, slot), namespace_copy, {}))
    return new
