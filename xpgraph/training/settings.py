"""The settings of a fit that must be the same when a run resumes: batches, clipping, seed, data."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..arrays.libraries import Array, to_numpy

_WORDS = {
    "batch_size": "batches of {} rows", "drop_last": "drop_last={}", "max_grad": "max_grad={}", "rows": "{} rows",
    "seed": "seed {}", "data": "data of sha256 {:.12}",
}  # fmt: skip


def settings_of(
    x: Array, t: Array, batch_size: int, drop_last: bool, max_grad: float | None, seed: int
) -> dict[str, Any]:
    """The settings as plain data, for a checkpoint."""
    return {
        "batch_size": batch_size,
        "drop_last": bool(drop_last),
        "max_grad": None if max_grad is None else float(max_grad),
        "rows": int(x.shape[0]),
        "data": fingerprint(x, t),
        "seed": int(seed),
    }


def changed_setting(then: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, str] | None:
    """The first setting that differs, in words: (as it was, as it is now)."""
    for name, words in _WORDS.items():
        if then.get(name) != now[name]:
            return words.format(then.get(name)), words.format(now[name])
    return None


def fingerprint(*arrays: Array) -> str:
    """The sha256 of the shapes, dtypes and values of arrays; the same on every array library."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{tuple(array.shape)}".encode())
        rows = max(1, (1 << 22) // max(1, 8 * math.prod(array.shape[1:])))
        for i in range(0, array.shape[0], rows):  # piece by piece: the data may be a file or on a device
            piece = to_numpy(array[i : min(i + rows, array.shape[0]), ...])
            if i == 0:
                digest.update(piece.dtype.str.encode())
            digest.update(np.ascontiguousarray(piece).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
