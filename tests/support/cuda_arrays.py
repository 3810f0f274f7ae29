"""Real ``cupy.ndarray`` objects over host memory, so that CuPy's shapes, strides and addresses work without a GPU."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np


def device_array(a: np.ndarray) -> Any:
    """A cupy.ndarray on the memory of ``a``, with its strides; it keeps ``a`` alive."""
    import cupy

    low, high = np.lib.array_utils.byte_bounds(a)
    memory = cupy.cuda.UnownedMemory(low, high - low, a, 0)
    return cupy.ndarray(a.shape, a.dtype, cupy.cuda.MemoryPointer(memory, a.ctypes.data - low), strides=a.strides)


def host_view(a: Any) -> np.ndarray:
    """A NumPy array on the memory of such an array, with its strides; it keeps the array alive."""
    reach = [(n - 1) * stride for n, stride in zip(a.shape, a.strides, strict=True)] if a.size else []
    low = sum(r for r in reach if r < 0)
    size = sum(r for r in reach if r > 0) - low + a.dtype.itemsize if a.size else 0
    buffer = (ctypes.c_char * size).from_address(a.data.ptr + low)
    buffer.owner = a
    return np.ndarray(a.shape, a.dtype, buffer, -low, a.strides)
