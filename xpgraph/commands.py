"""Floor 6: what the commands do. Here it is chosen where the data is born; everything below follows the arrays."""

from __future__ import annotations

import csv
import json
import math
import platform
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from . import __version__, datasets, idx
from .errors import Error
from .installed import usable
from .kernel import TABLE, helper, load_fast
from .live import Live
from .models import mlp
from .namespace import LIBRARIES, Place, available, on_device, place
from .optimizers import OPTIMIZERS
from .precision import precision
from .profiler import Profile
from .report import Report
from .text import columns
from .trainer import Trainer

LR = {"adam": 0.005, "sgd": 0.5, "momentum": 0.1, "adagrad": 0.05, "rmsprop": 0.003}  # where --lr is not given
SMALL_PRODUCT = 3e7  # operations: a quarter of a millisecond, measured on two cores with 784-100-10 and 784-300-10
DEFAULTS = {  # what trains each data set well, measured over five seeds; a user's own data gets ""
    "digits": {"hidden": "100", "epochs": 30, "batch_size": 32, "adam_lr": 0.01},
    "spiral": {"hidden": "10", "epochs": 300, "batch_size": 30, "adam_lr": 0.05},
    "mnist": {"hidden": "100", "epochs": 10, "batch_size": 100, "adam_lr": 0.002},
    "fashion-mnist": {"hidden": "100", "epochs": 10, "batch_size": 100, "adam_lr": 0.002},
    "": {"hidden": "100", "epochs": 30, "batch_size": 32, "adam_lr": 0.005},
}


@dataclass(frozen=True)
class Choices:
    """Every choice of a training run; what is None follows from the data."""

    backend: str = "auto"
    data: str = "digits"
    data_dir: str | None = None
    label: str = ""
    hidden: str | None = None
    activation: str = "sigmoid"
    optimizer: str = "adam"
    lr: float | None = None
    epochs: int | None = None
    batch_size: int | None = None
    max_grad: float | None = None
    eval_interval: int = 20
    seed: int = 0
    dtype: str = "float32"
    precision: str = "fp32"
    graph: str = "auto"
    profile: bool = False

    def settled(self) -> Choices:
        """The same with every None filled in."""
        usual: dict[str, Any] = DEFAULTS.get(self.data, DEFAULTS[""])
        own = LR.get(self.optimizer, getattr(OPTIMIZERS[self.optimizer](), "lr", None))
        lr = usual["adam_lr"] if self.optimizer == "adam" else own
        return replace(
            self,
            hidden=usual["hidden"] if self.hidden is None else self.hidden,
            lr=lr if self.lr is None else self.lr,
            epochs=usual["epochs"] if self.epochs is None else self.epochs,
            batch_size=usual["batch_size"] if self.batch_size is None else self.batch_size,
            data=str(Path(self.data).absolute()) if Path(self.data).suffix.lower() in (".npz", ".csv") else self.data,
            data_dir=None if self.data_dir is None else str(Path(self.data_dir).absolute()),
        )

    def load(self, data_dir: str | None = None, dtype: str = "") -> datasets.Dataset:
        """The data, from another folder of IDX files or in another dtype if given."""
        return datasets.load(
            self.data, data_dir=data_dir or self.data_dir, seed=self.seed, dtype=dtype or self.dtype, label=self.label
        )

    def sizes(self) -> list[int]:
        """The hidden layers as numbers; none for a linear model."""
        words = [] if self.hidden in ("none", "0", "") else str(self.hidden).split(",")
        if not all(word.strip().isdecimal() and int(word) > 0 for word in words):
            raise ValueError(f"--hidden is {self.hidden!r}; give units such as 500,100, or none for a linear model.")
        return [int(word) for word in words]


def choose_backend(name: str) -> tuple[Place, str]:
    """The place that ``--backend`` means, and the line that says which it is and why."""
    if name == "auto":
        found = usable("cupy")
        if found.usable:
            return place("cupy"), f"backend cupy (auto): {found.device}"
        return place("numpy"), f"backend numpy (auto): cupy {found.brief or found.why}"
    where = place(name)
    witness = "" if where.library.advertised else " (witness, untuned)"
    found = usable(where.library.name)
    return where, f"backend {name}{witness}: {where.library.name} {found.version}, {found.device}"


