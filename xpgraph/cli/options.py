"""The options of the commands: ``train_options`` for ``xpgraph train``, and those that several commands share.

A default in [brackets] is not one value: it depends on the data or on other options.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
from click.core import ParameterSource

from ..arrays.matmul_precision import KINDS as PRECISIONS
from ..graph.chain import ACTIVATIONS
from ..training.optimizers import OPTIMIZERS
from .choices import SCHEDULES

RESUME_TAKES = {"resume", "backend", "data_dir", "quiet", "debug"}  # options that may be given beside --resume

count = click.IntRange(min=1)
positive = click.FloatRange(min=0, min_open=True)
fraction = click.FloatRange(min=0, max=1, min_open=True, max_open=True)

backend = click.option(
    "--backend",
    default="auto",
    show_default=True,
    metavar="auto|numpy|cupy",
    help="Array library: cupy (or cupy:1) for a CUDA GPU, numpy for the CPU; auto takes cupy if it is usable.",
)
data_dir = click.option("--data-dir", metavar="DIR", help="Folder with the IDX files of mnist or fashion-mnist.")
debug = click.option("--debug", is_flag=True, help="Show the traceback of an error.")
sample = click.option(
    "--sample", type=click.IntRange(min=0), default=0, show_default=True, help="Row of the run's test data."
)
max_grad = click.option("--max-grad", type=positive, help="Largest gradient norm.  [no clipping]")

_TRAIN = (
    backend,
    click.option(
        "--data", default="digits", show_default=True, metavar="NAME|PATH",
        help="digits, spiral, mnist, fashion-mnist, or a .npz or .csv file of your own.",
    ),
    data_dir,
    click.option(
        "--label", default="", metavar="COLUMN", help="Column of the labels in a .csv file, name or number.  [the last]"
    ),
    click.option(
        "--hidden", metavar="500,100", help="Units of each hidden layer; none for a linear model.  [depends on data]"
    ),
    click.option("--activation", type=click.Choice(list(ACTIVATIONS)), default="sigmoid", show_default=True),
    click.option("--optimizer", type=click.Choice(list(OPTIMIZERS)), default="adam", show_default=True),
    click.option("--lr", type=positive, help="Learning rate.  [depends on optimizer and data]"),
    click.option("--epochs", type=click.IntRange(min=0), help="Passes over the data.  [depends on data]"),
    click.option("--batch-size", type=count, help="Rows per update.  [depends on data]"),
    max_grad,
    click.option(
        "--schedule", type=click.Choice(SCHEDULES),
        help="Lower the learning rate: on a cosine, to 0 at the end; every N epochs (step); when the validation loss "
        "stops falling (plateau).  [constant]",
    ),
    click.option(
        "--schedule-step", type=count, metavar="N",
        help="Epochs between two steps, or without a lower loss on a plateau.  [step: a third of --epochs; plateau: 5]",
    ),
    click.option("--schedule-factor", type=fraction, metavar="F", help="Factor of the learning rate at a step.  [0.1]"),
    click.option("--warmup", type=count, metavar="STEPS", help="Updates over which the learning rate rises.  [none]"),
    click.option(
        "--validation", type=fraction, metavar="FRACTION",
        help="Part of the training rows, such as 0.1, to evaluate after each epoch instead of the test rows.  [none]",
    ),
    click.option(
        "--patience", type=count, metavar="N", help="Stop after N epochs without a lower validation loss.  [never]"
    ),
    click.option("--keep-best", is_flag=True, help="Keep the weights of the epoch with the lowest validation loss."),
    click.option("--eval-interval", type=count, default=20, show_default=True, help="Updates between printed lines."),
    click.option(
        "--seed", type=click.IntRange(min=0), default=0, show_default=True,
        help="Seed of the weights, of the order of the rows, and of the split into training and test rows.",
    ),
    click.option(
        "--seeds", type=count, default=1, metavar="N", help="Train N times, with seeds from --seed up; print the mean."
    ),
    click.option("--dtype", type=click.Choice(["float32", "float64"]), default="float32", show_default=True),
    click.option(
        "--precision", type=click.Choice(PRECISIONS), default="fp32", show_default=True,
        help="Precision of float32 matrix products on a GPU; tf32 is faster and keeps 10 bits of each factor.",
    ),
    click.option(
        "--graph", type=click.Choice(["auto", "yes", "no"]), default="auto", show_default=True,
        help="On a GPU, replay each step as one CUDA graph.",
    ),
    click.option(
        "--profile", is_flag=True, help="Show the time by kernel and node; slower, and without a CUDA graph."
    ),
    click.option(
        "--checkpoint-every", type=count, metavar="N",
        help="Save a checkpoint every N updates.  [after an epoch, once a minute at most]",
    ),
    click.option("--out", metavar="DIR", help="Folder of the run.  [runs/<date-time>-<data>]"),
    click.option("--resume", metavar="RUN", help="Continue an interrupted run with the settings in its folder."),
    click.option("--quiet", is_flag=True, help="Print only the last line."),
    debug,
)  # fmt: skip


def train_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of ``xpgraph train``, in the order of its --help."""
    for option in reversed(_TRAIN):
        command = option(command)
    return command


def given_beside_resume(context: click.Context) -> set[str]:
    """The options that the user gave; UsageError for one that the folder of the run decides."""
    given = {name for name in context.params if context.get_parameter_source(name) is not ParameterSource.DEFAULT}
    if refused := sorted(given - RESUME_TAKES):
        raise click.UsageError(f"--resume takes --{refused[0].replace('_', '-')} from the run; leave it out.")
    return given
