"""Objects of a student's classes, whatever the names of their arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple

from ..formulas.update_rules import HYPER

EPS = 1e-7  # the book's
# The hyper-parameters that the book passes, in its order.
DEFAULTS = {kind: {k: v for k, v in hyper.items() if k not in ("eps", "form")} for kind, hyper in HYPER.items()}
# What an argument of this name means; other names, as alpha, get a value by their place or by their default.
_ARGUMENTS = {
    "n": ("n", "k", "num", "number", "times", "repeats", "count", "copies", "branches", "reps", "rows"),
    "d": ("d", "columns", "width"),
    "axis": ("axis", "axes", "dim"),
    "keepdims": ("keepdims", "keepdim"),
    "lr": ("lr", "learningrate", "eta", "stepsize", "step", "rate"),
    "momentum": ("momentum", "mu"),
    "decay_rate": ("decayrate", "rho"),
    "beta1": ("beta1", "b1"),
    "beta2": ("beta2", "b2"),
    "max_epoch": ("maxepoch", "maxepochs", "epochs", "nepochs", "numepochs", "epoch"),
    "batch_size": ("batchsize", "batch", "minibatchsize"),
}
_ATTRIBUTES = {  # more names of what an object has
    "momentum": ("beta", "gamma", "alpha"),
    "decay_rate": ("decay", "beta", "alpha", "gamma"),
}
_OTHERS = {"eps": EPS, "epsilon": EPS, "weightdecay": 0.0, "wd": 0.0, "l2": 0.0, "nesterov": False}
_NOT_NUMBERS = ("model", "net", "network", "layers", "params", "parameters", "grads")
_SMALLEST, _LARGEST = 1e-6, 10.0  # a default outside these is an epsilon, a switch or a count


def meaning(name: str, wanted: Iterable[str]) -> str | None:
    """Which of the wanted arguments has this name, in any case, with or without underscores; None: none of them."""
    return next((key for key in wanted if _plain(name) in _ARGUMENTS.get(key, (_plain(key),))), None)


# --- nodes ---


def construct(cls: type, wanted: dict[str, Any], also: dict[str, Any] | None = None) -> Any:
    """A node of a student's class, from the arguments that it may want, by their names or in their order.

    ``also``: values that few classes ask for, by name alone. Raises what the constructor raised if no call works.
    """
    named = _by_name(cls, wanted, also or {})
    ways = [] if named is None else [lambda: cls(**named)]
    return first_that_works([*ways, *in_order(cls, list(wanted.values()))])


def in_order(cls: type, values: list[Any]) -> list[Callable[[], Any]]:
    """Calls with all values by position, then with one less each."""
    return [lambda k=k: cls(*values[:k]) for k in range(len(values), -1, -1)]  # type: ignore[misc]


def first_that_works(ways: list[Callable[[], Any]], errors: Any = Exception) -> Any:
    """What the first call that works returns; raises what the first one raised if none does."""
    first: Exception | None = None
    for way in ways:
        try:
            return way()
        except errors as error:
            first = first or error
    assert first is not None
    raise first


def parameters_of(function: Any) -> list[inspect.Parameter] | None:
    """The parameters of a function or class, *args and **kwargs left out; None where it does not tell."""
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    return [p for p in found if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def _by_name(cls: type, wanted: dict[str, Any], also: dict[str, Any]) -> dict[str, Any] | None:
    """The wanted arguments under the constructor's own names, unknown names in their order; None if one is left."""
    parameters = parameters_of(cls)
    if parameters is None:
        return None
    known = {**also, **wanted}
    keys = {p.name: key for p in parameters if (key := meaning(p.name, known)) is not None}
    for p in [p for p in parameters if p.name not in keys]:
        key = next((k for k, v in wanted.items() if k not in keys.values() and _fits(p.default, v)), None)
        if key is not None:
            keys[p.name] = key
        elif p.default is p.empty:
            return None
    return {name: known[key] for name, key in keys.items()}


def _fits(default: Any, value: Any) -> bool:
    """May an argument with this default be the one that the value is for?"""
    return default is None or default is inspect.Parameter.empty or type(default) is type(value)


def counts(kind: str, cls: Any) -> bool:
    """Does the caller choose the number of copies? The book's Branch may always make two; Repeat is told how many."""
    return kind == "Repeat" or any(p.default is p.empty or type(p.default) is int for p in parameters_of(cls) or ())


# --- optimizers ---


class Making(NamedTuple):
    """One way of making an optimizer, and the hyper-parameters that are known to have been passed."""

    make: Callable[[], Any]
    passed: dict[str, float]

    def hypers(self, kind: str, optimizer: Any) -> list[SimpleNamespace]:
        """What the values may be: those passed, those of the object's attributes, the book's where neither tells."""
        own = {key: value for key in DEFAULTS[kind] if (value := _attribute(optimizer, key)) is not None}
        ways = [{**DEFAULTS[kind], **own, **self.passed}, {**DEFAULTS[kind], **self.passed, **own}]
        return [SimpleNamespace(**way, eps=EPS, form="paper") for way in (ways if ways[0] != ways[1] else ways[:1])]


def makings(kind: str, cls: Any) -> Iterator[Making]:
    """Ways of making an optimizer, the likeliest first; the last ones pass values in the book's order."""
    parameters = parameters_of(cls) or []
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
    """Argument -> the book's hyper-parameter; None if the class needs something that is not a number.

    Unknown names get the hyper-parameters that are left, in the book's order. ``ascending``: they are sorted by their
    defaults first, since the book's ascend: a learning rate, then decays.
    """
    found, unknown = {}, []
    for p in parameters:
        key = meaning(p.name, DEFAULTS[kind])
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


def _attribute(optimizer: Any, key: str) -> float | None:
    """The number that the object has under a usual name, with or without underscores."""
    own = {_plain(name): value for name, value in getattr(optimizer, "__dict__", {}).items()}
    values = [own.get(name, getattr(optimizer, name, None)) for name in (*_ARGUMENTS[key], *_ATTRIBUTES.get(key, ()))]
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    return float(numbers[0]) if numbers else None


def _plain(name: str) -> str:
    return name.replace("_", "").lower()
