"""The namespace of CuPy arrays over host memory: each function is NumPy's, on views of the arrays, and counted.

It stands in for array_api_compat.cupy while a ``Rig`` is on.
"""

from __future__ import annotations

from typing import Any

import array_api_compat.numpy as host
import numpy as np
from cuda_arrays import device_array, host_view


def down(a: Any) -> Any:
    """Every CuPy array inside an argument as a view of NumPy."""
    if isinstance(a, list | tuple):
        return type(a)(down(part) for part in a)
    return host_view(a) if hasattr(a, "data") and hasattr(a.data, "ptr") else a


def up(a: Any) -> Any:
    """Every NumPy array inside a result as a CuPy array; views stay views."""
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
