"""The two kernels around a training step: ``gather`` makes its batch, ``replay`` may capture the whole step."""

from __future__ import annotations

from typing import Any

from ..arrays.kernels import kernel
from ..arrays.libraries import Array, home
from ..errors import CaptureError


@kernel
def gather(xp: Any, x: Array, t: Array, rows: Array) -> tuple[Array, Array]:
    """Copy the rows of x and t with the numbers ``rows`` (int64, each 0..N-1), in this order: two new arrays."""
    return xp.take(x, rows, axis=0), xp.take(t, rows, axis=0)


@kernel
def replay(xp: Any, x: Array, steps: Any, graph: Any) -> Any:
    """Steps that do the same in fewer calls: CuPy's body captures and replays them; this body returns ``steps``.

    ``x``: any array of the library. ``graph``: True raises CaptureError if steps cannot be captured, "auto" does not.
    """
    if graph is True:
        raise CaptureError(
            f"Trainer.fit: graph=True, but steps on {home(x)} cannot be captured, only those on a CUDA GPU with fast "
            'bodies on; leave graph="auto".'
        )
    return steps
