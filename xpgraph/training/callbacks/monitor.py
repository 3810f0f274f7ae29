"""What early stopping, the best weights and a plateau have in common: the best value that an epoch's record has had."""

from __future__ import annotations

from typing import Any

from ..checks import check_number, is_number

MODES = ("auto", "min", "max")


class Monitor:
    """One value of the records of epochs. ``best``: the best so far, in ``epoch`` (None: there has been none yet).

    ``count``: epochs since then, or since it was set to 0. ``who``: the callback that asks, for its errors.

    A value is better if it is lower than the best one by more than ``min_delta``, with mode "min", or higher by more,
    with "max". "auto": "min" for a name that ends in ``loss``, "max" for one that ends in ``accuracy``. The first
    number is the best of those so far; NaN is never better.
    """

    def __init__(self, who: str, name: str, mode: str = "auto", min_delta: float = 0.0) -> None:
        if mode not in MODES:
            raise ValueError(f"{who}: mode is {mode!r}; give 'auto', 'min' or 'max'.")
        guess = {"loss": "min", "accuracy": "max"}.get(str(name).rpartition("_")[2])
        if mode == "auto" and guess is None:
            raise ValueError(
                f"{who}: monitor is {name!r}, and mode='auto' knows only names that end in loss or accuracy; "
                "give mode='min' or mode='max'."
            )
        self.who, self.name, self.min_delta = who, name, check_number(who, "min_delta", min_delta)
        self.lower = (guess if mode == "auto" else mode) == "min"  # is a lower value better?
        self.start()

    def start(self) -> None:
        """A fit begins: nothing has been seen."""
        self.best: float | None = None
        self.epoch: int | None = None
        self.count = 0

    def improved(self, record: dict[str, Any]) -> bool:
        """Is the value of this epoch the best so far? ValueError for a record that has no such number."""
        value = self._value(record)
        if self.best is None:
            better = value == value  # not NaN
        elif self.lower:
            better = value < self.best - self.min_delta
        else:
            better = value > self.best + self.min_delta
        if better:
            self.best, self.epoch, self.count = value, record["epoch"], 0
        else:
            self.count += 1
        return better

    def words(self) -> str:
        """Since when it has not been better."""
        epochs = f"{self.count} epoch{'s' if self.count != 1 else ''}"
        if self.best is None:
            return f"{self.name} has been no number for {epochs}"
        way, delta = "lower" if self.lower else "higher", f" by more than {self.min_delta:g}" if self.min_delta else ""
        return f"{self.name} has not been {way} than in epoch {self.epoch} ({self.best:.4g}){delta} for {epochs}"

    @property
    def state(self) -> dict[str, Any]:
        """``best``, ``epoch`` and ``count``."""
        return {"best": self.best, "epoch": self.epoch, "count": self.count}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a ``state``."""
        self.best, self.epoch, self.count = state["best"], state["epoch"], state["count"]

    def _value(self, record: dict[str, Any]) -> float:
        names = ", ".join(str(name) for name, value in record.items() if is_number(value))
        if self.name not in record:
            raise ValueError(f"{self.who}: the record of an epoch has no {self.name!r}; monitor one of {names}.")
        value = record[self.name]
        if value is None and str(self.name).startswith("val_"):
            raise ValueError(
                f"{self.who}: {self.name} is None: there is no validation data, or its labels name no classes; give "
                f"fit(validation=(x, t)), or monitor one of {names}."
            )
        if not is_number(value):
            raise ValueError(f"{self.who}: {self.name} is a {type(value).__name__}; monitor one of {names}.")
        return float(value)
