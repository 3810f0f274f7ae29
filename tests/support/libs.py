"""The array libraries that the suite runs on, and what one of them cannot run (backend_exceptions.txt)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xpgraph.arrays.installed import usable
from xpgraph.arrays.libraries import LIBRARIES, Place, place, to_numpy

BACKENDS = ("numpy", "numpy:readonly", "array_api_strict", "torch", "cupy")
EXCEPTIONS = Path(__file__).parents[1] / "backend_exceptions.txt"


@dataclass(frozen=True)
class Lib:
    """One library as a test sees it."""

    name: str
    place: Place

    @property
    def xp(self) -> Any:
        return self.place.xp

    def array(self, a: Any, dtype: str | None = None) -> Any:
        """Input data: a fresh array of this library; on numpy:readonly nobody can write into it."""
        new = self.place.asarray(np.array(a, dtype=dtype), copy=True)
        if self.name == "numpy:readonly":
            new.flags.writeable = False
        return new

    def param(self, a: Any, dtype: str | None = None) -> Any:
        """A parameter: a fresh array that may be written into."""
        return self.place.asarray(np.array(a, dtype=dtype), copy=True)

    def numpy(self, a: Any) -> np.ndarray:
        """A copy on the host."""
        return np.array(to_numpy(a))


@contextlib.contextmanager
def torch_in_one_thread() -> Iterator[None]:
    """In steps as small as those of the tests, PyTorch's threads cost more than they bring."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make_lib(backend: str) -> Lib:
    name = backend.partition(":")[0]
    found = usable(name)
    if not found.usable:
        pytest.skip(f"backend {name!r} {found.why}")
    if name == "array_api_strict":
        import array_api_strict

        return Lib(backend, Place(LIBRARIES[name], array_api_strict.Device("device1")))  # it refuses implicit moves
    return Lib(backend, place(name))


def backend_of(item: pytest.Item) -> str | None:
    found = getattr(item, "callspec", None) and item.callspec.params.get("lib")
    return "cupy" if item.get_closest_marker("cuda") else found


def plain_id(nodeid: str, backend: str | None) -> str:
    """A test's id without the backend: ``nodes/test_node.py::test_add[float32]``."""
    file, _, rest = nodeid.removeprefix("tests/").partition("::")
    if backend and "[" in rest:
        name, _, inside = rest.partition("[")
        kept = [part for part in inside.removesuffix("]").split("-") if part != backend]
        rest = f"{name}[{'-'.join(kept)}]" if kept else name
    return f"{file}::{rest}"


def exceptions() -> dict[tuple[str | None, str], str]:
    """(backend, test id) -> reason, from the committed file."""
    rows = [line.split(" | ", 2) for line in EXCEPTIONS.read_text("utf-8").splitlines() if line and line[0] != "#"]
    return {(backend, test): reason for backend, test, reason in rows}
