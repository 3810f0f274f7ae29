"""The training on one backend, and each node once more on the oracle's inputs."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from ...arrays.installed import usable
from ...arrays.libraries import Array, Place, is_array, place, place_of, to_numpy
from ...graph.gradient_check import host
from ...nodes.copying import move
from ...nodes.sharing import merge, plan
from ...training.clipping import clip_rate
from ...training.steps import update
from ..tape import NodeError, Use, as_list, leaves, recording
from .oracle import NodeCase, Oracle, fresh
from .tolerances import error_ratio, errors

Errors = dict[str, tuple[float, float]]  # of what: (absolute, relative)


class BackendRun:
    """A training on one backend. ``beside`` is a second copy of the model, set to the oracle's numbers at each step."""

    def __init__(self, model: Any, optimizer: Any, backend: str | Place, dtype: str, max_grad: float | None) -> None:
        self.place = backend if isinstance(backend, Place) else place(backend)
        self.name, self.dtype = str(self.place), dtype
        self.max_grad, self.alive = max_grad, True  # not alive: a node has raised
        self.model, self.beside = move(model, self.place, dtype), move(model, self.place, dtype)
        self.optimizer = fresh(optimizer)
        self.slots = plan(list(self.model.params))
        self.distinct = [i for i, slot in enumerate(self.slots) if slot.first == i]
        self.nodes = dict(leaves(self.beside))
        library = usable(self.place.library.name)
        self.about = {"version": library.version, "device": library.device, "tf32": _tf32(self.place)}

    def put(self, a: Any) -> Array:
        """A fresh array on the backend."""
        return self.place.asarray(np.asarray(a), copy=True)

    def ratios(self, found: list[Any], truth: list[Any], allowed: list[Any], dtype: str | None = None) -> list[float]:
        """Error over tolerance of each array; ∞ for another number, shape, dtype, library or device."""
        if len(found) != len(truth) or any(is_array(a) and str(place_of(a)) != self.name for a in found):
            return [math.inf]
        return [
            error_ratio(host(a), np.asarray(b), np.asarray(r), dtype or self.dtype)
            for a, b, r in zip(found, truth, allowed, strict=True)
        ]

    def params(self) -> list[np.ndarray]:
        """The parameters, each once, on the host."""
        return [to_numpy(self.model.params[i]) for i in self.distinct]

    def step(self, x: np.ndarray, t: np.ndarray, truth: list[Use]) -> dict[str, Errors]:
        """One step of the training: the largest errors of each node's outputs and gradients."""
        with recording(self.model) as uses:
            self.model.forward(self.put(x), self.put(t))
            self.model.backward()
        inside: dict[str, Errors] = {}
        for use, true in zip(uses, truth, strict=True):
            worst = inside.setdefault(use.path, {"outputs": (0.0, 0.0), "gradients": (0.0, 0.0)})
            pairs = [("outputs", *pair) for pair in zip(use.outputs, true.outputs, strict=True)]
            pairs += [("gradients", *pair) for pair in zip(use.grads, true.grads, strict=True)]
            pairs += [("gradients", *pair) for pair in zip(use.dins, true.dins, strict=False)]
            for what, a, b in pairs:
                worst[what] = max(worst[what], errors(host(a), np.asarray(b)))
        params, grads = merge(self.slots, list(self.model.params), list(self.model.grads))
        clip = clip_rate(grads, self.max_grad)[0] if self.max_grad is not None and grads else None
        update(self.optimizer, params, grads, clip)
        return inside

    def state_errors(self, oracle: Oracle) -> Errors:
        """The largest errors of the weights, and of the optimizer's state by slot."""
        pairs = {"weights": list(zip(self.params(), oracle.params(), strict=True))}
        for slot in self.optimizer.slots if oracle.rule is not None else ():
            arrays = map(host, getattr(self.optimizer, slot))
            pairs[slot] = list(zip(arrays, (state[slot] for state in oracle.state), strict=True))
        return {what: max((errors(a, b) for a, b in each), default=(0.0, 0.0)) for what, each in pairs.items()}

    def check_nodes(self, params: list[np.ndarray], cases: list[NodeCase]) -> Iterator[tuple[str, float]]:
        """Each node on the oracle's inputs: its path, and the largest error over tolerance of all its results."""
        for i, value in zip(self.distinct, params, strict=True):
            self.beside.params[i][...] = self.put(value.astype(self.dtype))
        for case in cases:
            node = self.nodes[case.path]
            try:
                outputs = as_list(node.forward(*(self.put(a) for a in case.inputs)))
                dins = node.backward(*(self.put(d) for d in case.douts))
            except Exception as error:
                raise NodeError(case.path, error) from error
            results = outputs, [] if dins is None else as_list(dins), list(getattr(node, "grads", ()))
            ratios = (self.ratios(*each) for each in zip(results, case.truth, case.allowed, strict=True))
            yield case.path, max((ratio for each in ratios for ratio in each), default=0.0)


def _tf32(where: Place) -> bool | None:
    """May the backend round float32 products to TF32? None where there is no such thing."""
    if where.library.name == "torch":
        return bool(where.xp.backends.cuda.matmul.allow_tf32) if hasattr(where.xp, "backends") else False
    if where.library.name == "cupy":
        return os.environ.get("CUPY_TF32", "0") not in ("", "0")
    return None
