"""Takes the place of array_api_compat.cupy while a ``Rig`` is active: NumPy's functions on arrays in host memory."""

from __future__ import annotations

from typing import Any

import array_api_compat.numpy as host
import numpy as np
from cuda_arrays import device_array, host_view


def down(a: Any) -> Any:
    """An argument with every CuPy array in it, in nested lists too, as a NumPy view."""
    if isinstance(a, list | tuple):
        return type(a)(down(part) for part in a)
    return host_view(a) if hasattr(a, "data") and hasattr(a.data, "ptr") else a


def up(a: Any) -> Any:
    """A result with every NumPy array in it as a CuPy array; views stay views."""
    if isinstance(a, list | tuple):
        return type(a)(up(part) for part in a)
    if isinstance(a, np.generic):
        return device_array(np.array(a))
    return device_array(a) if isinstance(a, np.ndarray) else a


def asarray(a: Any, dtype: Any = None, device: Any = None, copy: bool | None = None) -> Any:
    if hasattr(a, "data") and hasattr(a.data, "ptr") and not copy and dtype in (None, a.dtype):
        return a
    return device_array(np.array(down(a), dtype=dtype, copy=True, order="C" if isinstance(a, list) else "K"))


def reshape(a: Any, shape: Any) -> Any:
    return a.reshape(shape)


def matrix_transpose(a: Any) -> Any:
    return a.swapaxes(-1, -2)


def __getattr__(name: str) -> Any:
    function = getattr(host, name)
    if isinstance(function, type) or not callable(function):
        return function

    def call(*args: Any, **more: Any) -> Any:
        more.pop("device", None)
        return up(function(*down(list(args)), **{key: down(value) for key, value in more.items()}))

    return call
