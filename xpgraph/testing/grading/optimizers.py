"""The optimizers of a student: twenty updates of two parameters against the textbook's rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..findings import Finding
from .construction import DEFAULTS, makings
from .mistakes import Rule, right_rules, wrong_rules
from .source_file import Entry

OPTIMIZERS = tuple(DEFAULTS)
UPDATES = 20
CLOSE = 3e-6  # of the longest way: for gradients around 1, an epsilon of 1e-7 in another place changes less
_COMPARE = "Compare the update with the formula of the book, line by line."

Path = list[list[np.ndarray]]  # the parameters after each update


def check_optimizer(entry: Entry) -> Iterator[Finding]:
    """Every finding about a class with ``update(params, grads)``; it is right if one way of making it is."""
    found: list[Finding] | None = None
    failed: Exception | None = None
    for making in makings(entry.kind, entry.thing):
        try:
            optimizer = making.make()
        except Exception as error:
            failed = failed or error
            continue
        if not callable(getattr(optimizer, "update", None)):
            yield entry.finding("update", "a method update(params, grads)", "none", "Add it: the Trainer calls it.")
            return
        findings = list(_updates(entry, optimizer, making.hypers(entry.kind, optimizer)))
        if not findings:
            yield from _at_rest(entry, making.make)
            return
        found = findings if found is None else found
    if found is None and failed is not None:
        call = f"{entry.name}({', '.join(f'{k}={v}' for k, v in DEFAULTS[entry.kind].items())})"
        found = [entry.raised("cannot construct", failed, "Give every argument of __init__ a default.", call)]
    yield from found or ()


def _updates(entry: Entry, optimizer: Any, hypers: list[SimpleNamespace]) -> Iterator[Finding]:
    """Twenty updates: first how they write, then what they compute with any of the possible hyper-parameters."""
    start, grads = _start(), _grads()
    params = [p.copy() for p in start]
    path: Path = []
    try:
        with np.errstate(all="ignore"):
            for g in grads:
                finding = _update(entry, optimizer, params, g)
                if finding is not None:
                    yield finding
                    return
                path.append([p.copy() for p in params])
    except Exception as error:
        hint = "params and grads are two parallel lists of arrays; each array needs state of its own shape."
        yield entry.raised("update", error, hint, at=f"update {len(path) + 1}: ")
        return
    found = [finding for hyper in hypers if (finding := _compare(entry, path, start, grads, hyper)) is not None]
    if len(found) == len(hypers):
        yield next((f for f in found if f.hint != _COMPARE), found[0])


def _update(entry: Entry, optimizer: Any, params: list[np.ndarray], g: list[np.ndarray]) -> Finding | None:
    """One update: is it written into the right arrays? The numbers are compared later."""
    before, given = [p.copy() for p in params], [a.copy() for a in g]
    listed = list(params)
    result = optimizer.update(listed, given)
    if any(not np.array_equal(a, b) for a, b in zip(given, g, strict=True)):
        hint = "Write lr * grads[i] into a new array; the gradient is not the optimizer's."
        return entry.finding("inputs untouched", "gradients as they were", "other numbers", hint)
    if all(np.array_equal(p, b) for p, b in zip(params, before, strict=True)):
        elsewhere = any(a is not p for a, p in zip(listed, params, strict=False)) or result is not None
        words = "new arrays, the old ones as they were" if elsewhere else "nothing changed"
        hint = (
            "Write params[i] -= step, or params[i][...] = ...: the layers hold these arrays, "
            "and params[i] = params[i] - step makes another one."
        )
        return entry.finding("in place", "the arrays in params changed", words, hint)
    return None


def _compare(entry: Entry, path: Path, start: list[np.ndarray], grads: Path, hyper: SimpleNamespace) -> Finding | None:
    """The first update that no right rule gives, explained by the wrong rule that gives the whole path."""
    truths = [_walk(rule, start, grads, hyper) for rule in right_rules(entry.kind)]
    if any(_same(path, truth, start) for truth in truths):
        return None
    truth = truths[0]
    first = next(k for k in range(UPDATES) if not any(_same(path[k : k + 1], t[k : k + 1], start) for t in truths))
    explained = (r.hint for r in wrong_rules(entry.kind) if _same(path, _walk(r, start, grads, hyper), start))
    hint = next(explained, _COMPARE)
    off = [np.abs(np.nan_to_num(a, nan=np.inf) - b) for a, b in zip(path[first], truth[first], strict=True)]
    i = int(np.argmax([a.max() for a in off]))
    place = np.unravel_index(int(np.argmax(off[i])), off[i].shape)
    moved, true = (float(p[first][i][place] - start[i][place]) for p in (path, truth))
    if not np.isfinite(moved) and hint == _COMPARE:
        hint = "Do not divide by zero: count the update before the bias correction, and add epsilon to the root."
    where = f"after update {first + 1}, params[{i}]{[int(n) for n in place]} moved by"
    return entry.finding("update", f"{where} {true:.6g}", f"{moved:.6g}", hint)


def _at_rest(entry: Entry, make: Callable[[], Any]) -> Iterator[Finding]:
    """A gradient of zero (a dead ReLU) moves nothing."""
    optimizer, params = make(), _start()
    with np.errstate(all="ignore"):
        optimizer.update(params, [np.zeros(p.shape) for p in params])
    if not all(np.array_equal(p, s) for p, s in zip(params, _start(), strict=True)):
        nan = any(np.isnan(p).any() for p in params)
        hint = "Add epsilon to the root, as in √h + 1e-7: 0 / 0 is not a number." if nan else "Look at g = 0."
        yield entry.finding("zero gradient", "no change", "NaN" if nan else "another number", hint)


def _walk(rule: Rule, start: list[np.ndarray], grads: Path, hyper: SimpleNamespace) -> Path:
    """The parameters after each update by a rule."""
    params, path = [p.copy() for p in start], []
    states: list[Any] = [{} for _ in params]
    with np.errstate(all="ignore"):
        for k, g in enumerate(grads, start=1):
            for i in range(len(params)):
                state, count = states[i] if rule.remembers else {}, rule.count(k, i, len(params))
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
