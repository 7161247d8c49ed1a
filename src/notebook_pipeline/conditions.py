"""Format measured numbers in a few digits, and check conditions on them, such as "> 1e-3"."""

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
    """Return ``text`` if it is a valid condition.

    Raises:
        ValueError: if it is not, with a valid example.
    """
    if not _CONDITION.fullmatch(text):
        raise ValueError(f"{text!r} is no condition; write one such as '<= 1e-5' or '> 0.5'")
    return text


Condition = Annotated[str, AfterValidator(check_condition)]
"""A sign, a space and a limit."""


def satisfies(value: float, condition: str) -> bool:
    """Return whether ``value`` satisfies ``condition``; NaN satisfies none."""
    sign, limit = condition.split()
    return _COMPARISONS[sign](value, float(limit))


def excess(value: float, condition: str) -> float:
    """Return how far ``value`` is beyond the limit of ``condition``, NaN for NaN.

    The result is 0 if the condition holds, or if the value equals a limit that it must not reach.
    """
    if satisfies(value, condition):
        return 0.0
    return math.nan if math.isnan(value) else abs(value - float(condition.split()[1]))


def span(values: Collection[float]) -> str:
    """Format the range of some values, or the value that they share.

    NaN does not count as a value; the text says in how many cases there is none.
    """
    numbers = [value for value in values if not math.isnan(value)]
    missing = len(values) - len(numbers)
    if not numbers:
        return "no number"
    low, high = short(min(numbers)), short(max(numbers))
    shown = low if low == high else f"{low} to {high}"
    return f"{shown}, no number in {missing} of {len(values)}" if missing else shown


def short(value: float) -> str:
    """Format a number with two digits, or as a power of ten if it is far from 1."""
    if value == 0 or 0.01 <= abs(value) < 100:
        return f"{value:.2g}"
    return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")
