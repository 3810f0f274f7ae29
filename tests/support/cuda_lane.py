"""Takes the place of device.Lane in the CUDA rig: its memory is a pool of its own, its graphs are lists of calls."""

from __future__ import annotations

import contextlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from cuda_rig import Rig


class Chunk:
    """Host memory under a CuPy array; it returns to its pool when the array is gone."""

    def __init__(self, data: np.ndarray, pool: dict[int, list[np.ndarray]] | None) -> None:
        self.data, self.pool = data, pool

    def __del__(self) -> None:
        if self.pool is not None:
            self.pool[self.data.size].append(self.data)


class Lane:
    """Like device.Lane: a capture records calls and does not run them; memory is reused as soon as it is free."""

    def __init__(self, rig: Rig) -> None:
        self.rig, self.pool = rig, defaultdict(list)
        self.joined, self.inside = True, False

    def malloc(self, size: int) -> Any:
        free = self.pool[-(-max(size, 1) // 512) * 512]
        return self.rig.memory(size, free.pop() if free else None, self.pool)

    @contextlib.contextmanager
    def enter(self) -> Iterator[None]:
        import cupy

        self.fork()
        self.inside = True
        try:
            with cupy.cuda.using_allocator(self.malloc):
                yield
        finally:
            self.inside = False

    def fork(self) -> None:
        self.joined = False

    def join(self) -> None:
        self.joined = True

    def free(self, own: bool = False) -> None:
        self.rig.calls.append(("free", "own" if own else ""))

    def capture(self, work: Callable[[], None]) -> Any:
        rig = self.rig
        rig.recording = []
        try:
            with self.enter():
                work()
            rig.graphs.append(Graph(rig, self, rig.recording))
            return rig.graphs[-1]
        finally:
            rig.recording = None


class Graph:
    """A captured step: its calls, which ``launch`` runs again on the same addresses."""

    def __init__(self, rig: Rig, lane: Lane, calls: list[tuple[str, str, Callable[[], None]]]) -> None:
        self.rig, self.lane, self.calls = rig, lane, calls

    def nodes(self) -> Counter[str]:
        """How often each kernel, product or generic body occurs."""
        return Counter(f"{kind} {name}" for kind, name, _ in self.calls)

    def launch(self) -> None:
        assert not self.lane.joined, "a replay does not wait for the work before it"
        self.rig.calls.append(("replay", ""))
        for _, _, run in self.calls:
            run()
