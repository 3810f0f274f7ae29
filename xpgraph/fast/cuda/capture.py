"""A training step captured once as a CUDA graph and replayed: gather, forward, backward, merge, clip, update, loss.

What changes from step to step lies on the device: the order of the rows, which step this is, and a table with the
numbers of the optimizer for each step of the epoch. A step goes through these states for each number of rows:

    the first of a fit    as in every library: it checks the data and makes the optimizer's state
    twice                 from the device's counters, call by call, in memory of its own
    then                  captured, which runs nothing, and replayed
"""

from __future__ import annotations

import traceback
import warnings
from typing import Any

import cupy
import numpy as np

from ...errors import CaptureError
from ...node import parts
from ...optimizers import Optimizer
from . import device, lt
from .update import Feed, expand, fits, tables

ROUNDS = 2  # call by call before a capture: the memory of the second is laid out as that of the third


def captured(like: Any, steps: Any, graph: Any) -> Any:
    """The body of ``replay``: steps that replay a graph, or ``steps`` and a line why not."""
    reason = refusal(like, steps)
    if reason is None:
        return Captured(steps, graph)
    if graph is True:
        raise CaptureError(f'Trainer.fit: graph=True, but {reason}; leave graph="auto" to go on without a graph.')
    steps.run.report.note(f"steps are made call by call, not replayed as one CUDA graph: {reason}")
    return steps


def refusal(like: Any, steps: Any) -> str | None:
    """Why these steps cannot be captured, or None."""
    for part in parts(steps.model):
        if not type(part).__dict__.get("capturable", False):
            return f"{type(part).__name__} does not declare capturable = True"
    optimizer = steps.optimizer
    if not steps.clips or not isinstance(optimizer, Optimizer):
        return f"{type(optimizer).__name__} has an update of its own"
    row = getattr(type(optimizer).rule, "row", None)
    if row is None or row.body("cupy") is not row.fast_bodies.get("cupy"):
        return f"the rule of {type(optimizer).__name__} has no CUDA kernel, or XPGRAPH_GENERIC turns it off"
    if not steps.resident:
        return "the data does not fit on the device"
    if (lack := lt.available()) is not None:
        return f"cuBLASLt cannot be loaded ({lack})"
    if not fits([list(steps.model.params), list(steps.model.grads)]):
        return "parameters and gradients are not all float32, or all float64, without gaps"
    return None


def gathered(x: Any, t: Any, order: Any, size: int, count: int, cells: Any) -> tuple[Any, Any]:
    """``count`` rows of x and t in one launch: those that ``order`` names from (step of ``cells``) * ``size`` on."""
    bx, bt = cupy.empty((count, *x.shape[1:]), x.dtype), cupy.empty((count, *t.shape[1:]), t.dtype)
    if count:
        args = (
            x.data.ptr, bx.data.ptr, bx.nbytes // count, t.data.ptr, bt.data.ptr, bt.nbytes // count,
            order.data.ptr, size, count, cells.data.ptr if cells is not None else 0,
        )  # fmt: skip
        device.launch("gather", "float32", count, 128, args)
    return bx, bt


