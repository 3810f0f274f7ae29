"""Floor 5: the Trainer, the chapter's loop: order, batch, forward, backward, merge shared, clip, update, report."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

from ..arrays.libraries import (
    HOST,
    Array,
    as_array,
    dtype_name,
    home,
    is_array,
    library_of,
    namespace_of,
    on_device,
    place_of,
)
from ..errors import DTypeError, ShapeError
from ..graph.evaluation import check_two_inputs
from ..graph.inputs import check_lengths, first_parameter, import_data
from ..graph.slots import without_values
from ..nodes.sharing import Slot
from .keeping import Keeper, Unkept, check_every, check_folder, settings_of
from .replay import replay
from .report import Lines, Report
from .run import Run
from .steps import Steps


class Trainer:
    """Trains any object with ``forward(x, t)``, ``backward()``, ``params`` and ``grads``.

    The order of the data depends on (seed, epoch) alone. ``loss_list`` holds the mean losses that were printed,
    ``history`` one dict per epoch (epoch, loss, val_loss, val_accuracy, lr, samples, seconds).

    ``checkpoint``: a folder in which ``fit`` leaves the state of the training: at its begin, after every ``every``
    steps (None: at the end of an epoch, a minute after the last), at its end, and at SIGINT, SIGTERM and SIGHUP, which
    end it after the step. The same program, run again, goes on from there with the same bits. docs/checkpoints.md has
    more.
    """

    def __init__(
        self, model: Any, optimizer: Any, seed: int = 0, *, checkpoint: Any = None, every: int | None = None
    ) -> None:
        for part, needs in ((model, ("forward", "backward", "params", "grads")), (optimizer, ("update",))):
            if isinstance(part, type):
                raise TypeError(f"Trainer: {part.__name__} is a class; make one: {part.__name__}(...).")
            for name in needs:
                if not hasattr(part, name):
                    raise TypeError(f"Trainer: {part!r} has no {name}; it needs {', '.join(needs)}.")
        self.model, self.optimizer, self.seed = model, optimizer, seed
        self.loss_list: list[float] = []
        self.history: list[dict[str, Any]] = []
        self.eval_interval: int | None = None
        self.current_epoch = 0
        self.steps = 0  # updates made so far
        self.checkpoint, self.every = check_folder(checkpoint), check_every(every)
        self.config: dict[str, Any] = {}  # numbers and words that checkpoints hold for their readers
        self._fits = 0  # for Keeper: how many are finished
        self._kept: int | None = None  # the step of the checkpoint
        self._later: dict[str, Any] | None = None  # what it says of a fit that has not begun here yet
        self._passed = False  # was the last fit over before it?
        self._stop = False

    def fit(
        self,
        x: Array,
        t: Array,
        max_epoch: int = 10,
        batch_size: int = 32,
        max_grad: float | None = None,
        eval_interval: int | None = 20,
        *,
        drop_last: bool = False,
        validation: tuple[Array, Array] | None = None,
        on_epoch: Callable[[Trainer, dict[str, Any]], Any] | None = None,
        report: Report | None = None,
        graph: bool | str = "auto",
    ) -> None:
        """Train for ``max_epoch`` more epochs on rows x (N, ...) with labels t (N, ...).

        Every row is used once an epoch, a short last batch with the mean over its own rows (``drop_last`` drops it).
        Each ``eval_interval`` iterations, from the first on, the mean loss since the last look goes to ``loss_list``
        and to the report; None prints nothing. ``max_grad`` is the largest joint gradient norm. ``validation``:
        (x, t), evaluated after each epoch. ``on_epoch(trainer, record)`` may call ``trainer.stop()`` or set
        ``trainer.optimizer.lr``. ``report`` defaults to the chapter's lines, printed.

        ``graph``: on a CUDA GPU, capture the step as a CUDA graph and replay it. "auto" does where all nodes declare
        themselves ``capturable`` and the optimizer is one of ours, and says why where it does not; True raises
        CaptureError instead; False makes every step call by call. The numbers are the same bits either way.

        NumPy data is moved to the model's library once; data that does not fit there moves batch by batch.
        Raises ValueError or TypeError (or a subclass) before the first update for data and arguments that cannot be
        right; NonFiniteError for a loss that is not finite: before the update on the CPU, at the next look on a GPU;
        OutOfMemoryError, with a batch size to try. With ``checkpoint`` also CheckpointError for one that this fit
        cannot go on with, StorageError for a folder that cannot be written, FolderInUseError.
        """
        _check_arguments(max_epoch, batch_size, max_grad, eval_interval, graph)
        check_two_inputs("Trainer.fit", self.model)
        batch_size = int(batch_size)  # of NumPy's whole numbers, a CUDA kernel would read too many bytes
        report = report if report is not None else Report() if eval_interval is None else Lines()
        given = x, t
        x, t = self._import(x, t, "fit", report)
        validation = None if validation is None else _checked_pair(validation, x, t)
        n = x.shape[0]
        iterations = n // batch_size if drop_last else math.ceil(n / batch_size)
        if iterations == 0 and max_epoch:
            raise ValueError(f"Trainer.fit: {n} rows make no full batch of {batch_size}; give a smaller batch_size.")
        held_out = None if validation is None else self._import(*validation, "fit: validation", report)
        keeper = Unkept()
        if self.checkpoint is not None:
            keeper = Keeper(self, settings_of(*given, batch_size, drop_last, max_grad), report)
        with keeper:
            epochs = keeper.epochs(max_epoch)
            if epochs == 0 and max_epoch:
                return
            self.eval_interval = self.eval_interval if eval_interval is None else eval_interval
            self._stop = False
            labels = {"": t} if held_out is None else {"": t, "validation ": held_out[1]}
            run = Run(self, report, iterations, self.current_epoch + epochs, labels, eval_interval)
            steps = Steps(self, x, t, batch_size, max_grad, run)
            _check_slots(steps.slots, list(self.model.grads))
            first = keeper.begin(run)
            report.begin(epochs, min(n, iterations * batch_size))
            try:
                with on_device(steps.home), without_values(self.model), steps:
                    fast = steps if graph is False else replay(_where(self.model, x), steps, graph)
                    for _ in range(epochs):
                        fast.begin_epoch()
                        for i in range(first, iterations):
                            fast(i)
                            keeper.after_step()
                        first, record = 0, run.end_epoch(held_out)
                        if on_epoch is not None:
                            on_epoch(self, record)
                        keeper.after_epoch()
                        if self._stop:
                            break
                    keeper.finish()
            finally:
                report.end()

    def _import(self, x: Any, t: Any, who: str, report: Report) -> tuple[Array, Array]:
        W, who = first_parameter(self.model), f"Trainer.{who}"
        what = ("validation " if who.endswith("validation") else "") + "x"
        if W is not None and (lack := _does_not_fit(x, W)):
            import_data(x[:1, ...], "x", who, W), import_data(t[:1, ...], "t", who, W)  # it must be of the right kind
            check_lengths(who, x, t)
            report.note(f"{what} {tuple(x.shape)} {lack}: it stays on the host, and each batch is moved by itself")
            return x, t
        new = import_data(x, "x", who, W), import_data(t, "t", who, W)
        check_lengths(who, *new)
        if type(new[0]) is not type(x) or type(new[1]) is not type(t):
            size = sum(a.dtype.itemsize * math.prod(a.shape) for a in new if hasattr(a.dtype, "itemsize")) / 2**20
            report.note(f"moved {what} {tuple(x.shape)} and t {tuple(t.shape)} to {home(new[0])} once, {size:.1f} MiB")
        return new

    def stop(self) -> None:
        """End ``fit`` after this epoch; to be called from ``on_epoch``."""
        self._stop = True

    def plot(self, ylim: tuple[float, float] | None = None, path: Any = None, ax: Any = None) -> Any:
        """Draw ``loss_list``; returns the matplotlib Axes.

        ``ax``: draw there. ``path``: write a picture, no display needed. With neither, show it through pyplot.
        """
        from .plot import plot_loss

        return plot_loss(self.loss_list, self.eval_interval, ylim, path, ax)


def _where(model: Any, x: Array) -> Array:
    """An array that says where the steps are made: a parameter, or the data of a model that has none."""
    W = first_parameter(model)
    return x if W is None else W


def _does_not_fit(x: Any, W: Array) -> str:
    """Why data on the host cannot lie as a whole where W lives, with a fifth of the memory left; "" if it can."""
    if not is_array(x) or library_of(x) is not HOST or library_of(W) is HOST:
        return ""
    free = place_of(W).free()
    if free is None or (size := x.size * W.dtype.itemsize) <= 0.8 * free:
        return ""
    return f"is {size / 2**30:.2f} GiB as {dtype_name(W)}, of {free / 2**30:.2f} GiB free"


def _checked_pair(validation: Any, x: Array, t: Array) -> tuple[Array, Array]:
    """Validation data must look like the training data: found now, not after an epoch."""
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
    return tuple(validation)


def _check_slots(slots: list[Slot], grads: list[Array]) -> None:
    """One parameter listed twice needs two gradients: of a layer object used twice, only the last use is left."""
    for i, (first, _) in enumerate(slots):
        if first != i and grads[i] is grads[first]:
            raise ValueError(
                f"Trainer.fit: params[{first}] and params[{i}] are one array, and so are their gradients, so "
                "that of one use overwrites the other; give each use a layer of its own, or use Chain."
            )


def _check_arguments(
    max_epoch: int, batch_size: int, max_grad: float | None, eval_interval: int | None, graph: bool | str
) -> None:
    if graph not in (True, False, "auto"):
        raise ValueError(f"Trainer.fit: graph is {graph!r}; give 'auto', True or False.")
    wholes = [("max_epoch", max_epoch, 0), ("batch_size", batch_size, 1)]
    wholes += [] if eval_interval is None else [("eval_interval", eval_interval, 1)]
    for name, value, least in wholes:
        if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
            raise ValueError(f"Trainer.fit: {name} is {value!r}; give a whole number from {least} up.")
    if max_grad is not None and (
        isinstance(max_grad, bool) or not isinstance(max_grad, Real) or not 0 < max_grad < math.inf
    ):
        raise ValueError(f"Trainer.fit: max_grad is {max_grad!r}; give a positive number, or None for no clipping.")
