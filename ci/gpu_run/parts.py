"""The parts in their order. Those that only say right or wrong come first; what is timed has the machine to itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from . import board, checklist, jobs, rivals, sanitizer, suite, training, verify
from .results import Context, Result


class Part(NamedTuple):
    """``least``: seconds that are kept for it while others run. ``children``: it works in processes of its own."""

    name: str
    least: float
    run: Callable[[Context], Result]
    children: bool = False
    timed: bool = False

    def beside(self, rehearsal: bool) -> bool:
        """May it run while another such part runs? A rehearsal's times say nothing."""
        return self.children and (rehearsal or not self.timed)


PARTS = [
    Part("suite", 130, suite.run, children=True),
    Part("sanitizer", 60, sanitizer.run, children=True),
    *(Part(f"train {name}", 12, partial(training.run, name)) for name in training.TRAININGS),
    Part("verify", 25, verify.run),
    Part("checklist", 70, checklist.run, timed=True),
    Part("rivals", 130, rivals.run, children=True, timed=True),
    Part("jobs", 45, jobs.run, children=True, timed=True),
    Part("board", 45, board.run, children=True, timed=True),
]
