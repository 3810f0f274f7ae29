"""The optimizers of a student: twenty updates of two parameters against the textbook's rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..findings import Finding
from .hyper import DEFAULTS, makings
from .rules import Rule, textbook, wrong_rules
from .source_file import Source

OPTIMIZERS = ("SGD", "Momentum", "AdaGrad", "RMSprop", "Adam")
UPDATES = 20
CLOSE = 3e-6  # of the longest way: an epsilon of 1e-7 or less, in either place, moves less for gradients around 1
_COMPARE = "Compare the update with the formula of the book, line by line."

Path = list[list[np.ndarray]]  # the parameters after each update


def check_optimizer(kind: str, name: str, cls: Any, source: Source) -> Iterator[Finding]:
    """Every finding about a class with ``update(params, grads)``; one way of making it that is right is enough."""
    found: list[Finding] | None = None
    failed: Exception | None = None
    for making in makings(kind, cls):
        try:
            optimizer = making.make()
        except Exception as error:
            failed = failed or error
            continue
        if not callable(getattr(optimizer, "update", None)):
            yield Finding(name, "update", "a method update(params, grads)", "none", "Add it: the Trainer calls it.")
            return
        findings = list(_updates(kind, name, optimizer, making.hypers(kind, optimizer), source))
        if not findings:
            yield from _at_rest(name, making.make)
            return
        found = findings if found is None else found
    if found is None and failed is not None:
        wants = ", ".join(f"{k}={v}" for k, v in DEFAULTS[kind].items())
        hint = "Give every argument of __init__ a default."
        found = [Finding(name, "cannot construct", f"{name}({wants})", source.words(failed), hint)]
    yield from found or ()


def _updates(kind: str, name: str, optimizer: Any, hypers: list[SimpleNamespace], source: Source) -> Iterator[Finding]:
    """Twenty updates: how they write, then what they compute."""
    start, grads = _start(), _grads()
    params = [p.copy() for p in start]
    path: Path = []
    try:
        with np.errstate(all="ignore"):
            for g in grads:
                finding = _update(name, optimizer, params, g)
                if finding is not None:
                    yield finding
                    return
                path.append([p.copy() for p in params])
    except Exception as error:
        yield Finding(
            name, "update", "no exception", f"update {len(path) + 1}: {source.words(error)}",
            "params and grads are two parallel lists of arrays; each array needs state of its own shape.",
        )  # fmt: skip
        return
    judged = [finding for hyper in hypers if (finding := _judge(kind, name, path, start, grads, hyper)) is not None]
    if len(judged) == len(hypers):
        yield next((f for f in judged if f.hint != _COMPARE), judged[0])


def _update(name: str, optimizer: Any, params: list[np.ndarray], g: list[np.ndarray]) -> Finding | None:
    """One update; what is wrong with the way in which it writes, not with its numbers."""
    before, given = [p.copy() for p in params], [a.copy() for a in g]
    listed = list(params)
    result = optimizer.update(listed, given)
    if any(not np.array_equal(a, b) for a, b in zip(given, g, strict=True)):
        hint = "Write lr * grads[i] into a new array; the gradient is not the optimizer's."
        return Finding(name, "inputs untouched", "gradients as they were", "other numbers", hint)
    if all(np.array_equal(p, b) for p, b in zip(params, before, strict=True)):
        elsewhere = any(a is not p for a, p in zip(listed, params, strict=False)) or result is not None
        return Finding(
            name, "in place", "the arrays in params changed",
            "new arrays, the old ones as they were" if elsewhere else "nothing changed",
            "Write params[i] -= step, or params[i][...] = ...: the layers hold these arrays, "
            "and params[i] = params[i] - step makes another one.",
        )  # fmt: skip
    return None


def _judge(
    kind: str, name: str, path: Path, start: list[np.ndarray], grads: Path, hyper: SimpleNamespace
) -> Finding | None:
    truths = [walk(rule, start, grads, hyper) for rule in textbook(kind)]
    if any(_same(path, truth, start) for truth in truths):
        return None
    truth = truths[0]
    first = next(k for k in range(UPDATES) if not any(_same(path[k : k + 1], t[k : k + 1], start) for t in truths))
    hint = next(
        (rule.hint for rule in wrong_rules(kind) if _same(path, walk(rule, start, grads, hyper), start)),
        _COMPARE,
    )
    i, off = max(
        ((i, np.abs(np.nan_to_num(a, nan=np.inf) - b)) for i, (a, b) in enumerate(zip(path[first], truth[first],
                                                                                     strict=True))),
        key=lambda row: float(row[1].max()),
    )  # fmt: skip
    place = np.unravel_index(int(np.argmax(off)), off.shape)
    moved, true = (float(p[first][i][place] - start[i][place]) for p in (path, truth))
    if not np.isfinite(moved) and hint == _COMPARE:
        hint = "Divide by no zero: count the update before the bias correction, and add epsilon to the root."
    where = f"after update {first + 1}, params[{i}]{[int(n) for n in place]} moved by"
    return Finding(name, "update", f"{where} {true:.6g}", f"{moved:.6g}", hint)


def _at_rest(name: str, make: Callable[[], Any]) -> Iterator[Finding]:
    """A gradient of zero (a dead ReLU) moves nothing."""
    optimizer, params = make(), _start()
    with np.errstate(all="ignore"):
        optimizer.update(params, [np.zeros(p.shape) for p in params])
    if not all(np.array_equal(p, s) for p, s in zip(params, _start(), strict=True)):
        nan = any(np.isnan(p).any() for p in params)
        hint = "Add epsilon to the root, as in √h + 1e-7: 0 / 0 is not a number." if nan else "Look at g = 0."
        yield Finding(name, "zero gradient", "no change", "NaN" if nan else "another number", hint)


def walk(rule: Rule, start: list[np.ndarray], grads: Path, hyper: SimpleNamespace) -> Path:
    """The parameters after each update by a rule."""
    params, path = [p.copy() for p in start], []
    states: list[Any] = [rule.zeros(p) for p in params]
    with np.errstate(all="ignore"):
        for k, g in enumerate(grads, start=1):
            for i in range(len(params)):
                state = states[i] if rule.remembers else rule.zeros(params[i])
                count = rule.count(k, i, len(params))
                params[i], states[i] = rule.step(params[i], g[i], state, count, hyper)
            path.append([p.copy() for p in params])
    return path


def _same(path: Path, truth: Path, start: list[np.ndarray]) -> bool:
    ways = [np.abs(t - s) for step in truth for t, s in zip(step, start, strict=True)]
    far = max(float(np.max(way, where=np.isfinite(way), initial=0.0)) for way in ways)
    pairs = [(a, t) for one, two in zip(path, truth, strict=True) for a, t in zip(one, two, strict=True)]
    with np.errstate(all="ignore"):
        return all(bool(np.all((np.abs(a - t) <= CLOSE * far) | (np.isnan(a) & np.isnan(t)))) for a, t in pairs)


def _start() -> list[np.ndarray]:
    rng = np.random.Generator(np.random.Philox(14))
    return [rng.standard_normal((3, 2)), rng.standard_normal(2)]


def _grads() -> Path:
    """Sizes from 0.5 to 2, so that epsilon is small beside them; signs at random."""
    rng = np.random.Generator(np.random.Philox(15))
    return [[rng.uniform(0.5, 2, p.shape) * rng.choice([-1.0, 1.0], p.shape) for p in _start()] for _ in range(UPDATES)]
