"""How far two runs may part, and how an error is measured against what is allowed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

# 784-100-10 from the same bits, max|a - b| / max|a| of each parameter, after so many steps.
TRAJECTORY = {
    "float64": {1: 1e-13, 100: 1e-10, 1000: 1e-8},
    "float32": {1: 1e-5, 100: 1e-4, 1000: 1e-3},
}
# Adaptive steps are nearly the sign of a gradient: where it is nearly 0, a rounding turns a step around.
ADAPTIVE = {"float64": 1e-12, "float32": 1e-3}
ADAPTIVE_RULES = ("Adam", "AdaGrad", "RMSprop")
ACCURACY = 0.003  # that of two adaptive runs may differ by so much at the end
# Another network may carry roundings further than 784-100-10 does. How far is measured beside it: by a second oracle
# whose weights are disturbed by one rounding at each step. A run may be so many times as far from the first one.
ROUNDINGS = 32


def trajectory_bar(adaptive: bool, dtype: str, step: int) -> float:
    """What the weights may be off after ``step`` steps, where roundings alone do not carry them further."""
    if adaptive:
        return ADAPTIVE[dtype]
    bars = TRAJECTORY[dtype]
    return next((bar for steps, bar in bars.items() if step <= steps), max(bars.values()))


FLOOR = 1024  # smallest normal numbers: below them no library keeps a relative error, and some have no numbers at all


def gap(a: np.ndarray, b: np.ndarray) -> float:
    """max|a - b| / max|b|, the measure of a trajectory; ∞ where one is not finite and the other is."""
    if a.shape != b.shape:
        return math.inf
    if a.size == 0:
        return 0.0
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        far = float(np.max(np.abs(a.astype(np.float64) - b))) / max(float(np.max(np.abs(b))), 1e-300)
    return far if math.isfinite(far) else math.inf


def strain(found: np.ndarray, truth: np.ndarray, allowed: np.ndarray, dtype: str) -> float:
    """The largest |found - truth| / allowed: more than 1 is out of tolerance, ∞ for another shape or dtype, or NaN."""
    if found.shape != truth.shape or found.dtype.name != dtype:
        return math.inf
    if found.size == 0:
        return 0.0
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        error = np.abs(found.astype(np.longdouble) - truth)
        room = allowed + FLOOR * float(np.finfo(dtype).smallest_normal)
        worst = float(np.max(np.where(error == 0, 0, error / room)))
    return worst if math.isfinite(worst) else math.inf


def errors(found: Any, truth: np.ndarray) -> tuple[float, float]:
    """(largest absolute error, the same over the largest true value), for the record."""
    if found.shape != truth.shape:
        return math.inf, math.inf
    if found.size == 0:
        return 0.0, 0.0
    with np.errstate(invalid="ignore", over="ignore"):
        far = float(np.max(np.abs(found.astype(np.float64) - truth)))
    return far, far / max(float(np.max(np.abs(truth))), 1e-300)
