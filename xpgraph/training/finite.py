"""Numbers that stopped being finite: where that is found, and the error that says at which step and in what."""

from __future__ import annotations

import math
from typing import Any, NoReturn

from ..arrays.libraries import Array, namespace_of, to_numpy
from ..errors import NonFiniteError


def check_parameters(model: Any, steps: int) -> None:
    """A finite loss can have a gradient that is not: its update shows in the parameters, once an epoch at the latest.

    Raises NonFiniteError with ``steps``, the updates made so far.
    """
    for name, p, _ in _named(model):
        if not _finite(p):
            raise NonFiniteError(
                f"Trainer.fit: after step {steps} the parameter {name} is not finite, though the loss "
                "was; look for NaN or infinity in the data, use a smaller lr, or clip gradients with max_grad=1.0.",
                steps,
            )


def refuse_step(model: Any, step: int, loss: float, norm: Any) -> NoReturn:
    """NonFiniteError before update ``step``, whose loss or gradient norm is not finite."""
    bad = next((name for name, _, g in _named(model) if not _finite(g)), None)
    what = (
        f"loss is {loss}" if not math.isfinite(loss) else f"loss is {loss:.4g} but the gradient norm is {float(norm)}"
    )
    where = "all gradients are finite" if bad is None else f"the first gradient that is not finite is that of {bad}"
    raise NonFiniteError(
        f"Trainer.fit: at step {step} the {what}; {where}. The parameters are those of step {step - 1}; "
        "look for NaN in the data, use a smaller lr, or clip gradients with max_grad=1.0.",
        step,
    )


def _named(model: Any) -> list[tuple[str, Array, Array]]:
    """(name, parameter, gradient) by the model's own names, or by number."""
    named = model.named_parameters() if hasattr(model, "named_parameters") else None
    return named or [(f"params[{i}]", *pair) for i, pair in enumerate(zip(model.params, model.grads, strict=True))]


def _finite(a: Array) -> bool:
    xp = namespace_of(a)
    return bool(to_numpy(xp.all(xp.isfinite(a))))  # sync