def train(choices: Choices, seeds: int, out: str | None, quiet: bool) -> float:
    """Train once, or once for each of ``seeds`` seeds, into a run folder; the (mean) test accuracy."""
    if choices.data_dir is not None and choices.data not in idx.SHA256:
        raise ValueError(f"--data-dir is for {' and '.join(idx.SHA256)}, and --data is {choices.data}; leave it out.")
    choices = choices.settled()
    say = (lambda text: None) if quiet else print
    where, why = choose_backend(choices.backend)
    if choices.precision != "fp32" and (where.library.name != "cupy" or choices.dtype != "float32"):
        raise ValueError(
            f"--precision {choices.precision} is for float32 on a CUDA GPU, and this is {choices.dtype} on {where}; "
            "leave it out."
        )
    if choices.graph == "yes" and (where.library.name != "cupy" or choices.profile):
        why_not = "--profile times call by call" if choices.profile else f"the backend is {where}"
        raise ValueError(f"--graph yes replays steps on a CUDA GPU, and {why_not}; leave it out.")
    if choices.data in idx.SHA256 and choices.data_dir is None and not idx.cached(choices.data):
        say(f"downloading {choices.data} into {idx.cache_folder()}, once")
    prepared: Any = _prepare(choices, where)  # before the folder: what cannot begin leaves nothing behind
    say(why)
    folder = new_folder(out, choices.data)
    say(f"run folder {folder}")
    accuracies = []
    for seed in range(choices.seed, choices.seed + seeds):
        now = replace(choices, seed=seed)
        inside = folder if seeds == 1 else folder / f"seed-{seed}"
        inside.mkdir(exist_ok=True)
        accuracies.append(_train_once(now, where, prepared or _prepare(now, where), inside, quiet))
        prepared = None
        if seeds > 1:
            say(f"seed {seed}: test accuracy {accuracies[-1]:.4f}")
    mean = statistics.fmean(accuracies)
    if seeds > 1:
        spread = statistics.stdev(accuracies)
        summary: dict[str, Any] = {"seeds": [*range(choices.seed, choices.seed + seeds)], "test_accuracy": accuracies}
        summary |= {"mean": mean, "standard_deviation": spread, "choices": asdict(choices)}
        _write_json(folder / "config.json", summary)
        say(
            f"{seeds} seeds: mean {mean:.4f}, standard deviation {spread:.4f}, "
            f"from {min(accuracies):.4f} to {max(accuracies):.4f}"
        )
    return mean


def _prepare(choices: Choices, where: Place) -> tuple[datasets.Dataset, Trainer]:
    optimizer = OPTIMIZERS[choices.optimizer](lr=choices.lr)  # type: ignore[arg-type]  # settled: not None
    hidden = choices.sizes()
    data = choices.load()
    sizes = [data.x.shape[1], *hidden, data.classes]
    with on_device(where):
        model = mlp(sizes, choices.activation, seed=choices.seed, dtype=choices.dtype, backend=where)
    return data, Trainer(model, optimizer, seed=choices.seed)


def _train_once(
    choices: Choices, where: Place, prepared: tuple[datasets.Dataset, Trainer], folder: Path, quiet: bool
) -> float:
    data, trainer = prepared
    config = _config(choices, where, data)
    _write_json(folder / "config.json", config)
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
                    report=_report(quiet),
                    graph=False if profile else graph,
                )
            if profile is not None:
                lines = profile.lines()
                (folder / "profile.txt").write_text("\n".join(lines) + "\n", "utf-8")
                print(*lines, sep="\n")
    finally:
        _write_history(folder / "history.csv", trainer.history)
    result = trainer.model.evaluate(data.x_test, data.t_test)
    trainer.model.save(folder / "model.safetensors")
    if trainer.loss_list:
        try:
            trainer.plot(path=folder / "loss.png")
        except ImportError as error:  # the weights are there; a picture is not worth an error
            print(f"loss.png is left out: {error}")
    config["result"] = {"test_loss": result.loss, "test_accuracy": result.accuracy, "epochs": trainer.current_epoch}
    _write_json(folder / "config.json", config)
    return float(result.accuracy)


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


def _report(quiet: bool) -> Report:
    return Report() if quiet else Live(held_out="test")


def new_folder(out: str | None, data: str) -> Path:
    """Make the run's folder: ``--out``, or runs/<date-time>-<data>; one that holds something is never used."""
    if out is not None:
        folder = Path(out)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise Error(f"--out {out}: it exists and is not an empty folder; choose another, nothing is overwritten.")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Error(f"--out {out}: {error.strerror or error}; choose a folder that can be made.") from error
        return folder
    stem = f"{time.strftime('%Y-%m-%d_%H-%M-%S')}-{Path(data).stem}"
    for number in range(1, 1000):
        folder = Path("runs") / (stem if number == 1 else f"{stem}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:  # a run that began in the same second
            continue
        return folder
    raise Error(f"runs/{stem}: a thousand runs began in one second; give --out.")


def _config(choices: Choices, where: Place, data: datasets.Dataset) -> dict[str, Any]:
    found = usable(where.library.name)
    return {
        "xpgraph": __version__,
        "choices": asdict(choices),
        "backend": {"name": str(where), "version": found.version, "device": found.device},
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


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", "utf-8")


def _write_history(path: Path, history: list[dict[str, Any]]) -> None:
    names = {"val_loss": "test_loss", "val_accuracy": "test_accuracy"}
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        for i, record in enumerate(history):
            if i == 0:
                writer.writerow([names.get(key, key) for key in record])
            writer.writerow(list(record.values()))


def info(kernels: bool) -> list[str]:
    """What is installed and usable here, and perhaps the table of kernels, as lines."""
    rows = [("backend", "use", "version", "device", "")]
    for name, library in LIBRARIES.items():
        found = usable(name)
        use = ("yes" if library.advertised else "witness, untuned") if found.usable else "no"
        helped = f"loops compiled by {helper(name)}" if helper(name) else ""
        rows.append((name, use, found.version, found.device, helped if found.usable else found.why))
    lines = [f"xpgraph {__version__}, Python {platform.python_version()}, {platform.platform()}", "", *columns(rows)]
    if kernels:
        here = available(advertised=False)
        for name in here:  # a body is imported with its library, so only where that is there
            load_fast(name)
        table = [("kernel", "module", "fast bodies of the libraries here")]
        for r in TABLE.values():
            bodies = " ".join(name for name in r.fast_bodies if name.partition("+")[0] in here)
            table.append((r.name, r.module.rpartition(".")[2], bodies or "-"))
        lines += ["", *columns(table)]
    return lines
