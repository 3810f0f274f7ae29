"""The end of an epoch: read its losses, check its parameters, evaluate the validation data, and make the record."""

from __future__ import annotations

import math
from typing import Any

from ..arrays.libraries import Array, is_array, namespace_of, number
from ..graph.evaluation import right_answers
from ..graph.network import Network
from ..nodes.copying import parts
from ..nodes.losses import SoftmaxWithLoss
from .finite import check_parameters
from .state import TrainingState


def epoch_record(state: TrainingState, validation: tuple[Array, Array] | None) -> dict[str, Any]:
    """The record for the history of the epoch whose batches are all done; NonFiniteError as in ``losses.read``."""
    losses = state.losses
    losses.read(state.steps)
    check_parameters(state.model, state.steps)
    loss, accuracy = (None, None) if validation is None else evaluate(state.model, *validation)
    return {
        "epoch": state.epoch + 1,
        "loss": losses.total / losses.rows,
        "val_loss": loss,
        "val_accuracy": accuracy,
        "lr": getattr(state.optimizer, "lr", None),
        "samples": losses.rows,
        "seconds": losses.seconds(),
    }


def evaluate(model: Any, x: Array, t: Array) -> tuple[float | None, float | None]:
    """(mean loss, accuracy) of any model on rows x with labels t; the accuracy is None if t does not name classes."""
    if isinstance(model, Network) and model.loss is not None:  # evaluate of another class may return anything
        return model.evaluate(x, t)
    loss = float(number(model.forward(x, t)))  # sync
    predict = None if isinstance(model, Network) else getattr(model, "predict", None)
    y = predict(x) if callable(predict) else None
    if not is_array(y) or not _are_classes(model, y, t):
        return loss, None
    right = right_answers(y, t)
    return loss, int(number(namespace_of(right).sum(right))) / math.prod(right.shape)  # sync


def _are_classes(model: Any, y: Array, t: Array) -> bool:
    """Do labels t name classes with scores y? Targets of a regression do not, so that they have no accuracy."""
    if y.ndim == 0 or y.shape[-1] < 2 or tuple(t.shape) not in (tuple(y.shape), tuple(y.shape[:-1])):
        return False
    integral = namespace_of(t).isdtype(t.dtype, "integral")
    return integral or any(isinstance(part, SoftmaxWithLoss) for part in parts(model))
