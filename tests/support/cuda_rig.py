"""xpgraph's CUDA path on a machine without a GPU: real CuPy arrays over host memory, kernels run by the emulator.

    with Rig() as rig:
        model = mlp([4, 3, 2], backend=rig.place)
        Trainer(model, SGD()).fit(x, t)
        rig.calls        # ("kernel", "sigmoid"), ("cublaslt", "matmul"), ("sync", ""), ("replay", ""), ...

What CuPy itself would have to launch raises CUDARuntimeError, as it does where there is no driver; so a step that runs
here launches nothing but what is counted. A capture records the calls without running them, and a replay runs them
again on the same addresses. Fresh memory holds NaN; memory of a lane is given out again as soon as it is free.
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
    """Why there can be no rig here; empty if there can."""
    try:
        import cupy

        if cupy.cuda.is_available():  # a real kernel would be given addresses of the host
            return "there is a GPU here, on which the tests of `lib` run"
    except Exception as error:  # a broken installation can fail in any way
        return f"cupy does not import ({type(error).__name__}): pip install 'xpgraph-nn[cuda13]'"
    return "" if shutil.which("g++") else "there is no g++ to compile the kernels with"


def given_back(result: Any, views: list[Any], args: Any, up: Callable[[Any], Any]) -> Any:
    """A result of NumPy as CuPy's: the argument itself where a kernel returns its ``out``."""
    for view, a in zip(views, args, strict=True):
        if result is view and result is not None:
            return a
    return up(result)


class Rig:
    """``with Rig() as rig``: everything that needs a GPU is replaced. ``emulator``: one with faults, perhaps."""

    def __init__(self, emulator: Any = None, cublaslt: Any = None) -> None:
        from cublaslt import CublasLt
        from cuda_emulator import Emulator

        self.emulator = Emulator() if emulator is None else emulator
        self.lt = CublasLt() if cublaslt is None else cublaslt
        self.multiply, self.lt.cublasLtMatmul = self.lt.cublasLtMatmul, self.product
        self.calls: list[tuple[str, str]] = []
        self.graphs: list[Graph] = []
        self.recording: list[Any] | None = None
        self.free = 2**34
        self.lanes: list[Lane] = []

    # --- what is counted

    def submit(self, kind: str, name: str, run: Callable[[], None]) -> None:
        """A call that a stream would be given: run, or kept where a step is captured."""
        if self.recording is not None:
            self.recording.append((kind, name, run))
        else:
            self.calls.append((kind, name))
            run()

    def refuse(self, what: str) -> None:
        """What CUDA refuses while a stream is capturing."""
        if self.recording is not None:
            raise RuntimeError(f"cudaErrorStreamCaptureUnsupported: {what}")

    def launches(self) -> Counter[str]:
        """Kernels and products since ``calls`` was emptied, by name."""
        return Counter(name for kind, name in self.calls if kind in ("kernel", "cublaslt", "cupy"))

    def syncs(self) -> int:
        return sum(kind == "sync" for kind, _ in self.calls)

    # --- what stands in for the device

    def launch(self, name: str, dtype: str, grid: int, block: int, args: Any) -> None:
        assert grid > 0 and not any(isinstance(a, np.integer) for a in args), "a device would read other bytes"
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
        assert all(lane.joined or lane.inside for lane in self.lanes), "numbers are read before the lane is waited for"
        self.calls.append(("sync", ""))
        return host_view(a).copy()

    def asarray(self, a: Any, *args: Any, **more: Any) -> Any:
        """What is not on the device yet is copied from the host, which CUDA may wait for."""
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
        """The generic body on views: on a device, CuPy kernels, as many as it has operations."""
        from cuda_arrays import host_view
        from cuda_namespace import down, host, up

        def body(*args: Any) -> Any:
            views = down(list(args))
            if self.recording is None:
                self.calls.append(("generic", row.name))
                return given_back(row.generic(host, *views), views, args, up)
            copies = copy.deepcopy(views)
            with np.errstate(all="ignore"):  # what they hold is not computed yet; the shapes are right
                result = given_back(row.generic(host, *copies), copies, args, up)
            changes = result is None or any(result is a for a in args)

            def run() -> None:
                with np.errstate(all="ignore"):
                    value = row.generic(host, *views)
                if not changes:
                    many = isinstance(result, tuple)
                    for new, a in zip(value if many else [value], result if many else [result], strict=True):
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

        from xpgraph.fast.cuda import device, lt, update

        namespace, stand_in = (importlib.import_module(name) for name in ("xpgraph.arrays.libraries", "cuda_namespace"))
        table = importlib.import_module("xpgraph.arrays.kernels")
        self.patch = patch = pytest.MonkeyPatch()
        body = table.Row.body

        def found(row: Any, library: str, generic: bool = False) -> Any:
            own = body(row, library, generic)
            return own if library != "cupy" or own in row.fast_bodies.values() else self.generic(row)

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
        patch.setitem(namespace._BY_NAMESPACE, "array_api_compat.cupy", row)
        patch.setattr(table.Row, "body", found)
        here = Usable(True, version=cupy.__version__, device="CuPy over host memory")
        for module in (namespace, importlib.import_module("xpgraph.cli.choices")):
            known = module.usable
            patch.setattr(module, "usable", lambda name, known=known: here if name == "cupy" else known(name))
        patch.setattr(cupy.cuda, "Device", lambda number=0: None)
        patch.setattr(device, "launch", self.launch)
        patch.setattr(device, "upload", self.upload)
        patch.setattr(device, "ticket", one_ticket)
        patch.setattr(device, "Lane", lane)
        self._asarray = stand_in.asarray
        patch.setattr(stand_in, "asarray", self.asarray)
        patch.setattr(cupy, "ascontiguousarray", self.ascontiguousarray)
        patch.setattr(cupy, "get_default_memory_pool", lambda: self)
        patch.setattr(lt, "load", lambda: self.lt)
        patch.setattr(lt, "_device", lambda: 0)
        patch.setattr(lt, "_stream", lambda: 1)
        patch.setattr(lt, "_limit", lambda device: 1 << 20)
        patch.setattr(lt, "_workspace", lambda device, stream: workspace.ptr)
        workspace = self.memory(1 << 20)
        for made in (lt._plans, lt._handles, update._tables):
            made.clear()
        cupy.cuda.set_allocator(self.memory)
        self._forget()
        return self

    def malloc(self, size: int) -> Any:
        return self.memory(size)

    def __exit__(self, *error: object) -> None:
        import cupy

        from xpgraph.fast.cuda import lt, update

        self.patch.undo()
        for made in (lt._plans, lt._handles, update._tables):
            made.clear()
        cupy.cuda.set_allocator(cupy.get_default_memory_pool().malloc)
        self._forget()

    def _forget(self) -> None:
        """The library and the bodies that were found for CuPy arrays before."""
        import importlib

        import cupy

        importlib.import_module("xpgraph.arrays.libraries")._BY_TYPE.pop(cupy.ndarray, None)
        for row in importlib.import_module("xpgraph.arrays.kernels").TABLE.values():
            row.bodies.pop(cupy.ndarray, None)
