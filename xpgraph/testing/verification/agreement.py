"""Train one network on several backends beside a float64 oracle, node by node, and say where they part.

Each node is judged twice: inside the run, where errors accumulate, and once more on the oracle's own inputs, where
only its own error is left and can be held to the tolerance of its kernel.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral
from typing import Any

import numpy as np

from ...arrays import random_numbers
from ...arrays.libraries import Place, on_device, place
from ...errors import DTypeError
from ...graph.inputs import check_lengths
from ...nodes.copying import move
from ..tape import NodeError, recording
from . import judge
from .bars import ACCURACY, ADAPTIVE_RULES, ROUNDINGS, gap, trajectory_bar
from .certificate import Certificate, Failure
from .reference import Disturbed, Oracle, formulas
from .trial import BackendRun, Errors, Trial, rounded


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

    x (N, ...) and t are NumPy arrays. The model and the optimizer are not changed; the optimizer starts afresh.
    ``dtype``: ``"float32"`` or ``"float64"``. A node that raises is a failure, and so is a training that is not finite
    in the oracle. Raises BackendError for a backend that cannot be used, ValueError or TypeError (or a subclass) for
    arguments that cannot be right.
    """
    backends = _checked(backends, dtype, x, t, steps=steps, batch_size=batch_size)
    start = move(move(model, place("numpy"), dtype), place("numpy"), "float64")  # every run starts from these bits
    oracle, roundings = Oracle(start, optimizer, max_grad), Disturbed(start, optimizer, max_grad, dtype)
    runs = [BackendRun(start, optimizer, b, dtype, max_grad) for b in backends]
    certificate = Certificate(
        network or type(model).__name__, dtype, steps, seed, repr(optimizer), max_grad, {r.name: r.about for r in runs}
    )
    rows = _rows(len(x), batch_size, seed)
    with _one_thread(runs), np.errstate(all="ignore"):  # what is not finite is found, not warned of
        for step in range(1, steps + 1):
            batch = next(rows)
            bx, bt = rounded(x[batch], dtype), rounded(t[batch], dtype)
            roundings.follow(bx, bt)
            going = _step(certificate, step, oracle, runs, bx, bt)
            if going:
                _hold_weights(certificate, step, runs, oracle, roundings)
            if not going or not all(run.alive for run in runs):
                break
        _finish(certificate, oracle, roundings, runs, x, t)
    return certificate


def _checked(backends: Any, dtype: str, x: Any, t: Any, **wholes: Any) -> list[Any]:
    """The backends as a list, each once; ValueError or TypeError for what would certify nothing."""
    names = [backends] if isinstance(backends, str | Place) else list(backends)
    if not names or len({str(name) for name in names}) < len(names):
        raise ValueError(f"verify: backends is {backends!r}; give at least one, each once, such as ('numpy', 'cupy').")
    if dtype not in ("float32", "float64"):
        raise ValueError(f"verify: dtype is {dtype!r}; give 'float32' or 'float64'.")
    for name, value in wholes.items():
        if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
            raise ValueError(f"verify: {name} is {value!r}; give a whole number from 1 up.")
    for name, a in (("x", x), ("t", t)):
        if not isinstance(a, np.ndarray):
            raise DTypeError(f"verify: {name} is a {type(a).__name__}; give a NumPy array, which is moved.")
    check_lengths("verify", x, t)
    return names


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
        order = random_numbers.permutation(n, seed, "order", epoch)
        yield from (order[i : i + size] for i in range(0, n, size))
        epoch += 1


def _step(c: Certificate, step: int, oracle: Oracle, runs: list[BackendRun], x: np.ndarray, t: np.ndarray) -> bool:
    """One step of the oracle and of every run; False if the oracle's own training is no training any more."""
    params, state = oracle.params(), copy.deepcopy(oracle.state)
    uses, slots = oracle.run(x, t)
    grads = oracle.merged(slots)
    clipped = oracle.clipped(grads)
    if not _within(c.dtype, [*params, *grads, *(a for use in uses for a in use.outputs)]):
        words = f"its numbers leave the range of {c.dtype}: the training diverges, or the data is not finite"
        c.failures.append(Failure(step, "training", "the oracle", words, math.inf))
        return False
    trials = [Trial(use, c.dtype) for use in uses]  # now: the update below changes the parameters
    oracle.update(clipped)
    for run in runs:
        found: list[tuple[str, float]] = []
        inside: dict[str, Errors] = {}
        with on_device(run.place):
            with _failing(c, step, run):
                for node, worst in run.local(params, trials):  # one by one: in the order in which they are found
                    _enter(c, step, run, found, node, worst)
            for name, check in _checks(run, c.max_grad, slots, grads, clipped, params, state, oracle, trials).items():
                with _failing(c, step, run, name):
                    _enter(c, step, run, found, name, check())
            with _failing(c, step, run):
                inside = run.step(x, t, uses)
                inside["state"] = run.state_errors(oracle)
        _record(c, step, run, found, inside)
    return True


