"""Output that never stops a command: nobody reads it, the disk is full, or its encoding lacks a letter."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from typing import Any


class SilentAfterError(io.FileIO):
    """A file that drops everything after the first write that fails, such as to a closed pipe or a full disk."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data) or 0
        except OSError:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.fileno())
            os.close(null)
            return memoryview(data).nbytes


def make_streams_safe() -> None:
    """Replace stdout and stderr of this process by streams that never fail.

    They are written line by line; a letter that their encoding lacks becomes an escape such as ``\\u6c49``. Streams of
    a notebook or a test, which are not files 1 and 2, stay as they are.
    """
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if stream is None:  # closed before Python started
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
        elif isinstance(stream, io.TextIOWrapper) and _file_number(stream) == number:
            buffer = io.BufferedWriter(SilentAfterError(number, "w", closefd=False))
            encoding = stream.encoding
            setattr(sys, name, io.TextIOWrapper(buffer, encoding, "backslashreplace", line_buffering=True))


def _file_number(stream: io.TextIOWrapper) -> int | None:
    """The number of the file that a stream writes to; None if it writes to memory or to something else."""
    raw = getattr(stream.buffer, "raw", stream.buffer)  # an unbuffered stream has the file itself as its buffer
    return raw.fileno() if isinstance(raw, io.FileIO) else None


def printer(quiet: bool) -> Callable[[str], None]:
    """``print`` for the lines of a run; with ``quiet``, a function that prints nothing."""
    return (lambda text: None) if quiet else print
