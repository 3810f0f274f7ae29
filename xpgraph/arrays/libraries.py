"""The array libraries, one row of ``LIBRARIES`` each, and the places where their arrays live.

Arrays carry their backend: the rest of the package knows no library by name and asks the array, with
``namespace_of(x)``, ``layout(x)``, ``to_numpy(x)``, ``place_of(x)``.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import array_api_compat
import numpy as np

from ..errors import BackendError, LibraryError
from . import memory
from .installed import usable

Array = Any  # of any library that array-api-compat knows: they have no common type


@dataclass(frozen=True)
class Library:
    """One array library."""

    name: str
    namespace: str  # the module that array_api_compat gives for its arrays
    advertised: bool  # offered to users; the others are witnesses: tests compare results with theirs
    layout: Callable[[Array], memory.Layout]
    to_host: Callable[[Array], np.ndarray]
    device: Callable[[Array], Any]
    on_host: Callable[[Array], bool]  # can a number be read without waiting for a device?
    activate: Callable[[Any], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext  # make a device current
    free: Callable[[Any], int] | None = None  # bytes that can be allocated on a device; None: the host's memory

    @cached_property
    def xp(self) -> Any:
        return importlib.import_module(self.namespace)


LIBRARIES = {
    row.name: row
    for row in (
        Library(
            "numpy", "array_api_compat.numpy", True, memory.numpy_layout, np.asarray, lambda a: "cpu", lambda a: True
        ),
        Library(
            "cupy", "array_api_compat.cupy", True, memory.cupy_layout, memory.cupy_to_host, lambda a: a.device.id,
            lambda a: False, activate=lambda device: device or contextlib.nullcontext(), free=memory.cupy_free,
        ),
        Library(
            "torch", "array_api_compat.torch", False, memory.torch_layout, memory.torch_to_host, lambda a: a.device,
            lambda a: a.device.type == "cpu",
        ),
        Library(
            "array_api_strict", "array_api_strict", False, memory.dlpack_layout, memory.dlpack_to_host,
            lambda a: a.device, lambda a: True,
        ),
    )
}  # fmt: skip
HOST = LIBRARIES["numpy"]  # data sets and random numbers are made in it
_BY_NAMESPACE = {row.namespace: row for row in LIBRARIES.values()}
_BY_TYPE: dict[type, Library | None] = {}  # by type; None: not an array


def _look_up(a: Any) -> Library | None:
    # A mask would be ignored, and a matrix has another *.
    refused = isinstance(a, np.ma.MaskedArray | np.recarray | np.matrix)
    if refused or not array_api_compat.is_array_api_obj(a):
        return None
    return _BY_NAMESPACE.get(array_api_compat.array_namespace(a).__name__)


def is_array(a: Any) -> bool:
    """True for an array of a known library; False for Python numbers, lists and NumPy's scalars."""
    kind = type(a)
    if kind not in _BY_TYPE:
        _BY_TYPE[kind] = _look_up(a)
    return _BY_TYPE[kind] is not None and not isinstance(a, np.generic)


def is_known(a: Any) -> bool:
    """``is_array``, or one of NumPy's scalars."""
    return is_array(a) or isinstance(a, np.generic)


def library_of(a: Array) -> Library:
    """The library of an array or of a NumPy scalar, remembered by type. Raises LibraryError for anything else."""
    kind = type(a)
    try:
        library = _BY_TYPE[kind]
    except KeyError:
        library = _BY_TYPE[kind] = _look_up(a)
    if library is None:
        found = f"{kind.__module__}.{kind.__qualname__}, which is no array of a known library"
        raise LibraryError(f"namespace_of: found {found}; {as_array(a, 'x')}. Known: {', '.join(LIBRARIES)}.")
    return library


def as_array(a: Any, name: str, dtype: str = "") -> str:
    """The advice in an error about something that is not an array. NumPy's own conversion would ignore a mask."""
    if isinstance(a, np.ma.MaskedArray):
        return f"fill in the masked numbers: {name}.filled(0)"
    return f"make it an array, such as numpy.asarray({name}{dtype and f', dtype=numpy.{dtype}'})"


def namespace_of(a: Array) -> Any:
    """The array API namespace of an array."""
    return library_of(a).xp


def layout(a: Array) -> memory.Layout:
    """Address, shape and strides (bytes) of an array's memory."""
    return library_of(a).layout(a)


def on_host(a: Array) -> bool:
    """True if a number can be read from ``a`` without waiting for a device."""
    return library_of(a).on_host(a)


