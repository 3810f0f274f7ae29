"""The table of bad inputs: what every entry point does under every condition. docs/bad-inputs.md prints it.

``TABLE[condition][entry point]`` is a verdict. Every cell is declared here and tried, on every array library, by
test_bad_inputs.py; a cell in which nothing can be tried says why not.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from badinputs_made import CONDITIONS

from xpgraph.errors import DTypeError, LibraryError, NonFiniteError, ShapeError

ENTRIES = {
    "nodes": "every node but the layers and losses, forward and backward, each input and gradient in turn",
    "layers": "the same for Affine, Sigmoid, ReLU, Tanh and Softmax",
    "losses": "`SoftmaxWithLoss` and `cross_entropy_loss`",
    "optimizers": "`update(params, grads)` of each optimizer",
    "fit": "`Trainer.fit` of an `mlp`",
    "evaluate": "`evaluate` of an `mlp`",
    "predict": "`predict` of an `mlp`",
    "train .npz": "`xpgraph train --data FILE.npz`",
    "train .csv": "`xpgraph train --data FILE.csv`",
    "predict .npz": "`xpgraph predict RUN --data FILE.npz`",
}


@dataclass(frozen=True)
class Right:
    """The result is that of good inputs: the same bits, or within the tolerance of a float64 reference."""


@dataclass(frozen=True)
class IEEE:
    """NaN and ∞ come out where the formulas say so: no finite number hides one."""


@dataclass(frozen=True)
class Refused:
    """An error of this class (of the command line: this exit code and one line), and these words in it.

    ``on_gpu``: what is there instead where looking at a number would stop a device.
    """

    error: type[Exception] | int
    words: str
    on_gpu: IEEE | None = None


@dataclass(frozen=True)
class NA:
    """There is no such thing here, and why."""

    why: str


@dataclass(frozen=True)
class Mixed:
    """One verdict, and another for some: by how the name of an attempt begins or ends."""

    rest: Right | IEEE | Refused
    but: dict[str, Right | IEEE | Refused] = field(default_factory=dict)


Verdict = Right | IEEE | Refused | NA | Mixed

RIGHT, FOLLOWS = Right(), IEEE()
UNLABELLED = NA("it takes no labels")
ONE_BATCH = NA("it takes one whole batch")
NO_BATCH = NA("it takes parameters and gradients, no batches")
NO_CLASSES = NA("it knows no classes")
ONE_COLUMN = NA("a .csv file has one column of labels")
NAMES = NA("in a .csv file, labels are names, and every name is a class")
NO_MEMORY = NA("a file stores numbers, not their layout in memory")
NO_KIND = NA("a file stores numbers, not the class of the object that was saved")
TEXT = NA("a .csv file stores text, whatever the type was")

FLOATS = Refused(DTypeError, r"is (\S+); convert it to a real floating dtype")
NUMBERS = Refused(DTypeError, r"is (\S+); give real numbers or integers")
NO_ARRAY = Refused(DTypeError, r"is a list; make it an array")
KIND = Refused(DTypeError, r"is a matrix; make it an array, such as numpy\.asarray")
MASK = Refused(DTypeError, r"is a MaskedArray; fill in the masked numbers: \S+\.filled\(0\)")
APART = Refused(LibraryError, r"make \S+ with the same library")
BESIDE = Refused(DTypeError, "; give both one dtype: xp.astype")
SWAPPED = Refused(DTypeError, "float32 of foreign byte order; convert it to a real floating dtype")
FOREIGN = Refused(LibraryError, r"lives in .*, the model in .*; give NumPy data")
MOVE = Refused(LibraryError, r"is on .*, .* on .*; move it: xp\.asarray")
SIZE = Refused(ValueError, r"batch_size is \S+; give a whole number from 1 up")
SHAPE = Refused(ShapeError, r" is \(.*; ")
EMPTY = Refused(ShapeError, r"needs at least one row")
RANGE = Refused(ValueError, r"t\[\d+\] is (-1|3) but there are 3 classes; indices run from 0 to 2", on_gpu=FOLLOWS)
WHERE = Refused(ValueError, r"t\[23\] is (-1|3) but there are 3 classes; indices run from 0 to 2")
CHANCES = Refused(ValueError, r"t\[23\] (has the sum|holds) \S+; give probabilities that sum to 1")
INDICES = Refused(DTypeError, "class indices are integers: xp.astype")
NO_LABELS = Refused(TypeError, "class indices are integers: xp.astype|make t with the same library")
COLUMN = Refused(ShapeError, r"give class indices .*: xp\.reshape\(t, \(-1,\)\)")
UNLIKE = Refused(ShapeError, r"t is \(5,\) for x \(6, 3\); give class indices")
LENGTHS = Refused(ShapeError, "x has 24 rows but t has 23; give one label for each row")
NOT_FINITE = Refused(NonFiniteError, r"(loss is nan|loss of step 1 was nan|0\.W is not finite)")


def data(words: str) -> Refused:
    """The command line's answer to a file: exit code 6."""
    return Refused(6, words)


