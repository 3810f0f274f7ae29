"""One training: from settings to a finished run folder, and from its newest checkpoint if it was interrupted."""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import datasets
from ..arrays.installed import usable
from ..arrays.libraries import Place, on_device
from ..arrays.matmul_precision import precision
from ..datasets import idx
from ..errors import StorageError
from ..graph.chain import mlp
from ..storage.atomic import write_whole
from ..storage.checkpoints import Checkpoints, latest
from ..training.callbacks.live import Live
from ..training.callbacks.profile import Profile
from ..training.callbacks.report import Report
from ..training.optimizers import OPTIMIZERS
from ..training.signals import Signals, ended_by
from ..training.snapshot import config_of
from ..training.trainer import Trainer
from ..version import __version__
from .callbacks import callbacks_of, selected
from .choices import Choices
from .run_folder import CONFIG, changeable_on_resume, check_settings, remove_unstarted, write_history, write_json
from .streams import printer
from .validation import Rows, split_validation

SMALL_PRODUCT = 3e7  # operations: a quarter of a millisecond, measured on two cores with 784-100-10 and 784-300-10


class _Training(NamedTuple):
    """What a training is made of; ``validation`` is None where the test rows are evaluated after each epoch."""

    data: datasets.Dataset
    validation: Rows | None
    trainer: Trainer
    callbacks: list[Any]


def train_once(choices: Choices, where: Place, folder: Path, quiet: bool, new: bool) -> float:
    """Train in ``folder``, from the start if ``new``, otherwise from its newest checkpoint; the test accuracy."""
    with Checkpoints(folder) as checkpoints:
        config = {"xpgraph": __version__, "choices": asdict(choices), "backend": _backend(where)}
        try:
            if new:  # before the data, which may take long to load: a run that is killed meanwhile can be resumed
                write_json(folder / CONFIG, config)
                checkpoints.save(0, {}, {"config": asdict(choices)})
            else:
                newest = latest(folder)
                original = {} if newest is None else config_of(newest.meta, newest.arrays)
                check_settings(choices, original, folder, "its checkpoint", changeable_on_resume(choices))
            training = _prepare(choices, where, printer(quiet))
        except Exception:
            if new:  # a run that cannot start leaves no files
                checkpoints.close()
                remove_unstarted(folder)
            raise
        data, trainer = training.data, training.trainer
        config |= _about(data, training.validation)
        if new:  # a resumed run writes it after the fit has read the checkpoint
            write_json(folder / CONFIG, config)
        trainer.checkpoint, trainer.every, trainer.config = checkpoints, choices.checkpoint_every, asdict(choices)
        _fit(choices, training, folder, config, quiet, new)
        result = trainer.model.evaluate(data.x_test, data.t_test)
        trainer.model.save(folder / "model.safetensors")
        with Signals() as signals:  # a signal in the middle of an import can crash the interpreter
            _plot(trainer, folder / "loss.png")
        if signals.caught is not None:
            raise ended_by(signals.caught)
        config["result"] = {
            "test_loss": result.loss,
            "test_accuracy": result.accuracy,
            "epochs": trainer.current_epoch,
            **selected(training.callbacks, trainer.state),
        }
        write_json(folder / CONFIG, config)
        return float(result.accuracy)


def _prepare(choices: Choices, where: Place, say: Callable[[str], None]) -> _Training:
    """Load the data, set validation rows aside, and make the model, the optimizer and the callbacks."""
    if choices.data in idx.SHA256 and choices.data_dir is None and not idx.cached(choices.data):
        say(f"downloading {choices.data} into {idx.cache_folder()}, once")
    optimizer = OPTIMIZERS[choices.optimizer](lr=choices.lr)  # type: ignore[arg-type]  # with_defaults: not None
    data, validation = split_validation(choices.load(), choices.validation, choices.seed)
    callbacks = callbacks_of(choices, math.ceil(len(data.x) / (choices.batch_size or 1)))
    sizes = [data.x.shape[1], *choices.hidden_sizes(), data.classes]
    with on_device(where):
        model = mlp(sizes, choices.activation, seed=choices.seed, dtype=choices.dtype, backend=where)
    return _Training(data, validation, Trainer(model, optimizer, seed=choices.seed), callbacks)


def _fit(choices: Choices, training: _Training, folder: Path, config: dict[str, Any], quiet: bool, new: bool) -> None:
    """Train, and write history.csv, also after an error, but not if fit refused the checkpoint of a resumed run."""
    data, validation, trainer, callbacks = training
    evaluated = "val" if validation else "test"
    profile = Profile(trainer.model) if choices.profile else None
    callbacks = callbacks if profile is None else [*callbacks, profile]
    graph: bool | str = "auto" if choices.graph == "auto" else choices.graph == "yes"
    try:
        no_warnings = np.errstate(all="ignore")  # fit itself reports numbers that are not finite
        with no_warnings, _threads(trainer.model, choices, config), precision(choices.precision):
            trainer.fit(
                data.x,
                data.t,
                max_epoch=choices.epochs or 0,
                batch_size=choices.batch_size or 1,
                max_grad=choices.max_grad,
                eval_interval=choices.eval_interval,
                validation=validation or (data.x_test, data.t_test),
                callbacks=callbacks,
                report=Report() if quiet else Live(held_out="validation" if validation else "test"),
                graph=graph if profile is None else False,
            )
            if profile is not None and profile.calls:
                lines = profile.lines()
                write_whole(folder / "profile.txt", [("\n".join(lines) + "\n").encode()])
                print(*lines, sep="\n")
    except BaseException:
        if new or trainer.steps:  # a resumed trainer without steps: fit refused the checkpoint
            write_json(folder / CONFIG, config)
            write_history(folder / "history.csv", trainer.history, evaluated)
        raise
    write_history(folder / "history.csv", trainer.history, evaluated)


@contextmanager
def _threads(model: Any, choices: Choices, config: dict[str, Any]) -> Iterator[None]:
    """Use one BLAS thread if all matrix products are small, and note in ``config`` how many.

    A second thread does not speed up small products, and the two wait for each other where other programs run. With
    one thread, a run also has the same bits on any number of cores.
    """
    from threadpoolctl import threadpool_limits

    largest = max((math.prod(p.shape) for p in model.params if p.ndim == 2), default=0)
    small = 2 * largest * (choices.batch_size or 1) < SMALL_PRODUCT
    config["threads"] = 1 if small else "as the library chooses"
    with threadpool_limits(limits=1 if small else None):
        yield


def _plot(trainer: Trainer, path: Path) -> None:
    if not trainer.loss_list:
        return
    try:
        trainer.plot(path=path)
    except ImportError as error:  # without matplotlib the run is complete but for its picture
        print(f"{path.name} is left out: {error}")
    except OSError as error:
        raise StorageError(f"Saving {path}: {error.strerror or error}. Make room or give another folder.") from error


def _backend(where: Place) -> dict[str, str]:
    """The backend, for config.json."""
    library = usable(where.library.name)
    return {"name": str(where), "version": library.version, "device": library.device}


def _about(data: datasets.Dataset, validation: Rows | None) -> dict[str, Any]:
    """Versions, platform and data, for config.json."""
    return {
        "versions": {"python": platform.python_version(), "numpy": np.__version__},
        "platform": platform.platform(),
        "data": {
            "name": data.name,
            "source": data.source,
            "scale": data.scale,
            "classes": data.classes,
            "columns": data.x.shape[1],
            "rows": len(data.x),
            "validation_rows": 0 if validation is None else len(validation[0]),
            "test_rows": len(data.x_test),
            "csv": None if data.csv is None else data.csv.as_json(),
        },
    }
