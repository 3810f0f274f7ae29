"""The batches of an epoch: the order of the rows, and the rows of one batch."""

from __future__ import annotations

import math

import numpy as np

from ..arrays import random_numbers
from ..arrays.libraries import Array, library_of, on_host, place_of
from ..graph.inputs import import_data
from .replay import gather

STAGED = 1 << 21  # bytes of rows gathered at once on the host: fewer calls, and no longer all in the cache of one core


class Batches:
    """The rows x (N, ...) and labels t (N, ...) in batches of ``size``, where the parameter ``W`` lives.

    ``permutation``: the order of the rows in this epoch, int64 (N,) on the host. ``resident``: do x and t lie where W
    does? Else each batch is moved by itself. ``like``: an array that lies where steps are made.
    """

    permutation: np.ndarray

    def __init__(self, x: Array, t: Array, size: int, W: Array | None = None) -> None:
        self.x, self.t, self.size, self.W = x, t, size, W
        self.resident = W is None or library_of(x) is library_of(W)
        self.like = x if W is None else W
        self.home = place_of(self.like)
        row = math.prod(x.shape[1:]) * getattr(x.dtype, "itemsize", 8)
        self.ahead = max(1, STAGED // max(1, row * size)) if on_host(x) else 1  # batches gathered at once

    def begin_epoch(self, seed: int, epoch: int) -> None:
        """Draw the order of the rows; it depends on (seed, epoch) alone."""
        self.permutation = random_numbers.permutation(self.x.shape[0], seed, "order", epoch)
        self.order: Array = None  # the same beside x, once it is asked for
        self.staged: tuple[Array, Array] = (None, None)  # gathered rows
        self.first = -self.ahead  # the first of their batches

    def rows(self, i: int) -> int:
        """How many rows batch i has: the last may be short."""
        return min(self.size, self.x.shape[0] - i * self.size)

    def take(self, i: int) -> tuple[Array, Array]:
        """The rows of batch i; on the host, slices of those of several batches."""
        if self.order is None:
            self.order = place_of(self.x).asarray(self.permutation)
        n = self.size
        if not self.first <= i < self.first + self.ahead:
            self.staged, self.first = (None, None), i  # let go of before there are new ones
            self.staged = gather(self.x, self.t, self.order[i * n : min((i + self.ahead) * n, self.x.shape[0])])
        start, (x, t) = (i - self.first) * n, self.staged
        stop = start + self.rows(i)
        x, t = x[start:stop, ...], t[start:stop, ...]
        if self.resident:
            return x, t
        return import_data(x, "x", "Trainer.fit", self.W), import_data(t, "t", "Trainer.fit", self.W)
