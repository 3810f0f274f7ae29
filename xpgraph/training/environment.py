"""What the bits of a result may depend on: versions, backend, machine, BLAS; and how two places differ."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from typing import Any

import numpy as np

from ..arrays.cpu import arithmetic
from ..arrays.installed import usable
from ..arrays.libraries import home, library_of
from ..graph.inputs import first_parameter
from ..version import __version__


def versions(model: Any) -> dict[str, str]:
    """What the bits of a result may depend on: versions, backend, machine."""
    W = first_parameter(model)
    found = {
        "xpgraph": __version__, "python": platform.python_version(), "numpy": np.__version__,
        "array-api-compat": _compat(), "machine": platform.machine(),
    }  # fmt: skip
    if W is not None:
        found |= {"backend": home(W), library_of(W).name: usable(library_of(W).name).version}
    return found


@cache
def _compat() -> str:
    return metadata.version("array-api-compat")


def differences(meta: Mapping[str, Any], more: Mapping[str, Any], model: Any) -> list[str]:
    """How this place differs from that of a checkpoint, a line for each: then a resume is close, not bit for bit.

    ``meta`` and ``more``: the checkpoint's description, and what its fit has added.
    """
    then, now = meta["versions"], versions(model)
    lines = [
        _line(name, then.get(name, "unknown"), now.get(name, "without it"))
        for name in sorted({*then, *now})
        if then.get(name) != now.get(name)
    ]
    then, now = more.get("arithmetic", {}), arithmetic()
    return lines + [_line(name, then.get(name), now[name]) for name in now if then.get(name) != now[name]]


def _line(name: str, then: Any, now: Any) -> str:
    return f"the checkpoint was made with {name} {then}, this is {now}: the last bits may differ"
