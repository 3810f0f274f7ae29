"""``predict`` and ``evaluate``, in batches, for Chain and Graph alike.

A Graph that ends in a loss is run up to its loss: the scores are what goes into it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ..arrays.libraries import Array, is_array, namespace_of, number, on_device
from ..nodes.checks import is_whole
from ..nodes.copying import namespace_copy
from ..nodes.losses import SoftmaxWithLoss
from .inputs import check_labels, check_lengths, first_parameter, import_data
from .slots import distribute, note_call


class Evaluation(NamedTuple):
    """What ``evaluate`` returns: the mean loss, and the fraction of rows classified rightly (None without classes)."""

    loss: float
    accuracy: float | None


def predict(model: Any, x: Array, batch_size: int | None) -> Any:
    """The scores of all rows of x, ``batch_size`` at a time (None: all at once)."""
    who, W = f"{type(model).__name__}.predict", first_parameter(model)
    row = import_data(_first_row(x), "x", who, W)
    size = x.shape[0] if batch_size is None else _positive(who, batch_size)
    with on_device(row):
        batches = [model.scores(import_data(x[rows, ...], "x", who, W)) for rows in _slices(x, size)]
        if len(batches) == 1:
            return batches[0]
        if isinstance(batches[0], tuple):  # a Graph of several outputs
            return tuple(namespace_of(each[0]).concat(list(each), axis=0) for each in zip(*batches, strict=True))
        return namespace_of(batches[0]).concat(batches, axis=0)


def evaluate(model: Any, x: Array, t: Array, batch_size: int) -> Evaluation:
    """Mean loss and accuracy over all rows, ``batch_size`` at a time."""
    kind, W = type(model).__name__, first_parameter(model)
    who = f"{kind}.evaluate"
    if model.loss is None:
        advice = "make it with Chain(..., loss=SoftmaxWithLoss())" if kind == "Chain" else "end it in SoftmaxWithLoss"
        raise TypeError(f"{who}: this {kind.lower()} has no loss; {advice}.")
    check_two_inputs(who, model)
    row, _ = import_data(_first_row(x), "x", who, W), import_data(_first_row(t), "t", who, W)
    check_lengths(who, x, t)
    total, right, labels = 0.0, 0, 0
    with on_device(row):
        for rows in _slices(x, _positive(who, batch_size)):
            bx, bt = import_data(x[rows, ...], "x", who, W), import_data(t[rows, ...], "t", who, W)
            loss, y, classes = model.loss_and_scores(bx, bt)
            if rows.start == 0:
                check_labels(f"{who}: ", model, t)
            total += number(loss) * bx.shape[0]  # sync
            if y is not None:
                correct = right_answers(y, classes)
                right += int(number(namespace_of(correct).sum(correct)))  # sync
                labels += math.prod(correct.shape)
    return Evaluation(total / x.shape[0], right / labels if labels else None)


def loss_and_scores(loss: Any, *inputs: Any) -> tuple[Any, Any, Any]:
    """(loss, scores, labels) of the node at the end of a model; scores and labels are None without classes."""
    if getattr(loss, "loss", None) is not None and hasattr(loss, "loss_and_scores"):  # a model with a loss of its own
        return loss.loss_and_scores(*inputs)
    value = loss.forward(*inputs)
    return (value, *inputs) if isinstance(loss, SoftmaxWithLoss) else (value, None, None)


def check_two_inputs(who: str, model: Any) -> None:
    """TypeError for a Graph that does not take (x, t)."""
    if hasattr(model, "wiring") and model.wiring.inputs != 2:
        names = ", ".join(map(repr, model.inputs))
        advice = "make a Graph of two inputs, or call forward, backward and the optimizer's update in your own loop"
        raise TypeError(f"{who}: the inputs of the graph are ({names}), and what comes is (x, t); {advice}.")


def right_answers(y: Array, t: Array) -> Array:
    """int64 1 where the largest score of a row of y (..., C) stands at the class that t names, else 0; (...).

    A row with a NaN has no largest score, and is never right.
    """
    xp = namespace_of(y)
    classes = t if t.ndim < y.ndim else xp.argmax(t, axis=-1)
    same = xp.equal(xp.argmax(y, axis=-1), classes)
    is_number = xp.logical_not(xp.isnan(xp.max(y, axis=-1)))
    return xp.astype(xp.logical_and(same, is_number), xp.int64)


def graph_scores(graph: Any, *inputs: Any) -> Any:
    """What goes into a Graph's loss, from the inputs that it depends on, which labels are not."""
    needed = list(range(graph.wiring.inputs))
    if graph.loss is not None:
        slots = _score_slots(graph)
        steps = _steps_to(graph, slots)
        needed = [i for i in needed if i in _read_by(graph, steps) or i in slots]
    if len(inputs) != len(needed):
        names = ", ".join(repr(graph.inputs[i]) for i in needed)
        advice = "call forward, or make a Graph of one input for them"
        raise TypeError(f"Graph.predict: the scores depend on the inputs ({names}), and x alone comes; {advice}.")
    if graph.loss is None:
        return graph.forward(*inputs)
    given = dict(zip(needed, inputs, strict=True))
    values = _run(graph, steps, [given.get(i) for i in range(graph.wiring.inputs)], "predict")
    computed = graph.wiring.inputs + len(graph.own_params)  # from this slot on
    scores = [values[s] if s >= computed else namespace_copy(values[s]) for s in slots]
    return graph.loss.scores(*scores) if hasattr(graph.loss, "scores") else scores[0]


