"""Stop a fit that no longer gets better, and keep the weights of its best epoch."""

from __future__ import annotations

from typing import Any

from ...arrays.libraries import Array, place_of
from ...nodes.copying import namespace_copy
from ..callback import Callback
from ..checks import check_whole
from ..snapshot import named_parameters
from ..state import TrainingState
from .monitor import Monitor


class EarlyStopping(Callback):
    """Stop after ``patience`` epochs in a row whose ``monitor`` was not better than the best one before them.

    Parameters
    ----------
    patience
        How many such epochs, from 1 up.
    monitor
        A name in the record of an epoch: ``val_loss``, ``val_accuracy``, ``loss``, or what a callback that stands
        before this one adds to the record.
    mode
        "min": lower is better; "max": higher is. "auto": lower for a name that ends in ``loss``, higher for one that
        ends in ``accuracy``.
    min_delta
        By how much more than this a value must be better to count.

    ``best`` is the best value of this fit and ``best_epoch`` its epoch; None where no epoch had a number. NaN is never
    better, so a validation loss that has become NaN stops the fit, too. Each fit starts anew; one that goes on from a
    checkpoint goes on counting. The weights stay those of the last epoch: ``KeepBest`` puts the best ones back.

    Raises ValueError at the end of the first epoch where its record has no such number.

    Keras counts alike (its ``patience=0`` is 1 here), but takes the first value for the best even if it is NaN. A name
    that is not there is a warning there and an error here; ``restore_best_weights`` is ``KeepBest`` here; there is no
    ``baseline`` and no ``start_from_epoch``. skorch's ``threshold`` is relative to the best value, ``min_delta`` is
    not.
    """

    def __init__(self, patience: int, monitor: str = "val_loss", mode: str = "auto", min_delta: float = 0.0) -> None:
        self.patience = check_whole("EarlyStopping", "patience", patience)
        self.monitor = Monitor("EarlyStopping", monitor, mode, min_delta)

    @property
    def best(self) -> float | None:
        """The best value of this fit."""
        return self.monitor.best

    @property
    def best_epoch(self) -> int | None:
        """The epoch that had it, from 1."""
        return self.monitor.epoch

    def begin(self, state: TrainingState) -> None:
        if not state.resumed:
            self.monitor.start()

    def epoch(self, state: TrainingState, record: dict[str, Any]) -> None:
        if not self.monitor.improved(record) and self.monitor.count >= self.patience:
            state.stop(self.monitor.words())

    @property
    def state(self) -> dict[str, Any]:
        return self.monitor.state

    def load_state(self, state: dict[str, Any]) -> None:
        self.monitor.load_state(state)


class KeepBest(Callback):
    """Keep a copy of the weights of the best epoch, and give it back to the model when the fit ends.

    ``monitor`` and ``mode`` are those of ``EarlyStopping``. ``best`` is the best value of this fit, ``best_epoch`` its
    epoch, ``weights`` a copy of each parameter by its name, on the model's device.

    When the fit ends, because all epochs are done or because somebody called ``stop``, the weights are written into
    the model's own arrays, so shared and tied weights stay shared. The optimizer's state, the counts and the history
    remain those of the last epoch; a later fit goes on with the best weights and that optimizer.

    Ctrl-C, another signal or an error leaves the model as the last update left it, because a run that goes on must go
    on from there; ``restore(model)`` then puts the best weights in. A checkpoint holds the kept weights, so that a
    resumed run ends with the same bits. One that had ended, and is given more epochs, goes on from its last epoch's
    weights, as if it had not ended.

    Its ``end`` comes before the callbacks' that stand after it. Raises ValueError as ``EarlyStopping`` does. Where
    every value was NaN, the last weights stay.

    Keras's ``EarlyStopping(restore_best_weights=True)`` does the same, and keeps the weights of the first epoch where
    every value is NaN. Its ``ModelCheckpoint(save_best_only=True)`` writes them to a file, leaves the model as it is,
    and remembers the best value from fit to fit.
    """

    def __init__(self, monitor: str = "val_loss", mode: str = "auto") -> None:
        self.monitor = Monitor("KeepBest", monitor, mode)
        self.weights: dict[str, Array] = {}
        self.exchanged = False  # has the model the best weights, and ``weights`` those of the last epoch?

    @property
    def best(self) -> float | None:
        """The best value of this fit."""
        return self.monitor.best

    @property
    def best_epoch(self) -> int | None:
        """The epoch that had it, from 1."""
        return self.monitor.epoch

    def begin(self, state: TrainingState) -> None:
        if not state.resumed:
            self.monitor.start()
            self.weights, self.exchanged = {}, False
            return
        parameters = dict(named_parameters(state.model))  # a checkpoint gave NumPy's arrays
        self.weights = {name: place_of(parameters[name]).asarray(kept) for name, kept in self.weights.items()}
        if self.exchanged:  # the fit had ended, and goes on with more epochs
            self._exchange(state.model)

    def epoch(self, state: TrainingState, record: dict[str, Any]) -> None:
        if self.monitor.improved(record):
            self.weights = {name: namespace_copy(p) for name, p in named_parameters(state.model)}

    def end(self, state: TrainingState) -> None:
        if self.best is None:
            return
        self.restore(state.model)
        state.note(f"the weights of epoch {self.best_epoch} are kept: {self.monitor.name} {self.best:.4g}")

    def restore(self, model: Any) -> None:
        """Give the model the weights of the best epoch; nothing happens where it has them, or where there is none."""
        if self.weights and not self.exchanged:
            self._exchange(model)

    def _exchange(self, model: Any) -> None:
        """Swap the model's weights and the kept ones; all copies are made before the first array is written."""
        parameters = named_parameters(model)
        last = {name: namespace_copy(p) for name, p in parameters}
        for name, p in parameters:
            write(p, self.weights[name])
        self.weights, self.exchanged = last, not self.exchanged

    @property
    def state(self) -> dict[str, Any]:
        return {**self.monitor.state, "weights": self.weights, "exchanged": self.exchanged}

    def load_state(self, state: dict[str, Any]) -> None:
        self.monitor.load_state(state)
        self.weights, self.exchanged = dict(state["weights"]), state["exchanged"]


def write(p: Array, value: Array) -> None:
    """Write the numbers of ``value`` into the array p, wherever the two live."""
    p[...] = place_of(p).asarray(value)
