"""A training step captured once as a CUDA graph and replayed: gather, forward, backward, merge, clip, update, loss.

What changes from step to step lies on the device: the order of the rows, which step this is, and a table with the
numbers of the optimizer for each step of the epoch. A step goes through these states for each number of rows:

    the first of a fit    as in every library: it checks the data and makes the optimizer's state
    twice                 from the device's counters, call by call, in memory of its own
    then                  captured, which runs nothing, and replayed

Whoever reads a number may change the model or the optimizer: then all of it is made again.
"""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Sequence
from operator import is_
from typing import Any

import cupy
import numpy as np

from ...arrays.libraries import to_numpy
from ...arrays.matmul_precision import current_precision
from ...errors import CaptureError
from ...nodes.copying import parts
from ...training.optimizers import Optimizer
from ...training.steps import takes_clip
from . import cublaslt, device
from .update import Feed, expand, fits, tables

ROUNDS = 2  # call by call before a capture: the memory of the second is laid out as that of the third


def captured(steps: Any, graph: Any) -> Any:
    """The body of ``replay``: steps that replay a graph, or ``steps`` and a line why not."""
    reason = refusal(steps)
    if reason is None:
        return Captured(steps, graph is True)
    _say(steps, reason, graph is True)
    return steps


def _say(steps: Any, reason: str, strict: bool) -> None:
    if strict:
        raise CaptureError(f'Trainer.fit: graph=True, but {reason}; leave graph="auto" to go on without a graph.')
    steps.report.note(f"steps are made call by call, not replayed as one CUDA graph: {reason}")


