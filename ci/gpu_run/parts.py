"""The parts in their order. Those that only say right or wrong come first; what is timed has the machine to itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from . import board, jobs, rivals, sanitizer, suite, training
from .results import Context, Result, Rows
from .timing import Bench, device_place, free_memory


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


def checklist(context: Context) -> Result:
    """What a captured step holds and whether it is right, rates of products and memory, costs of calls."""
    try:
        with device_place(context.rehearsal) as place:
            from . import captured, costs, fits, products  # they import CuPy

            bench, rows = Bench(place, context), Rows(context)
            for part in (captured, fits, costs, products):  # first what is right or wrong, then what is timed
                part.add_rows(bench, rows)
            return rows.result(", ".join([*products.summary(rows.rows), *costs.summary(rows.rows)]))
    finally:
        free_memory()


PARTS = [
    Part("suite", 130, suite.run, children=True),
    Part("sanitizer", 60, sanitizer.run, children=True),
    *(Part(f"train {name}", 12, partial(training.run, name)) for name in training.TRAININGS),
    Part("verify", 25, training.verify),
    Part("checklist", 70, checklist, timed=True),
    Part("rivals", 130, rivals.run, children=True, timed=True),
    Part("jobs", 45, jobs.run, children=True, timed=True),
    Part("board", 45, board.run, children=True, timed=True),
]
