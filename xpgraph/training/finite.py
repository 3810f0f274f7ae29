"""Checks that numbers are finite, and the errors that say at which step, and in what, they are not."""

from __future__ import annotations

import math
from typing import Any, NoReturn

from ..arrays.libraries import Array, namespace_of, to_numpy
from ..errors import NonFiniteError


def check_parameters(model: Any, steps: int) -> None:
    """NonFiniteError, after ``steps`` updates, if a parameter is not finite.

    A finite loss can have a gradient that is not finite. Its update then shows in the parameters.
    """
    for name, p, _ in _named_arrays(model):
        if not _finite(p):
            raise NonFiniteError(
                f"Trainer.fit: after step {steps} the parameter {name} is not finite, though the loss "
                "was; look for NaN or infinity in the data, use a smaller lr, or clip gradients with max_grad=1.0.",
                steps,
            )


def refuse_step(model: Any, step: int, loss: float, norm: Any) -> NoReturn:
    """Raise NonFiniteError before update ``step``, because ``loss``, or the gradients' ``norm``, is not finite."""
    bad = next((name for name, _, g in _named_arrays(model) if not _finite(g)), None)
    what = (
        f"loss is {loss}" if not math.isfinite(loss) else f"loss is {loss:.4g} but the gradient norm is {float(norm)}"
    )
    where = "all gradients are finite" if bad is None else f"the first gradient that is not finite is that of {bad}"
    raise NonFiniteError(
        f"Trainer.fit: at step {step} the {what}; {where}. The parameters are those of step {step - 1}; "
        "look for NaN in the data, use a smaller lr, or clip gradients with max_grad=1.0.",
        step,
    )


def _named_arrays(model: Any) -> list[tuple[str, Array, Array]]:
    """(name, parameter, gradient) with the model's own names, or with numbers."""
    named = model.named_parameters() if hasattr(model, "named_parameters") else None
    return named or [(f"params[{i}]", *pair) for i, pair in enumerate(zip(model.params, model.grads, strict=True))]


def _finite(a: Array) -> bool:
    xp = namespace_of(a)
    return bool(to_numpy(xp.all(xp.isfinite(a))))  # sync
