"""What a sweep found, in words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from notebook_pipeline.parameters.sweeps import point_in_words
from notebook_pipeline.project import Metric, Swept
from notebook_pipeline.stages.points import Row, Table
from notebook_pipeline.sweeps.verdict import Lead, Verdict, lead, mean

MINUS = "\u2212"

NONE = "–"
"""Stands for a number that isn't finite."""


def answer(table: Table, swept: Swept, verdict: Verdict | None) -> str:
    """Return the answer to a sweep's question in a sentence."""
    if verdict is None:
        return "No point gave a number for every seed, so there is no answer."
    by, best, enough = swept.chosen_by, verdict.best, verdict.enough
    ranked = f"of {len(table.rows)} points by {by.says}, mean of {_seeds(table)}"
    value = with_unit(mean(best, by), by)
    if enough is None:
        return f"The best {ranked}, is {named(best)} with {value}."
    if enough is best:
        return (
            f"{_begun(named(best))} is enough, and nothing smaller is: it is the best {ranked} "
            f"({value}), and by the rule below no smaller one is as good."
        )
    return (
        f"{_begun(named(enough))} is enough ({with_unit(mean(enough, by), by)}): by the rule below "
        f"it is as good as the best {ranked}, {named(best)} ({value}), and no smaller one is."
    )


def score_in_words(table: Table, swept: Swept, verdict: Verdict) -> str:
    """Return what the best point scored, and its lead on the runner-up."""
    score, best, other = swept.score, verdict.best, verdict.runner_up
    if None in (values := best.metrics[score.name]):
        return f"The best point has no {score.says} for some seed."
    text = (
        f"The best point's {score.says} is {with_unit(mean(best, score), score)}, mean of "
        f"{_seeds(table)} from {number(min(values))} to {number(max(values))}."  # type: ignore[type-var]
    )
    if other is None or None in other.metrics[score.name]:
        return text
    found = lead(best, other, score)
    return (
        f"{text} Its lead there on the runner-up, {named(other)}, is {interval(found)}: "
        f"{lead_in_words(found)}."
    )


def beside_baselines(swept: Swept, baselines: Mapping[str, float]) -> str:
    """Return the scores of simpler models; empty without any."""
    if not baselines:
        return ""
    found = ", ".join(f"{name} {number(value)}" for name, value in baselines.items())
    return f"Simpler models on the same data have: {found}."


def leads(swept: Swept, verdict: Verdict) -> Iterator[tuple[str, Row, list[Lead | None]]]:
    """Yield the leads of the best point: on what, on which point, and how much in each metric.

    The metrics are those that chose the point and that is reported, once if they are the same. None
    stands where a point has no number for some seed.
    """
    others = {
        "the runner-up": verdict.runner_up,
        "the point that is enough": verdict.enough,
        "the smallest point": verdict.smallest,
    }
    told = [verdict.best]
    for what, row in others.items():
        if row is None or any(row is one for one in told):
            continue
        told.append(row)
        yield what, row, [_lead(verdict.best, row, metric) for metric in shown(swept)]


def shown(swept: Swept) -> list[Metric]:
    """Return the metrics that a page shows, each once."""
    return list(dict.fromkeys([swept.chosen_by, swept.score]))


def _lead(best: Row, row: Row, metric: Metric) -> Lead | None:
    if None in (*best.metrics[metric.name], *row.metrics[metric.name]):
        return None
    return lead(best, row, metric)


def lead_in_words(found: Lead) -> str:
    """Return whether a lead is more than the spread of seeds."""
    if found.low is None or found.high is None:
        return "one seed doesn't tell whether by chance"
    if found.high < 0:
        return "behind it, by more than the spread of seeds"
    more = "more" if found.is_more_than_spread else "no more"
    return f"{more} than the spread of seeds"


def interval(found: Lead) -> str:
    """Return a lead with its interval, all with as many decimals."""
    if found.low is None or found.high is None:
        return number(found.mean)
    largest = max(abs(found.low), abs(found.high))
    decimals = min(max(2 - math.floor(math.log10(largest)), 0), 12) if largest else 0
    mean, low, high = (
        f"{value + 0.0:.{decimals}f}".replace("-", MINUS)
        for value in (found.mean, found.low, found.high)
    )
    return f"{mean} ({low} to {high})"


def number(value: float | None) -> str:
    """Return a number as it is shown: whole, or with three digits that count."""
    if value is None or value != value:
        return NONE
    if float(value).is_integer() and abs(value) < 1e15:
        text = f"{value:,.0f}"
    else:
        text = f"{value:.3f}" if 0.01 <= abs(value) < 1000 else f"{value:.3g}"
    return text.replace("-", MINUS)


def with_unit(value: float | None, metric: Metric) -> str:
    """Return a number of a metric with its unit."""
    return number(value) + (f" {metric.unit}" if metric.unit != "1" else "")


def named(row: Row) -> str:
    """Return a point such as "depth 2, width 16"."""
    return point_in_words(row.given)


def _seeds(table: Table) -> str:
    count = len(table.seeds)
    return "1 seed" if count == 1 else f"{count} seeds"


def _begun(text: str) -> str:
    """Return the beginning of a sentence."""
    return text[0].upper() + text[1:]
