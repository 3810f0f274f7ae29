"""The state of a training: what the loop counts, and what callbacks and checkpoints read."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..errors import Error
from .losses import EpochLosses


class Resumed(NamedTuple):
    """How a checkpoint says that a fit continues.

    ``start_epoch``: the epochs that were finished when the fit was called first; it ends ``max_epoch`` epochs later.
    ``stop_reason``: why ``stop`` was called in it; None if it was not. ``ended``: it has run to its end before.
    ``earlier``: the checkpoint was written in a later fit of the program, so nothing of this one is left to do.
    """

    start_epoch: int
    stop_reason: str | None = None
    ended: bool = False
    earlier: bool = False


class TrainingState:
    """The data of one training. The loop writes it; callbacks read it, and may do what is said below.

    Attributes
    ----------
    model : Any
        What is trained. A callback may change its arrays in place. Another model is refused while ``fit`` runs.
    optimizer : Any
        What updates the parameters. A callback may set its numbers, such as ``lr``, or put another optimizer here:
        the next step takes it.
    seed : int
        The order of the rows depends on it and the epoch only.
    steps, epoch : int
        Updates made and epochs finished, since the trainer was made or, with checkpoints, since the run began.
    batch : int
        Batches done in the current epoch.
    batches, batch_size, rows : int
        Of an epoch of this fit: its batches, the rows of a full batch, and all rows that it trains on.
    last_epoch : int
        This fit ends once ``epoch`` has this value.
    eval_interval : int or None
        The batches between two entries of ``loss_list``.
    loss_list : list of float
        The mean losses that were reported.
    history : list of dict
        One record for each epoch: epoch, loss, val_loss, val_accuracy, lr, samples, seconds, and what callbacks add.
    losses : EpochLosses
        The losses of the current epoch.
    notes : list of str
        Lines that the report has not printed yet.
    stop_reason : str or None
        What ``stop`` was called with in this fit.
    resumed : bool
        Does this fit continue one that was cut off?
    fitting : bool
        Is ``fit`` running?
    consistent : bool
        Do arrays and counts belong to the same step? They do not if an error or a second Ctrl-C came in the middle of
        an update or between the callbacks of a step; the next ``fit`` then takes the checkpoint, if there is one.
    """

    _model: Any
    _optimizer: Any

    def __init__(self, model: Any, optimizer: Any, seed: int = 0) -> None:
        self.fitting, self.resumed, self.consistent = False, False, True
        self.model, self.optimizer, self.seed = model, optimizer, seed
        self.steps = self.epoch = self.batch = 0
        self.loss_list: list[float] = []
        self.history: list[dict[str, Any]] = []
        self.losses = EpochLosses()
        self.batch_size = self.batches = self.rows = self.last_epoch = 0
        self.eval_interval: int | None = None
        self.stop_reason: str | None = None
        self.notes: list[str] = []

    @property
    def model(self) -> Any:
        """Any object with ``forward(x, t)``, ``backward()``, ``params`` and ``grads``."""
        return self._model

    @model.setter
    def model(self, model: Any) -> None:
        _check_has(model, ("forward", "backward", "params", "grads"))
        if self.fitting and model is not self._model:
            raise Error(
                "Trainer.model: it was replaced while fit runs, whose data and steps were made for the old one; end "
                "the fit first with trainer.stop(), then set the model and call fit again."
            )
        self._model = model

    @property
    def optimizer(self) -> Any:
        """Any object with ``update(params, grads)``."""
        return self._optimizer

    @optimizer.setter
    def optimizer(self, optimizer: Any) -> None:
        _check_has(optimizer, ("update",))
        self._optimizer = optimizer

    @property
    def epochs_left(self) -> bool:
        """Does the loop go on? After ``stop``, only to the end of an epoch that has begun."""
        return self.epoch < self.last_epoch and (self.batch > 0 or self.stop_reason is None)

    def stop(self, reason: str = "stopped") -> None:
        """End ``fit`` after the current epoch. ``reason`` is kept as ``stop_reason``."""
        self.stop_reason = reason

    def note(self, text: str) -> None:
        """Let the report print a line, after the line of the epoch or at the end."""
        self.notes.append(text)

    # --- for the loop alone ---

    def plan_epochs(self, n: int, batch_size: int, drop_last: bool) -> None:
        """Set how n rows are cut into batches. ValueError if there is no batch; Error if ``fit`` is running."""
        if self.fitting:
            raise Error("Trainer.fit: it was called while it runs; wait for its end, or make another Trainer.")
        batches = n // batch_size if drop_last else -(-n // batch_size)
        if batches == 0:
            raise ValueError(f"Trainer.fit: {n} rows make no full batch of {batch_size}; give a smaller batch_size.")
        self.batch_size, self.batches, self.rows = batch_size, batches, min(n, batches * batch_size)

    def begin_fit(self, max_epoch: int, eval_interval: int | None, resumed: Resumed | None) -> bool:
        """Set where a new fit, or one that is ``resumed``, ends. False: a checkpoint says that it has ended before."""
        self.resumed = resumed is not None
        if resumed is None:
            self.begin_epoch()
            self.consistent, resumed = True, Resumed(self.epoch)
        self.last_epoch, self.stop_reason = resumed.start_epoch + max_epoch, resumed.stop_reason
        if resumed.earlier or (not self.epochs_left and (resumed.ended or self.batch)):
            return False
        self.eval_interval = self.eval_interval if eval_interval is None else eval_interval
        return True

    def begin_epoch(self) -> None:
        """Start counting the batches and losses of the next epoch."""
        self.batch = 0
        self.losses.begin_epoch()

    def finish_epoch(self) -> None:
        """Count the current epoch as finished."""
        self.epoch += 1
        self.begin_epoch()


def _check_has(part: Any, names: tuple[str, ...]) -> None:
    """TypeError for a model or an optimizer that lacks one of ``names``, or is a class."""
    if isinstance(part, type):
        raise TypeError(f"Trainer: {part.__name__} is a class; make one: {part.__name__}(...).")
    for name in names:
        if not hasattr(part, name):
            raise TypeError(f"Trainer: {part!r} has no {name}; it needs {', '.join(names)}.")
