"""The best point of a sweep, whether its lead is more than the spread of seeds, and what is enough.

The rule was written before any sweep ran:

- The best point has the best mean over the seeds of the metric that chooses, which is of data on
  which no result is reported.
- Its lead on another point is the mean of the differences seed by seed. It is more than the spread
  of seeds if the 95 % interval of that mean, by Student's t, lies above 0.
- Enough is the smallest point whose mean is at most one standard error of the best point's mean
  away from it (the one-standard-error rule of Breiman et al. 1984).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from notebook_pipeline.project import Metric, Swept
from notebook_pipeline.stages.points import Row, Table

LEVEL = 0.95


@dataclass(frozen=True)
class Lead:
    """How far a point is ahead of another in a metric; more is better, whatever the metric.

    Attributes:
        mean: Over the seeds.
        low: Lower end of the interval of the mean; None with one seed.
        high: Its upper end.
    """

    mean: float
    low: float | None
    high: float | None

    @property
    def is_more_than_spread(self) -> bool:
        """Whether the whole interval is above 0."""
        return self.low is not None and self.low > 0


@dataclass(frozen=True)
class Verdict:
    """What the rule says of a sweep.

    Attributes:
        best: The best point.
        runner_up: The next best; None if there is no other.
        smallest: The smallest point; None if no point is smaller than the best.
        enough: The smallest point that is as good by the rule; None where sizes or further
            seeds are missing.
        unranked: How many points have no number for some seed.
    """

    best: Row
    runner_up: Row | None
    smallest: Row | None
    enough: Row | None
    unranked: int


def judge(table: Table, swept: Swept) -> Verdict | None:
    """Return what the rule says; None if no point has a number for every seed."""
    ranked = ranking(table, swept.chosen_by)
    if not ranked:
        return None
    best, size = ranked[0], swept.size
    smallest = enough = None
    if size:
        # Python's sort keeps the order of the ranking among points of one size.
        by_size = sorted(ranked, key=lambda row: mean(row, size))
        if mean(by_size[0], size) < mean(best, size):
            smallest = by_size[0]
        if len(table.seeds) > 1:
            limit = standard_error(best, swept.chosen_by)
            enough = next(r for r in by_size if _gap(best, r, swept.chosen_by) <= limit)
    runner_up = ranked[1] if len(ranked) > 1 else None
    return Verdict(best, runner_up, smallest, enough, len(table.rows) - len(ranked))


def ranking(table: Table, metric: Metric) -> list[Row]:
    """Return the points with a number for every seed: the best first, equal ones in order."""
    sign = 1 if metric.lower_is_better else -1
    whole = [row for row in table.rows if None not in row.metrics[metric.name]]
    return sorted(whole, key=lambda row: sign * mean(row, metric))


def mean(row: Row, metric: Metric) -> float:
    """Return the mean over the seeds; NaN if one of them has no number."""
    return float(np.mean(_values(row, metric)))


def standard_error(row: Row, metric: Metric) -> float:
    """Return the standard error of the mean over the seeds, of two at least."""
    values = _values(row, metric)
    return float(np.std(values, ddof=1) / np.sqrt(len(values)))


def lead(one: Row, other: Row, metric: Metric) -> Lead:
    """Return how far a point is ahead of another, paired by seeds."""
    from scipy.special import stdtrit  # quantiles of t; scipy.stats takes a second to import

    sign = -1 if metric.lower_is_better else 1
    differences = sign * (_values(one, metric) - _values(other, metric))
    middle, count = float(differences.mean()), len(differences)
    if count < 2:
        return Lead(middle, None, None)
    far = float(stdtrit(count - 1, (1 + LEVEL) / 2) * differences.std(ddof=1) / np.sqrt(count))
    return Lead(middle, middle - far, middle + far)


def _gap(best: Row, row: Row, metric: Metric) -> float:
    return abs(mean(best, metric) - mean(row, metric))


def _values(row: Row, metric: Metric) -> np.ndarray:
    return np.array([np.nan if v is None else v for v in row.metrics[metric.name]], float)
