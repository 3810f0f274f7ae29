"""What a contender (one library's training step) is, and the list of them. This file imports no array library."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any, ClassVar

from .workloads import Task

CONTENDERS = {  # name: (module, class); the devices it runs on are the class's own
    "gemm": ("with_numpy", "Gemm"),
    "gemm-torch": ("with_torch", "Gemm"),
    "gemm-jax": ("with_jax", "Gemm"),
    "gemm-cupy": ("with_xpgraph", "Gemm"),
    "chapter": ("with_numpy", "Chapter"),
    "numpy-tuned": ("with_numpy", "Tuned"),
    "xpgraph": ("with_xpgraph", "Fit"),
    "xpgraph-step": ("with_xpgraph", "Step"),
    "xpgraph-numpy": ("with_xpgraph", "NumpyFit"),
    "xpgraph-eager": ("with_xpgraph", "EagerFit"),
    "xpgraph-graph": ("with_xpgraph", "GraphFit"),
    "torch-eager": ("with_torch", "Eager"),
    "torch-fused": ("with_torch", "Fused"),
    "torch-graph": ("with_torch", "Graph"),
    "torch-compile": ("with_torch", "Compile"),
    "jax-jit": ("with_jax", "Jit"),
    "scikit-learn": ("with_sklearn", "Sklearn"),
}
USUAL = {
    "cpu": (
        "gemm", "gemm-torch", "gemm-jax", "chapter", "xpgraph", "xpgraph-step", "xpgraph-numpy", "torch-eager",
        "torch-fused", "torch-compile", "jax-jit", "scikit-learn", "numpy-tuned",
    ),
    "cuda": (
        "gemm-cupy", "gemm-torch", "gemm-jax", "xpgraph-eager", "xpgraph-graph", "torch-eager", "torch-graph",
        "torch-compile", "jax-jit",
    ),
}  # fmt: skip


class Contender:
    """One way to make a training step. Each has a process of its own, is started once, and then run.

    On the CPU, contenders get ready batches; Trainer.fit, and every contender on a GPU, gathers its batches from the
    whole data in each step.
    """

    name: ClassVar[str]
    library: ClassVar[str]  # whose products it multiplies with: its own gemm is that library's
    needs: ClassVar[tuple[str, ...]] = ()  # modules
    devices: ClassVar[tuple[str, ...]] = ("cpu",)
    trains: ClassVar[bool] = True  # False: only products, no losses
    slack: ClassVar[float | None] = None  # relative tolerance of the losses where it is not the dtype's
    note: ClassVar[str] = ""  # what stands below the table

    def available(self, device: str) -> str | None:
        """None, or why it cannot run here."""
        if device not in self.devices:
            return f"runs on {', '.join(self.devices)} only"
        for module in self.needs:
            if importlib.util.find_spec(module) is None:
                return f"{module} is not installed"
            importlib.import_module(module)
        return None

    def start(self, task: Task) -> None:
        """Take the weights and the data; whatever is done once, such as compiling, may wait for the first run."""
        raise NotImplementedError

    def multiple(self) -> int:
        """``run`` takes multiples of this many steps."""
        return 1

    def losses(self, n: int) -> list[float]:
        """Make the first n steps; the loss of each, before its update."""
        raise NotImplementedError

    def run(self, steps: int) -> float | None:
        """Make so many more steps, and wait for the device; the seconds, if not all of the call is to be counted."""
        raise NotImplementedError

    def one(self) -> float | None:
        """Make one step, and wait for the device; as ``run``."""
        return self.run(1)

    def describe(self) -> dict[str, Any]:
        """Versions, and what was chosen: threads, kernels, precision."""
        return {}


def make(name: str) -> Contender:
    """The contender of a name, or of "module:Class" for one from outside."""
    if name in CONTENDERS:
        module, kind = CONTENDERS[name]
        return getattr(importlib.import_module(f"{__package__}.{module}"), kind)()
    module, _, kind = name.partition(":")
    return getattr(importlib.import_module(module), kind)()


def layers(arrays: list[Any]) -> list[tuple[Any, Any]]:
    """[W₁, b₁, W₂, b₂, ...] as [(W₁, b₁), ...]."""
    return list(zip(arrays[::2], arrays[1::2], strict=True))
