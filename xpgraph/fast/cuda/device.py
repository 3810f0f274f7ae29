"""The device, as the bodies for CuPy see it: one ``launch``, one ``upload``, and the lane on which steps are captured.

Everything that needs a GPU stands here and in lt.py.
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

REALS = {"float32": "float", "float64": "double"}
PER_THREAD = 2  # the address that stands for each thread's default stream


def launch(name: str, dtype: str, grid: int, block: int, args: Sequence[Any]) -> None:
    """Run kernel ``xp_<name>``, compiled for a dtype, on the current stream. Every kernel of our own goes through here.

    ``args`` in the order of the kernel's parameters: addresses and whole numbers as int, reals as NumPy scalars.
    """
    if grid < 1:
        raise ValueError(f"{name}: a grid of {grid} blocks")  # CuPy would launch one
    _function(name, dtype, cupy.cuda.runtime.getDevice())((grid,), (block,), tuple(args))


@cache
def _function(name: str, dtype: str, device: int) -> Any:
    return _module(sources.file_of(name), dtype, device).get_function(f"xp_{name}")


@cache
def _module(file: str, dtype: str, device: int) -> Any:
    # CuPy keeps what NVRTC made in its cache on disk, by source and options
    return cupy.RawModule(code=sources.text(file), options=("-std=c++17", f"-DREAL={REALS[dtype]}"), backend="nvrtc")


def upload(out: Any, host: np.ndarray) -> None:
    """Copy a host array into a contiguous CuPy array of its size, on the current stream, without waiting for it."""
    stream = cupy.cuda.get_current_stream()
    if stream.is_capturing():
        raise CaptureError("an array would have to be brought from the host at each step")
    with _uploading:
        _uploads[:] = [(event, memory) for event, memory in _uploads if not event.done]
    memory = cupy.cuda.alloc_pinned_memory(host.nbytes)  # from pageable memory, CUDA may wait for the stream
    np.frombuffer(memory, host.dtype, host.size)[:] = host.reshape(-1)
    out.data.copy_from_host_async(memory.ptr, host.nbytes, stream)
    copied = stream.record(cupy.cuda.Event(block=False, disable_timing=True))
    with _uploading:
        _uploads.append((copied, memory))


_uploads: list[tuple[Any, Any]] = []  # pinned memory that a copy may still be reading
_uploading = threading.Lock()


def ticket() -> Any:
    """One uint32, 0 between launches, by which the last block of a kernel knows itself; one for each stream."""
    return _ticket(cupy.cuda.runtime.getDevice(), *current_stream())


def current_stream() -> tuple[int, int]:
    """What is to be kept apart for each stream goes by this: threads share the address of their own default stream."""
    address = cupy.cuda.get_current_stream().ptr
    return address, threading.get_ident() if address == PER_THREAD else 0


@cache
def _ticket(device: int, *stream: int) -> Any:
    with cupy.cuda.using_allocator(cupy.get_default_memory_pool().malloc):  # it outlives every private pool
        return cupy.zeros((), np.uint32)


class Lane:
    """A stream of its own with memory of its own, on which steps run, are captured, and are replayed.

    The memory pool lives as long as the lane: a graph replays addresses, and nobody else may be given them.
    """

    def __init__(self) -> None:
        self.stream = _lane_stream(cupy.cuda.runtime.getDevice(), threading.get_ident())
        self.pool = cupy.cuda.MemoryPool()
        self.outer: Any = None  # the stream that waits, or is waited for, at the ends of the lane

    @contextlib.contextmanager
    def enter(self) -> Iterator[None]:
        """Work on this lane's stream, after what the current stream was given so far."""
        self.fork()
        with self.stream, cupy.cuda.using_allocator(self.pool.malloc):
            yield

    def fork(self) -> None:
        """From here on the lane goes on after all that the current stream was given; once until ``join``."""
        if self.outer is None:
            self.outer = cupy.cuda.get_current_stream()
            self.stream.wait_event(self.outer.record(cupy.cuda.Event(block=False, disable_timing=True)))

    def join(self) -> None:
        """From here on the stream that ``fork`` met goes on after all that the lane was given; the host never waits."""
        if self.outer is not None:
            self.outer.wait_event(self.stream.record(cupy.cuda.Event(block=False, disable_timing=True)))
            self.outer = None

    def capture(self, work: Callable[[], None]) -> Any:
        """What ``work`` gives to the stream, as a graph with ``launch()``; none of it is run."""
        gc.collect()  # what dies in a cycle while a stream captures would be freed by a call that may not be made then
        collecting = gc.isenabled()
        gc.disable()
        try:
            with self.enter():
                self.stream.begin_capture()
                try:
                    work()
                except BaseException:
                    with contextlib.suppress(Exception):  # what is wrong is already known
                        self.stream.end_capture()
                    raise
                return _Graph(self.stream.end_capture(), self.stream)
        finally:
            if collecting:
                gc.enable()

    def free(self, own: bool = False) -> None:
        """Give back what the default pool holds unused, and, if ``own``, what this lane holds unused."""
        cupy.get_default_memory_pool().free_all_blocks()
        if own:
            self.pool.free_all_blocks()


@cache
def _lane_stream(device: int, thread: int) -> Any:
    """One for all fits of a thread: a stream takes a workspace of cuBLASLt with it that is never given back."""
    return cupy.cuda.Stream(non_blocking=True)


class _Graph:
    def __init__(self, graph: Any, stream: Any) -> None:
        self.graph, self.stream = graph, stream

    def launch(self) -> None:
        self.graph.launch(self.stream)
