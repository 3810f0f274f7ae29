"""The changes of ``mutation_trials`` that nobody could see, each with its reason; and why none of them is a fault."""

from __future__ import annotations

# module.function, the line before and after it (patterns), the reason
THE_SAME: tuple[tuple[str, str, str, str], ...] = ()
