"""The callbacks that the options of ``xpgraph train`` ask for: learning rates, early stopping, the best weights."""

from __future__ import annotations

from typing import Any

from ..training.callback import Callback
from ..training.callbacks.early_stopping import EarlyStopping, KeepBest
from ..training.callbacks.schedules import Plateau, Schedule, cosine, step, warmup
from ..training.state import TrainingState
from .choices import Choices


def callbacks_of(choices: Choices, steps_per_epoch: int) -> list[Callback]:
    """The callbacks for ``Trainer.fit``; ValueError for a warm-up that is as long as the training."""
    steps = (choices.epochs or 0) * steps_per_epoch
    if steps and (choices.warmup or 0) >= steps:
        raise ValueError(
            f"--warmup is {choices.warmup} steps, and the training makes {steps}; give fewer steps, or more epochs."
        )
    if not steps:
        return []
    callbacks = _rates(choices, steps_per_epoch, steps)
    if choices.patience is not None:
        callbacks.append(EarlyStopping(choices.patience))
    if choices.keep_best:
        callbacks.append(KeepBest())
    return callbacks


def selected(callbacks: list[Callback], state: TrainingState) -> dict[str, Any]:
    """For config.json: why a run stopped early, and the epoch whose weights were kept; None where nothing was."""
    kept = [callback.best_epoch for callback in callbacks if isinstance(callback, KeepBest)]
    stopped = state.stop_reason if state.epoch < state.last_epoch else None
    return {"stopped": stopped, "kept_epoch": kept[0] if kept else None}


def _rates(choices: Choices, steps_per_epoch: int, steps: int) -> list[Callback]:
    """What sets the learning rate. Steps by epoch leave steps that are replayed as a CUDA graph alone."""
    rise, every, factor = choices.warmup or 0, choices.schedule_step or 1, choices.schedule_factor or 0.1
    if choices.schedule == "plateau":
        return [Plateau(every, factor)]
    if choices.schedule == "step" and not rise:
        return [Schedule(step(every, factor), by="epoch")]
    then = {None: None, "cosine": cosine(steps - rise), "step": step(every * steps_per_epoch, factor)}[choices.schedule]
    if rise:
        return [Schedule(warmup(rise, then), by="step")]
    return [] if then is None else [Schedule(then, by="step")]
