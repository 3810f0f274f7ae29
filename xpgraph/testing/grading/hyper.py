"""What a student's optimizer is made with: arguments of any name, and the book's values behind them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple

from .compare import in_order

DEFAULTS = {
    "SGD": {"lr": 0.01},
    "Momentum": {"lr": 0.01, "momentum": 0.9},
    "AdaGrad": {"lr": 0.01},
    "RMSprop": {"lr": 0.01, "decay_rate": 0.99},
    "Adam": {"lr": 0.001, "beta1": 0.9, "beta2": 0.999},
}
_ARGUMENTS = {  # names that mean one thing alone; others, as alpha, get a value by their place or by their default
    "lr": ("lr", "learningrate", "eta", "stepsize", "step", "rate"),
    "momentum": ("momentum", "mu"),
    "decay_rate": ("decayrate", "rho"),
    "beta1": ("beta1", "b1"),
    "beta2": ("beta2", "b2"),
}
_ATTRIBUTES = {
    "lr": _ARGUMENTS["lr"],
    "momentum": (*_ARGUMENTS["momentum"], "beta", "gamma", "alpha"),
    "decay_rate": (*_ARGUMENTS["decay_rate"], "decay", "beta", "alpha", "gamma"),
    "beta1": _ARGUMENTS["beta1"],
    "beta2": _ARGUMENTS["beta2"],
}
_OTHERS = {"eps": 1e-7, "epsilon": 1e-7, "weightdecay": 0.0, "wd": 0.0, "l2": 0.0, "nesterov": False}
_NOT_NUMBERS = ("model", "net", "network", "layers", "params", "parameters", "grads")
_SMALLEST, _LARGEST = 1e-6, 10.0  # a default outside is an epsilon, a switch or a count


class Making(NamedTuple):
    """One way of making an optimizer, and the values that are known to stand for the book's letters then."""

    make: Callable[[], Any]
    passed: dict[str, float]

    def hypers(self, kind: str, optimizer: Any) -> list[SimpleNamespace]:
        """What the values may be: those passed, those that the object keeps, the book's where it says nothing."""
        kept = {key: value for key in DEFAULTS[kind] if (value := _kept(optimizer, key)) is not None}
        ways = [{**DEFAULTS[kind], **kept, **self.passed}, {**DEFAULTS[kind], **self.passed, **kept}]
        return [SimpleNamespace(**way, eps=1e-7, form="paper") for way in (ways if ways[0] != ways[1] else ways[:1])]


def makings(kind: str, cls: Any) -> Iterator[Making]:
    """Ways of making it, the likeliest first; the last ones give values in the book's order."""
    try:
        parameters = list(inspect.signature(cls).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    seen: list[dict[str, str]] = []
    for ascending in (True, False):
        keys = _keys(kind, parameters, ascending)
        if keys is not None and keys not in seen:
            seen.append(keys)
            yield _making(kind, cls, parameters, keys)
    for way in in_order(cls, list(DEFAULTS[kind].values())):
        yield Making(way, {})


def _making(kind: str, cls: Any, parameters: list[inspect.Parameter], keys: dict[str, str]) -> Making:
    places: list[Any] = []
    names: dict[str, Any] = {}
    for p in parameters:
        if p.name in keys:
            value: Any = DEFAULTS[kind][keys[p.name]]
        elif p.default is p.empty and _plain(p.name) in _OTHERS:
            value = _OTHERS[_plain(p.name)]
        else:
            continue
        if p.kind is p.POSITIONAL_ONLY:
            places.append(value)
        else:
            names[p.name] = value
    return Making(lambda: cls(*places, **names), {key: DEFAULTS[kind][key] for key in keys.values()})


def _keys(kind: str, parameters: list[inspect.Parameter], ascending: bool) -> dict[str, str] | None:
    """Argument -> the book's letter; None if it needs something that is no number.

    Unknown names get the letters that are left, in the book's order. ``ascending``: by the size of their defaults,
    as the book's are (a rate, then what is forgotten), whatever order they come in.
    """
    found, unknown = {}, []
    for p in parameters:
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            continue
        key = next((k for k in DEFAULTS[kind] if _plain(p.name) in _ARGUMENTS[k]), None)
        if key is not None:
            found[p.name] = key
        elif p.default is p.empty and _plain(p.name) in _NOT_NUMBERS:
            return None
        elif _plain(p.name) not in _OTHERS and _may_be_rate(p.default):
            unknown.append(p)
    if ascending and not any(p.default is p.empty for p in unknown):
        unknown.sort(key=lambda p: float(p.default))
    left = [key for key in DEFAULTS[kind] if key not in found.values()]
    return {**found, **{p.name: key for p, key in zip(unknown, left, strict=False)}}


def _may_be_rate(default: Any) -> bool:
    if default is inspect.Parameter.empty:
        return True
    return isinstance(default, int | float) and not isinstance(default, bool) and _SMALLEST < default <= _LARGEST


def _kept(optimizer: Any, key: str) -> float | None:
    """The number that the object keeps under a usual name, with or without underscores."""
    own = {_plain(name): value for name, value in getattr(optimizer, "__dict__", {}).items()}
    values = [own.get(name, getattr(optimizer, name, None)) for name in _ATTRIBUTES[key]]
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    return float(numbers[0]) if numbers else None


def _plain(name: str) -> str:
    return name.replace("_", "").lower()
