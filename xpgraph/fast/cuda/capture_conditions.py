"""The conditions under which the steps of a fit can be captured as CUDA graphs, and what happens otherwise."""

from __future__ import annotations

from typing import Any

from ...errors import CaptureError
from ...nodes.copying import parts
from ...training.optimizers import Optimizer
from ...training.steps import takes_clip
from . import cublaslt
from .update import fits


def why_not(steps: Any) -> str | None:
    """The reason why these ``Steps`` cannot be captured, or None if they can."""
    for part in parts(steps.model):
        if not type(part).__dict__.get(
            "capturable", False
        ):  # not inherited: a subclass may add what cannot be captured
            return f"{type(part).__name__} does not declare capturable = True"
    optimizer = steps.state.optimizer
    if not takes_clip(optimizer) or not isinstance(optimizer, Optimizer):
        return f"{type(optimizer).__name__} has an update of its own"
    row = getattr(type(optimizer).rule, "row", None)
    if row is None or row.body("cupy") is not row.fast_bodies.get("cupy"):
        return f"the rule of {type(optimizer).__name__} has no CUDA kernel, or XPGRAPH_GENERIC turns it off"
    if not steps.batches.resident:
        return "the data does not fit on the device"
    if (reason := cublaslt.available()) is not None:
        return f"cuBLASLt cannot be loaded ({reason})"
    params, grads = list(steps.model.params), list(steps.model.grads)
    if not any(p.size for p in params):
        return "the model has no parameters"
    if not fits([params, grads]):
        return "parameters and gradients are not all float32, or all float64, without gaps"
    return None


def why_not_this_loss(loss: Any, dtype: Any) -> str | None:
    """The reason why a step with this loss cannot be captured, or None. ``dtype``: that of the parameters."""
    if getattr(loss, "shape", None) != () or not hasattr(loss, "data") or loss.dtype != dtype:
        return f"the loss is no 0-d array of {dtype}, as the parameters are"
    return None


def run_call_by_call(steps: Any, reason: str, strict: bool) -> None:
    """Tell the report why steps run call by call; raise CaptureError if the user asked for a graph (``strict``)."""
    if strict:
        raise CaptureError(f'Trainer.fit: graph=True, but {reason}; leave graph="auto" to go on without a graph.')
    steps.report.note(f"steps are made call by call, not replayed as one CUDA graph: {reason}")
