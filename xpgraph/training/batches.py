"""The batches of an epoch: the order of the rows, and the rows of each batch."""

from __future__ import annotations

import math

import numpy as np

from ..arrays import random_numbers
from ..arrays.libraries import Array, library_of, on_host, place_of
from ..graph.inputs import import_data
from .replay import gather

GATHERED = 1 << 21  # bytes of rows that one call gathers on the host: fewer calls, and they still fit in the cache


class Batches:
    """The rows x (N, ...) and labels t (N, ...) in batches of ``size``, where the parameter ``W`` lives.

    ``permutation``: the order of the rows in this epoch, int64 (N,) on the host. ``resident``: do x and t lie where W
    does? If not, each batch is moved by itself. ``like``: an array of the place where steps run, ``home``.
    """

    permutation: np.ndarray

    def __init__(self, x: Array, t: Array, size: int, W: Array | None = None) -> None:
        self.x, self.t, self.size, self.W = x, t, size, W
        self.resident = W is None or library_of(x) is library_of(W)
        self.like = x if W is None else W
        self.home = place_of(self.like)
        row = math.prod(x.shape[1:]) * getattr(x.dtype, "itemsize", 8)
        self.at_once = max(1, GATHERED // max(1, row * size)) if on_host(x) else 1  # batches that one call gathers

    def begin_epoch(self, seed: int, epoch: int) -> None:
        """Draw the order of the rows, which depends on (seed, epoch) only."""
        self.permutation = random_numbers.permutation(self.x.shape[0], seed, "order", epoch)
        self.order: Array = None  # the permutation where x lies, made by the first ``take``
        self.gathered: tuple[Array, Array] = (None, None)  # rows of x and t of some batches in a row
        self.gathered_from = -self.at_once  # the number of the first of these batches

    def rows(self, i: int) -> int:
        """How many rows batch i has; the last may be short."""
        return min(self.size, self.x.shape[0] - i * self.size)

    def take(self, i: int) -> tuple[Array, Array]:
        """The rows x and t of batch i; on the host, slices of rows that were gathered for several batches."""
        if self.order is None:
            self.order = place_of(self.x).asarray(self.permutation)
        n = self.size
        if not self.gathered_from <= i < self.gathered_from + self.at_once:
            self.gathered, self.gathered_from = (None, None), i  # freed before new memory is taken
            self.gathered = gather(self.x, self.t, self.order[i * n : min((i + self.at_once) * n, self.x.shape[0])])
        start, (x, t) = (i - self.gathered_from) * n, self.gathered
        stop = start + self.rows(i)
        x, t = x[start:stop, ...], t[start:stop, ...]
        if self.resident:
            return x, t
        return import_data(x, "x", "Trainer.fit", self.W), import_data(t, "t", "Trainer.fit", self.W)
