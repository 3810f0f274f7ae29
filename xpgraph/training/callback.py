"""Callbacks: the base class, and the list that the loop calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral
from typing import Any, ClassVar

from .state import TrainingState


class Callback:
    """The base class of callbacks. ``fit(..., callbacks=[...])`` calls the methods that a subclass overrides.

    Every method gets the ``TrainingState``. It may call ``state.stop(reason)`` and ``state.note(text)``, set
    ``state.optimizer`` or the optimizer's numbers such as ``lr``, and change the arrays of ``state.model`` in place. An
    error that it raises ends the fit.

    A callback that remembers something returns it as ``state`` and takes it back in ``load_state``, as an Optimizer
    does. Checkpoints store it, so that a run that resumes has the same bits.

    Attributes
    ----------
    schedules : bool
        Set it to True in a class that sets the learning rate: it is then called before the other callbacks.
    """

    schedules: ClassVar[bool] = False

    def begin(self, state: TrainingState) -> None:
        """Called once, before the first step. If a run resumes (``state.resumed``), after ``load_state``."""

    def step(self, state: TrainingState) -> None:
        """Called after each update that ``next_step`` named. ``state.steps`` and ``state.batch`` count it."""

    def epoch(self, state: TrainingState, record: dict[str, Any]) -> None:
        """Called after each epoch and its validation; ``state.epoch`` counts it.

        Parameters
        ----------
        state : TrainingState
        record : dict
            The epoch's line of the history: epoch, loss, val_loss, val_accuracy, lr, samples, seconds. val_loss and
            val_accuracy are None without validation data. What you add here is in the history.
        """

    def end(self, state: TrainingState) -> None:
        """Called once, after the last epoch, also if ``stop`` was called. What it changes is in the last checkpoint."""

    def interrupt(self, state: TrainingState, error: BaseException) -> None:
        """Called instead of ``end`` if an error, Ctrl-C or a signal ends the fit; ``error`` is raised after it."""

    def next_step(self, state: TrainingState) -> int | None:
        """Return after which update ``step`` must be called next, or None if not again in this epoch.

        It is asked at the start of each epoch and after each call of ``step``. The default is every step if ``step`` is
        overridden, and never if not. On a GPU, captured steps run faster the fewer steps are named.

        Returns
        -------
        int or None
            A value of ``state.steps`` in the future. The fit raises ValueError for anything else.
        """
        return state.steps + 1 if _overrides(self, "step") else None

    @property
    def state(self) -> dict[str, Any]:
        """What the callback remembers, for checkpoints: a dict of numbers, text, arrays, and lists or dicts of them."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from what ``state`` was when the checkpoint was written. Its arrays are NumPy arrays."""


class OnEpoch(Callback):
    """The callback for ``fit(on_epoch=function)``: calls ``function(trainer, record)`` after each epoch."""

    def __init__(self, trainer: Any, function: Callable[[Any, dict[str, Any]], Any]) -> None:
        self.trainer, self.function = trainer, function

    def epoch(self, state: TrainingState, record: dict[str, Any]) -> None:
        self.function(self.trainer, record)


class CallbackList:
    """The callbacks of one fit, which are called in the order given: ``own``, ``history``, ``others``.

    ``due``: the next step after which one of them must be called. The epoch's record goes into the history even if one
    of ``own`` raises an error. If an error comes while callbacks are being called, those after it were not, so the
    state is no longer consistent; ``due`` shows that, because it is never later than ``state.steps`` meanwhile.
    """

    def __init__(self, own: Sequence[Callback], history: Callback, *others: Callback) -> None:
        self.own, self.others = list(own), [history, *others]
        self.callbacks = [*self.own, *self.others]
        self.stepping = [(callback, callback.step) for callback in self.callbacks if _overrides(callback, "step")]
        self.next: list[float] = []
        self.due: float = 0

    @contextmanager
    def around(self, state: TrainingState) -> Iterator[None]:
        """Call ``begin`` before the block and ``end`` after it; if an error comes, ``interrupt`` for all that began."""
        begun: list[Callback] = []
        state.fitting = True
        try:
            for callback in self.callbacks:
                callback.begin(state)
                begun.append(callback)
            yield
            self.due = 0
            while begun:  # for each callback, one of end and interrupt is called
                begun.pop(0).end(state)
        except BaseException as error:
            state.consistent = state.consistent and self.due > state.steps
            _interrupt(begun, state, error)
            raise
        finally:
            state.fitting = False

    def begin_epoch(self, state: TrainingState) -> None:
        """Ask each callback for its next step."""
        self.next = [_ask_next_step(callback, state) for callback, _ in self.stepping]
        self.due = min(self.next, default=float("inf"))

    def step(self, state: TrainingState) -> None:
        """After a step that is ``due``: call the callbacks that named it, and ask them for their next step."""
        for i, (callback, step) in enumerate(self.stepping):
            if self.next[i] <= state.steps:
                step(state)
                self.next[i] = _ask_next_step(callback, state)
        self.due = min(self.next)

    def epoch(self, state: TrainingState, record: dict[str, Any]) -> None:
        """Count the epoch as finished and call ``epoch`` of all callbacks."""
        self.due = 0
        try:
            state.finish_epoch()
            for callback in self.own:
                callback.epoch(state, record)
        finally:
            if state.epoch == record["epoch"]:
                self.others[0].epoch(state, record)
        for callback in self.others[1:]:
            callback.epoch(state, record)
        self.due = float("inf")


def _interrupt(callbacks: Sequence[Callback], state: TrainingState, error: BaseException) -> None:
    """Call ``interrupt`` of all callbacks, then raise the first error that one of them has raised, if any."""
    failed: BaseException | None = None
    for callback in callbacks:
        try:
            callback.interrupt(state, error)
        except BaseException as other:
            failed = failed or other
    if failed is not None:
        raise failed from error


def _ask_next_step(callback: Callback, state: TrainingState) -> float:
    """Its next step, infinity for None; ValueError unless it is a later step than this."""
    step = callback.next_step(state)
    if step is None:
        return float("inf")
    if isinstance(step, bool) or not isinstance(step, Integral) or step <= state.steps:
        raise ValueError(
            f"{type(callback).__name__}.next_step: it returned {step!r} after step {state.steps}; return a later step, "
            "or None if it need not run again in this epoch."
        )
    return int(step)


def _overrides(callback: Callback, name: str) -> bool:
    """Does the callback, or its class, define this method itself?"""
    method = getattr(callback, name)
    return getattr(method, "__func__", method) is not getattr(Callback, name)


def with_state(callbacks: Sequence[Callback]) -> dict[str, Callback]:
    """The callbacks with a state, by class name and number among those of the class: ``Best 0``, ``Best 1``."""
    counts: Counter[str] = Counter()
    named: dict[str, Callback] = {}
    for callback in callbacks:
        name = type(callback).__name__
        if type(callback).state is not Callback.state:
            named[f"{name} {counts[name]}"] = callback
        counts[name] += 1
    return named