def _within(dtype: str, arrays: list[Any]) -> bool:
    """Are all of them finite, and so small that their squares are finite in the dtype?"""
    most = math.sqrt(float(np.finfo(dtype).max))
    return all(bool(np.all(np.abs(a) < most)) for a in map(np.asarray, arrays))


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


def _record(
    c: Certificate, step: int, run: BackendRun, found: list[tuple[str, float]], inside: dict[str, Errors]
) -> None:
    """A row for each node and check: its local error, and its errors inside the run by what they are of."""
    state = inside.pop("state", {})
    rows: list[tuple[str, float | None, Errors]] = [(name, worst, inside.get(name, {})) for name, worst in found]
    rows += [(what, None, {what: pair}) for what, pair in state.items()]
    for name, worst, errors in rows:
        row: dict[str, Any] = {"step": step, "backend": run.name, "node": name, "local": worst}
        for what, (absolute, relative) in errors.items():
            row |= {f"{what}_abs": absolute, f"{what}_rel": relative}
            if worst is not None:
                c.accumulated[name, run.name] = max(c.accumulated.get((name, run.name), 0.0), relative)
        c.records.append(row)


def _hold_weights(c: Certificate, step: int, runs: list[BackendRun], oracle: Oracle, roundings: Disturbed) -> None:
    """Weights may be off by the bar of 784-100-10, or by several times what roundings alone do to this network."""
    truth = oracle.params()
    carried = max((gap(a, b) for a, b in zip(roundings.params(), truth, strict=True)), default=0.0)
    c.weights["roundings"] = carried
    adaptive = type(oracle.optimizer).__name__ in ADAPTIVE_RULES or oracle.rule is None
    bar = max(trajectory_bar(adaptive, c.dtype, step), ROUNDINGS * carried)
    for run in (run for run in runs if run.alive):
        far = max((gap(a, b) for a, b in zip(run.params(), truth, strict=True)), default=0.0)
        c.weights[run.name] = far
        if not far <= bar:
            c.failures.append(Failure(step, "weights", run.name, f"their distance, {far:.3g},", far / bar))


def _finish(
    c: Certificate, oracle: Oracle, roundings: Oracle, runs: list[BackendRun], x: np.ndarray, t: np.ndarray
) -> None:
    """An adaptive optimizer's runs are held to the accuracy at their end, where roundings alone leave it."""
    if c.failures and c.failures[-1].node == "training":
        return
    with recording(oracle.model, formulas), recording(roundings.model, formulas):
        wide = x.astype(np.float64) if x.dtype.kind == "f" else x
        truth, disturbed = _accuracy(oracle.model, wide, t), _accuracy(roundings.model, wide, t)
    held = type(oracle.optimizer).__name__ in ADAPTIVE_RULES and truth is not None and truth == disturbed
    for run in (run for run in runs if run.alive):
        there, found = move(run.model, place("numpy")), None
        with _failing(c, c.steps, run, "predict"), recording(there):
            c.accuracy[run.name] = found = _accuracy(there, rounded(x, c.dtype), t)
        if held and truth is not None and found is not None:
            far = abs(found - truth)
            if far > max(ACCURACY, 1.5 / len(x)):  # less than two rows is no difference
                words = f"{found:.4f} for {truth:.4f}"
                c.failures.append(Failure(c.steps, "accuracy", run.name, words, far / ACCURACY))


def _accuracy(model: Any, x: np.ndarray, t: np.ndarray) -> float | None:
    predict = getattr(model, "predict", None)
    if predict is None or t.ndim != 1 or t.dtype.kind not in "iu":
        return None
    y = np.asarray(predict(x))
    return float((y.argmax(axis=-1) == t).mean()) if y.ndim == 2 else None
