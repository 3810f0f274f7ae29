"""One backend's part of a verification: its own run, and each node once more on the oracle's inputs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from ...arrays.installed import usable
from ...arrays.libraries import Place, place, to_numpy
from ...nodes.copying import move
from ...nodes.sharing import merge, plan
from ...training.clipping import clip_rate
from ...training.steps import update
from ..formulas.formula import unit
from ..formulas.textbook import FORMULAS
from ..tape import NodeError, Use, as_list, leaves, recording
from .bars import errors
from .judge import Judge
from .reference import Oracle, float64, fresh

OWN = 64  # a node without a formula may err by 64 u of its largest result: nothing is known of its sums


class Trial:
    """One use of a node on the oracle's own inputs, rounded to the dtype: what it should return, within what room."""

    def __init__(self, use: Use, dtype: str) -> None:
        self.path, self.kind, self.dtype = use.path, type(use.node).__name__, dtype
        self.params = [np.asarray(p).astype(dtype) for p in getattr(use.node, "params", ())]
        self.inputs = [rounded(a, dtype) for a in use.inputs]
        self.douts = [np.asarray(a, np.float64).astype(dtype) for a in use.douts or [1.0] * len(use.outputs)]
        self.formula = (
            FORMULAS.get(type(use.node).__name__) if type(use.node).__module__.startswith("xpgraph.") else None
        )
        for array in self.inputs if self.formula and self.formula.at_zero else ():
            array.reshape(-1)[:1] *= array.dtype.kind != "f"  # one exact zero, where a comparison may go either way
        wide = float64(self.params), float64(self.inputs), float64(self.douts)
        if self.formula is None:
            self._own(use, *wide)
            return
        p, a, d = wide
        self.outputs, self.output_room = (
            self.formula.forward(use.node, p, a),
            self.formula.forward_bar(use.node, p, a, dtype),
        )
        (self.dins, self.grads), (self.din_room, self.grad_room) = (
            self.formula.backward(use.node, p, a, d), self.formula.backward_bar(use.node, p, a, d, dtype)
        )  # fmt: skip

    def _own(self, use: Use, params: Any, inputs: Any, douts: Any) -> None:
        node = move(use.node, place("numpy"), "float64")
        for p, value in zip(getattr(node, "params", ()), params, strict=True):
            p[...] = value
        self.outputs = float64(as_list(node.forward(*inputs)))
        dins = node.backward(*douts)
        self.dins = [] if dins is None else float64(as_list(dins))
        self.grads = float64(list(getattr(node, "grads", ())))
        room = [[np.full(a.shape, OWN * unit(self.dtype) * np.abs(a).max(initial=0.0)) for a in each]
                for each in (self.outputs, self.dins, self.grads)]  # fmt: skip
        self.output_room, self.din_room, self.grad_room = room


def rounded(a: Any, dtype: str) -> np.ndarray:
    """A copy of a floating array in the dtype; class indices as they are."""
    a = np.asarray(a)
    return np.array(a) if a.dtype.kind in "iu" else np.array(a, dtype, order="C")


Errors = dict[str, tuple[float, float]]  # what: (absolute, relative)


class BackendRun(Judge):
    """One backend's run, and beside it a copy of the model that is set to the oracle's numbers again and again."""

    def __init__(self, model: Any, optimizer: Any, backend: str | Place, dtype: str, max_grad: float | None) -> None:
        super().__init__(backend if isinstance(backend, Place) else place(backend), dtype)
        self.max_grad, self.alive = max_grad, True
        self.model, self.beside = move(model, self.place, dtype), move(model, self.place, dtype)
        self.optimizer = fresh(optimizer)
        self.slots = plan(list(self.model.params))
        self.nodes = dict(leaves(self.beside))
        found = usable(self.place.library.name)
        self.about = {"version": found.version, "device": found.device, "tf32": tf32(self.place)}

    def params(self) -> list[np.ndarray]:
        kept = [i for i, slot in enumerate(self.slots) if slot.first == i]
        return [to_numpy(self.model.params[i]) for i in kept]

    def step(self, x: np.ndarray, t: np.ndarray, truth: list[Use]) -> dict[str, Errors]:
        """One step of the run itself: the largest errors of each node's outputs and gradients."""
        with recording(self.model) as uses:
            self.model.forward(self.put(x), self.put(t))
            self.model.backward()
        inside: dict[str, Errors] = {}
        for use, true in zip(uses, truth, strict=True):
            now = inside.setdefault(use.path, {"outputs": (0.0, 0.0), "gradients": (0.0, 0.0)})
            pairs = [("outputs", *pair) for pair in zip(use.outputs, true.outputs, strict=True)]
            pairs += [("gradients", *pair) for pair in zip(use.grads, true.grads, strict=True)]
            pairs += [("gradients", *pair) for pair in zip(use.dins, true.dins, strict=False)]
            for what, a, b in pairs:
                now[what] = max(now[what], errors(self.host(a), np.asarray(b)))
        params, grads = merge(self.slots, list(self.model.params), list(self.model.grads))
        clip = clip_rate(grads, self.max_grad)[0] if self.max_grad is not None and grads else None
        update(self.optimizer, params, grads, clip)
        return inside

    def state_errors(self, oracle: Oracle) -> Errors:
        """(absolute, relative) errors of the weights, and of the optimizer's state by slot."""
        found = {
            "weights": max(
                (errors(a, b) for a, b in zip(self.params(), oracle.params(), strict=True)), default=(0.0, 0.0)
            )
        }
        for slot in self.optimizer.slots if oracle.rule is not None else ():
            pairs = zip(getattr(self.optimizer, slot), oracle.state, strict=True)
            found[slot] = max((errors(self.host(a), b[slot]) for a, b in pairs), default=(0.0, 0.0))
        return found

    def local(self, params: list[np.ndarray], trials: list[Trial]) -> Iterator[tuple[str, float]]:
        """Each node on the oracle's inputs: its name, and the largest strain of its outputs and gradients."""
        kept = [i for i, slot in enumerate(self.slots) if slot.first == i]
        for i, value in zip(kept, params, strict=True):
            self.beside.params[i][...] = self.put(value.astype(self.dtype))
        for trial in trials:
            node = self.nodes[trial.path]
            try:
                outputs = as_list(node.forward(*(self.put(a) for a in trial.inputs)))
                dins = node.backward(*(self.put(d) for d in trial.douts))
            except Exception as error:
                raise NodeError(trial.path, error) from error
            worst = self.strains(outputs, trial.outputs, trial.output_room)
            worst += self.strains([] if dins is None else as_list(dins), trial.dins, trial.din_room)
            worst += self.strains(list(getattr(node, "grads", ())), trial.grads, trial.grad_room)
            yield trial.path, max(worst, default=0.0)


def tf32(where: Place) -> bool | None:
    """Is the backend allowed to round float32 products to TF32? None where there is no such thing."""
    if where.library.name == "torch":
        return bool(where.xp.backends.cuda.matmul.allow_tf32) if hasattr(where.xp, "backends") else False
    if where.library.name == "cupy":
        return os.environ.get("CUPY_TF32", "0") not in ("", "0")
    return None
