"""What the last bits of a result depend on: versions, backend, machine, BLAS; and what of it has changed."""

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
    """The versions of Python and the libraries, the backend of the model, and the machine."""
    W = first_parameter(model)
    names = {
        "xpgraph": __version__, "python": platform.python_version(), "numpy": np.__version__,
        "array-api-compat": _compat(), "machine": platform.machine(),
    }  # fmt: skip
    if W is not None:
        names |= {"backend": home(W), library_of(W).name: usable(library_of(W).name).version}
    return names


@cache
def _compat() -> str:
    return metadata.version("array-api-compat")


def differences(meta: Mapping[str, Any], more: Mapping[str, Any], model: Any) -> list[str]:
    """How this environment differs from that of a checkpoint, one line each; if it does, the last bits may differ.

    ``meta``: the description of the checkpoint. ``more``: what the fit that wrote it has added.
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
