"""Train one network on several backends beside a float64 oracle, node by node, and say where they part.

Each node is judged twice: inside the run, where errors accumulate, and once more on the oracle's own inputs, where
only its own error is left and can be held to the tolerance of its kernel.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from .. import draws
from ..namespace import Place, on_device, place
from ..node import move
from . import judge
from .bars import ACCURACY, ADAPTIVE_RULES, gap, trajectory_bar
from .certificate import Certificate, Failure
from .reference import Oracle, formulas
from .tape import NodeError, recording
from .trial import BackendRun, Trial, rounded


def verify(
    model: Any,
    x: np.ndarray,
    t: np.ndarray,
    optimizer: Any,
    *,
    backends: Sequence[str | Place] = ("numpy",),
    dtype: str = "float32",
    steps: int = 100,
    batch_size: int = 32,
    seed: int = 0,
    max_grad: float | None = None,
    network: str | None = None,
) -> Certificate:
    """Train copies of ``model`` for ``steps`` updates on each backend, and compare with the oracle after each.

    x (N, ...) and t are NumPy arrays; the model and the optimizer are not changed. ``dtype``: ``"float32"`` or
    ``"float64"``. Raises BackendError for a backend that cannot be used; a node that raises is a failure.
    """
    start = move(move(model, place("numpy"), dtype), place("numpy"), "float64")  # every run starts from these bits
    oracle = Oracle(start, optimizer, max_grad)
    runs = [BackendRun(start, optimizer, b, dtype, max_grad) for b in backends]
    certificate = Certificate(
        network or type(model).__name__, dtype, steps, seed, repr(optimizer), max_grad, {r.name: r.about for r in runs}
    )
    rows = _rows(len(x), batch_size, seed)
    with _one_thread(runs):
        for step in range(1, steps + 1):
            batch = next(rows)
            _step(certificate, step, oracle, runs, rounded(x[batch], dtype), rounded(t[batch], dtype))
            if not all(run.alive for run in runs):
                break
    _finish(certificate, oracle, runs, x, t)
    return certificate


@contextmanager
def _one_thread(runs: list[BackendRun]) -> Iterator[None]:
    """PyTorch on one thread meanwhile: its pool and NumPy's, taking turns on small products, wait for each other."""
    torch = next((run.place.xp for run in runs if run.place.library.name == "torch"), None)
    threads = None if torch is None else torch.get_num_threads()
    if torch is not None:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if torch is not None:
            torch.set_num_threads(threads)


def _rows(n: int, size: int, seed: int) -> Any:
    epoch = 0
    while True:
        order = draws.permutation(n, seed, "order", epoch)
        yield from (order[i : i + size] for i in range(0, n, size))
        epoch += 1


def _step(c: Certificate, step: int, oracle: Oracle, runs: list[BackendRun], x: np.ndarray, t: np.ndarray) -> None:
    params, state = oracle.params(), copy.deepcopy(oracle.state)
    uses, slots = oracle.run(x, t)
    trials = [Trial(use, c.dtype) for use in uses]  # now: the update below changes the parameters
    grads = oracle.merged(slots)
    clipped = oracle.clipped(grads)
    oracle.update(clipped)
    for run in runs:
        found: list[tuple[str, float]] = []
        inside: dict[str, tuple[float, float]] = {}
        with on_device(run.place.device):
            with _failing(c, step, run):
                for node, worst in run.local(params, trials):  # one by one: in the order in which they are found
                    _enter(c, step, run, found, node, worst)
            for name, check in _checks(run, c.max_grad, slots, grads, clipped, params, state, oracle, trials).items():
                with _failing(c, step, run, name):
                    _enter(c, step, run, found, name, check())
            with _failing(c, step, run):
                inside = run.step(x, t, uses)
        _record(c, step, run, found, inside)
        if run.alive:
            _hold_weights(c, step, run, oracle, clipped)


