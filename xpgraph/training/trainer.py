"""The Trainer: the book's loop over the data, with callbacks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from ..arrays.libraries import Array, on_device
from ..graph.slots import without_values
from .arguments import FitData, FitOptions, check_callbacks, check_options, choose_report, import_fit_data
from .callback import Callback, CallbackList, OnEpoch
from .callbacks.checkpointing import Checkpointing
from .callbacks.history import History
from .callbacks.plot import plot_loss
from .callbacks.report import Report, Reporting
from .epoch import epoch_record
from .replay import replay
from .settings import settings_of
from .state import TrainingState
from .steps import Step, Steps


def _attribute_of(owner: str, name: str) -> Any:
    """A property of the trainer that reads and sets the attribute ``name`` of ``trainer.<owner>``."""
    return property(
        lambda self: getattr(getattr(self, owner), name),
        lambda self, value: setattr(getattr(self, owner), name, value),
    )


class Trainer:
    """Trains a model with an optimizer, over as many calls of ``fit`` as you like.

    Parameters
    ----------
    model : Any
        A Chain, a Graph, or any object with ``forward(x, t)``, ``backward()``, ``params`` and ``grads``.
    optimizer : Any
        An Optimizer, or any object with ``update(params, grads)``.
    seed : int
        The order of the rows depends on (seed, epoch) only.
    checkpoint : path, optional
        A folder for checkpoints. ``fit`` writes one at its start, after every ``every`` steps, at its end, and when
        SIGINT (Ctrl-C), SIGTERM or SIGHUP ends it, which they do after the current step. If the program is run again,
        ``fit`` continues from the newest one, with the same bits. docs/checkpoints.md has more.
    every : int, optional
        The steps between two checkpoints. None: one at the end of an epoch, if the last one is a minute old.

    Attributes
    ----------
    state : TrainingState
        All that the loop counts. The attributes below are short forms of its own.
    steps, current_epoch : int
        Updates made and epochs finished so far.
    loss_list : list of float
        The mean losses that were reported.
    history : list of dict
        One record for each epoch: epoch, loss, val_loss, val_accuracy, lr, samples, seconds.
    config : dict
        Numbers and words of your own that checkpoints store for whoever reads them.
    """

    model, optimizer, seed = (_attribute_of("state", name) for name in ("model", "optimizer", "seed"))
    steps, current_epoch = _attribute_of("state", "steps"), _attribute_of("state", "epoch")
    loss_list, history = _attribute_of("state", "loss_list"), _attribute_of("state", "history")
    eval_interval = _attribute_of("state", "eval_interval")
    checkpoint, every = _attribute_of("checkpointing", "folder"), _attribute_of("checkpointing", "every")
    config = _attribute_of("checkpointing", "config")

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
        """Train for ``max_epoch`` more epochs.

        Parameters
        ----------
        x, t : array
            Rows (N, ...) and their labels (N, ...). NumPy data moves to the model's library once, or batch by batch.
        max_epoch, batch_size, drop_last : int, int, bool
            An epoch uses every row once. The last batch may be short; ``drop_last`` leaves it out.
        max_grad : float, optional
            The largest joint norm of the gradients, which are scaled down to it. None: no clipping.
        eval_interval : int, optional
            Report the mean loss since the last report at batches 1, 1 + eval_interval, ... of an epoch. None: never.
        validation : (x, t), optional
            Evaluated after each epoch, before the callbacks.
        callbacks : list of Callback
            What watches and steers the fit, in the order in which they are called.
        on_epoch : function(trainer, record), optional
            The short form of a callback: called after each epoch, after the callbacks.
        report : Report, optional
            What shows the run: ``Lines()``, the default, ``Live()``, or ``Report()``, which is silent.
        graph : "auto", True or False
            On a CUDA GPU, replay captured steps: the same bits, faster. "auto" tells the report if it cannot.

        Raises
        ------
        ValueError, TypeError
            An argument or the data is wrong; raised before the first update.
        NonFiniteError, OutOfMemoryError, CaptureError
            A loss is not finite: raised before the update, on a GPU when it is read. Memory ran out, with a batch size
            to try. Steps cannot be captured, but ``graph`` is True.
        CheckpointError, StorageError, FolderInUseError
            The run in the ``checkpoint`` folder is another one; the folder cannot be written; another run writes there.
        """
        options = FitOptions(max_epoch, batch_size, max_grad, eval_interval, drop_last, graph)
        with self._prepared(x, t, options, validation, callbacks, on_epoch, report) as prepared:
            if prepared is None:  # the checkpoint says that these epochs are finished
                return
            state, (step, watch, data) = self.state, prepared
            while state.epochs_left:
                step.begin_epoch()  # the order of the rows
                watch.begin_epoch(state)
                for i in range(state.batch, state.batches):
                    step(i)  # take the batch, forward, backward, merge, clip, update
                    if state.steps >= watch.due:
                        step.settle()
                        watch.step(state)
                    self.checkpointing.signals.check()
                watch.epoch(state, epoch_record(state, data.validation))
                self.checkpointing.signals.check()

    @contextmanager
    def _prepared(
        self, x: Array, t: Array, options: FitOptions, validation: tuple[Array, Array] | None,
        callbacks: Sequence[Callback], on_epoch: Callable[[Trainer, dict[str, Any]], Any] | None, report: Report | None,
    ) -> Iterator[tuple[Step, CallbackList, FitData] | None]:  # fmt: skip
        """Check everything, move the data, read the checkpoint, begin and end the callbacks around the block.

        Yields what the loop calls: steps, callbacks, data. None: nothing is left to do.
        """
        state, report = self.state, choose_report(report, options.eval_interval)
        check_options(options)
        own = check_callbacks(callbacks) + ([] if on_epoch is None else [OnEpoch(self, on_epoch)])
        data = import_fit_data(state.model, x, t, validation, report)
        state.plan_epochs(data.x.shape[0], int(options.batch_size), options.drop_last)
        settings = partial(settings_of, x, t, state.batch_size, options.drop_last, options.max_grad, state.seed)
        with self.checkpointing.open(state, settings, own, report) as resumed:
            if not state.begin_fit(options.max_epoch, options.eval_interval, resumed):
                yield None
                return
            steps = Steps(state, data, options.max_grad, report)
            step = steps if options.graph is False else replay(steps.batches.like, steps, options.graph)
            # The order of the callbacks: schedules, which come first in own; the user's; the history; the report; and
            # checkpoints last, so that they store what all others did.
            history, reporting = History(options.eval_interval), Reporting(report, options.eval_interval)
            saving = [] if self.checkpoint is None else [self.checkpointing]
            watch = CallbackList(own, history, reporting, *saving)
            with on_device(steps.batches.home), watch.around(state), without_values(state.model), steps.running(step):
                yield step, watch, data

    def stop(self) -> None:
        """End ``fit`` after the current epoch."""
        self.state.stop("Trainer.stop was called")

    def plot(self, ylim: tuple[float, float] | None = None, path: Any = None, ax: Any = None) -> Any:
        """Draw ``loss_list`` over the iterations; returns the matplotlib Axes.

        Parameters
        ----------
        ylim : (float, float), optional
            The limits of the loss axis.
        path : path, optional
            A picture file to write (.png, .svg, .pdf); needs no display.
        ax : matplotlib Axes, optional
            Where to draw. With neither ``path`` nor ``ax``, pyplot shows the picture.

        Raises
        ------
        Error
            There is no loss yet, or no display to show it on.
        """
        return plot_loss(self.loss_list, self.eval_interval, ylim, path, ax)
