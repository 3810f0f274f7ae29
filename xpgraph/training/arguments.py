"""The arguments of ``Trainer`` and ``fit``: numbers and callbacks are checked; data is checked and moved."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any, NamedTuple

from ..arrays.libraries import (
    HOST,
    Array,
    as_array,
    dtype_name,
    home,
    is_array,
    library_of,
    namespace_of,
    place_of,
)
from ..errors import DTypeError, ShapeError
from ..graph.evaluation import check_two_inputs
from ..graph.inputs import check_lengths, first_parameter, import_data
from ..storage.checkpoints import Checkpoints
from .callback import Callback
from .callbacks.report import Lines, Report
from .checks import check_whole


class FitData(NamedTuple):
    """Rows x (N, ...) with labels t (N, ...), where the model lives or on the host; and the validation data (x, t)."""

    x: Array
    t: Array
    validation: tuple[Array, Array] | None

    @property
    def labels(self) -> dict[str, Array]:
        """All labels, under the words that come before ``t`` in an error message."""
        return {"": self.t} if self.validation is None else {"": self.t, "validation ": self.validation[1]}


class FitOptions(NamedTuple):
    """The numbers that ``fit`` is called with, under its own names."""

    max_epoch: int
    batch_size: int
    max_grad: float | None
    eval_interval: int | None
    drop_last: bool
    graph: bool | str


def check_options(options: FitOptions) -> None:
    """ValueError for a number that ``fit`` cannot use."""
    max_epoch, batch_size, max_grad, eval_interval, _, graph = options
    if graph not in (True, False, "auto"):
        raise ValueError(f"Trainer.fit: graph is {graph!r}; give 'auto', True or False.")
    check_whole("Trainer.fit", "max_epoch", max_epoch, 0)
    check_whole("Trainer.fit", "batch_size", batch_size)
    if eval_interval is not None:
        check_whole("Trainer.fit", "eval_interval", eval_interval)
    if max_grad is not None and (
        isinstance(max_grad, bool) or not isinstance(max_grad, Real) or not 0 < max_grad < math.inf
    ):
        raise ValueError(f"Trainer.fit: max_grad is {max_grad!r}; give a positive number, or None for no clipping.")


def check_callbacks(callbacks: Sequence[Callback]) -> list[Callback]:
    """The callbacks, those with ``schedules`` first. TypeError or ValueError for what is no list of callbacks."""
    if isinstance(callbacks, Callback) or not isinstance(callbacks, Sequence):
        raise TypeError(f"Trainer.fit: callbacks is a {type(callbacks).__name__}; give a list of callbacks.")
    for i, callback in enumerate(callbacks):
        if isinstance(callback, type):
            raise TypeError(f"Trainer.fit: {callback.__name__} is a class; make one: {callback.__name__}(...).")
        if not isinstance(callback, Callback):
            raise TypeError(
                f"Trainer.fit: callbacks[{i}] is a {type(callback).__name__}; derive its class from xpgraph.Callback."
            )
        if any(callback is other for other in callbacks[:i]):
            raise ValueError(f"Trainer.fit: callbacks[{i}] stands twice in callbacks; give each use one of its own.")
    return sorted(callbacks, key=lambda callback: not callback.schedules)


def choose_report(report: Report | None, eval_interval: int | None) -> Report:
    """``report``; without one, the chapter's lines, or silence if ``eval_interval`` is None."""
    if report is not None:
        return report
    return Report() if eval_interval is None else Lines()


def check_every(every: Any) -> int | None:
    """``every`` as an int or None; ValueError unless it is a number of steps."""
    if every is None:
        return None
    if isinstance(every, bool) or not isinstance(every, Integral) or every < 1:
        raise ValueError(f"Trainer: every is {every!r}; give the number of steps between two checkpoints, from 1 up.")
    return int(every)


def check_folder(checkpoint: Any) -> Any:
    """``checkpoint`` as a Path, an open ``Checkpoints``, or None; TypeError if it is none of them."""
    if checkpoint is None or isinstance(checkpoint, Checkpoints):
        return checkpoint
    if not isinstance(checkpoint, str | Path):
        raise TypeError(f"Trainer: checkpoint is a {type(checkpoint).__name__}; give the path of a folder.")
    return Path(checkpoint)


# --- data -------------------------------------------------------------------------------------------------------


def import_fit_data(model: Any, x: Array, t: Array, validation: Any, report: Report) -> FitData:
    """Check the data and move it to the model's library once, which the report is told.

    Raises ValueError or TypeError (or a subclass) for data that the model cannot be trained on.
    """
    check_two_inputs("Trainer.fit", model)
    x, t = _import(model, x, t, "fit", report)
    if validation is None:
        return FitData(x, t, None)
    pair = _checked_pair(validation, x, t)
    return FitData(x, t, _import(model, *pair, "fit: validation", report))


def _import(model: Any, x: Any, t: Any, who: str, report: Report) -> tuple[Array, Array]:
    W, who = first_parameter(model), f"Trainer.{who}"
    what = ("validation " if who.endswith("validation") else "") + "x"
    if W is not None and (reason := _too_large(x, W)):
        import_data(x[:1, ...], "x", who, W), import_data(t[:1, ...], "t", who, W)  # checks library and dtype
        check_lengths(who, x, t)
        report.note(f"{what} {tuple(x.shape)} {reason}: it stays on the host, and each batch is moved by itself")
        return x, t
    moved = import_data(x, "x", who, W), import_data(t, "t", who, W)
    check_lengths(who, *moved)
    if type(moved[0]) is not type(x) or type(moved[1]) is not type(t):
        size = sum(a.dtype.itemsize * math.prod(a.shape) for a in moved if hasattr(a.dtype, "itemsize")) / 2**20
        report.note(f"moved {what} {tuple(x.shape)} and t {tuple(t.shape)} to {home(moved[0])} once, {size:.1f} MiB")
    return moved


def _too_large(x: Any, W: Array) -> str:
    """Why host data x cannot move to the device of W as a whole, with a fifth of its free memory left; "" if it can."""
    if not is_array(x) or library_of(x) is not HOST or library_of(W) is HOST:
        return ""
    free = place_of(W).free()
    if free is None or (size := x.size * W.dtype.itemsize) <= 0.8 * free:
        return ""
    return f"is {size / 2**30:.2f} GiB as {dtype_name(W)}, of {free / 2**30:.2f} GiB free"


def _checked_pair(validation: Any, x: Array, t: Array) -> tuple[Array, Array]:
    """``validation`` as (x, t). TypeError or ValueError unless its shapes and labels are like those of x and t."""
    if not isinstance(validation, tuple | list) or len(validation) != 2:
        raise TypeError("Trainer.fit: validation is not a pair; give (x, t).")
    for name, a, like in (("x", validation[0], x), ("t", validation[1], t)):
        if not is_array(a):
            raise DTypeError(f"Trainer.fit: validation {name} is a {type(a).__name__}; {as_array(a, name)}.")
        if tuple(a.shape[1:]) != tuple(like.shape[1:]):
            raise ShapeError(
                f"Trainer.fit: validation {name} has rows of shape {tuple(a.shape[1:])}, the training data of "
                f"{tuple(like.shape[1:])}; give both alike."
            )
    kinds = [namespace_of(a).isdtype(a.dtype, "integral") for a in (validation[1], t)]
    if kinds[0] != kinds[1]:
        raise DTypeError(
            f"Trainer.fit: validation t is {dtype_name(validation[1])}, t is {dtype_name(t)}; give both alike."
        )
    return validation[0], validation[1]
