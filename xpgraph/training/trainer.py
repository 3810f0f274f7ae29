"""The Trainer, the book's loop: order, batch, forward, backward, merge, clip, update, callbacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ..arrays.libraries import Array, on_device
from ..graph.slots import without_values
from .arguments import check_arguments, check_callbacks, choose_report, import_fit_data
from .callback import Callback, CallbackList, OnEpoch
from .callbacks.checkpointing import Checkpointing
from .callbacks.history import History
from .callbacks.plot import plot_loss
from .callbacks.report import Report, Reporting
from .epoch import epoch_record
from .replay import replay
from .settings import settings_of
from .state import TrainingState
from .steps import Steps


def _attribute(place: str, name: str) -> Any:
    """An attribute of the trainer that stands in one of its parts."""
    return property(
        lambda self: getattr(getattr(self, place), name),
        lambda self, value: setattr(getattr(self, place), name, value),
    )


class Trainer:
    """Trains any object with ``forward(x, t)``, ``backward()``, ``params`` and ``grads``.

    The order of the data depends on (seed, epoch) alone. ``loss_list`` holds the mean losses that were printed,
    ``history`` one dict per epoch (epoch, loss, val_loss, val_accuracy, lr, samples, seconds); ``state`` is the
    TrainingState that these and the other attributes stand in.

    ``checkpoint``: a folder in which ``fit`` leaves the state of the training: at its start, after every ``every``
    steps (None: at the end of an epoch, a minute after the last), at its end, and at SIGINT, SIGTERM and SIGHUP, which
    end it after the step. The same program, run again, goes on from there with the same bits. docs/checkpoints.md has
    more.

    ``fit`` has these options:

    max_epoch, batch_size: every row is used once an epoch, a short last batch with the mean over its own rows;
    ``drop_last`` drops it. ``max_grad``: the largest joint gradient norm.

    eval_interval: at each so many iterations of an epoch, from the first on, the mean loss since the last look goes to
    ``loss_list`` and to the report; None prints nothing. ``report`` defaults to the chapter's lines, printed.

    validation: (x, t), evaluated after each epoch, before the callbacks.

    callbacks: a list of ``Callback``; ``on_epoch(trainer, record)`` is the short form of one. They may call ``stop``
    and set ``optimizer.lr``, or the optimizer; a new model is refused while ``fit`` runs.

    graph: on a CUDA GPU, capture the step as a CUDA graph and replay it. "auto" does where all nodes declare
    themselves ``capturable`` and the optimizer is one of ours, and says why where it does not; True raises
    CaptureError instead; False makes every step call by call. The numbers are the same bits either way.
    """

    model, optimizer, seed = (_attribute("state", name) for name in ("model", "optimizer", "seed"))
    steps, current_epoch = _attribute("state", "steps"), _attribute("state", "epoch")  # updates, epochs so far
    loss_list, history = _attribute("state", "loss_list"), _attribute("state", "history")
    eval_interval = _attribute("state", "eval_interval")
    checkpoint, every = _attribute("checkpointing", "folder"), _attribute("checkpointing", "every")
    config = _attribute("checkpointing", "config")  # numbers and words that checkpoints hold for their readers

    def __init__(
        self, model: Any, optimizer: Any, seed: int = 0, *, checkpoint: Any = None, every: int | None = None
    ) -> None:
        self.state = TrainingState(model, optimizer, seed)
        self.checkpointing = Checkpointing(checkpoint, every)

    def fit(
        self, x: Array, t: Array, max_epoch: int = 10, batch_size: int = 32, max_grad: float | None = None,
        eval_interval: int | None = 20, *, drop_last: bool = False, validation: tuple[Array, Array] | None = None,
        callbacks: Sequence[Callback] = (), on_epoch: Callable[[Trainer, dict[str, Any]], Any] | None = None,
        report: Report | None = None, graph: bool | str = "auto",
    ) -> None:  # fmt: skip
        """Train for ``max_epoch`` more epochs on rows x (N, ...) with labels t (N, ...); the class tells the options.

        NumPy data is moved to the model's library once; data that does not fit there moves batch by batch. Raises
        ValueError or TypeError (or a subclass) before the first update for data and arguments that cannot be right;
        NonFiniteError for a loss that is not finite: before the update on the CPU, at the next look on a GPU;
        OutOfMemoryError, with a batch size to try. With ``checkpoint`` also CheckpointError for one that this fit
        cannot go on with, StorageError for a folder that cannot be written, FolderInUseError.
        """
        state, report = self.state, choose_report(report, eval_interval)
        check_arguments(max_epoch, batch_size, max_grad, eval_interval, graph)
        own = check_callbacks([*callbacks, OnEpoch(self, on_epoch)] if on_epoch is not None else callbacks)
        data = import_fit_data(state.model, x, t, validation, report)
        state.plan(data.x.shape[0], int(batch_size), drop_last)
        settings = partial(settings_of, x, t, state.batch_size, drop_last, max_grad, state.seed)
        with self.checkpointing.open(state, settings, own, report) as start:
            if not state.begin_fit(max_epoch, eval_interval, start):
                return
            steps = Steps(state, data, max_grad, report)
            step = steps if graph is False else replay(steps.batches.like, steps, graph)
            signals = self.checkpointing.signals
            saving = [] if self.checkpoint is None else [self.checkpointing]
            watch = CallbackList(own, History(eval_interval), Reporting(report, eval_interval), *saving)
            with on_device(steps.batches.home), watch.around(state), without_values(state.model), steps.running(step):
                while state.epochs_left:
                    step.begin_epoch()  # the order of the rows
                    watch.begin_epoch(state)
                    for i in range(state.batch, state.batches):
                        step(i)  # the batch, forward, backward, merge, clip, update
                        if state.steps >= watch.due:
                            step.settle()
                            watch.step(state)
                        signals.check()
                    watch.epoch(state, epoch_record(state, data.validation))
                    signals.check()

    def stop(self) -> None:
        """End ``fit`` after this epoch."""
        self.state.stop("Trainer.stop was called")

    def plot(self, ylim: tuple[float, float] | None = None, path: Any = None, ax: Any = None) -> Any:
        """Draw ``loss_list``; returns the matplotlib Axes.

        ``ax``: draw there. ``path``: write a picture, no display needed. With neither, show it through pyplot.
        """
        return plot_loss(self.loss_list, self.eval_interval, ylim, path, ax)