def row(nodes: Verdict, layers: Verdict, losses: Verdict, optimizers: Verdict, *others: Verdict) -> dict[str, Verdict]:
    """A row, in the order of ENTRIES."""
    return dict(zip(ENTRIES, (nodes, layers, losses, optimizers, *others), strict=True))


def labels(losses: Verdict, fit: Verdict, evaluate: Verdict, *files: Verdict) -> dict[str, Verdict]:
    """A row about labels."""
    return row(UNLABELLED, UNLABELLED, losses, UNLABELLED, fit, evaluate, UNLABELLED, *files)


def same(node: Verdict, model: Verdict, npz: Verdict, csv: Verdict = TEXT, **others: Verdict) -> dict[str, Verdict]:
    """A row of one verdict for what takes arrays, one for what moves data, and the files'."""
    return row(node, node, node, node, model, model, model, npz, csv, npz) | others


OBJECTS = data("expected numbers, found Python objects, which only pickle could read")
USAGE = Refused(2, r"Invalid value for '--batch-size'.* Try 'xpgraph train --help'")
REAL = data("x is complex64 of shape .*Save real numbers")
NEGATIVE = data(r"with negative .* Number the classes from 0; use 0 or more")
SUM = data(r"row 23 sums to \S+\. Save one-hot or probability rows")
ROWS = data("expected at least one row of numbers")
CELL = data(r"line \d+, column \d \(x\d\): expected a (finite )?number, found .*(Fill it in|Write numbers as)")

