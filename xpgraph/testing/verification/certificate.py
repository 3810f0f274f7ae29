"""The certificate of a verification: what was compared, how far apart it was, and the verdict."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any

from ...graph.text_table import columns


@dataclass
class Failure:
    """Something left its tolerance. ``ratio``: error over tolerance; ∞ for an exception or a training that diverges."""

    step: int
    node: str
    backend: str
    what: str
    ratio: float

    def __str__(self) -> str:
        if math.isfinite(self.ratio):
            return f"step {self.step}: {self.node} on {self.backend}: {self.what} is {self.ratio:.3g} x its tolerance"
        return f"step {self.step}: {self.node} on {self.backend}: {self.what}"


@dataclass
class Certificate:
    """What ``verify`` found. ``local`` and ``accumulated`` are keyed by (node, backend), in the order of the nodes.

    ``local``: the largest error over tolerance of a node that is given the oracle's own inputs. ``accumulated``: its
    largest relative error inside the run. ``weights``: how far the weights of each backend are from the oracle's at
    the end; "roundings": how far roundings alone take an oracle. ``records``: a row for each step, backend and node.
    """

    network: str
    dtype: str
    steps: int
    seed: int
    optimizer: str
    max_grad: float | None
    backends: dict[str, dict[str, Any]]
    local: dict[tuple[str, str], float] = field(default_factory=dict)
    accumulated: dict[tuple[str, str], float] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)
    accuracy: dict[str, float | None] = field(default_factory=dict)
    records: list[dict[str, Any]] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return not self.failures

    @property
    def first_failure(self) -> Failure | None:
        """The first in the order in which a step runs: the place to look."""
        return self.failures[0] if self.failures else None

    def text(self) -> str:
        """The certificate for people."""
        names = list(self.backends)
        rows = [("error / allowed, then in the run", *names)]
        for node in dict.fromkeys(node for node, _ in self.local):
            pairs = [(self.local.get((node, b)), self.accumulated.get((node, b))) for b in names]
            rows.append((node, *(f"{_number(local):>6} {_number(inside):>8}" for local, inside in pairs)))
        clip = "" if self.max_grad is None else f", gradients clipped at {self.max_grad:g}"
        lines = [
            f"{self.network}, {self.dtype}, {self.steps} steps of {self.optimizer}{clip}, seed {self.seed}",
            *(f"  {name}: {_about(about)}" for name, about in self.backends.items()),
            "",
            *columns(rows, right=range(1, 1 + len(names))),
            "",
            *(f"weights on {b}: {_number(w)} from the oracle's" for b, w in self.weights.items() if b in names),
            f"roundings alone: {_number(self.weights.get('roundings'))}",
        ]
        first = self.first_failure
        return "\n".join([*lines, f"fail: {first}" if first else "pass"])

    def data(self) -> dict[str, Any]:
        """The certificate for machines: everything, as plain data."""
        own = {key: value for key, value in vars(self).items() if key not in ("local", "accumulated", "failures")}
        return dict(_plain({**own, "passed": self.passed, "failures": [vars(f) for f in self.failures]}))

    def json(self) -> str:
        return json.dumps(self.data(), ensure_ascii=False)


def _about(backend: dict[str, Any]) -> str:
    flag = backend.get("tf32")
    words = [backend["version"], backend["device"]]
    return ", ".join(words if flag is None else [*words, f"TF32 {'on' if flag else 'off'}"])


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}"


def _plain(value: Any) -> Any:
    """A copy as JSON takes it, which has no infinity."""
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
