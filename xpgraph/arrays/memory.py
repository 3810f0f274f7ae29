"""The memory of an array in each library: where it lies, how to copy it to the host, how much is free."""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

import numpy as np


class Layout(NamedTuple):
    """Where an array's memory lies: ``address`` of its first element and ``strides``, both in bytes."""

    address: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def numpy_layout(a: Any) -> Layout:
    return Layout(a.__array_interface__["data"][0], a.shape, a.strides)


def cupy_layout(a: Any) -> Layout:
    return Layout(a.data.ptr, a.shape, a.strides)


def torch_layout(a: Any) -> Layout:
    return Layout(a.data_ptr(), tuple(a.shape), tuple(s * a.element_size() for s in a.stride()))


def dlpack_layout(a: Any) -> Layout:
    return numpy_layout(dlpack_to_host(a))


def dlpack_to_host(a: Any) -> np.ndarray:
    try:
        return np.from_dlpack(a)
    except BufferError:  # NumPy before 2.1 exports no read-only arrays
        return np.from_dlpack(a.__array_namespace__().asarray(a, copy=True))


def cupy_to_host(a: Any) -> np.ndarray:
    return importlib.import_module("cupy").asnumpy(a)  # sync


def torch_to_host(a: Any) -> np.ndarray:
    return a.detach().cpu().numpy()  # sync


def cupy_free(device: Any) -> int:
    """Bytes that can be allocated on a device: its free memory, and what CuPy's pool holds ready."""
    with device:
        return device.mem_info[0] + importlib.import_module("cupy").get_default_memory_pool().free_bytes()
