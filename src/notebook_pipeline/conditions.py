"""Measured numbers in few digits, and conditions on them, such as "> 1e-3"."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Collection
from typing import Annotated

from pydantic import AfterValidator

_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_CONDITION = re.compile(r"(<=|>=|<|>) (-?\d+(?:\.\d+)?(?:e-?\d+)?)")


def check_condition(text: str) -> str:
    """Return ``text`` if it is a condition.

    Raises:
        ValueError: if it is none, with what is one.
    """
    if not _CONDITION.fullmatch(text):
        raise ValueError(f"{text!r} is no condition; write one such as '<= 1e-5' or '> 0.5'")
    return text


Condition = Annotated[str, AfterValidator(check_condition)]
"""A sign, a space and a limit."""


def satisfies(value: float, condition: str) -> bool:
    """Whether ``value`` satisfies ``condition``; NaN satisfies none."""
    sign, limit = condition.split()
    return _COMPARISONS[sign](value, float(limit))


def excess(value: float, condition: str) -> float:
    """Return how far ``value`` is beyond the limit of ``condition``, NaN for NaN.

    It is 0 where the condition is satisfied, and where a value stands on a limit that it must not
    reach.
    """
    if satisfies(value, condition):
        return 0.0
    return math.nan if math.isnan(value) else abs(value - float(condition.split()[1]))


def span(values: Collection[float]) -> str:
    """Write the least and the greatest of some values, or the one that all of them are.

    NaN is no value: it is said in how many cases there is none.
    """
    numbers = [value for value in values if not math.isnan(value)]
    missing = len(values) - len(numbers)
    if not numbers:
        return "no number"
    low, high = short(min(numbers)), short(max(numbers))
    shown = low if low == high else f"{low} to {high}"
    return f"{shown}, no number in {missing} of {len(values)}" if missing else shown


def short(value: float) -> str:
    """Write a number with two digits, and what is far from 1 as a power of ten."""
    if value == 0 or 0.01 <= abs(value) < 100:
        return f"{value:.2g}"
    return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")
