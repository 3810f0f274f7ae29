"""The commands of ``xpgraph``, and ``main``, which runs one. Errors are one line on stderr that says what to do."""

from __future__ import annotations

import sys
import traceback

import click

from ..arrays.libraries import available
from ..training.optimizers import OPTIMIZERS
from ..training.signals import terminated
from ..version import __version__
from . import exit_codes, options
from .streams import make_streams_safe


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="xpgraph")
def commands() -> None:
    """Neural networks on the Python array API: train on NumPy or CuPy, and see every number."""


@commands.command()
@options.train_options
@click.pass_context
def train(
    context: click.Context, seeds: int, out: str | None, resume: str | None, quiet: bool, debug: bool, **choices: object
) -> None:
    """Train a multi-layer perceptron.

    Writes config.json, history.csv, loss.png and model.safetensors to a folder. The last line is the accuracy on the
    test rows at the end (with --seeds, the mean). Nothing is selected on the test rows: --patience, --keep-best and
    --schedule plateau need --validation. Ctrl-C ends a run after the current step and saves it. --resume continues it
    and gives the same bits as a run without a break; only --backend, --data-dir, --quiet and --debug can be given
    beside it.
    """
    from . import train_command
    from .choices import Choices

    if resume is None:
        accuracy = train_command.train(Choices(**choices), seeds, out, quiet)  # type: ignore[arg-type]
    else:
        backend = str(choices["backend"]) if "backend" in options.given_beside_resume(context) else None
        accuracy = train_command.resume(resume, backend, choices["data_dir"], quiet)  # type: ignore[arg-type]
    click.echo(f"test accuracy {accuracy:.4f}")


@commands.command()
@click.argument("run")
@click.option(
    "--data", metavar="NAME|PATH",
    help="Rows to predict; a .npz or .csv file needs no labels.  [the run's test rows]",
)  # fmt: skip
@options.data_dir
@options.backend
@click.option("--out", metavar="FILE", help="The csv file to write.  [RUN/predictions.csv]")
@options.debug
def predict(run: str, data: str | None, data_dir: str | None, backend: str, out: str | None, debug: bool) -> None:
    """Predict classes with a trained model.

    Writes a csv file with the class of each row, by the model of RUN, a folder that train wrote.
    """
    from . import predict_command

    path, accuracy = predict_command.predict(run, data, data_dir, backend, out)
    click.echo(f"wrote {path}")
    if accuracy is not None:
        click.echo(f"{'test accuracy' if data is None else 'accuracy'} {accuracy:.4f}")


@commands.command()
@click.argument("run")
@click.option("-o", "--out", default="net.svg", show_default=True, metavar="FILE", help="The .svg or .dot to write.")
@options.sample
@options.debug
def draw(run: str, out: str, sample: int, debug: bool) -> None:
    """Draw a trained model as a graph.

    The picture shows the model of RUN, a folder that train wrote, with the values and gradients of one row.
    """
    from . import pictures_command

    click.echo(f"wrote {pictures_command.draw(run, out, sample)}")


@commands.command()
@click.argument("run")
@click.option("-o", "--out", default="step.html", show_default=True, metavar="FILE", help="The .html page to write.")
@options.sample
@options.debug
def explain(run: str, out: str, sample: int, debug: bool) -> None:
    """Explain a trained model step by step.

    Writes a page that shows how one row runs through the model of RUN, a folder that train wrote: forward, backward and
    one update.
    """
    from . import pictures_command

    click.echo(f"wrote {pictures_command.explain(run, out, sample)}")


@commands.command()
@click.option("--kernels", is_flag=True, help="Show the table of kernels and their fast bodies (faster versions).")
@options.debug
def info(kernels: bool, debug: bool) -> None:
    """Show backends, caches and known problems.

    Says which backends are usable here and why others are not, and which BLAS, GPUs and cache folders are used.
    """
    from . import info_command

    click.echo("\n".join(info_command.info(kernels)))


@commands.command()
@click.option(
    "--backends", metavar="A,B,...",
    help="Backends to check: numpy, cupy, torch, array_api_strict.  [numpy and cupy, if usable]",
)  # fmt: skip
@click.option("--dtype", type=click.Choice(["float32", "float64", "both"]), default="both", show_default=True)
@click.option("--steps", type=options.count, default=100, show_default=True, help="Updates to train for.")
@click.option(
    "--model", metavar="NAME|RUN",
    help="nodes (every node once), sizes such as 784-100-10, or a run's folder.  [all nodes and optimizers]",
)  # fmt: skip
@click.option("--optimizer", type=click.Choice(list(OPTIMIZERS)), help="[depends on model]")
@click.option("--lr", type=options.positive, help="Learning rate, with --optimizer.")
@click.option("--max-grad", type=options.positive, help="Largest gradient norm.  [depends on model]")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of weights, data and order."
)  # fmt: skip
@click.option("--json", "out", metavar="FILE", help="Write the result as JSON too: every step of every node.")
@options.debug
def verify(
    backends: str | None, dtype: str, steps: int, model: str | None, optimizer: str | None, lr: float | None,
    max_grad: float | None, seed: int, out: str | None, debug: bool,
) -> int:  # fmt: skip
    """Check that backends agree, node by node.

    Trains on each backend and compares every node with a float64 reference, the oracle. Names the first node that
    differs. Exit code 0 if every node stays within its tolerance, 1 if one does not.
    """
    from .verify_command import run

    dtypes = ("float32", "float64") if dtype == "both" else (dtype,)
    names = available() if backends is None else [name.strip() for name in backends.split(",") if name.strip()]
    return 0 if run(names, dtypes, steps, model, optimizer, lr, max_grad, seed, out, click.echo) else 1


def main(arguments: list[str] | None = None) -> int:
    """Run the command line ``arguments``, by default those of the process; returns the exit code."""
    if arguments is None:
        arguments = sys.argv[1:]
        make_streams_safe()
    command = " ".join(["xpgraph", *arguments[:1]]) if arguments and not arguments[0].startswith("-") else "xpgraph"
    try:
        with terminated():
            result = commands.main(arguments, prog_name="xpgraph", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 2
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        if isinstance(error, SystemExit) and error.code not in exit_codes.SIGNALS:
            raise
        if "--debug" in arguments and isinstance(error, Exception) and not isinstance(error, exit_codes.FROM_CLICK):
            traceback.print_exc()
        text, code = exit_codes.describe(error, command)
        click.echo(f"{command}: {text}".replace("\n", " "), err=True)
        return code


if __name__ == "__main__":
    sys.exit(main())
