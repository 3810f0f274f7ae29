"""A test rig: it takes the place of the GPU, so that xpgraph's CUDA path runs on a machine without one.

    with Rig() as rig:
        model = mlp([4, 3, 2], backend=rig.place)
        Trainer(model, SGD()).fit(x, t)
        rig.calls        # ("kernel", "sigmoid"), ("cublaslt", "matmul"), ("sync", ""), ("replay", ""), ...

Arrays are real CuPy arrays over host memory. Our kernels run in the emulator (cuda_emulator.py), cuBLASLt is a fake,
generic bodies run on NumPy. Whatever CuPy itself would launch raises CUDARuntimeError, as on any machine without a
driver; so a step that runs here makes no launch that is not counted. A capture records calls without running them, and
a replay runs them again on the same addresses. New memory holds NaN; that of a lane is reused as soon as it is free.
"""

from __future__ import annotations

import contextlib
import copy
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from cuda_lane import Chunk, Graph, Lane

from xpgraph.arrays.installed import Usable
from xpgraph.arrays.libraries import LIBRARIES, Place


def why_not() -> str:
    """Why the rig cannot work here; empty if it can."""
    try:
        import cupy

        if cupy.cuda.is_available():  # a real kernel would be given addresses of the host
            return "there is a GPU here, on which the tests of `lib` run"
    except Exception as error:  # a broken installation may raise anything
        return f"cupy does not import ({type(error).__name__}): pip install 'xpgraph-nn[cuda13]'"
    return "" if shutil.which("g++") else "there is no g++ to compile the kernels with"


def on_device(result: Any, views: list[Any], args: Any, up: Callable[[Any], Any]) -> Any:
    """A NumPy result as CuPy arrays; where a kernel returned its ``out``, the argument itself."""
    for view, a in zip(views, args, strict=True):
        if result is view and result is not None:
            return a
    return up(result)