class Captured:
    """Steps with the protocol of ``Steps``, replayed where they can be."""

    def __init__(self, steps: Any, graph: Any) -> None:
        self.steps, self.strict, self.failed = steps, graph is True, False
        self.known: dict[int, Any] = {}  # rows of a batch: rounds made so far, then its _Replay
        self.last: _Replay | None = None
        self.lane: Any = None
        self.table: list[tuple[float, ...]] = []  # the optimizer's numbers, as they lie on the device

    def begin_epoch(self) -> None:
        self.steps.begin_epoch()
        self.table = []

    def __call__(self, i: int) -> None:
        steps = self.steps
        if self.failed or steps.run.first:
            steps(i)
            return
        if self.lane is None:
            self._prepare()
        rows = steps.rows(i)
        self._feed(i)
        found = self.known.get(rows, 0)
        if isinstance(found, int) and found >= ROUNDS:
            found = self._capture(rows)
            if found is None:
                steps(i)
                return
        if isinstance(found, _Replay):
            found.launch(self.lane, steps.optimizer)
            self.last = found
        else:
            with self.lane.enter():
                self._drive(rows)
            self.known[rows], self.last = found + 1, None
        steps.run.look_at(i, None, rows)
        steps.count()

    def settle(self) -> None:
        """Before a number is read: the reader's stream waits for the lane, and nodes hold what the last step left."""
        self.lane.join()
        if self.last is not None:
            self.last.restore()

    def _prepare(self) -> None:
        steps = self.steps
        batches = -(-steps.x.shape[0] // steps.size)
        kind = steps.model.params[0].dtype
        width = len(self._numbers(0))
        self.lane = device.Lane()
        self.x, self.t = cupy.ascontiguousarray(steps.x), cupy.ascontiguousarray(steps.t)
        self.order = cupy.empty(steps.x.shape[0], np.int64)
        self.cells, self.rates = cupy.empty(2, np.int64), cupy.empty((batches, width), kind)
        self.losses = steps.run.losses = cupy.empty(batches, kind)
        steps.run.settle = self.settle

    def _numbers(self, ahead: int) -> tuple[float, ...]:
        """The numbers of the step so many after the next."""
        optimizer = self.steps.optimizer
        return expand(type(optimizer).rule, optimizer.numbers(optimizer.iter + 1 + ahead))

    def _feed(self, i: int) -> None:
        """See that the device has this epoch's order and the numbers that the optimizer has now."""
        if self.table and self.table[i] == self._numbers(0):
            return
        fresh = not self.table
        self.table = [self._numbers(k - i) if k >= i else self._numbers(0) for k in range(len(self.rates))]
        with self.lane.enter():
            device.upload(self.rates, np.array(self.table, self.rates.dtype))
            if fresh:
                device.upload(self.order, self.steps.permutation)
                device.upload(self.cells, np.array([i, i]))

    def _drive(self, rows: int) -> None:
        """One step from the device's counters, call by call."""
        steps = self.steps
        bx, bt = gathered(self.x, self.t, self.order, steps.size, rows, self.cells)
        step = steps.gradients(bx, bt)
        if step.loss.dtype != self.losses.dtype:
            raise CaptureError(f"the loss is {step.loss.dtype}, the parameters are {self.losses.dtype}")
        feed = Feed(self.rates, self.cells, step.loss, self.losses)
        steps.update(step, *[feed] * len(steps.optimizer.numbers(1)))

    def _capture(self, rows: int) -> _Replay | None:
        optimizer = self.steps.optimizer
        before = optimizer.iter
        try:
            graph = self.lane.capture(lambda: self._drive(rows))
        except Exception as error:
            if self.strict:
                raise CaptureError(f"Trainer.fit: graph=True, but {_operation(error)} cannot be captured") from error
            self.failed = True
            self.lane.join()
            warnings.warn(
                f"Trainer.fit: {_operation(error)} cannot be captured in a CUDA graph; training goes on call by call.",
                RuntimeWarning,
                stacklevel=2,
            )
            return None
        finally:
            optimizer.iter = before
        self.known[rows] = _Replay(graph, self.steps.model, tables())
        return self.known[rows]


class _Replay:
    """A captured step, and what its nodes kept: the arrays that each replay fills anew."""

    def __init__(self, graph: Any, model: Any, tables: list[Any]) -> None:
        self.graph, self.tables = graph, tables  # kept, because the graph reads them by address
        self.kept = [
            (part, letter, getattr(part, letter)) for part in parts(model) for letter in getattr(part, "saved", ())
        ]

    def launch(self, lane: Any, optimizer: Any) -> None:
        lane.fork()
        self.graph.launch()
        optimizer.iter += 1

    def restore(self) -> None:
        for part, letter, value in self.kept:
            setattr(part, letter, value)


def _operation(error: BaseException) -> str:
    """The innermost forward, backward or update that an error went through, and what the error says."""
    names = [frame.f_code.co_qualname for frame, _ in traceback.walk_tb(error.__traceback__)]
    named = [name for name in names if name.endswith((".forward", ".backward", ".update"))]
    where = named[-1].rpartition("<locals>.")[2] if named else "the step"
    return f"{where} ({type(error).__name__}: {' '.join(str(error).split())})"
