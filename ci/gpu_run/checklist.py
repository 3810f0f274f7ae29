"""The checklist: what a captured step holds and whether it is right, rates of products and memory, costs of calls."""

from __future__ import annotations

from .results import Context, Result, Rows
from .timing import Bench, device_place, free_memory


def run(context: Context) -> Result:
    """Each row by itself: first what is right or wrong, then what is timed."""
    try:
        with device_place(context.rehearsal) as place:
            from . import captured, costs, fits, products  # they import CuPy

            bench, rows = Bench(place, context), Rows(context)
            for part in (captured, fits, costs, products):
                part.add_rows(bench, rows)
            return rows.result(", ".join([*products.summary(rows.rows), *costs.summary(rows.rows)]))
    finally:
        free_memory()
