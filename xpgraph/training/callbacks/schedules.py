"""Learning rates that change during a training: ``Schedule`` by a function of the index, ``Plateau`` by results.

    Schedule(cosine(1000), by="step")                         # along half a cosine, to 0 after 1,000 updates
    Schedule(warmup(100, then=cosine(900)), by="step")        # a rise over 100 updates before it
    Schedule(step(every=10, factor=0.5), by="epoch")          # half the rate every 10 epochs
    Schedule(lambda i: 1 / (1 + i), by="epoch")               # any function of one's own

A user finds ``step``, ``cosine`` and ``warmup`` as ``xpgraph.schedules.step``, ...
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ...errors import Error
from ..callback import Callback
from ..checks import check_number, check_whole, is_number
from ..state import TrainingState
from .monitor import Monitor

Function = Callable[[int], float]  # the number of an update or epoch, from 0 on -> a factor of the learning rate


def step(every: int, factor: float = 0.1) -> Function:
    """Times ``factor`` every ``every`` indices: factor^⌊i / every⌋. PyTorch's ``StepLR`` (there, ``gamma``)."""
    n, f = check_whole("step", "every", every), check_number("step", "factor", factor)
    return lambda i: f ** (i // n)


def cosine(total: int) -> Function:
    """½ (1 + cos(π i / total)): from 1 at i = 0 down to 0 at i = total, and 0 from then on, without restarts.

    Keras's ``CosineDecay`` does the same. PyTorch's ``CosineAnnealingLR`` rises again after ``T_max``.

    References: Loshchilov & Hutter 2017, arXiv:1608.03983.
    """
    n = check_whole("cosine", "total", total)
    return lambda i: 0.5 * (1.0 + math.cos(math.pi * i / n)) if i < n else 0.0


def warmup(steps: int, then: Function | None = None) -> Function:
    """(i + 1) / steps for i < steps: from 1/steps at index 0, not 0, up to 1; then ``then(i - steps)``, or 1.

    ``then`` counts from the end of the warm-up. PyTorch's ``LinearLR`` starts at a third, unless it is told otherwise.

    References: Goyal et al. 2017, arXiv:1706.02677.
    """
    n = check_whole("warmup", "steps", steps)
    if then is not None and not callable(then):
        raise TypeError(f"warmup: then is a {type(then).__name__}; give a function of the index, such as cosine(900).")
    return lambda i: (i + 1) / n if i < n else 1.0 if then is None else then(i - n)


class Schedule(Callback):
    """Set the optimizer's ``lr`` to its initial rate times ``function(index)``, while the fit runs.

    Parameters
    ----------
    function
        index -> factor, a number from 0 up. ``xpgraph.schedules`` has ``step``, ``cosine`` and ``warmup``. It must
        depend on the index alone: it is called more than once for an index, and anew where a run is resumed.
    by
        "step": the index is the number of updates made so far, set before each update. "epoch": the number of epochs
        finished so far, set before each epoch. Both count from 0, over the whole training, not over the fit.

    The initial rate is the ``lr`` that the optimizer has when the fit begins. It is part of the state, and when the fit
    ends, in whatever way, the optimizer gets it back. So a later fit starts from it, and a resumed one goes on from it:
    factors never compound. The history has the rates that were used: ``lr`` in an epoch's record is that of its last
    update.

    ``lr`` is set where the factor changes, and left alone in between, so after a warm-up a ``Plateau`` may lower it; it
    then stays lower after the fit. Steps that are replayed as a CUDA graph are interrupted for changes only.

    Raises TypeError at the start for an optimizer without ``lr``, ValueError for a factor that is no number from 0 up,
    and Error where the factor changes, but somebody else has set ``lr`` since the last change.

    PyTorch's and Keras's schedules leave the last rate in the optimizer. ``LambdaLR`` of PyTorch is the same function;
    there, ``scheduler.step()`` has to be called. Keras's ``LearningRateScheduler`` takes (epoch, lr) and returns a
    rate. A schedule by epoch of Keras is set in the same moment.
    """

    schedules = True

    def __init__(self, function: Function, by: str) -> None:
        if not callable(function):
            raise TypeError(
                f"Schedule: function is a {type(function).__name__}; give a function of the index that returns a "
                "factor, such as xpgraph.schedules.cosine(1000)."
            )
        if by not in ("step", "epoch"):
            raise ValueError(f"Schedule: by is {by!r}; give 'step' or 'epoch'.")
        self.function, self.by = function, by
        self.initial = self.rate = 0.0  # the optimizer's own rate; the one that was set last
        self.returned = False  # has the optimizer its initial rate back?

    def begin(self, state: TrainingState) -> None:
        rate = rate_of("Schedule", state.optimizer)
        if not state.resumed:
            self.initial = self.rate = rate
        elif self.returned:  # and it goes on where it was interrupted, or after its end with more epochs
            state.optimizer.lr = self.rate
        else:
            return  # the optimizer came from the checkpoint with the rate of the next update
        self.returned = False
        if state.epochs_left:
            self._set(state)

    def next_step(self, state: TrainingState) -> int | None:
        """The next update of this epoch before which the factor changes; ``epoch`` sees to the first of an epoch."""
        if self.by == "step":
            for index in range(state.steps + 1, state.steps + state.batches - state.batch):
                if self._rate_at(index) != self.rate:
                    return index
        return None

    def step(self, state: TrainingState) -> None:
        self._set(state)

    def epoch(self, state: TrainingState, record: dict[str, Any]) -> None:
        if state.epochs_left:
            self._set(state)

    def end(self, state: TrainingState) -> None:
        self._return(state)

    def interrupt(self, state: TrainingState, error: BaseException) -> None:
        self._return(state)

    def _set(self, state: TrainingState) -> None:
        """Set the rate of the next update; that of the last one, where the record of its epoch is not made yet."""
        by_step = state.steps - (state.batch == state.batches)
        rate = self._rate_at(by_step if self.by == "step" else state.epoch)
        if rate == self.rate:
            return
        if (found := getattr(state.optimizer, "lr", None)) != self.rate:
            raise Error(
                f"Schedule: the optimizer's lr is {found!r}, and this schedule had set {self.rate!r}, so something "
                "else sets it, too; leave out one of them, or put both into one function."
            )
        state.optimizer.lr = self.rate = rate

    def _rate_at(self, index: int) -> float:
        factor = self.function(index)
        if not is_number(factor) or not 0 <= factor < math.inf:
            raise ValueError(
                f"Schedule: function({index}) returned {factor!r}; return the factor of the learning rate at this "
                f"{self.by}, a number from 0 up."
            )
        return self.initial * float(factor)

    def _return(self, state: TrainingState) -> None:
        """Give the optimizer its initial rate back, unless somebody else has set another."""
        if not self.returned and getattr(state.optimizer, "lr", None) == self.rate:
            state.optimizer.lr, self.returned = self.initial, True

    @property
    def state(self) -> dict[str, Any]:
        return {"initial": self.initial, "rate": self.rate, "returned": self.returned}

    def load_state(self, state: dict[str, Any]) -> None:
        self.initial, self.rate, self.returned = state["initial"], state["rate"], state["returned"]


class Plateau(Callback):
    """Multiply the optimizer's ``lr`` by ``factor`` after ``patience`` epochs in a row without a better ``monitor``.

    ``monitor``, ``mode`` and ``min_delta`` are those of ``EarlyStopping``, but ``monitor`` must be a name that the loop
    itself writes into the record, as a plateau comes before other callbacks. ``min_lr``: the rate is never set lower.
    After a change, the count starts again at 0, and the best value stays. Each fit starts anew with the rate that the
    optimizer then has; the lower rate remains after the fit. The report has a line for each change.

    Raises ValueError as ``EarlyStopping`` does, TypeError for an optimizer without ``lr``.

    Keras's ``ReduceLROnPlateau`` does the same, with other defaults (``min_delta=1e-4``, ``patience=10``) and a
    ``cooldown``. PyTorch's waits one epoch longer, as it changes the rate after more than ``patience`` bad epochs; its
    ``threshold`` is relative to the best value.
    """

    schedules = True

    def __init__(
        self,
        patience: int,
        factor: float = 0.1,
        monitor: str = "val_loss",
        mode: str = "auto",
        min_delta: float = 0.0,
        min_lr: float = 0.0,
    ) -> None:
        self.patience = check_whole("Plateau", "patience", patience)
        if not is_number(factor) or not 0 < factor < 1:
            raise ValueError(f"Plateau: factor is {factor!r}; give a number between 0 and 1.")
        self.factor, self.min_lr = float(factor), check_number("Plateau", "min_lr", min_lr)
        self.monitor = Monitor("Plateau", monitor, mode, min_delta)

    def begin(self, state: TrainingState) -> None:
        rate_of("Plateau", state.optimizer)
        if not state.resumed:
            self.monitor.start()

    def epoch(self, state: TrainingState, record: dict[str, Any]) -> None:
        monitor, optimizer = self.monitor, state.optimizer
        if monitor.improved(record) or monitor.count < self.patience:
            return
        rate = max(optimizer.lr * self.factor, self.min_lr)
        if rate < optimizer.lr:
            state.note(f"{monitor.words()}; the learning rate is {rate:g} from here on")
            optimizer.lr = rate
        monitor.count = 0

    @property
    def state(self) -> dict[str, Any]:
        return self.monitor.state

    def load_state(self, state: dict[str, Any]) -> None:
        self.monitor.load_state(state)


def rate_of(who: str, optimizer: Any) -> float:
    """The ``lr`` of an optimizer; TypeError where it has none that is a number."""
    rate = getattr(optimizer, "lr", None)
    if not is_number(rate):
        raise TypeError(
            f"{who}: {type(optimizer).__name__}.lr is {rate!r}; give an optimizer whose learning rate is a number, lr."
        )
    return float(rate)  # type: ignore[arg-type]
