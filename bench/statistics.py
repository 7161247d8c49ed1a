"""The few numbers that sum up repetitions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def summary(seconds: Sequence[float]) -> dict[str, float]:
    """Return the median, the extremes and the quartiles of the repetitions."""
    if not seconds:
        return {}
    names = ("min_s", "q1_s", "median_s", "q3_s", "max_s")
    values = np.percentile(seconds, (0, 25, 50, 75, 100))
    return dict(zip(names, map(float, values), strict=True))


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    """Return the median and the extremes of the ratio, taken round by round.

    Both times of a round were measured one shortly after the other, so that what slows the machine
    for a while cancels out.
    """
    each = np.asarray(ours) / np.asarray(theirs)
    return {"median": float(np.median(each)), "min": float(each.min()), "max": float(each.max())}


def growth(sizes: Sequence[float], values: Sequence[float]) -> dict[str, float]:
    """Fit how a cost grows with a size.

    Returns:
        ``exponent``, the slope of log value against log size, 1 where the cost is proportional;
        ``per_unit`` and ``constant`` of the straight line through the values.
    """
    exponent = np.polyfit(np.log(sizes), np.log(values), 1)[0]
    per_unit, constant = np.polyfit(sizes, values, 1)
    return {
        "exponent": float(exponent),
        "per_unit": float(per_unit),
        "constant": float(constant),
    }
