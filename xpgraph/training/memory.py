"""What a fit says when memory runs out: what was needed, what is free, what to try."""

from __future__ import annotations

import math
import re
from typing import Any

from ..arrays.libraries import Place, home
from ..errors import OutOfMemoryError


def out_of_memory(error: MemoryError, model: Any, where: Place, size: int) -> OutOfMemoryError:
    """The error for a MemoryError in steps of ``size`` rows."""
    needed, free = _needed(str(error)), where.free()
    have = "" if free is None else f", {_words(free)} free"
    half = 2 ** max(0, math.ceil(math.log2(size)) - 1)
    advice = f"try batch_size={half}" if size > 1 else "take a smaller model: the batch is one row already"
    return OutOfMemoryError(
        f"Trainer.fit: out of memory on {home(next(iter(model.params)))} with batches of {size} rows: "
        f"{needed} more needed{have}; {advice}."
    )


def _needed(words: str) -> str:
    """The bytes that a MemoryError names, in words."""
    found = re.search(r"llocat\w+ ([\d.,]+) ?(bytes|[KMGT]iB|B)", words)
    if found is None:
        return "memory"
    number, unit = found[1].replace(",", ""), found[2]
    return _words(int(number)) if unit == "bytes" else f"{number} {unit}"


def _words(size: int) -> str:
    """A number of bytes for people."""
    return f"{size / 2**30:.2f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"
