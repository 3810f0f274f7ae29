"""How an array may lie in memory, and how far a result may lie from the truth.

A bar belongs to a kernel, a dtype (through u, half the distance from 1 to the next number) and an accumulation
length K; the size of the array does not enter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from xpgraph.testing.formulas.formula import spacings, unit

LAYOUTS = ("C", "fortran", "transposed", "strided", "reversed", "broadcast", "empty", "one_row")
VIEWS = LAYOUTS[:-2]  # those that are the same shape seen in another order


def lay(lib, a, layout="C", writable=False):
    """The host array ``a`` in a library, in a layout; "broadcast" repeats its first slice, and so changes values."""
    a, xp, axes = np.asarray(a), lib.xp, tuple(range(np.ndim(a)))
    if a.ndim == 0 or (layout == "broadcast" and (writable or a.shape[0] == 0)):
        layout = "C"
    if layout == "fortran":
        new = xp.permute_dims(lib.param(np.array(a.T, order="C")), axes[::-1])
    elif layout == "transposed" and a.ndim > 1:
        new = xp.matrix_transpose(lib.param(np.array(a.swapaxes(-1, -2), order="C")))
    elif layout == "strided":
        gaps = np.full_like(a, 99)  # a body that forgets the strides reads these
        new = lib.param(np.stack([a, gaps], axis=-1).reshape(*a.shape[:-1], 2 * a.shape[-1]))[..., ::2]
    elif layout == "reversed":  # negative strides; in torch, which has none, flip copies
        new = xp.flip(lib.param(a[..., ::-1]), axis=-1)
    elif layout == "broadcast":
        new = xp.broadcast_to(lib.param(a[:1]), a.shape)
    else:
        new = lib.param(np.array(a, order="C"))
    if lib.name == "numpy:readonly":
        new.flags.writeable = writable
    return new


@dataclass(frozen=True)
class Bar:
    """|error| <= n spacings of the truth ("ulp"), n u · scale ("terms") or n (K + 4) u · scale ("sum")."""

    kind: str
    n: float

    def allowed(self, truth, dtype: str, scale: Any, K: int) -> Any:
        if self.kind == "ulp":
            return spacings(self.n, truth, dtype)
        return self.n * unit(dtype) * (K + 4 if self.kind == "sum" else 1) * scale


ROUNDED, EXACT = Bar("ulp", 0.5), Bar("ulp", 0)

# docs/accuracy.md: what is promised, for every kernel that it names.
PROMISED: dict[str, tuple[Bar, ...]] = {
    "add": (ROUNDED,),
    "multiply": (ROUNDED,),
    "subtract": (ROUNDED,),
    "divide": (ROUNDED,),
    "sigmoid": (Bar("ulp", 4),),
    "sigmoid_grad": (Bar("ulp", 8),),
    "stable_softmax": (Bar("terms", 8),),  # an absolute error of log-softmax is a relative one of softmax
    "softmax_cross_entropy": (Bar("terms", 8),) * 3,
    **dict.fromkeys(("matmul", "affine", "sum_over", "sum_to", "repeat_grad", "mean_over"), (Bar("sum", 2),)),
    "affine_grad": (Bar("sum", 2),) * 2,
}
