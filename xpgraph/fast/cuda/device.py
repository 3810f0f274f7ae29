"""The device, as the bodies for CuPy see it: one ``launch``, one ``upload``, and the lane on which steps are captured.

Whatever needs a GPU stands here and in cublaslt.py, where the tests replace it on a machine without one.
"""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import cupy
import numpy as np

from ...errors import CaptureError
from . import sources

REALS = {"float32": "float", "float64": "double"}  # dtype: the C type that REAL stands for in the sources
PER_THREAD = 2  # the address of the default stream that each thread has for itself: the same in all threads


def launch(name: str, dtype: str, grid: int, block: int, args: Sequence[Any]) -> None:
    """Run kernel ``xp_<name>``, compiled for a dtype, on the current stream. All our kernels are started here.

    ``grid``: blocks; ``block``: threads in each. ``args``, in the order of the kernel's parameters: addresses and
    integers as int, reals as NumPy scalars of the dtype.
    """
    if grid < 1:
        raise ValueError(f"launch {name}: a grid of {grid} blocks; give 1 or more.")  # CuPy would launch one
    _function(name, dtype, cupy.cuda.runtime.getDevice())((grid,), (block,), tuple(args))


@cache
def _function(name: str, dtype: str, device: int) -> Any:
    return _module(sources.file_of(name), dtype, device).get_function(f"xp_{name}")


@cache
def _module(file: str, dtype: str, device: int) -> Any:
    # CuPy keeps what NVRTC compiled in a cache on disk, by source and options.
    return cupy.RawModule(code=sources.text(file), options=("-std=c++17", f"-DREAL={REALS[dtype]}"), backend="nvrtc")


def upload(out: Any, host: np.ndarray) -> None:
    """Copy a host array into a contiguous CuPy array of the same size, on the current stream, without waiting."""
    stream = cupy.cuda.get_current_stream()
    if stream.is_capturing():
        raise CaptureError("the step copies an array from the host, which a replay cannot repeat")
    with _uploading:
        _uploads[:] = [(event, memory) for event, memory in _uploads if not event.done]
    memory = cupy.cuda.alloc_pinned_memory(host.nbytes)  # a copy from pageable memory may wait for the stream
    np.frombuffer(memory, host.dtype, host.size)[:] = host.reshape(-1)
    out.data.copy_from_host_async(memory.ptr, host.nbytes, stream)
    copied = stream.record(cupy.cuda.Event(block=False, disable_timing=True))
    with _uploading:
        _uploads.append((copied, memory))


_uploads: list[tuple[Any, Any]] = []  # pinned memory that a copy may still be reading
_uploading = threading.Lock()


def ticket() -> Any:
    """A counter (uint32, 0 between launches) by which a block sees that it is the last; one for each stream."""
    return _ticket(cupy.cuda.runtime.getDevice(), *current_stream())


def current_stream() -> tuple[int, int]:
    """What tells streams apart: the address, and the thread if that address stands for each thread's default stream."""
    address = cupy.cuda.get_current_stream().ptr
    return address, threading.get_ident() if address == PER_THREAD else 0


@cache
def _ticket(device: int, *stream: int) -> Any:
    with cupy.cuda.using_allocator(cupy.get_default_memory_pool().malloc):  # it outlives the pool of a lane
        return cupy.zeros((), np.uint32)


class Lane:
    """A stream with a memory pool of its own, on which steps run, are captured and are replayed.

    (Not one of the 32 lanes of a warp.) The pool lives as long as the lane: a graph holds addresses in it, which nobody
    else may be given.
    """

    def __init__(self) -> None:
        self.stream = _lane_stream(cupy.cuda.runtime.getDevice(), threading.get_ident())
        self.pool = cupy.cuda.MemoryPool()
        self.outer: Any = None  # the caller's stream between fork and join, else None

    @contextlib.contextmanager
    def enter(self) -> Iterator[None]:
        """Run what follows on the lane's stream and memory, after all work given to the current stream so far."""
        self.fork()
        with self.stream, cupy.cuda.using_allocator(self.pool.malloc):
            yield

    def fork(self) -> None:
        """Let the lane wait for all work given to the current stream; does nothing if called again before ``join``."""
        if self.outer is None:
            self.outer = cupy.cuda.get_current_stream()
            self.stream.wait_event(self.outer.record(cupy.cuda.Event(block=False, disable_timing=True)))

    def join(self) -> None:
        """Let the stream that called ``fork`` wait for all work given to the lane. The host never waits."""
        if self.outer is not None:
            self.outer.wait_event(self.stream.record(cupy.cuda.Event(block=False, disable_timing=True)))
            self.outer = None

    def capture(self, work: Callable[[], None]) -> Any:
        """Record what ``work`` gives to the stream, without running it, as a graph with ``launch()``."""
        gc.collect()  # memory collected during a capture would be freed by a call that is forbidden then
        collecting = gc.isenabled()
        gc.disable()
        try:
            with self.enter():
                self.stream.begin_capture()
                try:
                    work()
                except BaseException:
                    with contextlib.suppress(Exception):  # the error that is raised already says what is wrong
                        self.stream.end_capture()
                    raise
                return _Graph(self.stream.end_capture(), self.stream)
        finally:
            if collecting:
                gc.enable()

    def free(self, own: bool = False) -> None:
        """Return the unused memory of the default pool to the device, and that of this lane if ``own``."""
        cupy.get_default_memory_pool().free_all_blocks()
        if own:
            self.pool.free_all_blocks()


@cache
def _lane_stream(device: int, thread: int) -> Any:
    """One stream for all fits of a thread: each stream takes a workspace of cuBLASLt, which is never freed."""
    return cupy.cuda.Stream(non_blocking=True)


class _Graph:
    """A captured step; ``launch`` replays it on the stream of its lane."""

    def __init__(self, graph: Any, stream: Any) -> None:
        self.graph, self.stream = graph, stream

    def launch(self) -> None:
        self.graph.launch(self.stream)
