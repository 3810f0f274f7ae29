"""A training step captured as a CUDA graph and replayed: gather, forward, backward, merge, clip, update, loss.

What changes from step to step lies on the device: the order of the rows, the number of the step, and a table with the
numbers of the optimizer for each step of the epoch. There is one graph for each number of rows in a batch:

    the first step of a fit   runs as on every library: it checks the data and makes the optimizer's state
    the next two              warm up: they read the device's counters, but run call by call, in a memory pool of ours
    the next                  is captured, which records it without running it, and replayed
    all others                are replayed

Whoever reads a number between two steps may change the model or the optimizer. Graphs hold addresses of arrays, so
they are made again if any array was replaced.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from operator import is_
from typing import Any

import cupy
import numpy as np

from ...arrays.libraries import to_numpy
from ...arrays.matmul_precision import current_precision
from ...errors import CaptureError
from . import device
from .capture_conditions import run_call_by_call, why_not, why_not_this_loss
from .capture_replay import Replay, failed_operation, forget_saved_values
from .update import Feed, expand, tables

WARM_UP = 2  # steps before a capture: the second one's memory is laid out as the captured one's will be


def captured(steps: Any, graph: Any) -> Any:
    """CuPy's body of ``replay``: steps that replay CUDA graphs; ``steps`` themselves if they cannot be captured."""
    reason = why_not(steps)
    if reason is None:
        return Captured(steps, graph is True)
    run_call_by_call(steps, reason, graph is True)
    return steps


def gathered(x: Any, t: Any, order: Any, size: int, count: int, counters: Any) -> tuple[Any, Any]:
    """Copy ``count`` rows of x and t, one batch, in one launch: those that ``order`` (int64) names.

    The batch starts at place (step * ``size``) of ``order``; the step is ``counters[0]``, or 0 if that is None.
    """
    bx, bt = cupy.empty((count, *x.shape[1:]), x.dtype), cupy.empty((count, *t.shape[1:]), t.dtype)
    if count:
        args = (
            x.data.ptr, bx.data.ptr, bx.nbytes // count, t.data.ptr, bt.data.ptr, bt.nbytes // count,
            order.data.ptr, size, count, counters.data.ptr if counters is not None else 0,
        )  # fmt: skip
        device.launch("gather", "float32", count, 128, args)
    return bx, bt


