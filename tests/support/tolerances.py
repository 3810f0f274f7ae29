"""How far a result of a kernel may lie from the truth.

A tolerance belongs to a kernel, to a dtype (through u, half the distance from 1 to the next number) and to K, the
number of terms of its sums. It is never multiplied by the size of the array.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
