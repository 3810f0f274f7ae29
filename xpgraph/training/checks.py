"""Checks of numbers that training is given: whole numbers from a least one up, and finite numbers in a range."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any


def check_whole(who: str, name: str, value: Any, least: int = 1) -> int:
    """``value`` as an int; ValueError for what is no whole number, or less than ``least``."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"{who}: {name} is {value!r}; give a whole number from {least} up.")
    return int(value)


def is_number(value: Any) -> bool:
    """Is it one real number of Python or NumPy? NaN and infinities are; bool is not."""
    return isinstance(value, Real) and not isinstance(value, bool)


def check_number(who: str, name: str, value: Any) -> float:
    """``value`` as a float; ValueError for what is no finite number from 0 up."""
    if not is_number(value) or not 0 <= value < math.inf:
        raise ValueError(f"{who}: {name} is {value!r}; give a number from 0 up.")
    return float(value)
