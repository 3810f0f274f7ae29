"""Layouts of arrays in memory, and bars: how far a kernel's result may be from the truth.

A bar depends on the kernel, on the dtype (by u, half the distance from 1 to the next number) and on the length K of
the sum, not on the size of the array.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from xpgraph.testing.formulas.formula import spacings, unit

LAYOUTS = ("C", "fortran", "transposed", "strided", "reversed", "broadcast", "empty", "one_row")
VIEWS = LAYOUTS[:-2]  # the same shape, in another order in memory


def lay(lib, a, layout="C", writable=False):
    """The NumPy array ``a`` in a library and a layout; "broadcast" repeats the first slice, and so changes values."""
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

# What docs/accuracy.md promises, for every kernel that it names.
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
