"""What a row of samples.py is: arguments of a kernel, how far its results may lie from the truth; shared arrays.

A tolerance belongs to a kernel, to a dtype (through u, half the distance from 1 to the next number) and to K, the
number of terms of its sums. It is never multiplied by the size of the array.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from xpgraph.testing.formulas.formula import spacings, unit


@dataclass(frozen=True)
class Tolerance:
    """|error| <= n ulp of the truth ("ulp"), n u · scale ("terms"), or n (K + 4) u · scale ("sum").

    ``scale`` is the sum of the absolute values of the terms that a result is made of.
    """

    kind: str
    n: float

    def allowed(self, truth, dtype: str, scale: Any, K: int) -> Any:
        if self.kind == "ulp":
            return spacings(self.n, truth, dtype)
        return self.n * unit(dtype) * (K + 4 if self.kind == "sum" else 1) * scale


ROUNDED, EXACT = Tolerance("ulp", 0.5), Tolerance("ulp", 0)

# What docs/accuracy.md promises, for every kernel that it names.
PROMISED: dict[str, tuple[Tolerance, ...]] = {
    "add": (ROUNDED,),
    "multiply": (ROUNDED,),
    "subtract": (ROUNDED,),
    "divide": (ROUNDED,),
    "sigmoid": (Tolerance("ulp", 4),),
    "sigmoid_grad": (Tolerance("ulp", 8),),
    "stable_softmax": (Tolerance("terms", 8),),  # an absolute error of log-softmax is a relative one of softmax
    "softmax_cross_entropy": (Tolerance("terms", 8),) * 3,
    **dict.fromkeys(("matmul", "affine", "sum_over", "sum_to", "repeat_grad", "mean_over"), (Tolerance("sum", 2),)),
    "affine_grad": (Tolerance("sum", 2),) * 2,
}


@dataclass(frozen=True)
class Sample:
    """Arguments of one kernel, and the tolerance of each of its outputs.

    ``cases(rng, n)`` yields tuples of arguments on the host, with n rows. From the same arguments in float64, ``scale``
    gives Σ|terms| of each output, ``length`` the number of terms K of its sums.
    """

    cases: Callable[[np.random.Generator, int], Iterator[tuple]]
    tolerances: tuple[Tolerance, ...]
    scale: Callable[..., tuple] | None = None
    length: Callable[..., int] = field(default=lambda *a: 0)
    updates: tuple[int, ...] = ()  # the arguments that the kernel updates in place: then they are its outputs
    no_empty: str = ""  # why it takes no empty arrays
    reason: str = ""  # why this tolerance, where docs/accuracy.md names none or a tighter one


def shapes(n: int) -> list[tuple[int, ...]]:
    """Shapes of several ranks with n rows each."""
    return [(n, 5), (2, n, 3), (n,), (3, 1, n, 2)] + [()] * (n == 1)


def elementwise(spread: float, arity: int = 1, gradient: bool = False):
    """Cases of ``arity`` arrays, uniform on ±spread with its ends and 0; before them a normal dy if ``gradient``."""

    def cases(rng, n):
        for shape in shapes(n):
            xs = [rng.uniform(-spread, spread, shape) for _ in range(arity)]
            for x in xs:
                np.put(x, [0, x.size // 2, -1], [spread, 0.0, -spread]) if x.size > 2 else None
            yield (rng.standard_normal(shape), *xs) if gradient else tuple(xs)

    return cases


def pairs(rng, n):
    """Two arrays that broadcast."""
    for a, b in [((n, 5), (n, 5)), ((n, 5), (5,)), ((n, 1), (1, 4)), ((), (2, n, 3)), ((n,), ())]:
        yield rng.standard_normal(a), rng.standard_normal(b)
