"""Ready-made models: ``mlp``, the multi-layer perceptron, and how its weights are drawn."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from numbers import Integral

from ..arrays import random_numbers as random
from ..arrays.libraries import Place, place
from ..nodes.layers import Affine, ReLU, Sigmoid, Tanh
from ..nodes.losses import SoftmaxWithLoss
from ..nodes.node import Node
from .chain import Chain

ACTIVATIONS: dict[str, Callable[[], Node]] = {"sigmoid": Sigmoid, "relu": ReLU, "tanh": Tanh}
INITIALISERS: dict[str, Callable[[int, int], float]] = {
    # name: standard deviation from (inputs, outputs)
    "he": lambda n_in, n_out: math.sqrt(2 / n_in),  # He et al. 2015, arXiv:1502.01852, eq. 10
    "xavier": lambda n_in, n_out: math.sqrt(2 / (n_in + n_out)),  # Glorot & Bengio 2010, eq. 12 (forward and backward)
}


def mlp(
    sizes: Sequence[int],
    activation: str = "sigmoid",
    *,
    init: str | float | None = None,
    seed: int = 0,
    dtype: str = "float32",
    backend: str | Place = "numpy",
) -> Chain:
    """A multi-layer perceptron: Affine layers with an activation between them, and SoftmaxWithLoss.

    ``sizes``: inputs, hidden units, classes, such as [784, 500, 10]. ``init``: ``"he"`` (default for relu),
    ``"xavier"`` (default otherwise), or a standard deviation, ``"std=0.01"`` or 0.01; biases start at 0. The weights
    depend on ``seed`` alone: the same bits on every backend. ``dtype``: ``"float32"`` or ``"float64"``.
    """
    if len(sizes) < 2 or any(isinstance(n, bool) or not isinstance(n, Integral) or n < 1 for n in sizes):
        raise ValueError(f"mlp: sizes is {list(sizes)}; give at least inputs and classes, whole numbers from 1 up.")
    if activation not in ACTIVATIONS:
        raise ValueError(f"mlp: activation is {activation!r}; give one of {', '.join(ACTIVATIONS)}.")
    if dtype not in ("float32", "float64"):
        raise ValueError(f"mlp: dtype is {dtype!r}; give 'float32' or 'float64'.")
    sizes = [int(n) for n in sizes]
    where = backend if isinstance(backend, Place) else place(backend)
    deviation = _deviation(init if init is not None else "he" if activation == "relu" else "xavier")
    nodes: list[Node] = []
    for i, (n_in, n_out) in enumerate(itertools.pairwise(sizes)):
        W = random.normal((n_in, n_out), seed, "init", i) * deviation(n_in, n_out)
        nodes.append(Affine(where.asarray(W.astype(dtype)), where.asarray([0.0] * n_out, dtype)))
        nodes.append(ACTIVATIONS[activation]())
    return Chain(*nodes[:-1], loss=SoftmaxWithLoss())


def _deviation(init: str | float) -> Callable[[int, int], float]:
    """The function (inputs, outputs) -> standard deviation that ``init`` names; ValueError for an unknown name."""
    if isinstance(init, str) and init in INITIALISERS:
        return INITIALISERS[init]
    try:
        std = float(init.removeprefix("std=") if isinstance(init, str) else init)
    except ValueError:
        std = math.nan
    if not 0 <= std < math.inf:
        raise ValueError(f"mlp: init is {init!r}; give {', '.join(INITIALISERS)}, or a standard deviation: 'std=0.01'.")
    return lambda n_in, n_out: std
