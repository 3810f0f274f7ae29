"""Floor 0: what is installed here: which array libraries can make an array, and what to install for the others."""

from __future__ import annotations

import importlib
import importlib.util
import os
from functools import cache
from typing import NamedTuple


class Usable(NamedTuple):
    """What was found out about a backend: ``why`` not, and what to do, when it is not usable.

    ``brief`` is why not for somebody who did not ask for it: nobody needs a package for a GPU that is not there.
    """

    usable: bool
    why: str = ""
    version: str = ""
    device: str = ""
    devices: int = 1
    brief: str = ""


@cache
def usable(name: str) -> Usable:
    """Can this library make an array here? Imports it; never raises."""
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
    except Exception as error:  # a broken installation can fail in any way; the reason is what the user needs
        return Usable(False, f"does not import: {type(error).__name__}: {error}")


def _install(name: str) -> str:
    if name != "cupy":
        return f"pip install {name.replace('_', '-')}"
    version, words = driver()
    wheel = "cupy-cuda12x" if version and version < 13000 else "cupy-cuda13x"
    return f"pip install {wheel} ({words})"


@cache
def driver() -> tuple[int, str]:
    """The newest CUDA version that the installed NVIDIA driver speaks (13000 is 13.0), and the words for it."""
    import ctypes

    try:
        cuda = ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
        version = ctypes.c_int()
        if cuda.cuDriverGetVersion(ctypes.byref(version)) == 0:
            return version.value, f"a driver for CUDA {version.value // 1000}.{version.value % 1000 // 10} was found"
    except (OSError, AttributeError):
        pass
    return 0, "no NVIDIA driver was found on this machine"
