"""The nodes of a captured CUDA graph, asked of the driver."""

from __future__ import annotations

import ctypes
from collections import Counter
from typing import Any

NODE_TYPES = {0: "kernel", 1: "memcpy", 2: "memset", 3: "host", 4: "child graph", 5: "empty", 6: "wait event",
              7: "event record", 10: "malloc", 11: "free", 13: "conditional"}  # fmt: skip


class KernelNode(ctypes.Structure):
    """CUDA_KERNEL_NODE_PARAMS_v2."""

    _fields_ = (
        ("func", ctypes.c_void_p), ("sizes", ctypes.c_uint * 7), ("params", ctypes.c_void_p),
        ("extra", ctypes.c_void_p), ("kern", ctypes.c_void_p), ("ctx", ctypes.c_void_p),
    )  # fmt: skip


def read(graph: int) -> dict[str, Any]:
    """How many nodes of each kind a cudaGraph_t has, and the names of its kernels."""
    cuda = ctypes.CDLL("libcuda.so.1")

    def ask(name: str, *args: Any) -> None:
        status = getattr(cuda, name)(*args)
        if status:
            raise RuntimeError(f"{name} returned {status}")

    count = ctypes.c_size_t()
    ask("cuGraphGetNodes", ctypes.c_void_p(graph), None, ctypes.byref(count))
    nodes = (ctypes.c_void_p * count.value)()
    ask("cuGraphGetNodes", ctypes.c_void_p(graph), nodes, ctypes.byref(count))
    kinds: Counter[str] = Counter()
    names: Counter[str] = Counter()
    for node in nodes:
        number = ctypes.c_int()
        ask("cuGraphNodeGetType", ctypes.c_void_p(node), ctypes.byref(number))
        kind = NODE_TYPES.get(number.value, f"type {number.value}")
        kinds[kind] += 1
        if kind == "kernel":
            names[kernel_name(ask, node)] += 1
    return {"kinds": dict(kinds), "names": dict(names), "named": "?" not in names}


def kernel_name(ask: Any, node: int) -> str:
    """The name of a node's kernel; "?" if the driver does not tell (CUDA 12.3 and newer do)."""
    params, text = KernelNode(), ctypes.c_char_p()
    try:
        ask("cuGraphKernelNodeGetParams_v2", ctypes.c_void_p(node), ctypes.byref(params))
        which, handle = ("cuFuncGetName", params.func) if params.func else ("cuKernelGetName", params.kern)
        ask(which, ctypes.byref(text), ctypes.c_void_p(handle))
        return (text.value or b"?").decode(errors="replace")[:80]
    except (AttributeError, RuntimeError):
        return "?"
