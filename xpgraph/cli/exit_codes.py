"""What a failed command says, in one line, and the exit code that it returns.

0: done. 1: ``verify`` found a difference, or xpgraph has a bug. 2: wrong usage, or a library or device is missing.
3: out of memory. 4: a loss or gradient is not finite. 5: a file cannot be written. 6: data, a model or a checkpoint
cannot be used. 129, 130, 143: ended by SIGHUP, SIGINT (Ctrl-C), SIGTERM.
"""

from __future__ import annotations

import click

from ..errors import CheckpointError, DataError, Error, ModelFileError, NonFiniteError, StorageError

FROM_CLICK = (click.UsageError, click.Abort)  # wrong usage, and Ctrl-C: a traceback would say nothing more
SIGNALS = {129: "the terminal was closed", 130: "interrupted", 143: "terminated"}
CODES: tuple[tuple[tuple[type[Exception], ...], int], ...] = (  # the first row that fits counts
    ((MemoryError,), 3),
    ((NonFiniteError,), 4),
    ((StorageError,), 5),
    ((DataError, ModelFileError, CheckpointError), 6),
    ((Error, ValueError, TypeError, OSError), 2),
)


def describe(error: BaseException, command: str) -> tuple[str, int]:
    """The line for stderr and the exit code; ``command`` is what the user typed, such as ``xpgraph train``."""
    if isinstance(error, click.UsageError):
        return f"{error.format_message()} Try '{command} --help'.", 2
    if isinstance(error, click.Abort | KeyboardInterrupt):  # click turns a KeyboardInterrupt into an Abort
        return _ended(error.__cause__ or error, 130)
    if isinstance(error, SystemExit):
        return _ended(error, int(str(error.code)))
    code = next((code for classes, code in CODES if isinstance(error, classes)), None)
    if code is None:
        text = f"{type(error).__name__}: {error}; this is a bug in xpgraph: run again with --debug and report it."
        return text, 1
    if isinstance(error, MemoryError) and not isinstance(error, Error):
        return f"out of memory: {error}; use less data or fewer units.", code
    return str(error), code


def _ended(error: BaseException, code: int) -> tuple[str, int]:
    """For a signal; the notes of the error say what was saved and how to resume."""
    return "; ".join([SIGNALS[code], *getattr(error, "__notes__", [])]) + ".", code