def graph_loss_and_scores(graph: Any, *inputs: Any) -> tuple[Any, Any, Any]:
    """(loss, scores, labels) of a Graph that ends in a loss."""
    slots = _loss_inputs(graph)
    values = _run(graph, _steps_to(graph, slots), inputs, "evaluate")
    return loss_and_scores(graph.loss, *(values[s] for s in slots))


def _loss_inputs(graph: Any) -> tuple[int, ...]:
    """The slots of the inputs of a Graph's loss, labels last."""
    return next(ins for ins, outs in graph.wiring.steps if outs == graph.wiring.outputs)


def _score_slots(graph: Any) -> list[int]:
    """The slots from which the scores come: of a loss that is itself a network, those that its own scores need."""
    slots, loss = _loss_inputs(graph), graph.loss
    if hasattr(loss, "wiring"):
        inner = _score_slots(loss)
        read = _read_by(loss, _steps_to(loss, inner)) | set(inner)
        return [s for i, s in enumerate(slots) if i in read]
    return list(slots[:-1] if hasattr(loss, "scores") else slots[:1])


def _steps_to(graph: Any, slots: Sequence[int]) -> list[int]:
    """The numbers of the calls that slots depend on, in order."""
    needed, steps = set(slots), []
    for k in range(len(graph.wiring.steps) - 1, -1, -1):
        ins, outs = graph.wiring.steps[k]
        if not needed.isdisjoint(outs):
            needed.update(ins)
            steps.append(k)
    return steps[::-1]


def _read_by(graph: Any, steps: Sequence[int]) -> set[int]:
    """The slots that some of the calls read."""
    return {s for k in steps for s in graph.wiring.steps[k][0]}


def _run(graph: Any, steps: Sequence[int], inputs: Sequence[Any], method: str) -> list[Any]:
    """The values in all slots after some of the calls; ``method`` is named in the note of an error."""
    values = [*inputs, *graph.own_params]
    values += [None] * (len(graph.wiring.names) - len(values))
    for k in steps:
        ins, outs = graph.wiring.steps[k]
        try:
            distribute(values, outs, graph.nodes[k].forward(*(values[s] for s in ins)))
        except Exception as error:
            note_call(error, graph, method, k)
            raise
    return values


def _first_row(a: Any) -> Any:
    """The first row of an array, by which its kind can be checked; anything else as it is."""
    return a[: min(1, a.shape[0]), ...] if is_array(a) and a.ndim else a


def _slices(x: Array, size: int) -> Iterator[slice]:
    """Consecutive slices of ``size`` rows; array-api-strict takes no index beyond the end."""
    return (slice(i, min(i + size, x.shape[0])) for i in range(0, x.shape[0], size))


def _positive(who: str, n: int) -> int:
    if not is_whole(n) or n < 1:
        raise ValueError(f"{who.rpartition('.')[2]}: batch_size is {n!r}; give a whole number from 1 up.")
    return int(n)
