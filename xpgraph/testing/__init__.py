"""Show that backends agree, and that nodes are right: yours too.

assert_backends_agree(model, x, t, backends=("numpy", "cupy"))
assert check_node(MyNode(), inputs=x) == []
print(grade("student.py").table())

``verification/`` has ``verify``, ``node_checks/`` has ``check_node``, ``grading/`` has ``grade``, and ``formulas/`` the
textbook's formulas that all of them compare with. ``findings.py`` is what a check found; ``tape.py`` records what the
nodes of a model are given and return. Everything above this folder in CONTRIBUTING.md may be imported, but not by
``formulas/``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arrays.libraries import Place, available
from ..training.optimizers import SGD
from .findings import Finding
from .grading.grader import Grade, grade
from .node_checks.checks import check_node
from .verification.agreement import verify
from .verification.certificate import Certificate, Failure

__all__ = ["Certificate", "Failure", "Finding", "Grade", "assert_backends_agree", "check_node", "grade", "verify"]


def assert_backends_agree(
    model: Any,
    x: np.ndarray,
    t: np.ndarray,
    backends: Sequence[str | Place] | None = None,
    steps: int = 100,
    *,
    optimizer: Any = None,
    dtypes: str | Sequence[str] = ("float32", "float64"),
    **options: Any,
) -> list[Certificate]:
    """``verify`` in each dtype; AssertionError, with the first node that leaves its tolerance, unless all pass.

    ``model``: any object with forward(x, t), backward(), params, grads; copies of it are trained. x, t: NumPy arrays.
    ``backends``: by default, those of numpy and cupy that can be used here. ``optimizer``: SGD(lr=0.1) by default.
    Other options are those of ``verify``. Returns the certificates.
    """
    names = available() if backends is None else backends
    certificates = []
    for dtype in [dtypes] if isinstance(dtypes, str) else dtypes:
        found = verify(model, x, t, optimizer or SGD(lr=0.1), backends=names, dtype=dtype, steps=steps, **options)
        if not found.passed:
            raise AssertionError(f"backends do not agree\n{found.text()}")
        certificates.append(found)
    return certificates
