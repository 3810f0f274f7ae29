"""The steps of one ``fit``: rows of the epoch's order, forward, backward, merge, clip, update."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import isfinite
from typing import Any, NamedTuple, Protocol

from ..arrays.libraries import Array, is_array, namespace_of, on_host, to_numpy
from ..errors import DTypeError
from ..graph.inputs import check_labels, first_parameter
from ..nodes.sharing import Slot, merge, plan
from .arguments import FitData
from .batches import Batches
from .callbacks.report import Report
from .clipping import clip_rate, scale
from .finite import refuse_step
from .memory import out_of_memory
from .optimizers import Optimizer
from .state import TrainingState


class Step(Protocol):
    """What a fit makes its updates with: ``Steps``, or what ``replay`` makes of them."""

    def begin_epoch(self) -> None:
        """Draw the order of the rows."""

    def __call__(self, i: int) -> None:
        """Make the update on batch i of this epoch's order."""

    def settle(self) -> None:
        """Before anybody looks at arrays: wait, on the device, for what runs beside; look again at what they are."""

    def read(self, losses: Sequence[Any]) -> list[float]:
        """The numbers of pending losses."""


class Gradients(NamedTuple):
    """What the first half of a step leaves: each parameter once, its gradient, the loss; ``clip`` scales gradients."""

    loss: Any
    params: list[Array]
    grads: list[Array]
    clip: Array | None
    norm: Array | None


