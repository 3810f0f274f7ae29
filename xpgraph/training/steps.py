"""The steps of a fit: take a batch, forward, backward, merge, clip, update."""

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
    """What the loop calls to make a step: ``Steps``, or the captured steps that ``replay`` makes of them."""

    def begin_epoch(self) -> None:
        """Draw the order of the rows for a new epoch."""

    def __call__(self, i: int) -> None:
        """Make the step on batch i of the epoch."""

    def settle(self) -> None:
        """Make parameters, gradients and saved values readable, before callbacks run; they may then change them."""

    def read(self, losses: Sequence[Any]) -> list[float]:
        """The values of pending losses."""


class Gradients(NamedTuple):
    """What forward and backward give to the update.

    ``params`` and ``grads``: each parameter once, with the sum of its gradients. ``clip``: a 0-d factor that the update
    multiplies all gradients by, and ``norm`` their joint norm; both None without clipping.
    """

    loss: Any
    params: list[Array]
    grads: list[Array]
    clip: Array | None
    norm: Array | None


class Steps:
    """Steps that run call by call.

    ``labels``: all labels, to be checked before the first update. ``report``: is told why steps are not captured.
    """

    def __init__(self, state: TrainingState, data: FitData, max_grad: float | None, report: Report) -> None:
        self.state, self.model, self.max_grad, self.report = state, state.model, max_grad, report
        self.batches = Batches(data.x, data.t, state.batch_size, first_parameter(state.model))
        self.labels = data.labels
        self.slots = plan(list(self.model.params))
        self.distinct = all(slot.first == i for i, slot in enumerate(self.slots))  # nothing shared, nothing to merge
        _check_slots(self.slots, list(self.model.grads))
        self.optimizer, self.clips = state.optimizer, takes_clip(state.optimizer)
        self.started = False  # has the first loss been checked, and all labels?
        self.losses_on_host = True  # if so, each loss is checked at once, which would stop a GPU at every step
        self.loss: Any = None  # of the last step
        self._before_update: tuple[int, int, int, Any] | None = None  # the counts, while an update runs

    def begin_epoch(self) -> None:
        """Draw the order of the rows for a new epoch."""
        self.batches.begin_epoch(self.state.seed, self.state.epoch)

    def __call__(self, i: int) -> None:
        """Make the step on batch i of the epoch."""
        step = self.gradients(*self.batches.take(i))
        self.loss = loss = step.loss
        if self.losses_on_host:
            loss = float(loss)
            if not isfinite(loss) or (step.norm is not None and not isfinite(step.norm)):  # clipping would make all NaN
                refuse_step(self.model, self.state.steps + 1, loss, step.norm)
        self.begin_update()
        self.update(step)
        self.count(loss, self.batches.rows(i))

    def gradients(self, x: Array, t: Array) -> Gradients:
        """Run forward and backward; merge the gradients of shared parameters."""
        model = self.model
        try:
            loss = model.forward(x, t)
        except ValueError as error:
            if not self.started and type(error) is ValueError:  # a wrong label: say where it stands in all of t
                self._check_labels()
            raise
        if not self.started:
            self._check_first_loss(loss)
        model.backward()
        params, grads = list(model.params), list(model.grads)
        if not self.distinct or not len(params) == len(grads) == len(self.slots):
            params, grads = merge(self.slots, params, grads)
        clip, norm = (None, None) if self.max_grad is None or not grads else clip_rate(grads, float(self.max_grad))
        return Gradients(loss, params, grads, clip, norm)

    def update(self, step: Gradients, *numbers: Any) -> None:
        """Update the parameters. ``numbers``: a captured step's stand-ins for the numbers of the optimizer's rule."""
        if self.clips:
            self.optimizer.update(step.params, step.grads, step.clip, *numbers)
        else:
            update(self.optimizer, step.params, step.grads, step.clip)

    def begin_update(self) -> None:
        """Take the optimizer that the state has now, and remember the counts until ``count``.

        If an error or an interrupt comes between, the update may have been half made, and its counts are put back.
        """
        state = self.state
        if state.optimizer is not self.optimizer:
            self.optimizer, self.clips = state.optimizer, takes_clip(state.optimizer)
        self._before_update = state.steps, state.batch, len(state.losses.pending), getattr(self.optimizer, "iter", None)

    def count(self, loss: Any, rows: int) -> None:
        """Count the update. ``loss``: a number, or what ``read`` turns into one; it stays pending until it is read."""
        state = self.state
        state.losses.pending.append((loss, rows))
        state.batch += 1
        state.steps += 1
        self._before_update = None

    def settle(self) -> None:
        """Do nothing: everything is readable after each call."""

    def read(self, losses: Sequence[Any]) -> list[float]:
        """The values of pending losses; those on a device are read in one copy."""
        arrays = [loss for loss in losses if not isinstance(loss, float)]
        values = iter(to_numpy(namespace_of(arrays[0]).stack(arrays)).tolist() if arrays else ())  # sync
        return [loss if isinstance(loss, float) else next(values) for loss in losses]

    @contextmanager
    def running(self, step: Step) -> Iterator[None]:
        """Make steps with ``step`` inside the block; leave the state as it is after a step, also if an error comes.

        ``step``: these steps or their captured form. A MemoryError becomes an OutOfMemoryError.
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
            except Exception:  # the first error is the one that is raised
                self.state.consistent = False
            if isinstance(error, MemoryError):
                raise out_of_memory(error, self.model, self.batches.home, self.batches.size) from error
            raise

    def _undo(self) -> None:
        """After an error inside an update: put the counts back, and mark the state, as arrays may be half changed."""
        state, before = self.state, self._before_update
        if before is None or state.steps > before[0]:
            return
        _, state.batch, pending, iterations = before
        del state.losses.pending[pending:]
        if isinstance(iterations, int):
            self.optimizer.iter = iterations
        state.consistent, self._before_update = False, None

    def _check_first_loss(self, loss: Any) -> None:
        """Before the first update: DTypeError unless the loss is a scalar; ValueError for a label without a class."""
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
        self.losses_on_host = not is_array(loss) or on_host(loss)
        self._check_labels()
        self.started = True

    def _check_labels(self) -> None:
        """ValueError for a label, in all of t or in the validation data, that names none of the classes."""
        for name, t in self.labels.items():
            check_labels(f"Trainer.fit: {name}", self.model, t)


def update(optimizer: Any, params: list[Array], grads: list[Array], clip: Array | None) -> None:
    """Make one update with any optimizer; ``clip``: a 0-d factor for all gradients, or None."""
    if takes_clip(optimizer):
        optimizer.update(params, grads, clip)
        return
    if clip is not None:
        scale(grads, clip)
    optimizer.update(params, grads)


def takes_clip(optimizer: Any) -> bool:
    """Does its ``update`` take ``clip``? If its class has an update of its own, gradients are scaled before it."""
    return getattr(type(optimizer), "update", None) is Optimizer.update


def _check_slots(slots: list[Slot], grads: list[Array]) -> None:
    """ValueError if a parameter is listed twice with one gradient.

    That is a layer object that a model of a user's own class calls twice: its second use overwrites the first.
    """
    for i, (first, _) in enumerate(slots):
        if first != i and grads[i] is grads[first]:
            raise ValueError(
                f"Trainer.fit: params[{first}] and params[{i}] are one array, and so are their gradients, so "
                "that of one use overwrites the other; give each use a layer of its own, or use Chain."
            )
