"""Floor 0: stdout and stderr of a command that works on when nobody reads them, or when they cannot show a letter."""

from __future__ import annotations

import io
import os
import sys
from typing import Any


class _Quiet(io.FileIO):
    """A stream that is silent from the first write on that fails: a closed pipe, a full disk."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data) or 0
        except OSError:
            silent = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silent, self.fileno())
            os.close(silent)
            return memoryview(data).nbytes


def steady() -> None:
    """Make both streams of this process such ones, written line by line; letters they lack are written as escapes."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if stream is None:  # closed before the process began
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
        elif isinstance(stream, io.TextIOWrapper) and _descriptor(stream) == number:
            buffer = io.BufferedWriter(_Quiet(number, "w", closefd=False))
            encoding = stream.encoding
            setattr(sys, name, io.TextIOWrapper(buffer, encoding, "backslashreplace", line_buffering=True))


def _descriptor(stream: io.TextIOWrapper) -> int | None:
    """The number of the file that a stream writes into; None for one that is in memory or of another kind."""
    raw = getattr(stream.buffer, "raw", stream.buffer)  # without buffering, there is the file at once
    return raw.fileno() if isinstance(raw, io.FileIO) else None
