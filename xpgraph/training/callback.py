"""What watches or steers a fit: the protocol of a callback, and the list of those that a fit has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral
from typing import Any, ClassVar

from .state import TrainingState


class Callback:
    """The base of every callback: ``fit(..., callbacks=[...])`` calls what a subclass overrides, and nothing else.

    A callback reads the ``TrainingState``. It may set ``state.optimizer``, the optimizer's numbers such as ``lr``, and
    call ``state.stop(reason)`` and ``state.note(text)``; what it finds in ``state.model`` it may change in place.

    One that remembers something gives it as ``state`` and takes it back by ``load_state``, as an Optimizer does. It
    is saved in the checkpoint, under the name of the class, so that a run that goes on has the same bits.
    """

    schedules: ClassVar[bool] = False  # True: called before the other callbacks, as it sets what they report

    def begin(self, state: TrainingState) -> None:
        """The fit begins, or goes on (``state.resumed``): after ``load_state``, before the first step."""

    def step(self, state: TrainingState) -> None:
        """An update was made, which ``next_step`` has asked for."""

    def epoch(self, state: TrainingState, record: dict[str, Any]) -> None:
        """An epoch ended and was validated. What is added to ``record`` stands in the history."""

    def end(self, state: TrainingState) -> None:
        """All epochs are done, or ``stop`` was called."""

    def interrupt(self, state: TrainingState, error: BaseException) -> None:
        """The fit ends with an error, or with Ctrl-C; ``end`` is not called."""

    def next_step(self, state: TrainingState) -> int | None:
        """The next update, counted as ``state.steps``, after which ``step`` must run; None: none in this epoch.

        It is asked at the start of an epoch and after each call of ``step``. The further away, the faster steps that
        are replayed as a CUDA graph can run: nothing has to be readable until then.
        """
        return state.steps + 1 if _overrides(self, "step") else None

    @property
    def state(self) -> dict[str, Any]:
        """What it remembers: numbers, text, arrays, lists and dicts of them."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a ``state``; arrays in it are NumPy's."""


class OnEpoch(Callback):
    """``fit(on_epoch=function)``: call ``function(trainer, record)`` after each epoch."""

    def __init__(self, trainer: Any, function: Callable[[Any, dict[str, Any]], Any]) -> None:
        self.trainer, self.function = trainer, function

    def epoch(self, state: TrainingState, record: dict[str, Any]) -> None:
        self.function(self.trainer, record)


class CallbackList:
    """The callbacks of one fit, in order. ``due``: the next step after which one of them must run.

    They are called in this order: those that set rates, the user's, the history, the report; checkpoints last, so that
    what the others did is saved. An epoch that was trained and validated is in the history whatever a callback raises.
    While they are called, ``due`` is not later than the steps made: an error then leaves some that were not called, so
    the state is not whole.
    """

    def __init__(self, own: Sequence[Callback], history: Callback, *others: Callback) -> None:
        self.own, self.others = list(own), [history, *others]
        self.callbacks = [*self.own, *self.others]
        self.stepping = [(callback, callback.step) for callback in self.callbacks if _overrides(callback, "step")]
        self.next: list[float] = []
        self.due: float = 0

    @contextmanager
    def around(self, state: TrainingState) -> Iterator[None]:
        """Call ``begin`` before the block and ``end`` after it, or ``interrupt`` for all that have begun."""
        begun: list[Callback] = []
        state.fitting = True
        try:
            for callback in self.callbacks:
                callback.begin(state)
                begun.append(callback)
            yield
            self.due = 0
            while begun:  # each is told of one end: this, or an interrupt
                begun.pop(0).end(state)
        except BaseException as error:
            state.whole = state.whole and self.due > state.steps
            _interrupt(begun, state, error)
            raise
        finally:
            state.fitting = False

    def begin_epoch(self, state: TrainingState) -> None:
        """Ask when each must run."""
        self.next = [_asked(callback, state) for callback, _ in self.stepping]
        self.due = min(self.next, default=float("inf"))

    def step(self, state: TrainingState) -> None:
        """After a step that is due: run those that asked for it, and ask them again."""
        for i, (callback, step) in enumerate(self.stepping):
            if self.next[i] <= state.steps:
                step(state)
                self.next[i] = _asked(callback, state)
        self.due = min(self.next)

    def epoch(self, state: TrainingState, record: dict[str, Any]) -> None:
        """Count the epoch as finished, with its record."""
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
    """Tell all of them; the first error that one of them raises is raised once all have been told."""
    failed: BaseException | None = None
    for callback in callbacks:
        try:
            callback.interrupt(state, error)
        except BaseException as other:
            failed = failed or other
    if failed is not None:
        raise failed from error


def _asked(callback: Callback, state: TrainingState) -> float:
    """The step at which it must run; ValueError for one that is over."""
    step = callback.next_step(state)
    if step is None:
        return float("inf")
    if isinstance(step, bool) or not isinstance(step, Integral) or step <= state.steps:
        raise ValueError(
            f"{type(callback).__name__}.next_step: it returned {step!r} after step {state.steps}; return a later step, "
            "or None where it need not run in this epoch."
        )
    return int(step)


def _overrides(callback: Callback, name: str) -> bool:
    """Does this callback have a method of its own?"""
    own = getattr(callback, name)
    return getattr(own, "__func__", own) is not getattr(Callback, name)


def remembers(callback: Callback) -> bool:
    """Does it have a state to be saved?"""
    return type(callback).state is not Callback.state


def keys(callbacks: Sequence[Callback]) -> dict[str, Callback]:
    """The callbacks with a state, under class name and place among those of the class: ``Best 0``, ``Best 1``."""
    named: dict[str, Callback] = {}
    counts: dict[str, int] = {}
    for callback in callbacks:
        kind = type(callback).__name__
        counts[kind] = counts.get(kind, -1) + 1
        if remembers(callback):
            named[f"{kind} {counts[kind]}"] = callback
    return named