def refusal(steps: Any) -> str | None:
    """Why these steps cannot be captured, or None."""
    for part in parts(steps.model):
        if not type(part).__dict__.get("capturable", False):
            return f"{type(part).__name__} does not declare capturable = True"
    optimizer = steps.state.optimizer
    if not takes_clip(optimizer) or not isinstance(optimizer, Optimizer):
        return f"{type(optimizer).__name__} has an update of its own"
    row = getattr(type(optimizer).rule, "row", None)
    if row is None or row.body("cupy") is not row.fast_bodies.get("cupy"):
        return f"the rule of {type(optimizer).__name__} has no CUDA kernel, or XPGRAPH_GENERIC turns it off"
    if not steps.batches.resident:
        return "the data does not fit on the device"
    if (lack := cublaslt.available()) is not None:
        return f"cuBLASLt cannot be loaded ({lack})"
    lists = [list(steps.model.params), list(steps.model.grads)]
    if not any(p.size for p in lists[0]):
        return "the model has no parameters"
    if not fits(lists):
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

    def __init__(self, steps: Any, strict: bool) -> None:
        self.steps, self.strict, self.failed = steps, strict, False
        self.known: dict[int, Any] = {}  # rows of a batch: rounds made so far, then its _Replay
        self.last: _Replay | None = None
        self.lane: Any = None
        self.table: list[tuple[float, ...]] = []  # the optimizer's numbers, as they lie on the device
        self.bound: list[Any] | None = None  # what rounds and graphs were made for: arrays, by identity; precision
        self.bound_seen = False  # since somebody else could change it

    def begin_epoch(self) -> None:
        self.steps.begin_epoch()
        self.table, self.bound_seen = [], False

    def __call__(self, i: int) -> None:
        steps = self.steps
        if self.failed or steps.first or not self._ready():
            steps(i)
            return
        rows, optimizer = steps.batches.rows(i), steps.state.optimizer
        before = optimizer.iter
        steps.begin_update()
        try:
            made = self._on_device(i, rows)
        except MemoryError:  # a second step's memory beside what the first left in the pool
            optimizer.iter = before
            self.lane.free()
            try:
                made = self._on_device(i, rows)
            except MemoryError as error:
                optimizer.iter = before
                made = self._give_up(f"there is no memory for a second step ({' '.join(str(error).split())})")
        if not made:
            steps(i)
            return
        steps.count(i, rows)  # the loss is the number i of self.losses

    def settle(self) -> None:
        """Before a number is read: the reader's stream waits for the lane, and nodes hold what the last step left."""
        self.bound_seen = False  # whoever reads may change the model or the optimizer
        if self.lane is not None:
            self.lane.join()
        if self.last is not None:
            self.last.restore()

    def read(self, losses: Sequence[Any]) -> list[float]:
        """The numbers of losses: those of captured steps lie in ``self.losses``, and are read in one piece."""
        self.settle()
        places = [loss for loss in losses if isinstance(loss, int)]
        first = min(places, default=0)
        there = to_numpy(self.losses[first : max(places) + 1]).tolist() if places else []  # sync
        others = iter(self.steps.read([loss for loss in losses if not isinstance(loss, int)]))
        return [there[loss - first] if isinstance(loss, int) else next(others) for loss in losses]

    def _ready(self) -> bool:
        """Is all that a graph takes for granted still so? If it changed, everything is made again."""
        if self.lane is not None and self.bound_seen:
            return True
        steps, optimizer = self.steps, self.steps.state.optimizer
        slots = [getattr(optimizer, slot) for slot in getattr(optimizer, "slots", ())]
        if any(slot is None for slot in slots):  # a new optimizer, whose state its first update makes
            return False
        arrays = [*steps.model.params, *steps.model.grads, *(a for slot in slots for a in slot)]
        now = [current_precision(), optimizer, *arrays]
        same = self.bound is not None and len(now) == len(self.bound) and all(map(is_, now, self.bound))
        self.bound, self.bound_seen = now, True
        if same:
            return True
        reason = refusal(steps) or self._odd_loss()
        if reason is not None:
            return self._give_up(reason)
        self.known.clear()
        self.last, self.table = None, []
        self._prepare()
        return True

    def _odd_loss(self) -> str | None:
        loss, kind = self.steps.loss, self.steps.model.params[0].dtype
        if getattr(loss, "shape", None) != () or not hasattr(loss, "data") or loss.dtype != kind:
            return f"the loss is no 0-d array of {kind}, as the parameters are"
        return None

    def _give_up(self, reason: str) -> bool:
        self.failed, self.last = True, None
        self.known.clear()
        if self.lane is not None:
            self.lane.join()
            self.lane.free(own=True)
        _say(self.steps, reason, self.strict)
        return False

    def _prepare(self) -> None:
        data = self.steps.batches
        batches = -(-data.x.shape[0] // data.size)
        kind = self.steps.model.params[0].dtype
        if self.lane is None:
            self.lane = device.Lane()
            self.x, self.t = cupy.ascontiguousarray(data.x), cupy.ascontiguousarray(data.t)
            self.order = cupy.empty(data.x.shape[0], np.int64)
            self.cells, self.losses = cupy.empty(2, np.int64), cupy.empty(batches, kind)
        self.rates = cupy.empty((batches, len(self._numbers(0))), kind)

    def _numbers(self, ahead: int) -> tuple[float, ...]:
        """The numbers of the step so many after the next."""
        optimizer = self.steps.state.optimizer
        return expand(type(optimizer).rule, optimizer.numbers(optimizer.iter + 1 + ahead))

    def _on_device(self, i: int, rows: int) -> bool:
        """Step i from the device's counters, call by call or as a replay; False if it could not be captured."""
        self._feed(i)
        found = self.known.get(rows, 0)
        if isinstance(found, int) and found >= ROUNDS:
            found = self._capture(rows)
            if found is None:
                return False
        if isinstance(found, _Replay):
            found.launch(self.lane, self.steps.state.optimizer)
            self.last = found
            return True
        with self.lane.enter():
            self._drive(rows)
        self.known[rows], self.last = found + 1, None
        return True

    def _feed(self, i: int) -> None:
        """See that the device has this epoch's order and the numbers that the optimizer has now."""
        if self.table and self.table[i] == self._numbers(0):
            return
        fresh = not self.table
        table = [self._numbers(k - i) if k >= i else self._numbers(0) for k in range(len(self.rates))]
        with self.lane.enter():
            device.upload(self.rates, np.array(table, self.rates.dtype))
            if fresh:
                device.upload(self.order, self.steps.batches.permutation)
                device.upload(self.cells, np.array([i, i]))
        self.table = table

    def _drive(self, rows: int) -> None:
        """One step from the device's counters, call by call."""
        steps = self.steps
        bx, bt = gathered(self.x, self.t, self.order, steps.batches.size, rows, self.cells)
        step = steps.gradients(bx, bt)
        feed = Feed(self.rates, self.cells, step.loss, self.losses)
        steps.update(step, *[feed] * len(steps.state.optimizer.numbers(1)))

    def _capture(self, rows: int) -> _Replay | None:
        optimizer = self.steps.state.optimizer
        before = optimizer.iter
        try:
            graph = self.lane.capture(lambda: self._drive(rows))
        except MemoryError:
            raise
        except Exception as error:
            what = f"{_operation(error)} cannot be captured"
            if self.strict:
                _forget(self.steps.model)
                raise CaptureError(f"Trainer.fit: graph=True, but {what}") from error
            warnings.warn(f"Trainer.fit: {what} in a CUDA graph; training goes on call by call.", RuntimeWarning, 2)
            self.failed, self.last = True, None
            self.lane.join()
            self.known.clear()
            self.lane.free(own=True)
            return None
        finally:
            optimizer.iter = before
        self.known[rows] = _Replay(graph, self.steps.model, tables())
        return self.known[rows]


class _Replay:
    """A captured step, and what its nodes kept: the arrays that each replay fills anew."""

    def __init__(self, graph: Any, model: Any, tables: list[Any]) -> None:
        self.graph, self.tables = graph, tables  # kept, because the graph reads them by address
        self.kept = [(part, letter, getattr(part, letter, None)) for part, letter in _saved(model)]

    def launch(self, lane: Any, optimizer: Any) -> None:
        lane.fork()
        self.graph.launch()
        optimizer.iter += 1

    def restore(self) -> None:
        for part, letter, value in self.kept:
            setattr(part, letter, value)


def _saved(model: Any) -> list[tuple[Any, str]]:
    return [(part, letter) for part in parts(model) for letter in getattr(part, "saved", ())]


def _forget(model: Any) -> None:
    """What nodes kept of a capture that failed was never computed."""
    for part, letter in _saved(model):
        setattr(part, letter, None)


def _operation(error: BaseException) -> str:
    """The innermost forward, backward or update that an error went through, and what the error says."""
    names = [frame.f_code.co_qualname for frame, _ in traceback.walk_tb(error.__traceback__)]
    named = [name for name in names if name.endswith((".forward", ".backward", ".update"))]
    where = named[-1].rpartition("<locals>.")[2] if named else "the step"
    return f"{where} ({type(error).__name__}: {' '.join(str(error).split())})"
