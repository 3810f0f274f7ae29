"""Floor 6: the command line. ``xpgraph train`` needs no option; errors are one line on stderr that says what to do.

Exit codes: 0 done, 1 verify found a difference, 2 usage or environment, 3 out of memory, 4 a loss or gradient that is
not finite, 5 storage, 6 data, 129 hung up, 130 interrupted, 143 terminated (SIGHUP, SIGINT, SIGTERM).
"""

from __future__ import annotations

import sys
import traceback

import click
from click.core import ParameterSource

from ..arrays.libraries import available
from ..arrays.matmul_precision import KINDS as PRECISIONS
from ..errors import CheckpointError, DataError, ModelFileError, NonFiniteError, StorageError
from ..graph.models import ACTIVATIONS
from ..training.optimizers import OPTIMIZERS
from ..training.signals import terminated
from ..version import __version__
from .streams import steady

_backend = click.option(
    "--backend",
    default="auto",
    show_default=True,
    metavar="auto|numpy|cupy",
    help="Array library: cupy (or cupy:1) for a CUDA GPU, numpy for the CPU; auto takes cupy if it is usable.",
)
_data_dir = click.option("--data-dir", metavar="DIR", help="Folder with the IDX files of mnist or fashion-mnist.")
_debug = click.option("--debug", is_flag=True, help="Show the traceback of an error.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="xpgraph")
def commands() -> None:
    """Neural networks on the Python array API: train on NumPy or CuPy, and see every number."""


@commands.command()
@_backend
@click.option(
    "--data", default="digits", show_default=True, metavar="NAME|PATH",
    help="digits, spiral, mnist, fashion-mnist, or a .npz or .csv file of your own.",
)  # fmt: skip
@_data_dir
@click.option("--label", default="", metavar="COLUMN", help="Name or number of the labels in a .csv file.  [the last]")
@click.option("--hidden", metavar="500,100", help="Units of the hidden layers; none for a linear model.")
@click.option("--activation", type=click.Choice(list(ACTIVATIONS)), default="sigmoid", show_default=True)
@click.option(
    "--optimizer",
    type=click.Choice(list(OPTIMIZERS)),
    default="adam",
    show_default=True,
)
@click.option("--lr", type=click.FloatRange(min=0, min_open=True), help="Learning rate.  [by optimizer and data]")
@click.option("--epochs", type=click.IntRange(min=0), help="Passes over the data.  [by data]")
@click.option("--batch-size", type=click.IntRange(min=1), help="Rows per update.  [by data]")
@click.option("--max-grad", type=click.FloatRange(min=0, min_open=True), help="Largest gradient norm.  [no clipping]")
@click.option(
    "--eval-interval", type=click.IntRange(min=1), default=20, show_default=True, help="Updates between lines."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of weights, order and split.")
@click.option("--seeds", type=click.IntRange(min=1), default=1, metavar="N", help="Train N times, from --seed on.")
@click.option("--dtype", type=click.Choice(["float32", "float64"]), default="float32", show_default=True)
@click.option(
    "--precision", type=click.Choice(PRECISIONS), default="fp32", show_default=True,
    help="Of float32 products on a GPU; tf32 is faster and keeps 10 bits of each factor.",
)  # fmt: skip
@click.option(
    "--graph", type=click.Choice(["auto", "yes", "no"]), default="auto", show_default=True,
    help="Replay each step as one CUDA graph, on a GPU.",
)  # fmt: skip
@click.option("--profile", is_flag=True, help="Show where the time went, by kernel and node; slower, and no graph.")
@click.option(
    "--checkpoint-every", type=click.IntRange(min=1), metavar="N",
    help="Save the state every N updates.  [after an epoch, a minute after the last time]",
)  # fmt: skip
@click.option("--out", metavar="DIR", help="Folder for the run.  [runs/<date-time>-<data>]")
@click.option("--resume", metavar="RUN", help="Go on with a run that was cut off; its folder has the settings.")
@click.option("--quiet", is_flag=True, help="Print the last line only.")
@_debug
@click.pass_context
def train(
    context: click.Context, seeds: int, out: str | None, resume: str | None, quiet: bool, debug: bool, **choices: object
) -> None:
    """Train a multi-layer perceptron and leave config.json, history.csv, loss.png and model.safetensors in a folder.

    The last line is the accuracy on the test rows after the last epoch (with --seeds, the mean); nothing is selected
    on them. Ctrl-C ends a run after the step and saves it; --resume goes on, with the same bits as if it had not been
    cut off. Of the other options, --resume takes --backend, --data-dir and --quiet.
    """
    from . import train_command as cli_train
    from .choices import Choices

    if resume is None:
        accuracy = cli_train.train(Choices(**choices), seeds, out, quiet)  # type: ignore[arg-type]
    else:
        given = [name for name in context.params if context.get_parameter_source(name) is not ParameterSource.DEFAULT]
        if others := sorted({*given} - {"resume", "backend", "data_dir", "quiet", "debug"}):
            raise click.UsageError(f"--resume takes --{others[0].replace('_', '-')} from the run; leave it out.")
        backend = str(choices["backend"]) if "backend" in given else None
        accuracy = cli_train.resume(resume, backend, choices["data_dir"], quiet)  # type: ignore[arg-type]
    click.echo(f"test accuracy {accuracy:.4f}")


@commands.command()
@click.argument("run")
@click.option(
    "--data", metavar="NAME|PATH", help="What to predict; rows of a .npz or .csv need no labels.  [the run's test rows]"
)
@_data_dir
@_backend
@click.option("--out", metavar="FILE", help="The csv file to write.  [RUN/predictions.csv]")
@_debug
def predict(run: str, data: str | None, data_dir: str | None, backend: str, out: str | None, debug: bool) -> None:
    """Predict classes with the model of RUN, the folder that train left, and write them as csv."""
    from .predict_command import run as write

    path, accuracy = write(run, data, data_dir, backend, out)
    click.echo(f"wrote {path}")
    if accuracy is not None:
        click.echo(f"{'test accuracy' if data is None else 'accuracy'} {accuracy:.4f}")


_sample = click.option(
    "--sample", type=click.IntRange(min=0), default=0, show_default=True, help="Row of the run's test data."
)


@commands.command()
@click.argument("run")
@click.option("-o", "--out", default="net.svg", show_default=True, metavar="FILE", help="The .svg or .dot to write.")
@_sample
@_debug
def draw(run: str, out: str, sample: int, debug: bool) -> None:
    """Draw the model of RUN, the folder that train left, with the values and the gradients of one row on its edges."""
    from .pictures_command import draw as write

    click.echo(f"wrote {write(run, out, sample)}")


@commands.command()
@click.argument("run")
@click.option("-o", "--out", default="step.html", show_default=True, metavar="FILE", help="The .html page to write.")
@_sample
@_debug
def explain(run: str, out: str, sample: int, debug: bool) -> None:
    """Write one row's way through the model of RUN as a page: forward, backward and one update, step by step."""
    from .pictures_command import explain as write

    click.echo(f"wrote {write(run, out, sample)}")


@commands.command()
@click.option("--kernels", is_flag=True, help="Show the table of kernels and their fast bodies.")
@_debug
def info(kernels: bool, debug: bool) -> None:
    """Say which backends are usable here and why not, what does the arithmetic, where caches lie, and what to mend."""
    from .info_command import info as lines

    click.echo("\n".join(lines(kernels)))


@commands.command()
@click.option(
    "--backends", metavar="A,B,...",
    help="numpy, cupy, torch, array_api_strict: held to a float64 oracle, node by node.  [numpy and cupy, if usable]",
)  # fmt: skip
@click.option("--dtype", type=click.Choice(["float32", "float64", "both"]), default="both", show_default=True)
@click.option("--steps", type=click.IntRange(min=1), default=100, show_default=True, help="Updates to train for.")
@click.option(
    "--model", metavar="NAME|RUN",
    help="nodes (every node once), sizes such as 784-100-10, or a run's folder.  [all nodes and optimizers]",
)  # fmt: skip
@click.option("--optimizer", type=click.Choice(list(OPTIMIZERS)), help="[by model]")
@click.option("--lr", type=click.FloatRange(min=0, min_open=True), help="Learning rate, with --optimizer.")
@click.option("--max-grad", type=click.FloatRange(min=0, min_open=True), help="Largest gradient norm.  [by model]")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of weights, data and order.")
@click.option("--json", "out", metavar="FILE", help="Write the certificate as JSON too: every step of every node.")
@_debug
def verify(
    backends: str | None, dtype: str, steps: int, model: str | None, optimizer: str | None, lr: float | None,
    max_grad: float | None, seed: int, out: str | None, debug: bool,
) -> int:  # fmt: skip
    """Train on several backends beside a float64 oracle and say at which node they part, if they do.

    Exit code 0 if every node stays within its tolerance, 1 if one does not.
    """
    from .verify_command import run

    dtypes = ("float32", "float64") if dtype == "both" else (dtype,)
    names = available() if backends is None else [name.strip() for name in backends.split(",") if name.strip()]
    return 0 if run(names, dtypes, steps, model, optimizer, lr, max_grad, seed, out, click.echo) else 1


def main(arguments: list[str] | None = None) -> int:
    """Run a command; the exit code."""
    if arguments is None:
        arguments = sys.argv[1:]
        steady()
    who = " ".join(["xpgraph", *arguments[:1]]) if arguments and not arguments[0].startswith("-") else "xpgraph"
    try:
        with terminated():
            result = commands.main(arguments, prog_name="xpgraph", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 2
    except click.UsageError as error:
        _say(f"{who}: {error.format_message()} Try '{who} --help'.")
        return 2
    except (click.Abort, KeyboardInterrupt) as error:  # click makes an Abort of a KeyboardInterrupt
        _say("; ".join([f"{who}: interrupted", *_notes(error.__cause__ or error)]) + ".")
        return 130
    except SystemExit as error:
        words = {129: "the terminal was closed", 143: "terminated"}.get(error.code)  # type: ignore[arg-type]
        if words is None:
            raise
        _say("; ".join([f"{who}: {words}", *_notes(error)]) + ".")
        return int(str(error.code))
    except Exception as error:  # the border to the user: one line instead of a traceback
        if "--debug" in arguments:
            traceback.print_exc()
        return _explain(who, error)


def _notes(error: BaseException) -> list[str]:
    return getattr(error, "__notes__", [])


def _explain(who: str, error: Exception) -> int:
    from ..errors import Error

    if isinstance(error, MemoryError):
        code = 3
        error = error if isinstance(error, Error) else Error(f"out of memory: {error}; take less data or fewer units.")
    elif isinstance(error, NonFiniteError):
        code = 4
    elif isinstance(error, StorageError):
        code = 5
    elif isinstance(error, DataError | ModelFileError | CheckpointError):
        code = 6
    elif isinstance(error, Error | ValueError | TypeError | OSError):
        code = 2
    else:
        _say(
            f"{who}: {type(error).__name__}: {error}; this is a fault in xpgraph: run again with --debug and report it."
        )
        return 1
    _say(f"{who}: {error}")
    return code


def _say(text: str) -> None:
    click.echo(" ".join(text.split("\n")), err=True)


if __name__ == "__main__":
    sys.exit(main())
