"""Floor 5: what one call of ``Trainer.fit`` counts and reports; losses stay on their device until then."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..arrays.libraries import Array, is_array, namespace_of, number, on_host, to_numpy
from ..errors import DTypeError, NonFiniteError
from ..graph.evaluation import right_answers
from ..graph.inputs import check_labels
from ..graph.network import Network
from ..nodes.copying import parts
from ..nodes.losses import SoftmaxWithLoss
from .report import Progress, Report

if TYPE_CHECKING:
    from .trainer import Trainer


class Run:
    """What one call of ``fit`` counts: losses stay on their device until a human reads them."""

    def __init__(
        self,
        trainer: Trainer,
        report: Report,
        iterations: int,
        epochs: int,
        labels: dict[str, Array],
        every: int | None,
    ) -> None:
        self.trainer, self.report, self.iterations, self.epochs = trainer, report, iterations, epochs
        self.every = every
        self.labels = labels
        self.start = self.epoch_start = time.perf_counter()
        self.first, self.host = True, True
        self.iteration = self.samples = self.epoch_samples = 0
        self.epoch_total = 0.0
        self.pending: list[tuple[Any, int]] = []  # (0-d loss, or its place in ``losses``; rows) since the last look
        self.losses: Array = None  # where captured steps leave their losses
        self.settle: Callable[[], None] = lambda: None  # waits, on the device, for captured steps

    def begin(self, loss: Any) -> None:
        """Before the first update: is the loss a scalar, do all labels fit the classes?"""
        model = self.trainer.model
        shape = getattr(loss, "shape", None) if not isinstance(loss, int | float) else ()
        if shape != ():
            found = f"a {type(loss).__name__}" if shape is None else f"an array of shape {tuple(shape)}"
            advice = (
                "loss (the chapter's SoftmaxWithLoss.forward returns y by mistake: it should return loss)."
                if not shape or max(shape) != 1
                else "loss: Mean(axis=None, keepdims=False)."
            )
            raise DTypeError(
                f"Trainer.fit: {type(model).__name__}.forward returned {found}, not a scalar loss; return the 0-d mean "
                + advice
            )
        self.host = not is_array(loss) or on_host(loss)
        self.check_labels()
        self.first = False

    def check_labels(self) -> None:
        """ValueError if a label, of all of t or of the validation data, fits none of the classes."""
        for name, t in self.labels.items():
            check_labels(f"Trainer.fit: {name}", self.trainer.model, t)

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
        trainer, every = self.trainer, self.every
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
        self._check_parameters()
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
        self.settle()
        if not self.pending:
            return 0.0, 0
        losses = [loss for loss, _ in self.pending]
        if not self.host:
            losses = self._from_device(losses)
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

    def _from_device(self, losses: list[Any]) -> list[float]:
        """The values of losses kept as 0-d arrays, or as places in ``self.losses``; each kind is read in one piece."""
        places = [loss for loss in losses if isinstance(loss, int)]
        arrays = [loss for loss in losses if not isinstance(loss, int)]
        first = min(places, default=0)
        kept = to_numpy(self.losses[first : max(places) + 1]).tolist() if places else []  # sync
        stacked = iter(to_numpy(namespace_of(arrays[0]).stack(arrays)).tolist() if arrays else ())  # sync
        return [kept[loss - first] if isinstance(loss, int) else next(stacked) for loss in losses]

    def _check_parameters(self) -> None:
        """A finite loss can have a gradient that is not: its update shows here at the latest, once an epoch."""
        for name, p, _ in self._named():
            if not _finite(p):
                raise NonFiniteError(
                    f"Trainer.fit: after step {self.trainer.steps} the parameter {name} is not finite, though the loss "
                    "was; look for NaN or infinity in the data, use a smaller lr, or clip gradients with max_grad=1.0.",
                    self.trainer.steps,
                )

    def _named(self) -> list[tuple[str, Array, Array]]:
        model = self.trainer.model
        named = model.named_parameters() if hasattr(model, "named_parameters") else None
        return named or [(f"params[{i}]", *pair) for i, pair in enumerate(zip(model.params, model.grads, strict=True))]

    def _refuse(self, loss: float, norm: Any) -> None:
        step, named = self.trainer.steps + 1, self._named()
        bad = next((name for name, _, g in named if not _finite(g)), None)
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


def _finite(a: Array) -> bool:
    xp = namespace_of(a)
    return bool(to_numpy(xp.all(xp.isfinite(a))))  # sync


def _evaluate(model: Any, x: Array, t: Array) -> tuple[float | None, float | None]:
    if isinstance(model, Network) and model.loss is not None:  # a reader's own evaluate may return anything
        return model.evaluate(x, t)
    loss = float(number(model.forward(x, t)))  # sync
    own = None if isinstance(model, Network) else getattr(model, "predict", None)
    y = own(x) if callable(own) else None
    if not is_array(y) or not _are_classes(model, y, t):
        return loss, None
    same = right_answers(y, t)
    return loss, int(number(namespace_of(same).sum(same))) / math.prod(same.shape)  # sync


def _are_classes(model: Any, y: Array, t: Array) -> bool:
    """Do labels t name classes of the scores y, so that an accuracy means something? Targets of a regression do not."""
    if y.ndim == 0 or y.shape[-1] < 2 or tuple(t.shape) not in (tuple(y.shape), tuple(y.shape[:-1])):
        return False
    integral = namespace_of(t).isdtype(t.dtype, "integral")
    return integral or any(isinstance(part, SoftmaxWithLoss) for part in parts(model))
