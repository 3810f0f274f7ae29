"""Floor 5: the steps of one ``fit``: rows of the epoch's order, forward, backward, merge, clip, update."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from ..arrays import random_numbers
from ..arrays.libraries import Array, home, library_of, on_host, place_of
from ..errors import OutOfMemoryError
from ..graph.inputs import first_parameter, import_data
from ..nodes.sharing import merge, plan
from .clipping import clip_rate, scale
from .optimizers import Optimizer
from .replay import gather
from .run import Run

if TYPE_CHECKING:
    from .trainer import Trainer


STAGED = 1 << 21  # bytes of rows gathered at once on the host: fewer calls, and no longer all in the cache of one core


class Gradients(NamedTuple):
    """What the first half of a step leaves: each parameter once, its gradient, the loss; ``clip`` scales gradients."""

    loss: Any
    params: list[Array]
    grads: list[Array]
    clip: Array | None
    norm: Array | None


class Steps:
    """``steps(i)`` makes the update on batch i of this epoch's order; ``begin_epoch`` draws the order."""

    def __init__(self, trainer: Trainer, x: Array, t: Array, batch_size: int, max_grad: float | None, run: Run) -> None:
        self.trainer, self.model, self.optimizer, self.run = trainer, trainer.model, trainer.optimizer, run
        self.x, self.t, self.size, self.max_grad = x, t, batch_size, max_grad
        self.slots = plan(list(self.model.params))
        self.distinct = all(slot.first == i for i, slot in enumerate(self.slots))  # then there is nothing to merge
        W = first_parameter(self.model)
        self.resident = W is None or library_of(x) is library_of(W)
        self.home = place_of(x if W is None else W)
        self.clips = clips(self.optimizer)
        row = math.prod(x.shape[1:]) * getattr(x.dtype, "itemsize", 8)
        self.ahead = max(1, STAGED // max(1, row * batch_size)) if on_host(x) else 1  # batches gathered at once

    def __enter__(self) -> Steps:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, where: Any) -> None:
        """The end of the fit: wait, on the device, for what was captured, and let go of it."""
        try:
            self.run.settle()
        except Exception:
            if error is None:  # else the first error is the one to tell
                raise
        finally:
            self.run.settle, self.run.losses = _nothing, None  # it held these steps, and they the data
        if isinstance(error, MemoryError):
            raise self.out_of_memory(error) from error

    def begin_epoch(self) -> None:
        """Draw the order of the rows in this epoch, int64 (N,) on the host; it depends on (seed, epoch) alone."""
        n, seed, epoch = self.x.shape[0], self.trainer.seed, self.trainer.current_epoch
        self.permutation = random_numbers.permutation(n, seed, "order", epoch)
        self.order: Array = None  # the same beside x, once it is asked for
        self.staged: tuple[Array, Array] = (None, None)  # gathered rows
        self.first = -self.ahead  # the first of their batches

    def rows(self, i: int) -> int:
        """How many rows batch i has: the last may be short."""
        return min(self.size, self.x.shape[0] - i * self.size)

    def batch(self, i: int) -> tuple[Array, Array]:
        """The rows of batch i; on the host, slices of those of several batches."""
        if self.order is None:
            self.order = place_of(self.x).asarray(self.permutation)
        n = self.size
        if not self.first <= i < self.first + self.ahead:
            self.staged, self.first = (None, None), i  # let go of before there are new ones
            self.staged = gather(self.x, self.t, self.order[i * n : min((i + self.ahead) * n, self.x.shape[0])])
        start, (bx, bt) = (i - self.first) * n, self.staged
        stop = start + self.rows(i)
        return bx[start:stop, ...], bt[start:stop, ...]

    def __call__(self, i: int) -> None:
        bx, bt = self.batch(i)
        if not self.resident:
            W = first_parameter(self.model)
            bx, bt = import_data(bx, "x", "Trainer.fit", W), import_data(bt, "t", "Trainer.fit", W)
        step = self.gradients(bx, bt)
        self.loss = step.loss
        self.run.look_at(step.loss, step.norm, self.rows(i))  # before clipping, which makes all NaN if one is
        self.update(step)
        self.count()

    def gradients(self, bx: Array, bt: Array) -> Gradients:
        """Forward, backward, and each parameter once with the sum of its gradients."""
        model, run = self.model, self.run
        try:
            loss = model.forward(bx, bt)
        except ValueError as error:
            if run.first and type(error) is ValueError:  # a label of this batch: say where it is in all of t
                run.check_labels()
            raise
        if run.first:
            run.begin(loss)
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

    def count(self) -> None:
        """One update more: perhaps a line of the report is due."""
        self.trainer.steps += 1
        self.run.report_loss()

    def out_of_memory(self, error: MemoryError) -> OutOfMemoryError:
        """The one line for a MemoryError: what was needed, what is free, what to try."""
        needed = _needed(str(error))
        free = self.home.free()
        have = "" if free is None else f", {_words(free)} free"
        half = 2 ** max(0, math.ceil(math.log2(self.size)) - 1)
        advice = f"try batch_size={half}" if self.size > 1 else "take a smaller model: the batch is one row already"
        return OutOfMemoryError(
            f"Trainer.fit: out of memory on {home(next(iter(self.model.params)))} with batches of {self.size} rows: "
            f"{needed} more needed{have}; {advice}."
        )


def clips(optimizer: Any) -> bool:
    """Does its update take the factor of clipping? One with an update of its own has its gradients scaled before."""
    return getattr(type(optimizer), "update", None) is Optimizer.update


def update(optimizer: Any, params: list[Array], grads: list[Array], clip: Array | None) -> None:
    """One update by any optimizer, its gradients times ``clip`` if there is one."""
    if clips(optimizer):
        optimizer.update(params, grads, clip)
        return
    if clip is not None:
        scale(grads, clip)
    optimizer.update(params, grads)


def _nothing() -> None:
    """What there is to settle where nothing is captured."""


def _needed(words: str) -> str:
    """The bytes that a MemoryError names, in words."""
    found = re.search(r"llocat\w+ ([\d.,]+) ?(bytes|[KMGT]iB|B)", words)
    if found is None:
        return "memory"
    number, unit = found[1].replace(",", ""), found[2]
    return _words(int(number)) if unit == "bytes" else f"{number} {unit}"


def _words(size: int) -> str:
    """A number of bytes for people."""
    return f"{size / 2**30:.2f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"
