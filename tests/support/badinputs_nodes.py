"""Nodes, layers, losses and optimizers as entry points: what is tried on each, and what would be right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from badinputs_made import CLASSES, CONDITIONS, Condition
from reference import RULES, Reference

import xpgraph as xg
from xpgraph.nodes.copying import rebuild
from xpgraph.testing.formulas.formula import unit
from xpgraph.testing.formulas.textbook import FORMULAS
from xpgraph.testing.verification import matrix
from xpgraph.training.optimizers import OPTIMIZERS

LAYERS = ("Affine", "Sigmoid", "ReLU", "Tanh", "Softmax")
NODES = tuple(name for name in FORMULAS if name not in (*LAYERS, "SoftmaxWithLoss"))
ANY_SHAPE = {"Sigmoid", "ReLU", "Tanh", "Branch", "Repeat", "Exp", "Log", "Power", "Transpose", "Reshape"}
LAID = ("strided", "fortran", "reversed", "memmap")  # the same numbers, laid otherwise
UNIFORM = (*LAID, "float16")  # a node takes these if all that it is given is so
BESIDE = ("float64", "other library", "other device")  # bad beside good arrays only
ROWS = 4  # of the inputs of matrix.cases()


@dataclass
class Attempt:
    """One call with a bad input. ``truth``: (values, how far a result may be from each), or None for a refusal."""

    what: str
    call: Callable[[], list[Any]]
    truth: Callable[[], tuple[list[Any], list[Any]]] | None = None
    unchanged: Callable[[], Any] = lambda: None  # what a refusal leaves as it is


def cases() -> dict[str, tuple[Any, list[np.ndarray]]]:
    """A node of each class and good inputs; Split and Reshape are such as take any number of rows."""
    own = {"Split": xg.Split(5, axis=1), "Reshape": xg.Reshape((-1, 1))}
    found = {}
    for name, (node, inputs) in matrix.cases().items():
        arrays = [a.astype("float32") for a in (inputs if isinstance(inputs, tuple) else (inputs,))]
        found[name] = own.get(name, node), arrays
    return found


def tuples(y: Any) -> tuple[Any, ...]:
    return y if isinstance(y, tuple) else (y,)


def gradients_of(shapes: list[tuple[int, ...]], dtype: str) -> list[np.ndarray]:
    """Gradients of outputs of these shapes, drawn."""
    rng = np.random.Generator(np.random.Philox(5))
    return [np.array(rng.standard_normal(shape), dtype) for shape in shapes]


def shapes_of(node: Any, inputs: list[np.ndarray]) -> list[tuple[int, ...]]:
    """The shapes of a node's outputs by its formula."""
    ys = FORMULAS[type(node).__name__].forward(node, [np.asarray(p) for p in node.params], inputs)
    return [np.shape(y) for y in ys]


def step(node: Any, inputs: list[Any], douts: list[Any]) -> list[Any]:
    ys = tuples(node.forward(*inputs))
    return [*ys, *tuples(node.backward(*douts)), *node.grads]


def truth_of(node: Any, inputs: list[np.ndarray], douts: list[np.ndarray], dtype: str, back: bool = True) -> Any:
    """What the textbook's formula gives, and its bars; an optional second half for backward."""
    formula, p = FORMULAS[type(node).__name__], [np.asarray(a, np.float64) for a in node.params]
    x, dy = [a.astype(np.float64) for a in inputs], [a.astype(np.float64) for a in douts]
    with np.errstate(all="ignore"):
        values, allowed = formula.forward(node, p, x), formula.forward_tolerance(node, p, x, dtype)
        if back:
            (dx, dp), (dx_bar, dp_bar) = (
                formula.backward(node, p, x, dy),
                formula.backward_tolerance(node, p, x, dy, dtype),
            )
            values, allowed = [*values, *dx, *dp], [*allowed, *dx_bar, *dp_bar]
        return [np.asarray(v).astype(dtype) for v in values], allowed


def node_attempts(lib: Any, name: str, key: str, condition: Condition) -> Iterator[Attempt]:
    """A node of one class, forward and backward, with each array in turn as the condition says, or with all."""
    host, xs = cases()[name]
    dtype = "float16" if key == "float16" else "float32"
    host = host.to("numpy", dtype)
    dys = gradients_of(shapes_of(host, xs), dtype)

    def node() -> Any:
        return host.to(lib.place, dtype)

    def given(arrays: list[np.ndarray], bad: int | None = None) -> list[Any]:
        """Arrays of the library, one of them in the form of the condition."""
        return [condition.form(lib, a) if i == bad else lib.array(a) for i, a in enumerate(arrays)]

    if condition.form is None:
        yield from _values(lib, name, key, condition, node, host, xs, dys)
    elif key in UNIFORM:
        form = condition.form
        good = [np.asarray(condition.clean(a)) for a in xs]
        whole = rebuild(host, lambda a: _writable(lib, condition, a), {}) if host.params else host
        yield Attempt(
            name,
            lambda: step(whole, [form(lib, a) for a in xs], [form(lib, d) for d in dys]),
            lambda: truth_of(host, good, dys, dtype),
        )
    else:
        for i in range(len(xs)):
            if len(xs) + len(host.params) > 1 or key not in BESIDE:
                yield Attempt(f"{name}: input {i}", lambda i=i: [node().forward(*given(xs, i))])
        yield Attempt(f"{name}: dy", lambda: step(node(), given(xs), given(dys, 0)))
        if host.params and (len(host.params) > 1 or key not in BESIDE):
            W, *others = host.params
            yield Attempt(f"{name}: W", lambda: [type(host)(condition.form(lib, W), *map(lib.param, others))])


