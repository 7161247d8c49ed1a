"""What a sweep found, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from notebook_pipeline.parameters.sweeps import point_in_words
from notebook_pipeline.project import Metric, Swept
from notebook_pipeline.sweeps.table import Row, Table
from notebook_pipeline.sweeps.verdict import Lead, Verdict, lead, mean

MINUS = "\u2212"


def number(value: float | None) -> str:
    """Return a number as it is shown: whole, or with three digits that count."""
    if value is None or value != value:
        return "–"
    if float(value).is_integer() and abs(value) < 1e15:
        text = f"{value:,.0f}"
    elif 0.001 <= abs(value) < 1000:
        text = f"{value:.3f}"
    else:
        text = f"{value:.3g}"
    return text.replace("-", MINUS)


def with_unit(value: float | None, metric: Metric) -> str:
    """Return a number of a metric with its unit."""
    return number(value) + (f" {metric.unit}" if metric.unit != "1" else "")


def named(row: Row) -> str:
    """Return a point such as "depth 2, width 16"."""
    return point_in_words(row.given)


def answer(table: Table, swept: Swept, verdict: Verdict | None) -> str:
    """Return the answer to a sweep's question in a sentence or two."""
    if verdict is None:
        return "No point gave a number for every seed, so there is no answer."
    by = swept.chosen_by
    best = f"{named(verdict.best)} ({with_unit(mean(verdict.best, by), by)})"
    of = f"the best of {len(table.rows)} points by {by.says}, mean of {_seeds(table)}, is {best}"
    if verdict.enough is None:
        return f"{_begun(of)}."
    if verdict.enough is verdict.best:
        return f"Nothing smaller is enough: {of}, and no smaller point is within one standard error of it."
    enough = f"{named(verdict.enough)} ({with_unit(mean(verdict.enough, by), by)})"
    return (
        f"{_begun(named(verdict.enough))} is enough: {of}, and {enough} is the smallest point "
        "within one standard error of it."
    )


def lead_in_words(found: Lead) -> str:
    """Return whether a lead is more than the spread of seeds."""
    if found.low is None:
        return "one seed does not tell"
    if found.is_more_than_spread:
        return "more than the spread of seeds"
    if found.high is not None and found.high < 0:
        return "it is behind, by more than the spread of seeds"
    return "no more than the spread of seeds"


def leads(swept: Swept, verdict: Verdict) -> Iterator[tuple[str, Row, list[tuple[Metric, Lead]]]]:
    """Yield the leads of the best point: on what point, and by how much in both metrics."""
    others = {
        "the runner-up": verdict.runner_up,
        "the smallest point": verdict.smallest,
        "the point that is enough": verdict.enough,
    }
    told: list[Row] = [verdict.best]
    for what, row in others.items():
        if row is not None and not any(row is one for one in told):
            told.append(row)
            both = [swept.score] if swept.score == swept.chosen_by else [swept.chosen_by, swept.score]
            whole = [m for m in both if None not in row.metrics[m.name] + verdict.best.metrics[m.name]]
            yield what, row, [(m, lead(verdict.best, row, m)) for m in whole]


def interval(found: Lead) -> str:
    """Return a lead with its interval."""
    if found.low is None:
        return number(found.mean)
    return f"{number(found.mean)} ({number(found.low)} to {number(found.high)})"


def score_in_words(table: Table, swept: Swept, verdict: Verdict) -> str:
    """Return what the best point scored, and its lead on the runner-up."""
    score, best = swept.score, verdict.best
    values = [value for value in best.metrics[score.name] if value is not None]
    text = (
        f"The best point's {score.says} is {with_unit(mean(best, score), score)}, mean of "
        f"{_seeds(table)}, {number(min(values))} to {number(max(values))}."
    )
    if verdict.runner_up is None:
        return text
    found = lead(best, verdict.runner_up, score)
    sure = f" (95 % interval {number(found.low)} to {number(found.high)})" if found.low is not None else ""
    return (
        f"{text} Its lead there on the runner-up, {named(verdict.runner_up)}, is "
        f"{number(found.mean)}{sure}: {lead_in_words(found)}."
    )


def beside_baselines(swept: Swept, verdict: Verdict, baselines: Mapping[str, float]) -> str:
    """Return the score of the best point beside those of simpler models; empty without any."""
    if not baselines:
        return ""
    found = ", ".join(f"{name} {number(value)}" for name, value in baselines.items())
    return f"For comparison, {swept.score.says} of simpler models on the same data: {found}."


def _seeds(table: Table) -> str:
    count = len(table.seeds)
    return "1 seed" if count == 1 else f"{count} seeds"


def _begun(text: str) -> str:
    """Return the beginning of a sentence."""
    return text[0].upper() + text[1:]
