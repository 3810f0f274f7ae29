"""Floor 6: ``xpgraph train``: a run into its folder, and a run that was cut off taken up again."""

from __future__ import annotations

import math
import platform
import shlex
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import datasets
from ..arrays.installed import usable
from ..arrays.libraries import Place, on_device
from ..arrays.matmul_precision import precision
from ..datasets import idx
from ..errors import CheckpointError, DataError, StorageError
from ..graph.models import mlp
from ..storage.atomic import write_whole
from ..storage.checkpoints import Checkpoints, latest
from ..training.live import Live
from ..training.optimizers import OPTIMIZERS
from ..training.profile import Profile
from ..training.report import Report
from ..training.saved_state import config_of
from ..training.signals import Signals, ended_by
from ..training.trainer import Trainer
from ..version import __version__
from .choices import Choices, choose_backend
from .run_folder import CONFIG, new_folder, read_config, remove_begun, write_history, write_json

MAY_CHANGE = ("backend", "data_dir", "graph", "profile", "checkpoint_every")  # by hand, in a config.json
GOING_ON = ("epochs", "data")  # too, in a run that goes on: what is in the data is compared
SMALL_PRODUCT = 3e7  # operations: a quarter of a millisecond, measured on two cores with 784-100-10 and 784-300-10


def train(choices: Choices, seeds: int, out: str | None, quiet: bool) -> float:
    """Train once, or once for each of ``seeds`` seeds, into a run folder; the (mean) test accuracy."""
    _check_data_dir(choices, choices.data_dir)
    choices = choices.settled()
    say = _say(quiet)
    where, why = choose_backend(choices.backend)
    _check(choices, where)
    say(why)
    folder = new_folder(out, choices.data)
    say(f"run folder {folder}")
    with _told_how_to_go_on(folder):
        if seeds == 1:
            return _train_once(choices, where, folder, quiet, fresh=True)
        wanted = [*range(choices.seed, choices.seed + seeds)]
        write_json(folder / CONFIG, {"choices": asdict(choices), "seeds": wanted})
        return _train_all(choices, where, folder, wanted, quiet, fresh=True)


def resume(run: str, backend: str | None, data_dir: str | None, quiet: bool) -> float:
    """Take up the run in the folder ``run`` with its own settings, if it is not finished; the (mean) test accuracy."""
    folder, say = Path(run), _say(quiet)
    if not folder.is_dir():
        raise ValueError(f"--resume {run}: there is no such folder; give that of a run, runs/<date-time>-digits.")
    config = read_config(folder)
    choices = Choices.from_config(config, folder / CONFIG).settled()
    wanted = config.get("seeds", [choices.seed])
    if not isinstance(wanted, list) or not wanted or not all(type(seed) is int for seed in wanted):
        raise DataError(f"Reading {folder / CONFIG}: seeds: expected a list of numbers. Give a run's folder.")
    accuracy = _result(config, folder, "mean" if "seeds" in config else "test_accuracy")
    if accuracy is not None:
        say(f"{folder} is finished; nothing was changed")
        return accuracy
    _check_data_dir(choices, data_dir)
    known = config.get("backend")
    name = backend or (known.get("name") if isinstance(known, dict) else None) or choices.backend
    where, why = choose_backend(str(name))
    choices = replace(choices, data_dir=choices.data_dir if data_dir is None else str(Path(data_dir).absolute()))
    _check(choices, where)
    say(why)
    say(f"run folder {folder}")
    with _told_how_to_go_on(folder):
        if "seeds" not in config:
            return _train_once(choices, where, folder, quiet, fresh=False)
        return _train_all(choices, where, folder, wanted, quiet, fresh=False)


def _check_data_dir(choices: Choices, data_dir: str | None) -> None:
    if data_dir is not None and choices.data not in idx.SHA256:
        raise ValueError(f"--data-dir is for {' and '.join(idx.SHA256)}, and --data is {choices.data}; leave it out.")


