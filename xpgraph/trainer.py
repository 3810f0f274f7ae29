"""Floor 5: the Trainer, the chapter's loop: order, batch, forward, backward, merge shared, clip, update, report."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from . import draws
from .border import check_labels, check_lengths, first_parameter, import_data
from .errors import DTypeError, NonFiniteError
from .namespace import Array, home, is_array, namespace_of, on_device, on_host, place_of, to_numpy
from .report import Lines, Progress, Report
from .sharing import Slot, clip_grads, merge, plan


class Trainer:
    """Trains any object with ``forward(x, t)``, ``backward()``, ``params`` and ``grads``.

    The order of the data depends on (seed, epoch) alone. ``loss_list`` holds the mean losses that were printed,
    ``history`` one dict per epoch (epoch, loss, val_loss, val_accuracy, lr, samples, seconds).
    """

    def __init__(self, model: Any, optimizer: Any, seed: int = 0) -> None:
        for part, needs in ((model, ("forward", "backward", "params", "grads")), (optimizer, ("update",))):
            for name in needs:
                if isinstance(part, type) or not hasattr(part, name):
                    raise TypeError(f"Trainer: {part!r} has no {name}; it needs {', '.join(needs)}.")
        self.model, self.optimizer, self.seed = model, optimizer, seed
        self.loss_list: list[float] = []
        self.history: list[dict[str, Any]] = []
        self.eval_interval: int | None = None
        self.current_epoch = 0
        self.steps = 0  # updates made so far
        self._stop = False

    def fit(
        self,
        x: Array,
        t: Array,
        max_epoch: int = 10,
        batch_size: int = 32,
        max_grad: float | None = None,
        eval_interval: int | None = 20,
        *,
        drop_last: bool = False,
        validation: tuple[Array, Array] | None = None,
        on_epoch: Callable[[Trainer, dict[str, Any]], Any] | None = None,
        report: Report | None = None,
    ) -> None:
        """Train for ``max_epoch`` more epochs on rows x (N, ...) with labels t (N, ...).

        Every row is used once an epoch, a short last batch with the mean over its own rows (``drop_last`` drops it).
        Each ``eval_interval`` iterations, from the first on, the mean loss since the last look goes to ``loss_list``
        and to the report; None prints nothing. ``max_grad`` is the largest joint gradient norm. ``validation``:
        (x, t), evaluated after each epoch. ``on_epoch(trainer, record)`` may call ``trainer.stop()`` or set
        ``trainer.optimizer.lr``. ``report`` defaults to the chapter's lines, printed.

        NumPy data is moved to the model's library once. Raises ValueError or TypeError (or a subclass) before the
        first update for data and arguments that cannot be right, and NonFiniteError for a loss that is not finite:
        before the update on the CPU, at the next look on a GPU.
        """
        _check_arguments(max_epoch, batch_size, max_grad, eval_interval)
        report = report if report is not None else Report() if eval_interval is None else Lines()
        x, t = self._import(x, t, "fit", report)
        n = x.shape[0]
        iterations = n // batch_size if drop_last else math.ceil(n / batch_size)
        if iterations == 0 and max_epoch:
            raise ValueError(f"Trainer.fit: {n} rows make no full batch of {batch_size}; give a smaller batch_size.")
        held_out = None if validation is None else self._import(*validation, "fit: validation", report)
        self.eval_interval, self._stop = eval_interval, False
        run = _Run(self, report, iterations, self.current_epoch + max_epoch)
        slots = plan(list(self.model.params))
        report.begin(max_epoch, min(n, iterations * batch_size))
        try:
            with on_device(x):
                for _ in range(max_epoch):
                    for bx, bt in self._batches(x, t, batch_size, iterations):
                        self._step(bx, bt, slots, max_grad, run, t)
                    record = run.end_epoch(held_out)
                    if on_epoch is not None:
                        on_epoch(self, record)
                    if self._stop:
                        break
        finally:
            report.end()

    def _step(self, bx: Array, bt: Array, slots: list[Slot], max_grad: float | None, run: _Run, t: Array) -> None:
        loss = self.model.forward(bx, bt)
        if run.first:
            run.begin(loss, t)
        self.model.backward()
        params, grads = merge(slots, list(self.model.params), list(self.model.grads))
        norm = None if max_grad is None or not grads else clip_grads(grads, max_grad)
        run.look_at(loss, norm, bx.shape[0])
        self.optimizer.update(params, grads)
        self.steps += 1
        run.report_loss()

    def _batches(self, x: Array, t: Array, size: int, iterations: int) -> Iterator[tuple[Array, Array]]:
        xp, n = namespace_of(x), x.shape[0]
        order = place_of(x).asarray(draws.permutation(n, self.seed, "order", self.current_epoch))
        for i in range(iterations):
            rows = order[i * size : min((i + 1) * size, n)]
            yield xp.take(x, rows, axis=0), xp.take(t, rows, axis=0)

    def _import(self, x: Any, t: Any, who: str, report: Report) -> tuple[Array, Array]:
        W, who = first_parameter(self.model), f"Trainer.{who}"
        new = import_data(x, "x", who, W), import_data(t, "t", who, W)
        check_lengths(who, *new)
        if type(new[0]) is not type(x) or type(new[1]) is not type(t):
            size = sum(a.dtype.itemsize * math.prod(a.shape) for a in new if hasattr(a.dtype, "itemsize")) / 2**20
            report.note(f"moved x {tuple(x.shape)} and t {tuple(t.shape)} to {home(new[0])} once, {size:.1f} MiB")
        return new

    def stop(self) -> None:
        """End ``fit`` after this epoch; to be called from ``on_epoch``."""
        self._stop = True

    def plot(self, ylim: tuple[float, float] | None = None, path: Any = None, ax: Any = None) -> Any:
        """Draw ``loss_list``; returns the matplotlib Axes.

        ``ax``: draw there. ``path``: write a picture, no display needed. With neither, show it through pyplot.
        """
        from .plot import plot_loss

        return plot_loss(self.loss_list, self.eval_interval, ylim, path, ax)


class _Run:
    """What one call of ``fit`` counts: losses stay on their device until a human reads them."""

    def __init__(self, trainer: Trainer, report: Report, iterations: int, epochs: int) -> None:
        self.trainer, self.report, self.iterations, self.epochs = trainer, report, iterations, epochs
        self.start = self.epoch_start = time.perf_counter()
        self.first, self.host = True, True
        self.iteration = self.samples = self.epoch_samples = 0
        self.epoch_total = 0.0
        self.pending: list[tuple[Any, int]] = []  # (0-d loss, rows) since the last look

    def begin(self, loss: Any, t: Array) -> None:
        """Before the first update: is the loss a scalar, do all labels fit the classes?"""
        model = self.trainer.model
        shape = getattr(loss, "shape", None) if not isinstance(loss, int | float) else ()
        if shape != ():
            found = f"a {type(loss).__name__}" if shape is None else f"an array of shape {tuple(shape)}"
            raise DTypeError(
                f"Trainer.fit: {type(model).__name__}.forward returned {found}, not a scalar loss; return the 0-d mean "
                "loss (the chapter's SoftmaxWithLoss.forward returns y by mistake: it should return loss)."
            )
        self.host = not is_array(loss) or on_host(loss)
        check_labels("Trainer.fit: ", model, t)
        self.first = False

    def look_at(self, loss: Any, norm: Any, rows: int) -> None:
        """Keep the loss; on the host, refuse one that is not finite before it reaches the parameters."""
        if self.host:
            loss = float(loss)
            if not math.isfinite(loss) or (norm is not None and not math.isfinite(norm)):
                self._refuse(loss, norm)
        self.pending.append((loss, rows))
        self.samples += rows
        self.iteration += 1

    def report_loss(self) -> None:
        """Where the chapter prints (iteration 0, eval_interval, ...): the mean loss since the last look."""
        trainer, every = self.trainer, self.trainer.eval_interval
        if every is not None and (self.iteration - 1) % every == 0:
            total, rows = self._read()
            trainer.loss_list.append(total / rows)
            seconds = time.perf_counter() - self.start
            self.report.step(
                Progress(
                    trainer.current_epoch + 1, self.epochs, self.iteration, self.iterations,
                    seconds, total / rows, self.samples,
                )
            )  # fmt: skip

    def end_epoch(self, held_out: tuple[Array, Array] | None) -> dict[str, Any]:
        """Count the epoch, evaluate, and write the history; what is left of the last interval ends here."""
        trainer = self.trainer
        self._read()
        trainer.current_epoch += 1
        loss, accuracy = (None, None) if held_out is None else _evaluate(trainer.model, *held_out)
        now = time.perf_counter()
        record = {
            "epoch": trainer.current_epoch,
            "loss": self.epoch_total / self.epoch_samples,
            "val_loss": loss,
            "val_accuracy": accuracy,
            "lr": getattr(trainer.optimizer, "lr", None),
            "samples": self.epoch_samples,
            "seconds": now - self.epoch_start,
        }
        self.epoch_start, self.epoch_total, self.epoch_samples, self.iteration = now, 0.0, 0, 0
        trainer.history.append(record)
        self.report.epoch(record)
        return record

    def _read(self) -> tuple[float, int]:
        """Bring the kept losses to the host in one piece: their sum weighted by rows, and the rows."""
        if not self.pending:
            return 0.0, 0
        losses = [loss for loss, _ in self.pending]
        if not self.host:
            losses = to_numpy(namespace_of(losses[0]).stack(losses)).tolist()  # sync
            for i, loss in enumerate(losses):
                if not math.isfinite(loss):
                    step = self.trainer.steps - len(losses) + i + 1
                    raise NonFiniteError(
                        f"Trainer.fit: the loss of step {step} was {loss}, and later updates used it; start again with "
                        "a smaller lr, or clip gradients with max_grad=1.0.",
                        step,
                    )
        rows = sum(n for _, n in self.pending)
        total = math.fsum(loss * n for loss, (_, n) in zip(losses, self.pending, strict=True))
        self.pending.clear()
        self.epoch_total += total
        self.epoch_samples += rows
        return total, rows

    def _refuse(self, loss: float, norm: Any) -> None:
        model, step = self.trainer.model, self.trainer.steps + 1
        named = model.named_parameters() if hasattr(model, "named_parameters") else None
        named = named or [
            (f"params[{i}]", p, g) for i, (p, g) in enumerate(zip(model.params, model.grads, strict=True))
        ]
        bad = next((name for name, _, g in named if not np.isfinite(to_numpy(g)).all()), None)
        what = (
            f"loss is {loss}"
            if not math.isfinite(loss)
            else f"loss is {loss:.4g} but the gradient norm is {float(norm)}"
        )
        where = "all gradients are finite" if bad is None else f"the first gradient that is not finite is that of {bad}"
        raise NonFiniteError(
            f"Trainer.fit: at step {step} the {what}; {where}. The parameters are those of step {step - 1}; "
            "look for NaN in the data, use a smaller lr, or clip gradients with max_grad=1.0.",
            step,
        )


def _evaluate(model: Any, x: Array, t: Array) -> tuple[float | None, float | None]:
    if hasattr(model, "evaluate"):
        loss, accuracy = model.evaluate(x, t)
        return float(loss), None if accuracy is None else float(accuracy)
    return float(model.forward(x, t)), None  # sync


def _check_arguments(max_epoch: int, batch_size: int, max_grad: float | None, eval_interval: int | None) -> None:
    wholes = [("max_epoch", max_epoch, 0), ("batch_size", batch_size, 1)]
    wholes += [] if eval_interval is None else [("eval_interval", eval_interval, 1)]
    for name, value, least in wholes:
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise ValueError(f"Trainer.fit: {name} is {value!r}; give a whole number from {least} up.")
    if max_grad is not None and not 0 < max_grad < math.inf:
        raise ValueError(f"Trainer.fit: max_grad is {max_grad!r}; give a positive number, or None for no clipping.")
