"""What a row of samples.py is, and the arrays that several rows use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from bars import Bar


@dataclass(frozen=True)
class Sample:
    """``scale`` gives Σ|terms| of each output from the float64 arguments; ``length`` the K of its sums."""

    cases: Callable[[np.random.Generator, int], Iterator[tuple]]
    bars: tuple[Bar, ...]
    scale: Callable[..., tuple] | None = None
    length: Callable[..., int] = field(default=lambda *a: 0)
    updates: tuple[int, ...] = ()  # arguments that the kernel changes in place: these are its outputs
    no_empty: str = ""  # why the kernel takes no empty arrays
    reason: str = ""  # why this bar, if docs/accuracy.md has none or a tighter one


def shapes(n: int) -> list[tuple[int, ...]]:
    """Shapes of several ranks, n rows in each."""
    return [(n, 5), (2, n, 3), (n,), (3, 1, n, 2)] + [()] * (n == 1)


def elementwise(spread: float, arity: int = 1, gradient: bool = False):
    """Arrays of several ranks: x uniform on ±spread with its ends and 0, a gradient dy standard normal."""

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
