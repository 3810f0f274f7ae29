"""The last steps: gradients of shared parameters added up, the update of each parameter, what came of it."""

from __future__ import annotations

import copy
import inspect
from html import escape
from typing import TYPE_CHECKING, Any

from ...nodes.node import namespace_copy, rebuild
from ...nodes.sharing import plan, remove_duplicates
from ...training.optimizers import Optimizer
from ..drawing.values import number_text
from .document import Step, group, letters
from .figures import said

if TYPE_CHECKING:
    from .steps import Explanation

_LETTERS = {"lr": "η", "alpha": "α", "mu": "μ", "rho": "ρ", "beta1": "β₁", "beta2": "β₂", "eps": "ε"}


def update(page: Explanation) -> None:
    graph, optimizer = page.graph, page.optimizer
    named, slots = graph._named(), plan(graph.params)
    made = _drawn(page)
    for first, uses in _groups(slots).items():
        if len(uses) > 1:
            parts = [_part(graph.grads[i], named[i][0], slots[i].transposed) for i in uses]
            total = sum((d for _, d in parts[1:]), namespace_copy(parts[0][1]))
            edges = [e for i in uses for e in made.get(i, [])]
            name = _called(page, edges, named[first][0])
            page.branch(f"{name}, shared by {len(uses)} uses", f"d{name}", parts, total, edges)
            _gather(page, edges)
    rows = [(i, _called(page, made.get(i, []), named[i][0])) for i in _groups(slots)]
    params, grads = remove_duplicates(graph.params, graph.grads)
    found = [(slot, getattr(optimizer, slot, None)) for slot in getattr(optimizer, "slots", ())]
    state = [(slot, [] if a is None else a) for slot, a in found]
    before = [[page.shown(params[j], "θ", name, "value"), page.shown(grads[j], "g", f"d{name}", "gradient"),
               *(page.shown(a[j] if j < len(a) else 0.0, slot, "state", "local") for slot, a in state)]
              for j, (_, name) in enumerate(rows)]  # fmt: skip
    said_before = [said(p) for p in params]
    if params:
        optimizer.update(params, grads)
    for j, (i, name) in enumerate(rows):
        after = [page.shown(params[j], "θ", name, "value")]
        after += [page.shown(getattr(optimizer, slot)[j], slot, "state", "local") for slot, _ in state]
        body = letters(rule(optimizer)) + f'<p class="settings">{escape(settings(optimizer))}</p>'
        told = f"Update of {name} by {optimizer!r}. {rule(optimizer)}. {said_before[j]} becomes {said(params[j])}."
        step = Step("update", name, body + group("Before", before[j]) + group("After", after), told)
        edges = made.get(i, [])
        step.edges += edges
        page.add(step, page.scene.origin(edges[0]) if edges else None)


def _gather(page: Explanation, edges: list[int]) -> None:
    for vertex in {b for e in edges if (b := page.scene.branch(e)) is not None}:
        page.scene.gather(vertex, len(page.steps) - 1)


def _drawn(page: Explanation) -> dict[int, list[int]]:
    """The edges in the picture of each parameter, by its place in ``params``."""
    found: dict[int, list[int]] = {}
    place, n = 0, page.graph.wiring.inputs
    for k in page.graph.wiring.order:
        if k < 0:
            found[place] = page.scene.slot_edges(n + ~k)
            place += 1
        else:
            count = len(getattr(page.graph.nodes[k], "params", ()))
            edges = page.scene.parameter_edges(k)
            found |= {place + i: [e] for i, e in enumerate(edges)} if len(edges) == count else {}
            place += count
    return found


def end(page: Explanation, before: list[Any], after: list[Any]) -> None:
    slots = page.graph.wiring.outputs
    figures = [[page.shown(a, page.name(s)) for s, a in zip(slots, values, strict=True)]
               for values in (before, after)]  # fmt: skip
    nothing = "" if page.graph.params else letters("there are no parameters, so nothing was updated")
    told = "; ".join(f"{page.name(s)} was {said(a)} and is {said(b)}"
                     for s, a, b in zip(slots, before, after, strict=True))  # fmt: skip
    body = nothing + group("Before the update", figures[0]) + group("After the update", figures[1])
    number = page.add(Step("end", "What came of it", body, f"What came of it: {told}."))
    for j in range(len(slots)):
        page.steps[number].vertices.append(page.scene.output(j))
        page.scene.leads[page.scene.output(j)].append(number)


def _called(page: Explanation, edges: list[int], path: str) -> str:
    """A parameter by its name in the picture, W2, or by its path, 2.W."""
    shown = page.scene.picture.vertices[page.scene.origin(edges[0])].text if edges else ""
    return shown or path


def _part(grad: Any, path: str, transposed: bool) -> tuple[str, Any]:
    """The gradient of one use of a shared parameter, in the shape of the first."""
    return (f"of {path}, transposed", grad.T) if transposed else (f"of {path}", grad)


def rule(optimizer: Any) -> str:
    """The rule of an optimizer in letters: the first lines of its kernel's docstring, or of its own."""
    about = getattr(type(optimizer), "rule", None) or type(optimizer)
    return " ".join((about.__doc__ or type(optimizer).__name__).strip().partition("\n\n")[0].split())


def settings(optimizer: Any) -> str:
    """The optimizer, and the numbers that its rule took in the step just made, under their letters."""
    told = ""
    if isinstance(optimizer, Optimizer):
        names = list(inspect.signature(type(optimizer).rule).parameters)[2 + len(optimizer.slots) :]
        numbers = zip(names, optimizer.numbers(optimizer.iter), strict=False)
        told = ", ".join(f"{_LETTERS.get(name, name)} = {number_text(value)}" for name, value in numbers)
    return ": ".join(filter(None, (repr(optimizer), told)))


def copied(optimizer: Any) -> Any:
    """An optimizer to run without a change to the user's own: its arrays are copied in their own library."""
    if not isinstance(optimizer, Optimizer):
        return copy.deepcopy(optimizer)
    new = copy.copy(optimizer)
    for slot in optimizer.slots:
        setattr(new, slot, rebuild(getattr(optimizer, slot), namespace_copy, {}))
    return new


def _groups(slots: list[Any]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for i, slot in enumerate(slots):
        found.setdefault(slot.first, []).append(i)
    return found
