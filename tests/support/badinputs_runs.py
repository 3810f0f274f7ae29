"""fit, evaluate, predict and the command line as entry points: what is tried on each, and what would be right."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from badinputs_made import CLASSES, Condition, D, N
from badinputs_nodes import LAID, Attempt
from reference import toy

from xpgraph import SGD, Report, Trainer, load, mlp
from xpgraph.arrays.libraries import place
from xpgraph.cli.app import main
from xpgraph.testing.formulas.textbook import FORMULAS
from xpgraph.testing.verification.oracle import Oracle

CAST = (*LAID, "big endian", "float16", "float64", "integer")  # brought to the dtype of the model
EXACT = 1e-11  # of a float64 run of few steps, relative to the largest number of the truth


def data(key: str, c: Condition) -> tuple[np.ndarray, np.ndarray]:
    """x and t with the numbers of the condition; in float64 where the numbers are what is bad."""
    x, t = toy(N, D, CLASSES)
    return (x if c.x is None else c.x(x)), (t if c.t is None else c.t(t))


def model_for(lib: Any, key: str, dtype: str = "float64") -> Any:
    sizes = [D, CLASSES] if key == "1e4" else [D, 5, 1 if key == "one class" else CLASSES]
    return mlp(sizes, seed=3, dtype=dtype, backend=lib.place)


def scores(model: Any, x: np.ndarray) -> np.ndarray:
    """What the model's formulas give, in float64."""
    y = x.astype(np.float64)
    for node in model.to("numpy", "float64").nodes:
        (y,) = FORMULAS[type(node).__name__].forward(node, list(node.params), [y])
        y = y.astype(np.float64)
    return y


def near(values: list[Any]) -> tuple[list[Any], list[Any]]:
    """Values with the bar of a float64 run."""
    found = [np.asarray(v, np.float64) for v in values]
    sizes = [np.abs(v[np.isfinite(v)]).max(initial=0.0) for v in found]
    return found, [np.full(v.shape, EXACT * max(size, 1.0)) for v, size in zip(found, sizes, strict=True)]


def run_attempts(entry: str, lib: Any, key: str, c: Condition) -> Iterator[Attempt]:
    """Numbers: a float64 run against the formulas. Forms: x, t or both of them so, float32, beside a good run."""
    run = {"fit": _fit, "evaluate": _evaluate, "predict": _predict}[entry]
    x, t = data(key, c)
    if c.batch:
        for size in c.batch:
            model = model_for(lib, key)
            yield Attempt(
                f"batch_size {size}", lambda m=model, s=size: run(m, lib.array(x), lib.array(t), s),
                lambda: _truth(entry, lib, key, x, t), lambda m=model: _bits(lib, m),
            )  # fmt: skip
        return
    if c.form is None:
        model = model_for(lib, key)
        yield Attempt(
            "x, t", lambda: run(model, lib.array(x), lib.array(t), N), lambda: _truth(entry, lib, key, x, t),
            lambda: _bits(lib, model),
        )  # fmt: skip
        return
    x = x.astype("float32")
    whole = key in (*LAID, "big endian")
    for which in ("xt",) if whole else ("x",) if key in (*CAST, "bool") or entry == "predict" else ("x", "t"):
        yield _formed(run, lib, key, c, which, x, t)


def _formed(run: Any, lib: Any, key: str, c: Condition, which: str, x: Any, t: Any) -> Attempt:
    model = model_for(lib, key, "float32")
    bad_x = c.form(lib, x) if "x" in which else lib.array(x)
    bad_t = c.form(lib, t) if "t" in which else lib.array(t)

    def good() -> Any:
        same = run(model_for(lib, key, "float32"), lib.array(np.asarray(c.clean(x), "float32")), lib.array(t), 7)
        values = [np.asarray(v if isinstance(v, float) else lib.numpy(v)) for v in same]
        if run is _fit:  # which gathers rows; the others multiply them as they lie, and NumPy 2.0 does that otherwise
            return values, [0.0] * len(values)
        return values, [4 * np.finfo(np.float32).eps * np.maximum(1, np.abs(v)) for v in values]

    return Attempt(which, lambda: run(model, bad_x, bad_t, 7), good, lambda: _bits(lib, model))


def _bits(lib: Any, model: Any) -> list[bytes]:
    return [lib.numpy(p).tobytes() for p in model.params]


def _fit(model: Any, x: Any, t: Any, size: Any) -> list[Any]:
    Trainer(model, SGD(0.1)).fit(x, t, max_epoch=3, batch_size=size, eval_interval=None, report=Report())
    return list(model.params)


def _evaluate(model: Any, x: Any, t: Any, size: Any) -> list[Any]:
    found = model.evaluate(x, t, batch_size=size)
    return [float(found.loss), float(found.accuracy)]


def _predict(model: Any, x: Any, t: Any, size: Any) -> list[Any]:
    return [model.predict(x, batch_size=size)]


