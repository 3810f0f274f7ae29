"""Floor 5: where a fit is inside its epoch, so that another one goes on from there with the same numbers.

The order of the data depends on (seed, epoch) alone, so the place in it is the number of batches taken. The losses that
nobody has looked at yet are kept one by one: their sum is rounded once, when it is looked at.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..arrays.libraries import dtype_name, on_host, place_of
from ..errors import CheckpointError
from ..graph.inputs import first_parameter
from .run import Run


def progress_of(run: Run) -> dict[str, Any]:
    """What a ``Run`` has counted in this epoch, for ``state_of(trainer, more=...)``; the run goes on as it was.

    Waits, on the device, for captured steps, and reads the losses that are still there.
    """
    run.settle()
    losses = [loss for loss, _ in run.pending]
    if losses and not run.host:
        losses = run._from_device(losses)
    return {
        "iteration": run.iteration,
        "epoch_total": float(run.epoch_total),
        "epoch_samples": int(run.epoch_samples),
        "epoch_seconds": time.perf_counter() - run.epoch_start,
        "losses": np.array(losses, np.float64),
        "rows": np.array([rows for _, rows in run.pending], np.int64),
    }


def resume(run: Run, progress: Mapping[str, Any]) -> int:
    """Let a new ``Run`` of the same fit count on; the batch of this epoch with which to begin.

    Raises CheckpointError, and changes nothing, where the fit has fewer batches in an epoch.
    """
    iteration, losses, rows = progress["iteration"], progress["losses"].tolist(), progress["rows"].tolist()
    if len(losses) != len(rows) or not len(rows) <= iteration <= run.iterations:
        raise CheckpointError(
            f"Restoring: the checkpoint stands at batch {iteration} of an epoch, in which this fit makes "
            f"{run.iterations}; nothing was changed. Give the data and the batch size that the run began with."
        )
    W = first_parameter(run.trainer.model)
    if W is not None and not on_host(W):  # there a loss is an array until it is looked at
        run.host = False
        losses = [place_of(W).asarray(loss, dtype_name(W)) for loss in losses]
    run.iteration, run.pending = iteration, list(zip(losses, rows, strict=True))
    run.epoch_total, run.epoch_samples = progress["epoch_total"], progress["epoch_samples"]
    run.epoch_start = time.perf_counter() - progress["epoch_seconds"]
    return iteration