class Captured:
    """A ``Step`` that replays CUDA graphs where it can, and else makes the step call by call with ``steps``.

    ``strict``: the user asked for a graph (``graph=True``), so a step that cannot be captured is a CaptureError.
    """

    def __init__(self, steps: Any, strict: bool) -> None:
        self.steps, self.strict = steps, strict
        self.failed = False  # could not be captured: all other steps run call by call
        self.warm_ups: dict[int, int] = {}  # {rows of a batch: warm-up steps made}
        self.replays: dict[int, Replay] = {}  # {rows of a batch: its graph}
        self.last: Replay | None = None  # the last step, if it was a replay
        self.lane: Any = None
        self.table: list[tuple[float, ...]] = []  # the optimizer's numbers for each step, as the device has them
        self.captured_for: list[Any] = []  # what the graphs depend on: precision, optimizer and arrays, by identity
        self.checked = False  # has it been compared since the last time that anybody could change it?

    def begin_epoch(self) -> None:
        self.steps.begin_epoch()
        self.table, self.checked = [], False

    def __call__(self, i: int) -> None:
        steps = self.steps
        if self.failed or not steps.started or not self._ready():
            steps(i)
            return
        rows, optimizer = steps.batches.rows(i), steps.state.optimizer
        before = optimizer.iter
        steps.begin_update()
        try:
            done = self._on_device(i, rows)
        except MemoryError:  # the memory of our pool comes on top of what the first step left in CuPy's
            optimizer.iter = before
            self.lane.free()
            try:
                done = self._on_device(i, rows)
            except MemoryError as error:
                optimizer.iter = before
                done = self._give_up(f"there is no memory for a second step ({' '.join(str(error).split())})")
        if not done:
            steps(i)
            return
        steps.count(i, rows)  # the pending loss is an index into self.losses

    def settle(self) -> None:
        """Let the caller's stream wait for the steps, and give the nodes the arrays of the last one."""
        self.checked = False  # the caller may change the model or the optimizer
        if self.lane is not None:
            self.lane.join()
        if self.last is not None:
            self.last.restore()

    def read(self, losses: Sequence[Any]) -> list[float]:
        """The values of pending losses; those of captured steps are indices into ``self.losses``, read in one copy."""
        self.settle()
        indices = [loss for loss in losses if isinstance(loss, int)]
        start = min(indices, default=0)
        values = to_numpy(self.losses[start : max(indices) + 1]).tolist() if indices else []  # sync
        others = iter(self.steps.read([loss for loss in losses if not isinstance(loss, int)]))
        return [values[loss - start] if isinstance(loss, int) else next(others) for loss in losses]

    def _ready(self) -> bool:
        """Can this step run on the device? If anything that the graphs depend on was replaced, they are dropped."""
        if self.lane is not None and self.checked:
            return True
        steps, optimizer = self.steps, self.steps.state.optimizer
        states = [getattr(optimizer, slot) for slot in getattr(optimizer, "slots", ())]
        if any(state is None for state in states):  # a new optimizer: its first update, call by call, makes its state
            return False
        arrays = [*steps.model.params, *steps.model.grads, *(a for state in states for a in state)]
        now = [current_precision(), optimizer, *arrays]
        same = len(now) == len(self.captured_for) and all(map(is_, now, self.captured_for))
        self.captured_for, self.checked = now, True
        if same:
            return True
        reason = why_not(steps) or why_not_this_loss(steps.loss, steps.model.params[0].dtype)
        if reason is not None:
            return self._give_up(reason)
        self._drop_graphs()
        self.table = []
        self._allocate()
        return True

    def _drop_graphs(self) -> None:
        self.warm_ups.clear()
        self.replays.clear()
        self.last = None

    def _stop_capturing(self) -> None:
        """Free what the graphs took; all other steps run call by call."""
        self.failed = True
        self._drop_graphs()
        if self.lane is not None:
            self.lane.join()
            self.lane.free(own=True)

    def _give_up(self, reason: str) -> bool:
        self._stop_capturing()
        run_call_by_call(self.steps, reason, self.strict)
        return False

    def _allocate(self) -> None:
        """Make what the steps read on the device: data, order, counters, losses, and the optimizer's numbers."""
        data = self.steps.batches
        batches = -(-data.x.shape[0] // data.size)
        dtype = self.steps.model.params[0].dtype
        if self.lane is None:
            self.lane = device.Lane()
            self.x, self.t = cupy.ascontiguousarray(data.x), cupy.ascontiguousarray(data.t)
            self.order = cupy.empty(data.x.shape[0], np.int64)
            self.counters = cupy.empty(2, np.int64)  # the next step of the epoch, and this one
            self.losses = cupy.empty(batches, dtype)
        self.rates = cupy.empty((batches, len(self._numbers(0))), dtype)

    def _numbers(self, ahead: int) -> tuple[float, ...]:
        """The optimizer's numbers for the next step, or for one that comes ``ahead`` steps after it."""
        optimizer = self.steps.state.optimizer
        return expand(type(optimizer).rule, optimizer.numbers(optimizer.iter + 1 + ahead))

    def _on_device(self, i: int, rows: int) -> bool:
        """Make step i with the device's counters, as a warm-up or as a replay; False if it could not be captured."""
        self._upload(i)
        warm_ups = self.warm_ups.get(rows, 0)
        if warm_ups < WARM_UP:
            with self.lane.enter():
                self._drive(rows)
            self.warm_ups[rows], self.last = warm_ups + 1, None
            return True
        if rows not in self.replays and not self._capture(rows):
            return False
        self.last = self.replays[rows]
        self.last.launch(self.lane, self.steps.state.optimizer)
        return True

    def _upload(self, i: int) -> None:
        """Copy the order of this epoch and the optimizer's numbers to the device, unless it has them."""
        if self.table and self.table[i] == self._numbers(0):
            return
        new_epoch = not self.table
        table = [self._numbers(k - i) if k >= i else self._numbers(0) for k in range(len(self.rates))]
        with self.lane.enter():
            device.upload(self.rates, np.array(table, self.rates.dtype))
            if new_epoch:
                device.upload(self.order, self.steps.batches.permutation)
                device.upload(self.counters, np.array([i, i]))
        self.table = table

    def _drive(self, rows: int) -> None:
        """Make one step call by call, with the batch and the numbers that the device's counters name."""
        steps = self.steps
        bx, bt = gathered(self.x, self.t, self.order, steps.batches.size, rows, self.counters)
        step = steps.gradients(bx, bt)
        feed = Feed(self.rates, self.counters, step.loss, self.losses)
        steps.update(step, *[feed] * len(steps.state.optimizer.numbers(1)))

    def _capture(self, rows: int) -> bool:
        """Capture a step of so many rows into ``self.replays``; False if that fails, which it warns of."""
        optimizer, model = self.steps.state.optimizer, self.steps.model
        before = optimizer.iter
        try:
            graph = self.lane.capture(lambda: self._drive(rows))
        except MemoryError:
            raise
        except Exception as error:
            what = f"{failed_operation(error)} cannot be captured"
            if self.strict:
                forget_saved_values(model)
                raise CaptureError(f"Trainer.fit: graph=True, but {what}") from error
            warnings.warn(f"Trainer.fit: {what} in a CUDA graph; training goes on call by call.", RuntimeWarning, 2)
            self._stop_capturing()
            return False
        finally:
            optimizer.iter = before
        self.replays[rows] = Replay(graph, model, tables())
        return True
