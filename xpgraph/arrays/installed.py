"""Which array libraries can be used on this machine, and what to install for the others."""

from __future__ import annotations

import importlib
import importlib.util
import os
from functools import cache
from typing import NamedTuple


class Usable(NamedTuple):
    """Can a backend be used here? If not, ``why``: the reason and what to do.

    ``brief`` is the reason alone, for users who did not ask for this backend; empty: take ``why``.
    """

    usable: bool
    why: str = ""
    version: str = ""
    device: str = ""
    devices: int = 1
    brief: str = ""


@cache
def usable(name: str) -> Usable:
    """Import the library and see whether it can make an array here; never raises."""
    if importlib.util.find_spec(name) is None:
        brief = f"is not installed, and {driver()[1]}" if name == "cupy" and not driver()[0] else ""
        return Usable(False, f"is not installed; {_install(name)}", brief=brief)
    try:
        module = importlib.import_module(name)
        version = str(getattr(module, "__version__", "?"))
        if name != "cupy":
            return Usable(True, version=version, device="cpu")
        if not module.cuda.is_available():  # getDeviceCount would raise where there is no driver
            return Usable(False, f"is installed ({version}) but finds no usable GPU: {driver()[1]}", version=version)
        properties = module.cuda.runtime.getDeviceProperties(module.cuda.Device().id)
        count = module.cuda.runtime.getDeviceCount()
        return Usable(True, version=version, device=properties["name"].decode(), devices=count)
    except Exception as error:  # a broken installation can raise anything; tell the user what
        return Usable(False, f"does not import: {type(error).__name__}: {error}")


def _install(name: str) -> str:
    if name != "cupy":
        return f"pip install {name.replace('_', '-')}"
    version, description = driver()
    wheel = "cupy-cuda12x" if version and version < 13000 else "cupy-cuda13x"
    return f"pip install {wheel} ({description})"


@cache
def driver() -> tuple[int, str]:
    """The newest CUDA version that the NVIDIA driver supports (13000 is 13.0; 0: no driver), and a description."""
    import ctypes

    try:
        cuda = ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
        version = ctypes.c_int()
        if cuda.cuDriverGetVersion(ctypes.byref(version)) == 0:
            return version.value, f"a driver for CUDA {version.value // 1000}.{version.value % 1000 // 10} was found"
    except (OSError, AttributeError):
        pass
    return 0, "no NVIDIA driver was found on this machine"
