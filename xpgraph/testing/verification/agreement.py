"""Train one network on several backends beside a float64 oracle, node by node, and say where they part.

The oracle is the training that is taken as the truth (oracle.py). Each node is compared with it twice: inside the run,
where errors accumulate, and once more on the oracle's own inputs, where only the node's own error is left and can be
held to the tolerance of its formula.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from numbers import Integral
from typing import Any

import numpy as np

from ...arrays import random_numbers
from ...arrays.libraries import Place, on_device, place
from ...errors import DTypeError
from ...graph.inputs import check_lengths
from ...nodes.copying import move
from ..tape import NodeError, recording
from .backend_run import BackendRun, Errors, check_clipping, check_cross_entropy, check_sharing, check_update
from .certificate import Certificate, Failure
from .oracle import Oracle, OracleStep, PerturbedOracle, by_formula, rounded
from .tolerances import ACCURACY, ADAPTIVE_RULES, ROUNDINGS, distance, trajectory_tolerance


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
    ``dtype``: ``"float32"`` or ``"float64"``. A node that raises is a failure, and so is a training that leaves the
    range of the dtype in the oracle. Raises BackendError for a backend that cannot be used, ValueError or TypeError
    (or a subclass) for wrong arguments.
    """
    backends = _checked(backends, dtype, x, t, steps=steps, batch_size=batch_size)
    start = move(move(model, place("numpy"), dtype), place("numpy"), "float64")  # every run starts from these bits
    runs = [BackendRun(start, optimizer, b, dtype, max_grad) for b in backends]
    certificate = Certificate(
        network or type(model).__name__, dtype, steps, seed, repr(optimizer), max_grad, {r.name: r.about for r in runs}
    )
    oracles = Oracle(start, optimizer, max_grad), PerturbedOracle(start, optimizer, max_grad, dtype)
    verification = _Verification(certificate, *oracles, runs)
    rows = _rows(len(x), batch_size, seed)
    with _one_thread(runs), np.errstate(all="ignore"):  # what is not finite is a failure, not a warning
        for step in range(1, steps + 1):
            batch = next(rows)
            if not verification.step(step, rounded(x[batch], dtype), rounded(t[batch], dtype)):
                break
        verification.compare_accuracy(x, t)
    return certificate


def _checked(backends: Any, dtype: str, x: Any, t: Any, **wholes: Any) -> list[Any]:
    """The backends as a list; ValueError or TypeError for arguments with which nothing could be compared."""
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
    """PyTorch on one thread meanwhile: its threads and NumPy's, which take turns on small products, slow each other."""
    with ExitStack() as undo:
        for torch in [run.place.xp for run in runs if run.place.library.name == "torch"][:1]:
            undo.callback(torch.set_num_threads, torch.get_num_threads())
            torch.set_num_threads(1)
        yield


def _rows(n: int, size: int, seed: int) -> Iterator[np.ndarray]:
    """Batches of row numbers, epoch after epoch."""
    epoch = 0
    while True:
        order = random_numbers.permutation(n, seed, "order", epoch)
        yield from (order[i : i + size] for i in range(0, n, size))
        epoch += 1


