"""How a GPU computes float32 matrix products: in full, or with the faster TF32 units."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

KINDS = ("fp32", "tf32")
_kind = ContextVar("precision", default="fp32")


@contextmanager
def precision(kind: str) -> Iterator[None]:
    """``with precision("tf32"):`` float32 products of CuPy arrays keep 10 bits of each factor; sums stay float32.

    ``"fp32"``, the default, keeps all 23. Does not affect NumPy, float64, or anything but matrix products.
    Raises ValueError for another kind.
    """
    if kind not in KINDS:
        raise ValueError(f"precision: {kind!r} is unknown; give {' or '.join(map(repr, KINDS))}.")
    token = _kind.set(kind)
    try:
        yield
    finally:
        _kind.reset(token)


def current_precision() -> str:
    """The kind in force here: ``"fp32"`` or ``"tf32"``."""
    return _kind.get()
