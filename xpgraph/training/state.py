"""The state of a training: what the loop counts, and what callbacks and checkpoints read."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..errors import Error
from .losses import EpochLosses


class Start(NamedTuple):
    """Where a fit goes on: ``epoch`` epochs had been finished when it began. ``over``: had it come to its end?

    ``skipped``: did it end before another fit, in which the state stands?
    """

    epoch: int
    stop_reason: str | None = None
    over: bool = False
    skipped: bool = False


class TrainingState:
    """Where a training stands. The loop and ``restore`` write it; everybody else reads it, or calls ``stop``.

    ``model``, ``optimizer``, ``seed``: what is trained, by what, in the order of which seed. ``optimizer`` may be
    replaced while ``fit`` runs: the next step takes the new one.
    ``notes``: lines that the report has not told yet; ``note(text)`` adds one.
    ``steps``: updates made. ``epoch``: epochs finished. ``batch``: batches done of the epoch under way.
    ``loss_list``: the mean losses that were reported; ``history``: a record for each epoch; ``losses``: those of the
    epoch under way.
    Of this fit: ``resumed``, whether it goes on where one was cut off; ``batch_size``, ``batches`` and ``rows`` of an
    epoch; ``last_epoch``, ``eval_interval``; ``stop_reason`` (None: nobody has called ``stop``).
    """

    _model: Any
    _optimizer: Any

    def __init__(self, model: Any, optimizer: Any, seed: int = 0) -> None:
        self.fitting, self.resumed = False, False
        self.model, self.optimizer, self.seed = model, optimizer, seed
        self.steps = self.epoch = self.batch = 0
        self.loss_list: list[float] = []
        self.history: list[dict[str, Any]] = []
        self.losses = EpochLosses()
        self.whole = True  # False: cut off within an update or a callback, so that it is the state after no step
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
        _check_part(model, ("forward", "backward", "params", "grads"))
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
        _check_part(optimizer, ("update",))
        self._optimizer = optimizer

    @property
    def epochs_left(self) -> bool:
        """Does the loop go on? An epoch that has begun is finished, also after ``stop``."""
        return self.epoch < self.last_epoch and (self.batch > 0 or self.stop_reason is None)

    def stop(self, reason: str = "stopped") -> None:
        """End ``fit`` after this epoch."""
        self.stop_reason = reason

    def note(self, text: str) -> None:
        """Have the report tell a line, after the epoch's own or at the end."""
        self.notes.append(text)

    def plan(self, n: int, batch_size: int, drop_last: bool) -> None:
        """How an epoch over n rows is cut into batches."""
        if self.fitting:
            raise Error("Trainer.fit: it was called while it runs; wait for its end, or make another Trainer.")
        batches = n // batch_size if drop_last else -(-n // batch_size)
        if batches == 0:
            raise ValueError(f"Trainer.fit: {n} rows make no full batch of {batch_size}; give a smaller batch_size.")
        self.batch_size, self.batches, self.rows = batch_size, batches, min(n, batches * batch_size)

    def begin_fit(self, max_epoch: int, eval_interval: int | None, start: Start | None) -> bool:
        """Plan ``max_epoch`` epochs from here, or from where the fit began that goes on; False: nothing is left."""
        if start is None:
            self.begin_epoch()
            start, self.whole, self.resumed = Start(self.epoch), True, False
        else:
            self.resumed = True
        self.last_epoch, self.stop_reason = start.epoch + max_epoch, start.stop_reason
        if start.skipped or (not self.epochs_left and (start.over or self.batch)):
            return False
        self.eval_interval = self.eval_interval if eval_interval is None else eval_interval
        return True

    def begin_epoch(self) -> None:
        """Nothing of the next epoch has been done."""
        self.batch = 0
        self.losses.begin_epoch()

    def finish_epoch(self) -> None:
        """All batches are done, and the record of the epoch is made."""
        self.epoch += 1
        self.begin_epoch()


def _check_part(part: Any, needs: tuple[str, ...]) -> None:
    """TypeError for what cannot be a model, or an optimizer."""
    if isinstance(part, type):
        raise TypeError(f"Trainer: {part.__name__} is a class; make one: {part.__name__}(...).")
    for name in needs:
        if not hasattr(part, name):
            raise TypeError(f"Trainer: {part!r} has no {name}; it needs {', '.join(needs)}.")
