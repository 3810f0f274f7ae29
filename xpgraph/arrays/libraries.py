"""Floor 0: array libraries. Arrays carry their backend; this file alone knows the libraries by name.

A library is one row of ``LIBRARIES``: what to import, where an array's memory lies, how to bring it to the host.
Everything above asks the array: ``namespace_of(x)``, ``layout(x)``, ``to_numpy(x)``.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import array_api_compat
import numpy as np

from ..errors import BackendError, LibraryError
from .installed import usable

Array = Any  # an array of any library that array-api-compat can resolve; the standard gives it no common type


class Layout(NamedTuple):
    """Where an array lies: ``address`` of its first element and ``strides``, both in bytes."""

    address: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _numpy_layout(a: Array) -> Layout:
    return Layout(a.__array_interface__["data"][0], a.shape, a.strides)


def _cupy_layout(a: Array) -> Layout:
    return Layout(a.data.ptr, a.shape, a.strides)


def _torch_layout(a: Array) -> Layout:
    return Layout(a.data_ptr(), tuple(a.shape), tuple(s * a.element_size() for s in a.stride()))


def dlpack_layout(a: Array) -> Layout:
    return _numpy_layout(_from_dlpack(a))


def _from_dlpack(a: Array) -> np.ndarray:
    try:
        return np.from_dlpack(a)
    except BufferError:  # NumPy before 2.1 hands out nothing that is read-only
        return np.from_dlpack(a.__array_namespace__().asarray(a, copy=True))


def _cupy_to_host(a: Array) -> np.ndarray:
    return importlib.import_module("cupy").asnumpy(a)  # sync


def _cupy_free(device: Any) -> int:
    """Bytes that can be allocated on a device: free there, or kept by CuPy's pool for the next array."""
    with device:
        return device.mem_info[0] + importlib.import_module("cupy").get_default_memory_pool().free_bytes()


def _torch_to_host(a: Array) -> np.ndarray:
    return a.detach().cpu().numpy()  # sync


