"""Signals that end a process, while a training runs: the first asks for an end after the step.

SIGINT (Ctrl-C), SIGTERM (job schedulers), and SIGHUP (the terminal is closed) where the system has it.
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
    """While the block runs, ``caught`` is the first of STOPPING that came, or None; a second one ends it.

    Handlers can be set in the main thread alone: elsewhere, and for signals that are ignored, nothing changes.
    """

    def __init__(self) -> None:
        self.caught: int | None = None
        self.raised: BaseException | None = None
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

    def check(self) -> None:
        """Raise what the caught signal means, ``raised``, if there is one."""
        if self.caught is not None:
            self.raised = ended_by(self.caught)
            raise self.raised

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.caught is not None or os.getpid() != self._process:  # a forked child has no block to end
            raise ended_by(number, "stopped at once")
        self.caught = number


def ended_by(number: int, words: str = "") -> BaseException:
    """What a signal raises, with ``words`` as a note: KeyboardInterrupt for SIGINT, SystemExit(128 + number) else."""
    error = KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number)
    if words:
        error.add_note(words)
    return error


@contextmanager
def terminated() -> Iterator[None]:
    """While the block runs, those of ENDING raise SystemExit, so that what is open is closed; main thread only."""

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
