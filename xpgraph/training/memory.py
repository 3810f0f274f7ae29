"""The error for a fit that runs out of memory: what it needed, what is free, what to try."""

from __future__ import annotations

import math
import re
from typing import Any

from ..arrays.libraries import Place, home
from ..errors import OutOfMemoryError


def out_of_memory(error: MemoryError, model: Any, where: Place, size: int) -> OutOfMemoryError:
    """The OutOfMemoryError for a MemoryError in a step with batches of ``size`` rows at ``where``."""
    needed, free = _needed(str(error)), where.free()
    have = "" if free is None else f", {_readable(free)} free"
    half = 2 ** max(0, math.ceil(math.log2(size)) - 1)
    advice = f"try batch_size={half}" if size > 1 else "take a smaller model: the batch is one row already"
    return OutOfMemoryError(
        f"Trainer.fit: out of memory on {home(next(iter(model.params)))} with batches of {size} rows: "
        f"{needed} more needed{have}; {advice}."
    )


def _needed(message: str) -> str:
    """The size that the message of a MemoryError names; "memory" if it names none."""
    match = re.search(r"llocat\w+ ([\d.,]+) ?(bytes|[KMGT]iB|B)", message)
    if match is None:
        return "memory"
    number, unit = match[1].replace(",", ""), match[2]
    return _readable(int(number)) if unit == "bytes" else f"{number} {unit}"


def _readable(size: int) -> str:
    """A number of bytes in MiB or GiB."""
    return f"{size / 2**30:.2f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"