def _values(lib: Any, name: str, key: str, c: Condition, node: Any, host: Any, xs: Any, dys: Any) -> Iterator[Attempt]:
    arrays = [lib.array(a) for a in xs]
    if key in ("nan", "inf"):
        wrong, douts = [c.x(xs[0]), *xs[1:]], [c.x(dys[0]), *dys[1:]]
        forward = Attempt(
            f"{name}: x",
            lambda: [*tuples(node().forward(*map(lib.array, wrong)))],
            lambda: truth_of(host, wrong, dys, "float32", back=False),
        )
        yield forward
        yield Attempt(
            f"{name}: dy",
            lambda: step(node(), arrays, [lib.array(d) for d in douts]),
            lambda: truth_of(host, xs, douts, "float32"),
        )
    elif key == "shape":
        if name not in ANY_SHAPE:
            small = np.float32(1) if name in ("Sum", "Max", "Mean", "Softmax") else xs[0][:3, :3]
            yield Attempt(f"{name}: x", lambda: [node().forward(lib.array(small), *arrays[1:])])
        longer = np.concatenate([dys[0], dys[0]], axis=-1)
        yield Attempt(f"{name}: dy", lambda: step(node(), arrays, list(map(lib.array, [longer, *dys[1:]]))))
    elif key == "no columns":
        new = [a[..., :0] if a.shape[-1] == xs[0].shape[1] else a for a in xs]
        yield _whole(lib, name, node, host, new)
    else:
        every = key in ("no rows", "one sample")
        if key == "one class":
            new = [a[:, :1] for a in xs]
        else:
            new = [c.x(a) if (a.shape[0] == ROWS if every else i == 0) else a for i, a in enumerate(xs)]
        if key != "one class" or name == "Softmax":
            yield _whole(lib, name, node, host, new)


def _whole(lib: Any, name: str, node: Any, host: Any, xs: list[np.ndarray]) -> Attempt:
    def call() -> list[Any]:
        made = node()
        ys = tuples(made.forward(*map(lib.array, xs)))
        douts = gradients_of([tuple(y.shape) for y in ys], "float32")
        return [*ys, *tuples(made.backward(*map(lib.array, douts))), *made.grads]

    return Attempt(name, call, lambda: truth_of(host, xs, gradients_of(shapes_of(host, xs), "float32"), "float32"))


def _writable(lib: Any, condition: Condition, a: np.ndarray) -> Any:
    """A parameter in the form of a condition; a memmap cannot be written, and so is a plain array."""
    if condition is CONDITIONS["memmap"]:
        return np.array(a)
    return condition.form(replace(lib, name=lib.place.library.name), np.array(a))


# --- losses -----------------------------------------------------------------------------------------------------


def loss_attempts(lib: Any, name: str, key: str, condition: Condition) -> Iterator[Attempt]:
    """SoftmaxWithLoss, forward and backward, and cross_entropy_loss of probabilities, float32."""
    x = np.random.Generator(np.random.Philox(8)).standard_normal((6, CLASSES)).astype("float32")
    t = np.arange(6) % CLASSES
    good_x = x if condition.x is None else condition.x(x)
    good_t = t if condition.t is None else condition.t(t)
    if key == "one class":
        good_x = x[:, :1]
    if key == "float64":
        good_t = np.eye(CLASSES)[t]
    if key == "shape":
        good_x = x[:, :2]  # of the three classes that t names
        good_t = np.eye(CLASSES, dtype="float32")[t]

    alone = key in (*UNIFORM, "big endian") and not condition.native(lib)  # a loss of NumPy's arrays, here too

    def handed(bad: str, which: str, a: np.ndarray) -> Any:
        a = a.astype(x.dtype) if a.dtype == float else a
        if condition.form is None or which not in bad:
            return a if alone else lib.array(a)
        return condition.form(lib, a)

    for bad in ("x", "t") if condition.form is not None and key not in UNIFORM else ("xt",):
        if (bad, key) in (("t", "integer"), ("t", "bool"), ("x", "float64")):
            continue  # labels are integers; x alone decides the dtype
        dtype = "float16" if key == "float16" else "float32"
        plain_x = np.asarray(condition.clean(good_x)) if key in UNIFORM else good_x
        forms = "x" if key == "float16" else bad
        yield _loss(name, handed, forms, bad, good_x, good_t, plain_x, dtype)