TABLE: dict[str, dict[str, Verdict]] = {
    "nan": same(FOLLOWS, FOLLOWS, data("x is not finite .* first in row 3. Drop or repair"), CELL, fit=NOT_FINITE),
    "inf": same(FOLLOWS, FOLLOWS, data("x is not finite .* first in row 2. Drop or repair"), CELL, fit=NOT_FINITE),
    "shape": same(SHAPE, SHAPE, RIGHT, RIGHT) | {"predict .npz": data("3 columns but the model .* takes 4; give rows")},
    "no rows": row(
        Mixed(RIGHT, {"Mean": Refused(ShapeError, "over axis 0 it needs at least one element")}), RIGHT, EMPTY, RIGHT,
        EMPTY, EMPTY, EMPTY, ROWS, data("line 1: expected rows after the header, found none"), ROWS,
    ),
    "no columns": row(
        Mixed(RIGHT, dict.fromkeys(("MatMul", "Dot", "Max"), Refused(ShapeError, r"x is \(4, 0\).* needs "))),
        Mixed(RIGHT, dict.fromkeys(("Affine", "Softmax"), Refused(ShapeError, r"x is \(4, 0\).* needs "))),
        EMPTY, RIGHT, SHAPE, SHAPE, SHAPE, ROWS, data("expected a column of labels and others, found one column"), ROWS,
    ),
    "label too large": labels(
        RANGE, WHERE, WHERE, NA("the largest label says how many classes there are"), NAMES,
        data(r"t\[23\] is 3 but the model .* has 3 classes; give"),
    ),
    "label below 0": labels(RANGE, WHERE, WHERE, NEGATIVE, RIGHT, NEGATIVE),
    "float labels": labels(
        INDICES, INDICES, INDICES, data(r"t is float32 of shape \(24,\), expected integers"), RIGHT,
        data(r"t is float32 of shape \(24,\), expected integers"),
    ),
    "column of labels": labels(
        COLUMN, COLUMN, COLUMN, data(r"t is int64 of shape \(24, 1\), expected integers.*\.ravel\(\)"), ONE_COLUMN,
        data(r"t is int64 of shape \(24, 1\), expected integers.*\.ravel\(\)"),
    ),
    "labels missing": labels(
        UNLIKE, LENGTHS, LENGTHS, data("expected one label for each of 24 rows"),
        data("line 25: expected 5 columns as in the first line, found 4"), data("expected one label for each"),
    ),
    "sum is not 1": labels(RIGHT, CHANCES, CHANCES, SUM, ONE_COLUMN, SUM),
    "all zero": labels(RIGHT, CHANCES, CHANCES, SUM, ONE_COLUMN, SUM),
    "negative": labels(RIGHT, CHANCES, CHANCES, NEGATIVE, ONE_COLUMN, NEGATIVE),
    "batch too large": row(
        ONE_BATCH, ONE_BATCH, ONE_BATCH, NO_BATCH, RIGHT, RIGHT, RIGHT, RIGHT, RIGHT,
        NA("it has no option for the batch size"),
    ),
    "batch of 0": row(
        ONE_BATCH, ONE_BATCH, ONE_BATCH, NO_BATCH, SIZE, SIZE, SIZE, USAGE, USAGE,
        NA("it has no option for the batch size"),
    ),
    "strided": same(RIGHT, RIGHT, NO_MEMORY),
    "fortran": same(RIGHT, RIGHT, RIGHT),
    "reversed": same(RIGHT, RIGHT, NO_MEMORY),
    "memmap": same(
        RIGHT, RIGHT, NO_MEMORY,
        optimizers=Mixed(RIGHT, {"params": Refused(ValueError, r"params\[0\] is read-only; give an array that can")}),
    ),
    "float16": same(RIGHT, RIGHT, RIGHT),
    "float64": same(BESIDE, RIGHT, RIGHT, losses=RIGHT)
    | {"layers": Mixed(BESIDE, {"Affine: W": Refused(LibraryError, "make both with the same library, device")})},
    "big endian": same(SWAPPED, RIGHT, RIGHT, losses=Mixed(SWAPPED, {": t": RIGHT})),
    "integer": same(FLOATS, RIGHT, RIGHT, RIGHT),
    "bool": same(FLOATS, NUMBERS, RIGHT, CELL),
    "complex": same(FLOATS, NUMBERS, REAL, CELL, losses=Mixed(FLOATS, {": t": INDICES})),
    "object": same(FLOATS, NUMBERS, OBJECTS, losses=Mixed(FLOATS, {": t": NO_LABELS})),
    "masked": same(MASK, MASK, NA("numpy.savez writes no masks")),
    "matrix": same(KIND, KIND, RIGHT),
    "list": same(NO_ARRAY, NO_ARRAY, NO_KIND),
    "other library": same(APART, FOREIGN, NO_KIND),
    "other device": same(MOVE, MOVE, NO_KIND),
    "one class": row(NO_CLASSES, RIGHT, RIGHT, NO_CLASSES, RIGHT, RIGHT, RIGHT, RIGHT, RIGHT, RIGHT),
    "one sample": row(
        RIGHT, RIGHT, RIGHT, RIGHT, RIGHT, RIGHT, RIGHT, data("found one row, which cannot be split"),
        data("found one row, which cannot be split"), RIGHT,
    ),
    "1e4": same(RIGHT, RIGHT, RIGHT, RIGHT, nodes=Mixed(RIGHT, {"Exp": FOLLOWS})),
}  # fmt: skip

assert list(TABLE) == list(CONDITIONS)