def _checks(
    run: BackendRun, max_grad: float | None, slots: Any, grads: Any, clipped: Any, params: Any, state: Any,
    oracle: Oracle, trials: list[Trial],
) -> dict[str, Callable[[], float]]:  # fmt: skip
    """What is held beside the nodes, by the name under which it is reported."""
    checks: dict[str, Callable[[], float]] = {
        "sharing": lambda: judge.merging(run, run.slots, list(run.beside.params), slots, grads),
        "clip_grads": lambda: judge.clipping(run, grads, max_grad),
    }
    losses = [trial for trial in trials if trial.kind == "SoftmaxWithLoss" and trial.inputs[0].ndim == 2]
    if losses:
        checks["cross_entropy_loss"] = lambda: judge.cross_entropy(run, *losses[0].inputs)
    checks[type(oracle.optimizer).__name__] = lambda: judge.update(run, params, clipped, state, oracle)
    return checks


@contextmanager
def _failing(c: Certificate, step: int, run: BackendRun, name: str = "update") -> Iterator[None]:
    """An exception is a failure of the node that raised it, and the end of the run."""
    try:
        yield
    except Exception as error:
        run.alive = False
        where = error.path if isinstance(error, NodeError) else name
        cause = error.__cause__ if isinstance(error, NodeError) else error
        c.failures.append(Failure(step, where, run.name, f"{type(cause).__name__}: {cause}", math.inf))


def _enter(c: Certificate, step: int, run: BackendRun, found: list[tuple[str, float]], node: str, worst: float) -> None:
    found.append((node, worst))
    c.local[node, run.name] = max(c.local.get((node, run.name), 0.0), worst)
    if worst > 1:
        c.failures.append(Failure(step, node, run.name, "its error on the oracle's inputs", worst))


def _record(c: Certificate, step: int, run: BackendRun, found: list[tuple[str, float]], inside: Any) -> None:
    for node, worst in found:
        absolute, relative = inside.get(node, (None, None))
        if absolute is not None:
            c.accumulated[node, run.name] = (absolute, relative)
        c.records.append(
            {"step": step, "node": node, "backend": run.name, "local": worst, "abs": absolute, "rel": relative}
        )


def _hold_weights(c: Certificate, step: int, run: BackendRun, oracle: Oracle, grads: Any) -> None:
    """An adaptive step is held where the gradient is not nearly 0: there a rounding may turn it around."""
    rule = type(oracle.optimizer).__name__
    bar = trajectory_bar(rule, c.dtype, step)
    pairs = list(zip(run.params(), oracle.params(), strict=True))
    c.weights[run.name] = max((gap(a, b) for a, b in pairs), default=0.0)
    if rule in ADAPTIVE_RULES:
        pairs = [
            (np.where(np.abs(g) > 1e-3 * np.abs(g).max(initial=0.0), a, b), b)
            for (a, b), g in zip(pairs, grads, strict=True)
        ]
    far = max((gap(a, b) for a, b in pairs), default=0.0)
    if bar is not None and far > bar:
        c.failures.append(Failure(step, "weights", run.name, f"their distance, {far:.3g},", far / bar))


def _finish(c: Certificate, oracle: Oracle, runs: list[BackendRun], x: np.ndarray, t: np.ndarray) -> None:
    """An adaptive optimizer's runs are held to the accuracy at their end."""
    with recording(oracle.model, formulas):
        truth = _accuracy(oracle.model, x.astype(np.float64), t)
    for run in runs:
        if not run.alive:
            continue
        there, found = move(run.model, place("numpy")), None
        with _failing(c, c.steps, run, "predict"), recording(there):
            c.accuracy[run.name] = found = _accuracy(there, x.astype(c.dtype), t)
        if type(oracle.optimizer).__name__ in ADAPTIVE_RULES and truth is not None and found is not None:
            far = abs(found - truth)
            if far > max(ACCURACY, 1.5 / len(x)):  # less than two rows is no difference
                c.failures.append(
                    Failure(c.steps, "accuracy", run.name, f"{found:.4f} for {truth:.4f}", far / ACCURACY)
                )


def _accuracy(model: Any, x: np.ndarray, t: np.ndarray) -> float | None:
    predict = getattr(model, "predict", None)
    if predict is None or t.ndim != 1 or t.dtype.kind not in "iu":
        return None
    y = np.asarray(predict(x))
    return float((y.argmax(axis=-1) == t).mean()) if y.ndim == 2 else None