def _loss(name: str, handed: Any, forms: str, bad: str, x: Any, t: Any, plain: Any, dtype: str) -> Attempt:
    node = xg.SoftmaxWithLoss()
    if name == "SoftmaxWithLoss":
        return Attempt(
            f"{name}: {bad}",
            lambda: [node.forward(handed(forms, "x", x), handed(forms, "t", t)), node.backward()],
            lambda: _softmax_truth(node, plain, t, dtype),
        )
    with np.errstate(all="ignore"):
        y = np.exp(x - x.max(axis=-1, keepdims=True, initial=-np.inf)) if x.size else x
        y = (y / y.sum(axis=-1, keepdims=True)).astype(x.dtype)
    return Attempt(
        f"{name}: {bad}",
        lambda: [xg.cross_entropy_loss(handed(forms, "x", y), handed(forms, "t", t))],
        lambda: _entropy_truth(y.astype(dtype), t, dtype),
    )


def _softmax_truth(node: Any, x: np.ndarray, t: np.ndarray, dtype: str) -> Any:
    formula, inputs, one = FORMULAS["SoftmaxWithLoss"], [x.astype(np.float64), t], [np.float64(1)]
    size = [inputs[0], np.abs(t)]  # of the terms
    with np.errstate(all="ignore"):
        (loss,), ((dx,), _) = formula.forward(node, [], inputs), formula.backward(node, [], inputs, one)
        (bar,), ((dx_bar,), _) = (
            formula.forward_tolerance(node, [], size, dtype),
            formula.backward_tolerance(node, [], size, one, dtype),
        )
    return [np.asarray(loss).astype(dtype), dx.astype(dtype)], [bar, dx_bar]


def _entropy_truth(y: np.ndarray, t: np.ndarray, dtype: str) -> Any:
    tiny = np.finfo(dtype).smallest_normal
    chances = t.astype(np.float64) if t.ndim == 2 else np.eye(y.shape[-1])[t]
    with np.errstate(all="ignore"):
        terms = -np.log(np.where(y < tiny, tiny, y).astype(np.float64))
        rows = np.where(chances == 0, 0, chances * terms).sum(axis=-1)
    return [rows.mean().astype(dtype)], [16 * unit(dtype) * (1 + np.abs(rows).max())]


# --- optimizers -------------------------------------------------------------------------------------------------


def optimizer_attempts(lib: Any, name: str, key: str, condition: Condition) -> Iterator[Attempt]:
    """Two updates of a short and of a long parameter, from which on other code runs."""
    rng = np.random.Generator(np.random.Philox(3))
    shapes = ((3, 4), (130, 90))
    params, grads = ([rng.standard_normal(s).astype("float32") for s in shapes] for _ in range(2))
    clean = condition.clean
    if condition.x is not None:
        change = condition.x
        if key in ("no rows", "no columns", "one sample"):
            params = [change(p) for p in params]
        grads = [change(g) for g in grads]
    uniform = key in UNIFORM
    good_g = [np.asarray(clean(g)) for g in grads] if uniform else grads
    good_p = [np.asarray(clean(p)) for p in params] if uniform else params

    def update(ps: list[Any], gs: list[Any]) -> list[Any]:
        optimizer = OPTIMIZERS[name.lower()]()
        for _ in range(2):
            optimizer.update(ps, gs)
        return ps

    def truth() -> Any:
        with np.errstate(all="ignore"):
            told = Reference(RULES[name], good_p)
            for _ in range(2):
                told.update(good_g)
        least = unit("float16" if key == "float16" else "float32")
        return told.params, [
            64 * least * (np.abs(p) + np.abs(q) + 1e-2) for p, q in zip(good_p, told.params, strict=True)
        ]

    plain = [lib.param(p) for p in params]

    def bits() -> Any:
        return [lib.numpy(p).tobytes() for p in plain]

    if condition.form is None:
        yield Attempt(name, lambda: update(plain, [lib.array(g) for g in grads]), truth, bits)
    elif uniform:
        ps = [_writable(lib, condition, p) for p in params]
        yield Attempt(name, lambda: update(ps, [condition.form(lib, g) for g in grads]), truth)
        if key == "memmap":
            yield Attempt("params", lambda: update([condition.form(lib, p) for p in params], grads))
    else:
        for i in range(2):
            gs = [condition.form(lib, g) if k == i else lib.array(g) for k, g in enumerate(grads)]
            yield Attempt(f"{name}: gradient {i}", lambda gs=gs: update(plain, gs), None, bits)
        if key not in BESIDE:
            yield Attempt(f"{name}: params", lambda: update([condition.form(lib, p) for p in params], plain))
