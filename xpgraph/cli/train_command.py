"""``xpgraph train``: one training, or one for each seed, into a new run folder; and ``--resume``."""

from __future__ import annotations

import shlex
import statistics
from dataclasses import asdict, replace
from pathlib import Path

from ..arrays.libraries import Place
from ..errors import DataError, StorageError
from .choices import Choices, choose_backend
from .run_folder import CONFIG, check_settings, new_folder, read_config, remove_unstarted, result_of, write_json
from .streams import printer
from .training_run import train_once


def train(choices: Choices, seeds: int, out: str | None, quiet: bool) -> float:
    """Train once, or once for each of ``seeds`` seeds, into a new run folder; returns the (mean) test accuracy."""
    choices.check_data_dir(choices.data_dir)
    choices = choices.with_defaults()
    say = printer(quiet)
    where, why = choose_backend(choices.backend)
    choices.check(where)
    say(why)
    all_seeds = None if seeds == 1 else [*range(choices.seed, choices.seed + seeds)]
    return _train(choices, where, new_folder(out, choices.data), all_seeds, quiet, new=True)


def resume(run: str, backend: str | None, data_dir: str | None, quiet: bool) -> float:
    """Continue the run in the folder ``run`` with its own settings, if it is not finished; the (mean) test accuracy.

    ``backend`` and ``data_dir``: None for those of the run. Raises ValueError where there is no such folder, DataError
    for a config.json that no run wrote, CheckpointError for one that was edited.
    """
    folder, say = Path(run), printer(quiet)
    if not folder.is_dir():
        raise ValueError(f"--resume {run}: there is no such folder; give that of a run, runs/<date-time>-digits.")
    config = read_config(folder)
    choices = Choices.from_config(config, folder / CONFIG).with_defaults()
    seeds = config.get("seeds", [choices.seed])
    if not isinstance(seeds, list) or not seeds or not all(type(seed) is int for seed in seeds):
        raise DataError(f"Reading {folder / CONFIG}: seeds: expected a list of numbers. Give a run's folder.")
    accuracy = result_of(config, folder, "mean" if "seeds" in config else "test_accuracy")
    if accuracy is not None:
        say(f"{folder} is finished; nothing was changed")
        return accuracy
    choices.check_data_dir(data_dir)
    used = config.get("backend")
    name = backend or (used.get("name") if isinstance(used, dict) else None) or choices.backend
    where, why = choose_backend(str(name))
    choices = replace(choices, data_dir=choices.data_dir if data_dir is None else str(Path(data_dir).absolute()))
    choices.check(where)
    say(why)
    return _train(choices, where, folder, seeds if "seeds" in config else None, quiet, new=False)


def _train(choices: Choices, where: Place, folder: Path, seeds: list[int] | None, quiet: bool, new: bool) -> float:
    """Train once, or once for each of ``seeds``; the (mean) test accuracy.

    Ctrl-C, and a signal that ends the process, get a note with the command that resumes the run.
    """
    printer(quiet)(f"run folder {folder}")
    try:
        if seeds is None:
            return train_once(choices, where, folder, quiet, new)
        return _train_seeds(choices, where, folder, seeds, quiet, new)
    except (KeyboardInterrupt, SystemExit) as error:
        error.add_note(f"to go on: xpgraph train --resume {shlex.quote(str(folder))}")
        raise


def _train_seeds(choices: Choices, where: Place, folder: Path, seeds: list[int], quiet: bool, new: bool) -> float:
    """Train once for each seed, in the folder ``seed-<n>`` of the run, and write the summary; the mean accuracy.

    A seed that is finished is not trained again.
    """
    say, accuracies = printer(quiet), []
    if new:
        write_json(folder / CONFIG, {"choices": asdict(choices), "seeds": seeds})
    for seed in seeds:
        try:
            accuracy = _train_seed(replace(choices, seed=seed), where, folder, quiet)
        except Exception:
            if new and seed == seeds[0] and not (folder / f"seed-{seed}").exists():  # no training has started
                remove_unstarted(folder)
            raise
        accuracies.append(accuracy)
        say(f"seed {seed}: test accuracy {accuracy:.4f}")
    mean, spread = statistics.fmean(accuracies), statistics.stdev(accuracies)
    summary = {"seeds": seeds, "test_accuracy": accuracies, "mean": mean, "standard_deviation": spread}
    write_json(folder / CONFIG, {**summary, "choices": asdict(choices), "result": summary})
    say(
        f"{len(seeds)} seeds: mean {mean:.4f}, standard deviation {spread:.4f}, "
        f"from {min(accuracies):.4f} to {max(accuracies):.4f}"
    )
    return mean


def _train_seed(choices: Choices, where: Place, folder: Path, quiet: bool) -> float:
    """Start, continue or look up the training of one seed; its test accuracy."""
    inside = folder / f"seed-{choices.seed}"
    started = (inside / CONFIG).exists()
    if started:
        config = read_config(inside)
        accuracy = result_of(config, inside, "test_accuracy")
        if accuracy is not None:  # all runs of a mean must have the same settings
            check_settings(choices, asdict(Choices.from_config(config, inside / CONFIG)), folder, inside.name)
            return accuracy
    try:
        inside.mkdir(exist_ok=True)
    except OSError as error:
        raise StorageError(f"{inside} cannot be made: {error.strerror or error}.") from error
    return train_once(choices, where, inside, quiet, new=not started)