class Steps:
    """Steps call by call. The report hears why they are not captured, where they are not."""

    def __init__(self, state: TrainingState, data: FitData, max_grad: float | None, report: Report) -> None:
        self.state, self.model, self.max_grad, self.report = state, state.model, max_grad, report
        self.batches = Batches(data.x, data.t, state.batch_size, first_parameter(state.model))
        self.labels = data.labels
        self.slots = plan(list(self.model.params))
        self.distinct = all(slot.first == i for i, slot in enumerate(self.slots))  # then there is nothing to merge
        _check_slots(self.slots, list(self.model.grads))
        self.optimizer, self.clips = state.optimizer, takes_clip(state.optimizer)
        self.first, self.host = True, True  # is this the first step? do losses lie on the host?
        self.loss: Any = None  # of the last step
        self._before: tuple[int, int, int, Any] | None = None  # the counts before the update that is under way

    def begin_epoch(self) -> None:
        """Draw the order of the rows in this epoch."""
        self.batches.begin_epoch(self.state.seed, self.state.epoch)

    def __call__(self, i: int) -> None:
        """The update on batch i."""
        step = self.gradients(*self.batches.take(i))
        self.loss = loss = step.loss
        if self.host:
            loss = float(loss)
            if not isfinite(loss) or (step.norm is not None and not isfinite(step.norm)):  # clipping would make all NaN
                refuse_step(self.model, self.state.steps + 1, loss, step.norm)
        self.begin_update()
        self.update(step)
        self.count(loss, self.batches.rows(i))

    def gradients(self, x: Array, t: Array) -> Gradients:
        """Forward, backward, and each parameter once with the sum of its gradients."""
        model = self.model
        try:
            loss = model.forward(x, t)
        except ValueError as error:
            if self.first and type(error) is ValueError:  # a label of this batch: say where it is in all of t
                self._check_labels()
            raise
        if self.first:
            self._check_first(loss)
        model.backward()
        params, grads = list(model.params), list(model.grads)
        if not self.distinct or not len(params) == len(grads) == len(self.slots):
            params, grads = merge(self.slots, params, grads)
        clip, norm = (None, None) if self.max_grad is None or not grads else clip_rate(grads, float(self.max_grad))
        return Gradients(loss, params, grads, clip, norm)

    def update(self, step: Gradients, *numbers: Any) -> None:
        """The second half. ``numbers``: what the optimizer's rule takes where a captured step has them elsewhere."""
        if self.clips:
            self.optimizer.update(step.params, step.grads, step.clip, *numbers)
        else:
            update(self.optimizer, step.params, step.grads, step.clip)

    def begin_update(self) -> None:
        """From here until ``count``, the update is under way, by the optimizer that the state has now."""
        state = self.state
        if state.optimizer is not self.optimizer:
            self.optimizer, self.clips = state.optimizer, takes_clip(state.optimizer)
        self._before = state.steps, state.batch, len(state.losses.pending), getattr(self.optimizer, "iter", None)

    def count(self, loss: Any, rows: int) -> None:
        """The update was made: ``loss``, a number or what ``read`` takes, is kept until somebody looks."""
        state = self.state
        state.losses.pending.append((loss, rows))
        state.batch += 1
        state.steps += 1
        self._before = None

    def settle(self) -> None:
        """Nothing runs beside."""

    def read(self, losses: Sequence[Any]) -> list[float]:
        """The numbers of losses, those on a device in one piece."""
        arrays = [loss for loss in losses if not isinstance(loss, float)]
        values = iter(to_numpy(namespace_of(arrays[0]).stack(arrays)).tolist() if arrays else ())  # sync
        return [loss if isinstance(loss, float) else next(values) for loss in losses]

    @contextmanager
    def running(self, step: Step) -> Iterator[None]:
        """The block makes steps with ``step``; after it, also after an error, the state is that of whole steps.

        Raises OutOfMemoryError for a MemoryError.
        """
        losses = self.state.losses
        losses.attach(step)
        try:
            yield
            step.settle()
            losses.detach()
        except BaseException as error:
            self._undo()
            try:
                step.settle()
                losses.detach()
            except Exception:  # the first error is the one to tell
                self.state.whole = False
            if isinstance(error, MemoryError):
                raise out_of_memory(error, self.model, self.batches.home, self.batches.size) from error
            raise

    def _undo(self) -> None:
        """An error came: what an update that was cut off halfway has counted is taken back, and the state says so."""
        state, before = self.state, self._before
        if before is None or state.steps > before[0]:
            return
        _, state.batch, pending, updates = before
        del state.losses.pending[pending:]
        if isinstance(updates, int):
            self.optimizer.iter = updates
        state.whole, self._before = False, None

    def _check_first(self, loss: Any) -> None:
        """Before the first update: is the loss a scalar, do all labels fit the classes?"""
        shape = getattr(loss, "shape", None) if not isinstance(loss, int | float) else ()
        if shape != ():
            found = f"a {type(loss).__name__}" if shape is None else f"an array of shape {tuple(shape)}"
            advice = (
                "loss (the chapter's SoftmaxWithLoss.forward returns y by mistake: it should return loss)."
                if not shape or max(shape) != 1
                else "loss: Mean(axis=None, keepdims=False)."
            )
            raise DTypeError(
                f"Trainer.fit: {type(self.model).__name__}.forward returned {found}, not a scalar loss; return the 0-d "
                "mean " + advice
            )
        self.host = not is_array(loss) or on_host(loss)
        self._check_labels()
        self.first = False

    def _check_labels(self) -> None:
        """ValueError if a label, of all of t or of the validation data, fits none of the classes."""
        for name, t in self.labels.items():
            check_labels(f"Trainer.fit: {name}", self.model, t)


def update(optimizer: Any, params: list[Array], grads: list[Array], clip: Array | None) -> None:
    """One update by any optimizer, its gradients times ``clip`` if there is one."""
    if takes_clip(optimizer):
        optimizer.update(params, grads, clip)
        return
    if clip is not None:
        scale(grads, clip)
    optimizer.update(params, grads)


def takes_clip(optimizer: Any) -> bool:
    """Does its update take the factor of clipping? One with an update of its own has its gradients scaled before."""
    return getattr(type(optimizer), "update", None) is Optimizer.update


def _check_slots(slots: list[Slot], grads: list[Array]) -> None:
    """One parameter listed twice needs two gradients: of a layer object used twice, only the last use is left."""
    for i, (first, _) in enumerate(slots):
        if first != i and grads[i] is grads[first]:
            raise ValueError(
                f"Trainer.fit: params[{first}] and params[{i}] are one array, and so are their gradients, so "
                "that of one use overwrites the other; give each use a layer of its own, or use Chain."
            )