class Rig:
    """``with Rig() as rig``: everything that needs a GPU is replaced.

    ``calls``: (kind, name) of everything given to the device so far; kinds are kernel, cublaslt, generic, cupy (a copy
    that CuPy makes), upload, sync, import, replay, free. ``graphs``: what was captured. ``emulator``, ``cublaslt``: to
    use instead of the usual ones, for example with faults.
    """

    def __init__(self, emulator: Any = None, cublaslt: Any = None) -> None:
        from cuda_emulator import Emulator
        from fake_cublaslt import CublasLt

        self.emulator = Emulator() if emulator is None else emulator
        self.lt = CublasLt() if cublaslt is None else cublaslt
        self.multiply, self.lt.cublasLtMatmul = self.lt.cublasLtMatmul, self.product
        self.calls: list[tuple[str, str]] = []
        self.graphs: list[Graph] = []
        self.recording: list[Any] | None = None
        self.free = 2**34
        self.lanes: list[Lane] = []

    # --- what is counted ---

    def submit(self, kind: str, name: str, run: Callable[[], None]) -> None:
        """A call that would be given to a stream: run it, or record it while a step is captured."""
        if self.recording is not None:
            self.recording.append((kind, name, run))
        else:
            self.calls.append((kind, name))
            run()

    def refuse(self, what: str) -> None:
        """Raise what CUDA raises for ``what`` while a stream is capturing."""
        if self.recording is not None:
            raise RuntimeError(f"cudaErrorStreamCaptureUnsupported: {what}")

    def launches(self) -> Counter[str]:
        """How many kernels and products were launched since ``calls`` was cleared, by name."""
        return Counter(name for kind, name in self.calls if kind in ("kernel", "cublaslt", "cupy"))

    def syncs(self) -> int:
        """How often the host read from the device."""
        return sum(kind == "sync" for kind, _ in self.calls)

    # --- what takes the place of the device ---

    def launch(self, name: str, dtype: str, grid: int, block: int, args: Any) -> None:
        assert grid > 0 and not any(isinstance(a, np.integer) for a in args), (
            "the arguments of a launch are not as a device reads them"
        )
        values = [a.item() if isinstance(a, np.generic) else a for a in args]
        self.submit("kernel", name, lambda: self.emulator.launch(name, dtype, grid, block, values))

    def product(self, *args: Any) -> int:
        self.submit("cublaslt", "matmul", lambda: self.multiply(*args))
        return 0

    def upload(self, out: Any, host: np.ndarray) -> None:
        from cuda_arrays import host_view

        self.refuse("a copy from the host")
        self.calls.append(("upload", ""))
        host_view(out)[...] = host.reshape(out.shape)

    def to_host(self, a: Any) -> np.ndarray:
        from cuda_arrays import host_view

        self.refuse("a copy to the host")
        assert all(lane.joined or lane.inside for lane in self.lanes), "numbers are read without waiting for the lane"
        self.calls.append(("sync", ""))
        return host_view(a).copy()

    def asarray(self, a: Any, *args: Any, **more: Any) -> Any:
        """An array that is not on the device is copied from the host, for which CUDA may wait."""
        if not hasattr(getattr(a, "data", None), "ptr"):
            self.refuse("a copy from the host")
            self.calls.append(("import", ""))
        return self._asarray(a, *args, **more)

    def memory(self, size: int, data: np.ndarray | None = None, pool: Any = None) -> Any:
        import cupy

        data = np.empty(-(-max(size, 1) // 512) * 512, np.uint8) if data is None else data
        data[...] = 0xFF
        return cupy.cuda.MemoryPointer(cupy.cuda.UnownedMemory(data.ctypes.data, data.nbytes, Chunk(data, pool), 0), 0)

    def ascontiguousarray(self, a: Any) -> Any:
        import cupy
        from cuda_arrays import host_view

        if a.flags.c_contiguous:
            return a
        new = cupy.empty(a.shape, a.dtype)
        self.submit("cupy", "copy", lambda: np.copyto(host_view(new), host_view(a)))
        return new

    def generic(self, row: Any) -> Callable[..., Any]:
        """The generic body, on NumPy views. On a device, CuPy would launch a kernel for each of its operations."""
        from cuda_arrays import host_view
        from cuda_namespace import down, host, up

        def body(*args: Any) -> Any:
            views = down(list(args))
            if self.recording is None:
                self.calls.append(("generic", row.name))
                return on_device(row.generic(host, *views), views, args, up)
            copies = copy.deepcopy(views)
            with np.errstate(all="ignore"):  # the values are not computed yet, but the shapes are right
                result = on_device(row.generic(host, *copies), copies, args, up)
            in_place = result is None or any(result is a for a in args)

            def run() -> None:
                with np.errstate(all="ignore"):
                    value = row.generic(host, *views)
                if not in_place:
                    several = isinstance(result, tuple)
                    for new, a in zip(value if several else [value], result if several else [result], strict=True):
                        host_view(a)[...] = new

            self.recording.append(("generic", row.name, run))
            return result

        return body

    @property
    def place(self) -> Place:
        return Place(LIBRARIES["cupy"])

    def __enter__(self) -> Rig:
        import importlib

        import cupy

        from xpgraph.fast.cuda import cublaslt, cublaslt_plan, device, update

        libraries, namespace = map(importlib.import_module, ("xpgraph.arrays.libraries", "cuda_namespace"))
        kernels = importlib.import_module("xpgraph.arrays.kernels")
        self.patch = patch = pytest.MonkeyPatch()
        real_body = kernels.Row.body

        def body(row: Any, library: str, generic: bool = False) -> Any:
            real = real_body(row, library, generic)
            return real if library != "cupy" or real in row.fast_bodies.values() else self.generic(row)

        def lane() -> Lane:
            self.lanes.append(Lane(self))
            return self.lanes[-1]

        ticket = None

        def one_ticket() -> Any:
            nonlocal ticket
            if ticket is None:
                ticket = cupy.ndarray((), np.uint32, self.memory(4))
                self.upload(ticket, np.zeros((), np.uint32))
            return ticket

        row = replace(
            LIBRARIES["cupy"], namespace="cuda_namespace", to_host=self.to_host, device=lambda a: 0,
            activate=contextlib.nullcontext, free=lambda device: self.free,
        )  # fmt: skip
        patch.setitem(LIBRARIES, "cupy", row)
        patch.setitem(libraries._BY_NAMESPACE, "array_api_compat.cupy", row)
        patch.setattr(kernels.Row, "body", body)
        here = Usable(True, version=cupy.__version__, device="CuPy over host memory")
        for module in (libraries, importlib.import_module("xpgraph.cli.choices")):
            known = module.usable
            patch.setattr(module, "usable", lambda name, known=known: here if name == "cupy" else known(name))
        patch.setattr(cupy.cuda, "Device", lambda number=0: None)
        patch.setattr(device, "launch", self.launch)
        patch.setattr(device, "upload", self.upload)
        patch.setattr(device, "ticket", one_ticket)
        patch.setattr(device, "Lane", lane)
        self._asarray = namespace.asarray
        patch.setattr(namespace, "asarray", self.asarray)
        patch.setattr(cupy, "ascontiguousarray", self.ascontiguousarray)
        patch.setattr(cupy, "get_default_memory_pool", lambda: self)
        patch.setattr(cublaslt, "load", lambda: self.lt)
        patch.setattr(cublaslt, "device_number", lambda: 0)
        patch.setattr(cublaslt, "stream_address", lambda: 1)
        patch.setattr(cublaslt, "workspace_limit", lambda device: 1 << 20)
        patch.setattr(cublaslt, "workspace_address", lambda device, stream: workspace.ptr)
        workspace = self.memory(1 << 20)
        for cached in (cublaslt.plans, cublaslt_plan.handles, update._tables):
            cached.clear()
        cupy.cuda.set_allocator(self.memory)
        self._forget()
        return self

    def malloc(self, size: int) -> Any:
        return self.memory(size)

    def __exit__(self, *error: object) -> None:
        import cupy

        from xpgraph.fast.cuda import cublaslt, cublaslt_plan, update

        self.patch.undo()
        for cached in (cublaslt.plans, cublaslt_plan.handles, update._tables):
            cached.clear()
        cupy.cuda.set_allocator(cupy.get_default_memory_pool().malloc)
        self._forget()

    def _forget(self) -> None:
        """Look the library and the bodies of CuPy arrays up anew."""
        import importlib

        import cupy

        importlib.import_module("xpgraph.arrays.libraries")._BY_TYPE.pop(cupy.ndarray, None)
        for row in importlib.import_module("xpgraph.arrays.kernels").TABLE.values():
            row.bodies.pop(cupy.ndarray, None)
