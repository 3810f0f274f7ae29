"""The arguments that each kernel is timed with: shapes of a 784-512-512-10 perceptron with batches of 128 rows.

This file imports nothing of xpgraph, because ``compare`` gives the same arguments to two versions of it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

N, D, H, CLASSES = 128, 784, 512, 10
SIZES = (D, H, H, CLASSES)
STEPS = {  # name: (sizes, rows in a batch, optimizer, its arguments)
    "book 784-50-10 SGD": ((784, 50, 10), 100, "SGD", {"lr": 0.1}),
    "mlp 784-512-512-10 Adam": (SIZES, N, "Adam", {}),
}
LAYOUTS = ("plain", "a.T", "b.T")
UNTIMED = {"replay": "only passes steps on; Trainer.fit is timed instead"}

Random = np.random.Generator


def _normal(random: Random, *shape: int) -> np.ndarray:
    return random.standard_normal(shape, dtype=np.float32)


def parameters(random: Random) -> list[np.ndarray]:
    """Arrays shaped like the parameters of the perceptron: 668,000 elements."""
    return [_normal(random, *shape) for a, b in itertools.pairwise(SIZES) for shape in ((a, b), (b,))]


def _squares(random: Random) -> list[np.ndarray]:
    return [np.abs(p) for p in parameters(random)]


def _each(*shapes: tuple[int, ...]) -> Callable[[Random], tuple]:
    return lambda random: tuple(_normal(random, *shape) for shape in shapes)


def _labels(random: Random) -> np.ndarray:
    return random.integers(0, CLASSES, N)


def _probabilities(random: Random) -> np.ndarray:
    e = np.exp(_normal(random, N, CLASSES))
    return e / np.sum(e, axis=1, keepdims=True)


# Random arguments for each kernel. Those that it updates in place stay finite however often it is called.
SAMPLES: dict[str, Callable[[Random], tuple]] = {
    "add": _each((N, H), (N, H)),
    "accumulate": _each((N, H), (N, H)),
    "multiply": _each((N, H), (N, H)),
    "subtract": _each((N, H), (N, H)),
    "negative": _each((N, H)),
    "divide": _each((N, H), (N, H)),
    "divide_grad": _each((N, H), (N, H), (N, H)),
    "exp": _each((N, H)),
    "exp_grad": _each((N, H), (N, H)),
    "log": lambda random: (np.abs(_normal(random, N, H)),),
    "power": lambda random: (_normal(random, N, H), 2),
    "power_grad": lambda random: (_normal(random, N, H), _normal(random, N, H), 2),
    "max_over": lambda random: (_normal(random, N, H), (1,), True),
    "max_grad": lambda random: (_normal(random, N, 1), _normal(random, N, H), (1,)),
    "mean_over": lambda random: (_normal(random, N, H), (0,), True),
    "permute": lambda random: (_normal(random, N, H), (1, 0)),
    "reshape": lambda random: (_normal(random, N, H), (H, N)),
    "concat": lambda random: ([_normal(random, N, H), _normal(random, N, H)], 1),
    "split_at": lambda random: (_normal(random, N, H), (H // 2, H // 2), 1),
    "sum_to": lambda random: (_normal(random, N, H), (H,)),
    "repeat": lambda random: (_normal(random, N, H), 2, 0),
    "repeat_grad": lambda random: (_normal(random, 2 * N, H), 2, 0),
    "sum_over": lambda random: (_normal(random, N, H), (0,), True),
    "spread": lambda random: (_normal(random, 1, H), (N, H)),
    "matmul": _each((N, D), (D, H), (N, H)),
    "affine": _each((N, D), (D, H), (H,)),
    "affine_grad": _each((N, D), (N, H), (D, H), (H,)),
    "sigmoid": _each((N, H)),
    "sigmoid_grad": _each((N, H), (N, H)),
    "relu": _each((N, H)),
    "relu_grad": _each((N, H), (N, H)),
    "tanh": _each((N, H)),
    "tanh_grad": _each((N, H), (N, H)),
    "stable_softmax": _each((N, CLASSES)),
    "softmax_grad": lambda random: (_normal(random, N, CLASSES), _probabilities(random)),
    "softmax_cross_entropy": lambda random: (_normal(random, N, CLASSES), _labels(random)),
    "softmax_cross_entropy_grad": lambda random: (_probabilities(random), _labels(random), 1.0),
    "cross_entropy": lambda random: (_probabilities(random), _labels(random), None),
    "sgd": lambda random: (parameters(random), parameters(random), 0.01),
    "momentum": lambda random: (parameters(random), parameters(random), parameters(random), 0.01, 0.9),
    "adagrad": lambda random: (parameters(random), parameters(random), _squares(random), 0.01, 1e-7),
    "rmsprop": lambda random: (parameters(random), parameters(random), _squares(random), 0.01, 0.99, 1e-7),
    "adam": lambda random: (*(parameters(random) for _ in range(3)), _squares(random), 0.001, 0.9, 0.999, 1e-8),
    "global_norm": lambda random: (parameters(random),),
    "clip_rate": lambda random: (parameters(random), 1.0),
    "gather": lambda random: (
        _normal(random, 20 * N, D), random.integers(0, CLASSES, 20 * N), random.permutation(20 * N)[:N],
    ),
    "scale": lambda random: (parameters(random), np.asarray(1.0, np.float32)),
}  # fmt: skip


def square_matrices(n: int, dtype: str, layout: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """a, b and c, (n, n) each, for C = A B; one of a, b is the transpose of a matrix unless layout is "plain"."""
    random = np.random.default_rng(0)
    a, b, c = (random.standard_normal((n, n)).astype(dtype) for _ in range(3))
    return a.T if layout == "a.T" else a, b.T if layout == "b.T" else b, c


def every_array(convert: Callable[[np.ndarray], Any], args: Any) -> Any:
    """``args`` with each array, those in lists too, converted."""
    if isinstance(args, np.ndarray):
        return convert(args)
    if isinstance(args, list | tuple):
        return type(args)(every_array(convert, a) for a in args)
    return args
