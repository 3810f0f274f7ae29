"""Floor 6: what the commands do. Here it is chosen where the data is born; everything below follows the arrays."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from .. import datasets
from ..arrays.installed import usable
from ..arrays.libraries import Place, place
from ..errors import DataError
from ..graph.models import ACTIVATIONS
from ..training.optimizers import OPTIMIZERS

LR = {"adam": 0.005, "sgd": 0.5, "momentum": 0.1, "adagrad": 0.05, "rmsprop": 0.003}  # where --lr is not given
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
    checkpoint_every: int | None = None

    @classmethod
    def from_config(cls, config: dict[str, Any], path: Path) -> Choices:
        """Those that a run's config.json holds; DataError, which names ``path``, for what no run has written."""
        found = config.get("choices")
        if not isinstance(found, dict):
            raise DataError(f"Reading {path}: choices: expected an object, found {found!r}. Give a run's folder.")
        kinds = {field.name: field.type for field in fields(cls)}
        for name, value in found.items():
            kind = str(kinds.get(name, "no setting"))
            if type(value).__name__.replace("NoneType", "None") not in kind.replace("float", "float int").split(" "):
                raise DataError(
                    f"Reading {path}: choices: {name}: expected {kind}, found {value!r}. Give a run's folder."
                )
        for name, known in (("optimizer", OPTIMIZERS), ("activation", ACTIVATIONS), ("dtype", ("float32", "float64"))):
            if found.get(name, next(iter(known))) not in known:
                raise DataError(
                    f"Reading {path}: choices: {name}: expected one of {', '.join(known)}, found {found[name]!r}. "
                    "Give a run's folder."
                )
        return cls(**found)

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