class _Verification:
    """The oracle, the perturbed oracle and the runs, step by step; what is found goes into the certificate."""

    def __init__(
        self, certificate: Certificate, oracle: Oracle, perturbed: PerturbedOracle, runs: list[BackendRun]
    ) -> None:
        self.certificate, self.oracle, self.perturbed, self.runs = certificate, oracle, perturbed, runs
        self.dtype, self.number = certificate.dtype, 0
        self.optimizer = type(oracle.optimizer).__name__
        self.adaptive = self.optimizer in ADAPTIVE_RULES

    def step(self, number: int, x: np.ndarray, t: np.ndarray) -> bool:
        """One step of the oracles and of every run; False if the training cannot go on."""
        self.number = number
        self.perturbed.follow(x, t)
        truth = self.oracle.step(x, t, self.dtype)
        if truth is None:
            words = f"its numbers leave the range of {self.dtype}: the training diverges, or the data is not finite"
            self._fail("training", "the oracle", words)
            return False
        for run in self.runs:
            self._compare(run, truth, x, t)
        self._compare_weights()
        return all(run.alive for run in self.runs)

    def _fail(self, node: str, backend: str, what: str, ratio: float = math.inf) -> None:
        self.certificate.failures.append(Failure(self.number, node, backend, what, ratio))

    def _compare(self, run: BackendRun, truth: OracleStep, x: np.ndarray, t: np.ndarray) -> None:
        """One run's step: its nodes and the checks beside them on the oracle's numbers, then the step of the run."""
        checks = {
            "sharing": lambda: check_sharing(run, truth, self.oracle),
            "clip_grads": lambda: check_clipping(run, truth.grads),
        }
        losses = [case for case in truth.cases if case.kind == "SoftmaxWithLoss" and case.inputs[0].ndim == 2]
        if losses:
            checks["cross_entropy_loss"] = lambda: check_cross_entropy(run, *losses[0].inputs)
        checks[self.optimizer] = lambda: check_update(run, truth, self.oracle)
        local: list[tuple[str, float]] = []
        inside: dict[str, Errors] = {}
        state: Errors = {}
        with on_device(run.place):
            with self._failing(run):
                for node, ratio in run.check_nodes(truth.params, truth.cases):  # failures are in the order of the nodes
                    local.append(self._enter(run, node, ratio))
            for name, check in checks.items():
                with self._failing(run, name):
                    local.append(self._enter(run, name, check()))
            with self._failing(run):
                inside = run.step(x, t, truth.uses)
                state = run.state_errors(self.oracle)
        for node, ratio in local:
            self._record(run, node, ratio, inside.get(node, {}))
        for what, pair in state.items():
            self._record(run, what, None, {what: pair})

    @contextmanager
    def _failing(self, run: BackendRun, name: str = "update") -> Iterator[None]:
        """An exception is a failure of the node that raised it, and the end of the run."""
        try:
            yield
        except Exception as error:
            run.alive = False
            where, cause = (error.path, error.__cause__) if isinstance(error, NodeError) else (name, error)
            self._fail(where, run.name, f"{type(cause).__name__}: {cause}")

    def _enter(self, run: BackendRun, node: str, ratio: float) -> tuple[str, float]:
        """A node's error over tolerance into the certificate."""
        local = self.certificate.local
        local[node, run.name] = max(local.get((node, run.name), 0.0), ratio)
        if ratio > 1:
            self._fail(node, run.name, "its error on the oracle's inputs", ratio)
        return node, ratio

    def _record(self, run: BackendRun, name: str, ratio: float | None, errors: Errors) -> None:
        """A row for a node or check: its local error over tolerance, and its errors inside the run."""
        row: dict[str, Any] = {"step": self.number, "backend": run.name, "node": name, "local": ratio}
        accumulated = self.certificate.accumulated
        for what, (absolute, relative) in errors.items():
            row |= {f"{what}_abs": absolute, f"{what}_rel": relative}
            if ratio is not None:
                accumulated[name, run.name] = max(accumulated.get((name, run.name), 0.0), relative)
        self.certificate.records.append(row)

    def _compare_weights(self) -> None:
        """Weights may be off by the tolerance of 784-100-10, or by several times what roundings alone do here."""
        truth, weights = self.oracle.params(), self.certificate.weights
        weights["roundings"] = distance(self.perturbed.params(), truth)
        usual = trajectory_tolerance(self.adaptive or self.oracle.rule is None, self.dtype, self.number)
        allowed = max(usual, ROUNDINGS * weights["roundings"])
        for run in (run for run in self.runs if run.alive):
            weights[run.name] = far = distance(run.params(), truth)
            if not far <= allowed:
                self._fail("weights", run.name, f"their distance, {far:.3g},", far / allowed)

    def compare_accuracy(self, x: np.ndarray, t: np.ndarray) -> None:
        """At the end; an adaptive optimizer's runs must have the oracle's accuracy, if roundings alone keep it."""
        failures = self.certificate.failures
        if failures and failures[-1].node == "training":
            return
        with recording(self.oracle.model, by_formula), recording(self.perturbed.model, by_formula):
            wide = x.astype(np.float64) if x.dtype.kind == "f" else x
            truth, perturbed = (_accuracy(oracle.model, wide, t) for oracle in (self.oracle, self.perturbed))
        self.number = self.certificate.steps
        for run in (run for run in self.runs if run.alive):
            model, found = move(run.model, place("numpy")), None
            with self._failing(run, "predict"), recording(model):
                self.certificate.accuracy[run.name] = found = _accuracy(model, rounded(x, self.dtype), t)
            if self.adaptive and truth is not None and truth == perturbed and found is not None:
                far = abs(found - truth)
                if far > max(ACCURACY, 1.5 / len(x)):  # less than two rows is no difference
                    self._fail("accuracy", run.name, f"{found:.4f} for {truth:.4f}", far / ACCURACY)


def _accuracy(model: Any, x: np.ndarray, t: np.ndarray) -> float | None:
    """The part of the rows with the right class; None for a model or labels that have no classes."""
    predict = getattr(model, "predict", None)
    if predict is None or t.ndim != 1 or t.dtype.kind not in "iu":
        return None
    y = np.asarray(predict(x))
    return float((y.argmax(axis=-1) == t).mean()) if y.ndim == 2 else None