def to_numpy(a: Array) -> np.ndarray:
    """An array of any library as a NumPy array of the same shape and dtype; on the CPU it may share memory with ``a``.

    Raises LibraryError if ``a`` is not an array.
    """
    return library_of(a).to_host(a)


def is_writable(a: Array) -> bool:
    """False for a read-only array."""
    return getattr(getattr(a, "flags", None), "writeable", True)


def number(a: Array | float) -> float:
    """A 0-d array or a number as a Python number."""
    return (to_numpy(a) if is_array(a) else np.asarray(a)).item()  # sync


def dtype_name(a: Array) -> str:
    """The name of an array's dtype, such as ``"float32"``, the same in any library."""
    return str(a.dtype).rpartition(".")[2]


def together(a: Array, b: Array) -> bool:
    """True if two arrays are of one library and on one device."""
    if type(a) is np.ndarray and type(b) is np.ndarray:
        return True
    one, two = library_of(a), library_of(b)
    return one is two and one.device(a) == two.device(b)


def home(a: Array) -> str:
    """Where an array lives, for messages: ``numpy``, ``cupy``, ``cupy:1``, ``torch``."""
    return str(place_of(a))


@dataclass(frozen=True)
class Place:
    """A library and one of its devices: where arrays can be made."""

    library: Library
    device: Any = None  # None: the library's default

    @property
    def xp(self) -> Any:
        return self.library.xp

    def __str__(self) -> str:
        number = getattr(self.device, "id", getattr(self.device, "index", None))
        return f"{self.library.name}:{number}" if number else self.library.name

    def free(self) -> int | None:
        """Bytes that can be allocated here; None for the host's memory."""
        return None if self.library.free is None else self.library.free(self.device)

    def asarray(self, a: Any, dtype: str | None = None, copy: bool | None = None) -> Array:
        """The values of ``a``, of any library, as an array here; of ``dtype`` (its name) if given."""
        if is_array(a) and library_of(a) is not self.library:
            a = to_numpy(a)
            if self.library.name == "torch":  # no negative strides there; and it would write to read-only memory
                a = np.array(a, order="C", copy=True if not a.flags.writeable else None)
        kind = None if dtype is None else getattr(self.xp, dtype)
        with self.library.activate(self.device):
            return self.xp.asarray(a, dtype=kind, device=self.device, copy=copy)


def place_of(a: Array) -> Place:
    """The place where an array lives."""
    library = library_of(a)
    return Place(library, None if library.name == "numpy" else a.device)


def on_device(a: Array | Place) -> contextlib.AbstractContextManager[Any]:
    """Context manager: make the device of an array or a place the current one. It matters to CuPy only."""
    here = a if isinstance(a, Place) else place_of(a)
    return here.library.activate(here.device)


def namespace(backend: str) -> Any:
    """The array API namespace of a backend by name: ``"numpy"``, ``"cupy"``, ``"cupy:1"``.

    Raises BackendError, with what to install, if the backend is unknown or cannot be used here.
    """
    return place(backend).xp


def place(backend: str) -> Place:
    """The place for a backend's name: ``"numpy"``, ``"cupy"``, ``"cupy:1"``, ``"torch"``, ...

    Raises BackendError if the name is unknown or the backend cannot be used here.
    """
    name, _, number = str(backend).partition(":")
    if name not in LIBRARIES:
        raise BackendError(f"backend {backend!r} is unknown. Known: {', '.join(LIBRARIES)}.")
    library = LIBRARIES[name]
    found = usable(name)
    if not found.usable:
        raise BackendError(f"backend {name!r} {found.why}. Available here: {', '.join(available())}.")
    if name != "cupy" and number:
        raise BackendError(f"backend {backend!r}: only cupy takes a device number; use {name!r}.")
    if name != "cupy":
        return Place(library)
    if number and (not number.isdecimal() or int(number) >= found.devices):
        has = f"cupy:0 to cupy:{found.devices - 1}"
        raise BackendError(f"backend {backend!r}: there is no such device; this machine has {has}.")
    cuda = importlib.import_module("cupy").cuda
    return Place(library, cuda.Device(int(number)) if number else cuda.Device())


def available(advertised: bool = True) -> list[str]:
    """The names of the backends that can be used here; with ``advertised=False`` the witnesses too."""
    return [n for n, row in LIBRARIES.items() if (row.advertised or not advertised) and usable(n).usable]