def _check(choices: Choices, where: Place) -> None:
    """What can be refused before there is a folder."""
    if choices.precision != "fp32" and (where.library.name != "cupy" or choices.dtype != "float32"):
        raise ValueError(
            f"--precision {choices.precision} is for float32 on a CUDA GPU, and this is {choices.dtype} on {where}; "
            "leave it out."
        )
    if choices.graph == "yes" and (where.library.name != "cupy" or choices.profile):
        why_not = "--profile times call by call" if choices.profile else f"the backend is {where}"
        raise ValueError(f"--graph yes replays steps on a CUDA GPU, and {why_not}; leave it out.")
    choices.sizes()


@contextmanager
def _told_how_to_go_on(folder: Path) -> Iterator[None]:
    """What ends a run from outside says how to take it up again."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as error:
        error.add_note(f"to go on: xpgraph train --resume {shlex.quote(str(folder))}")
        raise


def _train_all(choices: Choices, where: Place, folder: Path, wanted: list[int], quiet: bool, fresh: bool) -> float:
    """A run for each seed, in a folder of its own; those that are finished are left alone."""
    say, accuracies = _say(quiet), []
    for seed in wanted:
        now, inside = replace(choices, seed=seed), folder / f"seed-{seed}"
        begun = (inside / CONFIG).exists()
        done = None
        if begun:
            config = read_config(inside)
            done = _result(config, inside, "test_accuracy")
            if done is not None:  # one mean is over runs of one kind
                _check_settings(now, asdict(Choices.from_config(config, inside / CONFIG)), folder, inside.name)
        if done is None:
            try:
                inside.mkdir(exist_ok=True)
            except OSError as error:
                raise StorageError(f"{inside} cannot be made: {error.strerror or error}.") from error
            try:
                done = _train_once(now, where, inside, quiet, fresh=not begun)
            except Exception:
                if fresh and seed == wanted[0] and not inside.exists():  # nothing has begun
                    remove_begun(folder)
                raise
        accuracies.append(done)
        say(f"seed {seed}: test accuracy {done:.4f}")
    mean, spread = statistics.fmean(accuracies), statistics.stdev(accuracies)
    summary = {"seeds": wanted, "test_accuracy": accuracies, "mean": mean, "standard_deviation": spread}
    write_json(folder / CONFIG, {**summary, "choices": asdict(choices), "result": summary})
    say(
        f"{len(wanted)} seeds: mean {mean:.4f}, standard deviation {spread:.4f}, "
        f"from {min(accuracies):.4f} to {max(accuracies):.4f}"
    )
    return mean


def _train_once(choices: Choices, where: Place, folder: Path, quiet: bool, fresh: bool) -> float:
    """One run from its begin, or from its newest checkpoint, to its end; its test accuracy."""
    with Checkpoints(folder) as kept:
        config = {"xpgraph": __version__, "choices": asdict(choices), "backend": _backend(where)}
        try:
            if fresh:  # before the data, which may take long: a run that is killed there can be resumed
                write_json(folder / CONFIG, config)
                kept.save(0, {}, {"config": asdict(choices)})
            else:
                found = latest(folder)
                began = {} if found is None else config_of(found.meta, found.arrays)
                _check_settings(choices, began, folder, "its checkpoint", GOING_ON)
            data, trainer = _prepare(choices, where, _say(quiet))
        except Exception:
            if fresh:  # what cannot begin leaves nothing behind
                kept.close()
                remove_begun(folder)
            raise
        config |= _about(data)
        if fresh:  # else once the fit has taken up the checkpoint
            write_json(folder / CONFIG, config)
        trainer.checkpoint, trainer.every, trainer.config = kept, choices.checkpoint_every, asdict(choices)
        _fit(choices, trainer, data, folder, config, quiet)
        result = trainer.model.evaluate(data.x_test, data.t_test)
        trainer.model.save(folder / "model.safetensors")
        with Signals() as signals:  # an import that is cut off can crash the interpreter
            _plot(trainer, folder / "loss.png")
        if signals.caught is not None:
            raise ended_by(signals.caught)
        config["result"] = {"test_loss": result.loss, "test_accuracy": result.accuracy, "epochs": trainer.current_epoch}
        write_json(folder / CONFIG, config)
        return float(result.accuracy)


def _check_settings(
    choices: Choices, began: dict[str, Any], folder: Path, what: str, may: tuple[str, ...] = ()
) -> None:
    """A config.json that was edited since the run began says what its numbers were not made with."""
    for name, now in asdict(choices).items():
        if name not in (*MAY_CHANGE, *may) and began.get(name, now) != now:
            raise CheckpointError(
                f"Resuming {folder}: {CONFIG} has {name} {now}, {what} was made with {began[name]}; nothing was "
                "changed. Put back what the run began with, or start a new one."
            )


def _prepare(choices: Choices, where: Place, say: Callable[[str], None]) -> tuple[datasets.Dataset, Trainer]:
    if choices.data in idx.SHA256 and choices.data_dir is None and not idx.cached(choices.data):
        say(f"downloading {choices.data} into {idx.cache_folder()}, once")
    optimizer = OPTIMIZERS[choices.optimizer](lr=choices.lr)  # type: ignore[arg-type]  # settled: not None
    data = choices.load()
    sizes = [data.x.shape[1], *choices.sizes(), data.classes]
    with on_device(where):
        model = mlp(sizes, choices.activation, seed=choices.seed, dtype=choices.dtype, backend=where)
    return data, Trainer(model, optimizer, seed=choices.seed)


def _fit(
    choices: Choices, trainer: Trainer, data: datasets.Dataset, folder: Path, config: dict[str, Any], quiet: bool
) -> None:
    graph: bool | str = "auto" if choices.graph == "auto" else choices.graph == "yes"
    profile = Profile(trainer.model) if choices.profile else None
    try:
        quietly = np.errstate(all="ignore")  # fit refuses what is not finite
        with quietly, _threads(trainer.model, choices, config), precision(choices.precision):
            with profile or nullcontext():
                trainer.fit(
                    data.x,
                    data.t,
                    max_epoch=choices.epochs or 0,
                    batch_size=choices.batch_size or 1,
                    max_grad=choices.max_grad,
                    eval_interval=choices.eval_interval,
                    validation=(data.x_test, data.t_test),
                    report=Report() if quiet else Live(held_out="test"),
                    graph=False if profile else graph,
                )
            if profile is not None:
                lines = profile.lines()
                write_whole(folder / "profile.txt", [("\n".join(lines) + "\n").encode()])
                print(*lines, sep="\n")
    except BaseException:
        if trainer._kept is not None:  # else nothing was taken up, and nothing in the folder is to change
            write_json(folder / CONFIG, config)
            write_history(folder / "history.csv", trainer.history)
        raise
    write_history(folder / "history.csv", trainer.history)


@contextmanager
def _threads(model: Any, choices: Choices, config: dict[str, Any]) -> Iterator[None]:
    """One thread for small products: two gain nothing there and wait for each other where the machine is shared.

    And with one thread a run has the same bits on any number of cores. Larger products get what the library chooses.
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
    except ImportError as error:  # the weights are there; a picture is not worth an error
        print(f"{path.name} is left out: {error}")
    except OSError as error:
        raise StorageError(f"Saving {path}: {error.strerror or error}. Make room or give another folder.") from error


def _result(config: dict[str, Any], folder: Path, name: str) -> float | None:
    """The accuracy of a run that is finished; None for one that is not."""
    result = config.get("result")
    if result is None:
        return None
    if not isinstance(result, dict) or not isinstance(result.get(name), int | float):
        raise DataError(f"Reading {folder / CONFIG}: result: expected its {name}, found {str(result)[:60]!r}.")
    return float(result[name])


def _backend(where: Place) -> dict[str, str]:
    found = usable(where.library.name)
    return {"name": str(where), "version": found.version, "device": found.device}


def _about(data: datasets.Dataset) -> dict[str, Any]:
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
            "test_rows": len(data.x_test),
            "csv": None if data.csv is None else data.csv.as_json(),
        },
    }


def _say(quiet: bool) -> Callable[[str], None]:
    return (lambda text: None) if quiet else print
