"""Signals that end a training after the current step, so that it can write a checkpoint.

These are SIGINT (Ctrl-C), SIGTERM (from job schedulers) and, if the system has it, SIGHUP (the terminal is closed).
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

ENDING = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
STOPPING = [signal.SIGINT, *ENDING]


class Signals:
    """Catches the STOPPING signals while the block runs; a second signal ends the block at once.

    ``caught``: the number of the first signal, or None. ``raised``: the exception that ``check`` raised for it. Python
    sets handlers only in the main thread: in other threads, and for signals that are ignored, nothing changes.
    """

    def __init__(self) -> None:
        self.caught: int | None = None
        self.raised: BaseException | None = None
        self._handlers: dict[int, Any] = {}  # those to put back
        self._process = os.getpid()

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            for number in STOPPING:
                if signal.getsignal(number) not in (None, signal.SIG_IGN):  # None: set from C, cannot be put back
                    self._handlers[number] = signal.signal(number, self._catch)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers.clear()

    def check(self) -> None:
        """If a signal was caught, raise its exception."""
        if self.caught is not None:
            self.raised = ended_by(self.caught)
            raise self.raised

    def _catch(self, number: int, frame: FrameType | None) -> None:
        if self.caught is not None or os.getpid() != self._process:  # nobody calls check in a forked child
            raise ended_by(number, "stopped at once")
        self.caught = number


def ended_by(number: int, note: str = "") -> BaseException:
    """The exception for a signal, with a note: KeyboardInterrupt for SIGINT, SystemExit(128 + number) for others."""
    error = KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number)
    if note:
        error.add_note(note)
    return error


@contextmanager
def terminated() -> Iterator[None]:
    """Let the ENDING signals raise SystemExit while the block runs, so that files are closed; main thread only."""

    def end(number: int, frame: FrameType | None) -> None:
        raise ended_by(number)

    main = threading.current_thread() is threading.main_thread()
    ours = [number for number in ENDING if main and signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