@dataclass(frozen=True)
class Library:
    """One array library. ``advertised`` ones are offered to users; the others are witnesses for tests."""

    name: str
    namespace: str  # the module that array_api_compat resolves for its arrays
    advertised: bool
    layout: Callable[[Array], Layout]
    to_host: Callable[[Array], np.ndarray]
    device: Callable[[Array], Any]
    on_host: Callable[[Array], bool]  # can a number be read without stopping a device?
    activate: Callable[[Any], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext  # make a device current
    free: Callable[[Any], int] | None = None  # bytes that can still be allocated on a device; None: the host's memory

    @cached_property
    def xp(self) -> Any:
        return importlib.import_module(self.namespace)


LIBRARIES = {
    row.name: row
    for row in (
        Library("numpy", "array_api_compat.numpy", True, _numpy_layout, np.asarray, lambda a: "cpu", lambda a: True),
        Library(
            "cupy", "array_api_compat.cupy", True, _cupy_layout, _cupy_to_host, lambda a: a.device.id, lambda a: False,
            activate=lambda device: device or contextlib.nullcontext(), free=_cupy_free,
        ),
        Library(
            "torch", "array_api_compat.torch", False, _torch_layout, _torch_to_host, lambda a: a.device,
            lambda a: a.device.type == "cpu",
        ),
        Library(
            "array_api_strict", "array_api_strict", False, dlpack_layout, _from_dlpack, lambda a: a.device,
            lambda a: True,
        ),
    )
}  # fmt: skip
HOST = LIBRARIES["numpy"]  # data is read and drawn in it
_BY_NAMESPACE = {row.namespace: row for row in LIBRARIES.values()}
_BY_TYPE: dict[type, Library | None] = {}  # every array type met so far; None for what is not an array


def _find(kind: type, a: Any) -> Library | None:
    if isinstance(a, np.ma.MaskedArray | np.recarray | np.matrix):  # numbers under a mask; another kind of product
        return None
    if not array_api_compat.is_array_api_obj(a):
        return None
    return _BY_NAMESPACE.get(array_api_compat.array_namespace(a).__name__)


def is_array(a: Any) -> bool:
    """True for an array of a known library; False for Python numbers, lists and NumPy's scalars."""
    kind = type(a)
    if kind not in _BY_TYPE:
        _BY_TYPE[kind] = _find(kind, a)
    return _BY_TYPE[kind] is not None and not isinstance(a, np.generic)


def is_known(a: Any) -> bool:
    """``is_array``, or one of NumPy's scalars."""
    return is_array(a) or isinstance(a, np.generic)


def library_of(a: Array) -> Library:
    """The library of an array (or of a NumPy scalar), found once per type."""
    kind = type(a)
    try:
        library = _BY_TYPE[kind]
    except KeyError:
        library = _BY_TYPE[kind] = _find(kind, a)
    if library is None:
        raise LibraryError(
            f"namespace: found {kind.__module__}.{kind.__qualname__}, which is no array of a library known here; "
            f"{as_array(a, 'x')}. Known: {', '.join(LIBRARIES)}."
        )
    return library


def as_array(a: Any, name: str, dtype: str = "") -> str:
    """The advice for what is no array; NumPy's own conversion would forget a mask."""
    if isinstance(a, np.ma.MaskedArray):
        return f"say what stands for the masked numbers: {name}.filled(0)"
    return f"make it an array, such as numpy.asarray({name}{dtype and f', dtype=numpy.{dtype}'})"


def namespace_of(a: Array) -> Any:
    """The array API namespace of an array."""
    return library_of(a).xp


def layout(a: Array) -> Layout:
    """Address, shape and strides (bytes) of an array's memory."""
    return library_of(a).layout(a)


def on_host(a: Array) -> bool:
    """True where reading a number from ``a`` stops no device."""
    return library_of(a).on_host(a)


def to_numpy(a: Array) -> np.ndarray:
    """Bring an array of any library to NumPy: same shape and dtype. It may share memory with ``a`` on the CPU.

    Raises LibraryError when ``a`` is not an array.
    """
    return library_of(a).to_host(a)


def is_writable(a: Array) -> bool:
    """False for an array that refuses to be changed in place."""
    return getattr(getattr(a, "flags", None), "writeable", True)


def number(a: Array | float) -> float:
    """A 0-d array, or a number, as a Python number."""
    return (to_numpy(a) if is_array(a) else np.asarray(a)).item()  # sync


def dtype_name(a: Array) -> str:
    """``"float32"`` for an array of that dtype, in any library."""
    return str(a.dtype).rpartition(".")[2]


def together(a: Array, b: Array) -> bool:
    """True if two arrays live in one library and on one device."""
    if type(a) is np.ndarray and type(b) is np.ndarray:
        return True
    one, two = library_of(a), library_of(b)
    return one is two and one.device(a) == two.device(b)


def home(a: Array) -> str:
    """Where an array lives, as a message says it: ``numpy``, ``cupy``, ``cupy:1``, ``torch``."""
    return str(place_of(a))


@dataclass(frozen=True)
class Place:
    """A library and one of its devices: where data and parameters are made."""

    library: Library
    device: Any = None  # None: the library's default

    @property
    def xp(self) -> Any:
        return self.library.xp

    def __str__(self) -> str:
        number = getattr(self.device, "id", getattr(self.device, "index", None))
        return f"{self.library.name}:{number}" if number else self.library.name

    def free(self) -> int | None:
        """Bytes that can still be allocated here; None where it is the host's memory."""
        return None if self.library.free is None else self.library.free(self.device)

    def asarray(self, a: Any, dtype: str | None = None, copy: bool | None = None) -> Array:
        """An array here with the values of ``a`` (of any library), as ``dtype`` (a name) if given."""
        if is_array(a) and library_of(a) is not self.library:
            a = to_numpy(a)
            if self.library.name == "torch":  # it has no negative strides, and would share memory that nobody may write
                a = np.array(a, order="C", copy=True if not a.flags.writeable else None)
        kind = None if dtype is None else getattr(self.xp, dtype)
        with self.library.activate(self.device):
            return self.xp.asarray(a, dtype=kind, device=self.device, copy=copy)


def place_of(a: Array) -> Place:
    """The place in which an array lives."""
    library = library_of(a)
    return Place(library, None if library.name == "numpy" else a.device)


def on_device(a: Array | Place) -> contextlib.AbstractContextManager[Any]:
    """Make the device of an array, or of a place, the current one; only CuPy has such a thing."""
    where = a if isinstance(a, Place) else place_of(a)
    return where.library.activate(where.device)


def namespace(backend: str) -> Any:
    """The array API namespace of a backend by name: ``"numpy"``, ``"cupy"``, ``"cupy:1"``.

    Raises BackendError, with what to install, when the backend is unknown or cannot be used here.
    """
    return place(backend).xp


def place(backend: str) -> Place:
    """The place that a backend's name means: ``"numpy"``, ``"cupy"``, ``"cupy:1"``, ``"torch"``, ...

    Raises BackendError when the name is unknown or the backend cannot be used here.
    """
    name, _, number = str(backend).partition(":")
    if name not in LIBRARIES:
        raise BackendError(f"backend {backend!r} is unknown. Known: {', '.join(LIBRARIES)}.")
    library = LIBRARIES[name]
    found = usable(name)
    if not found.usable:
        raise BackendError(f"backend {name!r} {found.why}. Available here: {', '.join(available())}.")
    if not number:
        return Place(library, importlib.import_module("cupy").cuda.Device() if name == "cupy" else None)
    if name != "cupy":
        raise BackendError(f"backend {backend!r}: only cupy takes a device number; use {name!r}.")
    if not number.isdecimal() or int(number) >= found.devices:
        raise BackendError(
            f"backend {backend!r}: there is no such device; this machine has cupy:0 to cupy:{found.devices - 1}."
        )
    return Place(library, importlib.import_module("cupy").cuda.Device(int(number)))


def available(advertised: bool = True) -> list[str]:
    """The names of the backends that can be used here."""
    return [n for n, row in LIBRARIES.items() if (row.advertised or not advertised) and usable(n).usable]