def _truth(entry: str, lib: Any, key: str, x: np.ndarray, t: np.ndarray) -> Any:
    model = model_for(lib, key)
    with np.errstate(all="ignore"):
        if entry == "fit":
            oracle = Oracle(model, SGD(0.1), None)
            for _ in range(3):  # all rows in one batch
                oracle.update(oracle.run(x, t)[1])
            return near(oracle.params())
        y = scores(model, x)
        if entry == "predict":
            return near([y])
        named = t if t.ndim == 1 else t.argmax(axis=1)
        right = (y.argmax(axis=1) == named) & np.isfinite(y).all(axis=1)
        return near([*FORMULAS["SoftmaxWithLoss"].forward(None, [], [y, t]), right.mean()])


# --- the command line: (what, call, truth), where a call gives numbers of the run's folder ------------------------


class Refused(Exception):
    """The command line's answer to what it does not take: its exit code and what it says."""

    def __init__(self, code: int, said: list[str]) -> None:
        super().__init__(f"exit {code}: {said}")
        self.code, self.said = code, said


def command(capsys: Any, *arguments: str) -> None:
    """Run the command line; Refused, with one line on stderr, where it does not end with 0."""
    code = main(list(arguments))
    said = capsys.readouterr().err.splitlines()
    if code:
        raise Refused(code, said)
    assert said == []


def save(path: Path, x: Any, t: Any | None) -> str:
    """A .npz or a .csv file, by its ending; cells of a .csv stand as Python writes them."""
    if path.suffix == ".npz":
        np.savez(path, **{name: a for name, a in (("x", x), ("t", t)) if a is not None})
    else:
        with path.open("w", newline="", encoding="utf-8") as file:
            rows = [list(map(str, row)) for row in np.asarray(x).tolist()]
            for i, row in enumerate(rows):
                row += [] if t is None or i >= len(t) else [str(np.asarray(t)[i].tolist())]
            csv.writer(file).writerows([[*(f"x{i}" for i in range(np.shape(x)[1])), "class"], *rows])
    return str(path)


def cli_attempts(entry: str, lib: Any, key: str, c: Condition, folder: Path, capsys: Any) -> Iterator[Attempt]:
    """``train`` from a .npz or .csv file, ``predict`` of a .npz by a model that was trained on good rows."""
    x, t = data(key, c)
    backend = ("--backend", lib.place.library.name)
    x = x if c.form is None else c.form(replace(lib, name="numpy", place=place("numpy")), x.astype("float32"))
    path = folder / f"bad{entry.partition(' ')[2]}"
    if entry == "predict .npz":
        model = model_for(lib, "", "float64")
        model.save(folder / "model.safetensors")
        written = folder / "out.csv"

        def predict() -> list[Any]:
            file, run = save(path, x, None if c.t is None else t), str(folder / "model.safetensors")
            command(capsys, "predict", run, "--data", file, *backend, "--out", str(written))
            rows = list(csv.DictReader(written.read_text("utf-8").splitlines()))
            return [np.array([float(row[name]) for row in rows]) for name in ("probability", "class")]

        yield Attempt("x", predict, lambda: _chosen(scores(model, np.asarray(x))))
        return

    for k, size in enumerate(c.batch or (8,)):
        out = folder / f"run-{k}"
        options = ("--epochs", "2", "--hidden", "none" if key == "1e4" else "4", "--batch-size", str(size))

        def train(bad_x: Any = x, file: Path = path, out: Path = out, options: Any = options) -> list[Any]:
            command(
                capsys, "train", "--data", save(file, bad_x, t), "--out", str(out), *options, *backend,
                "--dtype", "float64", "--quiet",
            )  # fmt: skip
            result = json.loads((out / "config.json").read_text("utf-8"))["result"]
            return [*load(out / "model.safetensors")[0].params, result["test_loss"], result["test_accuracy"]]

        def truth(train: Callable[..., list[Any]] = train, out: Path = out) -> Any:
            if c.form is not None:
                good = train(np.array(x.tolist(), "float64"), folder / f"good{path.suffix}", folder / "good")
                return good, [0.0] * len(good)
            return _judged_again(out)

        yield Attempt(f"--batch-size {size}", train, truth, lambda out=out: out.exists())


def _chosen(y: np.ndarray) -> Any:
    """The largest probability of each row, of six digits, and its class."""
    e = np.exp(y - y.max(axis=1, keepdims=True))
    y = e / e.sum(axis=1, keepdims=True)
    return [y.max(axis=1), y.argmax(axis=1)], [1e-6, 0.0]


def _judged_again(run: Path) -> Any:
    """What a run left, and its test loss and accuracy by the formulas from the weights that it left."""
    from xpgraph.cli.choices import Choices

    config = json.loads((run / "config.json").read_text("utf-8"))
    held, model = Choices(**config["choices"]).load(), load(run / "model.safetensors")[0]
    y = scores(model, held.x_test)
    (loss,) = FORMULAS["SoftmaxWithLoss"].forward(None, [], [y, held.t_test])
    named = held.t_test if held.t_test.ndim == 1 else held.t_test.argmax(axis=1)
    return near([*model.params, loss, (y.argmax(axis=1) == named).mean()])
