"""Floor 3: the two kernels around a training step: the rows of a batch, and a step that is made once and replayed."""

from __future__ import annotations

from typing import Any

from ..arrays.kernels import kernel
from ..arrays.libraries import Array, home
from ..errors import CaptureError


@kernel
def gather(xp: Any, x: Array, t: Array, rows: Array) -> tuple[Array, Array]:
    """The rows of x and of t that ``rows`` (int64, each 0..N-1) names, in that order: two new arrays."""
    return xp.take(x, rows, axis=0), xp.take(t, rows, axis=0)


@kernel
def replay(xp: Any, x: Array, steps: Any, graph: Any) -> Any:
    """Steps that do the same in fewer calls; here the steps themselves. CuPy's body replays them as a CUDA graph.

    ``graph``: True raises CaptureError where steps cannot be captured, "auto" goes on without, False does not try.
    """
    if graph is True:
        raise CaptureError(
            f"Trainer.fit: graph=True, but steps on {home(x)} cannot be captured, only those on a CUDA GPU with fast "
            'bodies on; leave graph="auto".'
        )
    return steps
