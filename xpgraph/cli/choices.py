"""The settings of a training run: defaults that fit each data set, checks, and the place that ``--backend`` means."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from .. import datasets
from ..arrays.installed import usable
from ..arrays.libraries import Place, place
from ..datasets import idx
from ..errors import DataError
from ..graph.chain import ACTIVATIONS
from ..training.optimizers import OPTIMIZERS

LEARNING_RATES = {"adam": 0.005, "sgd": 0.5, "momentum": 0.1, "adagrad": 0.05, "rmsprop": 0.003}  # without --lr
DEFAULTS = {  # what trains each data set well, measured over five seeds; "" is for a user's own data
    "digits": {"hidden": "100", "epochs": 30, "batch_size": 32, "adam_lr": 0.01},
    "spiral": {"hidden": "10", "epochs": 300, "batch_size": 30, "adam_lr": 0.05},
    "mnist": {"hidden": "100", "epochs": 10, "batch_size": 100, "adam_lr": 0.002},
    "fashion-mnist": {"hidden": "100", "epochs": 10, "batch_size": 100, "adam_lr": 0.002},
    "": {"hidden": "100", "epochs": 30, "batch_size": 32, "adam_lr": 0.005},
}
SCHEDULES = ("cosine", "step", "plateau")
WORDS = {  # settings that have a fixed set of values
    "optimizer": tuple(OPTIMIZERS),
    "activation": tuple(ACTIVATIONS),
    "dtype": ("float32", "float64"),
    "schedule": SCHEDULES,
}


@dataclass(frozen=True)
class Choices:
    """The settings of a training run, by the names of the options; ``with_defaults`` replaces each None."""

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
    checkpoint_every: int | None = None
    validation: float | None = None
    patience: int | None = None
    keep_best: bool = False
    schedule: str | None = None
    schedule_step: int | None = None
    schedule_factor: float | None = None
    warmup: int | None = None

    @classmethod
    def from_config(cls, config: dict[str, Any], path: Path) -> Choices:
        """The settings in a run's config.json; DataError, which names ``path``, for what no run writes."""

        def wrong(what: str, expected: str, value: Any) -> DataError:
            return DataError(f"Reading {path}: {what}: expected {expected}, found {value!r}. Give a run's folder.")

        stored = config.get("choices")
        if not isinstance(stored, dict):
            raise wrong("choices", "an object", stored)
        types = {field.name: str(field.type) for field in fields(cls)}
        for name, value in stored.items():
            expected = types.get(name, "no setting")
            allowed = expected.replace("float", "float int").split(" ")  # JSON writes 1.0 as 1
            if type(value).__name__.replace("NoneType", "None") not in allowed:
                raise wrong(f"choices: {name}", expected, value)
        for name, words in WORDS.items():
            if stored.get(name) not in (None, *words):  # None: no such setting, or one that may be None
                raise wrong(f"choices: {name}", f"one of {', '.join(words)}", stored[name])
        return cls(**stored)

    def with_defaults(self) -> Choices:
        """A copy in which every None that depends on the data is a value, and every path is absolute."""
        usual: dict[str, Any] = DEFAULTS.get(self.data, DEFAULTS[""])
        lr = LEARNING_RATES.get(self.optimizer, getattr(OPTIMIZERS[self.optimizer](), "lr", None))
        usual = {**usual, "lr": usual["adam_lr"] if self.optimizer == "adam" else lr}
        if self.schedule in ("step", "plateau"):
            epochs = usual["epochs"] if self.epochs is None else self.epochs
            usual |= {"schedule_step": max(1, epochs // 3) if self.schedule == "step" else 5, "schedule_factor": 0.1}
        missing = {name: value for name, value in usual.items() if name != "adam_lr" and getattr(self, name) is None}
        return replace(
            self,
            **missing,
            data=str(Path(self.data).absolute()) if Path(self.data).suffix.lower() in (".npz", ".csv") else self.data,
            data_dir=None if self.data_dir is None else str(Path(self.data_dir).absolute()),
        )

    def check(self, where: Place) -> None:
        """ValueError for settings that cannot work on ``where``; nothing has been written yet."""
        if self.precision != "fp32" and (where.library.name != "cupy" or self.dtype != "float32"):
            raise ValueError(
                f"--precision {self.precision} is for float32 on a CUDA GPU, and this is {self.dtype} on {where}; "
                "leave it out."
            )
        if self.graph == "yes" and (where.library.name != "cupy" or self.profile):
            why_not = "--profile times call by call" if self.profile else f"the backend is {where}"
            raise ValueError(f"--graph yes replays steps on a CUDA GPU, and {why_not}; leave it out.")
        self.hidden_sizes()
        self._check_validation_and_schedule()

    def _check_validation_and_schedule(self) -> None:
        needs_validation = {
            "--patience": self.patience is not None,
            "--keep-best": self.keep_best,
            "--schedule plateau": self.schedule == "plateau",
        }
        for option, given in needs_validation.items():
            if given and self.validation is None:
                raise ValueError(f"{option} needs the loss on validation rows; give --validation 0.1 too.")
        for option, value in (("--schedule-step", self.schedule_step), ("--schedule-factor", self.schedule_factor)):
            if value is not None and self.schedule not in ("step", "plateau"):
                raise ValueError(f"{option} is for --schedule step and --schedule plateau; give one, or leave it out.")
        if self.warmup is not None and self.schedule == "plateau":
            raise ValueError("--warmup and --schedule plateau both set the learning rate; leave one out.")

    def check_data_dir(self, data_dir: str | None) -> None:
        """ValueError for a --data-dir beside data that is not read from a folder."""
        if data_dir is not None and self.data not in idx.SHA256:
            raise ValueError(f"--data-dir is for {' and '.join(idx.SHA256)}, and --data is {self.data}; leave it out.")

    def load(self, data_dir: str | None = None, dtype: str = "") -> datasets.Dataset:
        """The data, from another folder of IDX files or in another dtype if given."""
        return datasets.load(
            self.data, data_dir=data_dir or self.data_dir, seed=self.seed, dtype=dtype or self.dtype, label=self.label
        )

    def hidden_sizes(self) -> list[int]:
        """The units of each hidden layer; [] for a linear model."""
        words = [] if self.hidden in ("none", "0", "") else str(self.hidden).split(",")
        if not all(word.strip().isdecimal() and int(word) > 0 for word in words):
            raise ValueError(f"--hidden is {self.hidden!r}; give units such as 500,100, or none for a linear model.")
        return [int(word) for word in words]


def choose_backend(name: str) -> tuple[Place, str]:
    """The place that ``--backend`` means, and a line that names it and says why it was taken."""
    if name == "auto":
        cupy = usable("cupy")
        if cupy.usable:
            return place("cupy"), f"backend cupy (auto): {cupy.device}"
        return place("numpy"), f"backend numpy (auto): cupy {cupy.brief or cupy.why}"
    where = place(name)
    witness = "" if where.library.advertised else " (witness, untuned)"
    library = usable(where.library.name)
    return where, f"backend {name}{witness}: {where.library.name} {library.version}, {library.device}"
