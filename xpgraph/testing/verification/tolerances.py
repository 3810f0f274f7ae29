"""How far two trainings may part, and how an error is measured against what is allowed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

# 784-100-10 from the same bits: max|a - b| / max|a| of each parameter, after so many steps.
TRAJECTORY = {
    "float64": {1: 1e-13, 100: 1e-10, 1000: 1e-8},
    "float32": {1: 1e-5, 100: 1e-4, 1000: 1e-3},
}
# An adaptive step is nearly the sign of a gradient: where the gradient is nearly 0, a rounding turns the step around.
ADAPTIVE = {"float64": 1e-12, "float32": 1e-3}
ADAPTIVE_RULES = ("Adam", "AdaGrad", "RMSprop")
ACCURACY = 0.003  # the accuracies of two adaptive trainings may differ by so much at the end
# Another network may amplify roundings more than 784-100-10 does. How much is measured: a second oracle is trained with
# weights perturbed by one rounding at each step. A run may be so many times as far from the oracle as that one.
ROUNDINGS = 32
SMALL = 1024  # smallest normal numbers: below, no library keeps a relative error, and some flush to 0


def trajectory_tolerance(adaptive: bool, dtype: str, step: int) -> float:
    """The distance that weights may have after ``step`` steps, in a network like 784-100-10."""
    if adaptive:
        return ADAPTIVE[dtype]
    allowed = TRAJECTORY[dtype]
    return next((far for steps, far in allowed.items() if step <= steps), max(allowed.values()))


def error_ratio(found: np.ndarray, truth: np.ndarray, allowed: np.ndarray, dtype: str) -> float:
    """The largest |found - truth| / allowed: above 1 is out of tolerance; ∞ for another shape or dtype, or NaN."""
    if found.shape != truth.shape or found.dtype.name != dtype:
        return math.inf
    if found.size == 0:
        return 0.0
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        error = np.abs(found.astype(np.longdouble) - truth)
        allowed = allowed + SMALL * float(np.finfo(dtype).smallest_normal)
        worst = float(np.max(np.where(error == 0, 0, error / allowed)))
    return worst if math.isfinite(worst) else math.inf


def errors(found: Any, truth: np.ndarray) -> tuple[float, float]:
    """(largest absolute error, the same over the largest true value); ∞ for another shape."""
    if found.shape != truth.shape:
        return math.inf, math.inf
    if found.size == 0:
        return 0.0, 0.0
    with np.errstate(invalid="ignore", over="ignore"):
        far = float(np.max(np.abs(found.astype(np.float64) - truth)))
    return far, far / max(float(np.max(np.abs(truth))), 1e-300)


def distance(found: list[np.ndarray], truth: list[np.ndarray]) -> float:
    """The largest relative error of any parameter, the measure of a trajectory; ∞ where a number is not finite."""
    far = [errors(a, b)[1] for a, b in zip(found, truth, strict=True)]
    return max((d if math.isfinite(d) else math.inf for d in far), default=0.0)
