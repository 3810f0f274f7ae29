"""Floor 0: Ctrl-C and SIGTERM while a training runs: the first asks for an end after the step, a second ends all."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

STOPPING = (signal.SIGINT, signal.SIGTERM)


class Signals:
    """While the block runs, ``caught`` is the first of SIGINT and SIGTERM that came, or None; a second one ends it.

    Handlers can be set in the main thread alone: elsewhere, and for signals that are ignored, nothing changes.
    """

    def __init__(self) -> None:
        self.caught: int | None = None
        self._before: dict[int, Any] = {}
        self._process = os.getpid()

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            for number in STOPPING:
                if signal.getsignal(number) not in (None, signal.SIG_IGN):  # None: set from C, not to be given back
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.caught is not None or os.getpid() != self._process:  # a forked child has no block to end
            raise ended_by(number, "stopped at once")
        self.caught = number


def ended_by(number: int, words: str = "") -> BaseException:
    """What a signal raises, with ``words`` as a note: KeyboardInterrupt for SIGINT, SystemExit(143) for SIGTERM."""
    error = KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number)
    if words:
        error.add_note(words)
    return error


@contextmanager
def terminated() -> Iterator[None]:
    """While the block runs, SIGTERM raises SystemExit(143), so that what is open is closed; main thread only."""

    def end(number: int, frame: FrameType | None) -> None:
        raise ended_by(number)

    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if ours:
        signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
