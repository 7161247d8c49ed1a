"""The page of a sweep, from its table: what it asks, its answer, figures and all points."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from notebook_pipeline.project import Metric, Swept, project_of
from notebook_pipeline.reports.templating import page_environment
from notebook_pipeline.stages.outputs import replace_text
from notebook_pipeline.stages.points import Row, Table, read_table
from notebook_pipeline.sweeps import words
from notebook_pipeline.sweeps.figure import plot_panel
from notebook_pipeline.sweeps.verdict import Verdict, judge, mean, ranking

FILE = "sweep.html"


def write_page(name: str, root: Path) -> Path:
    """Write the page of a sweep beside its table, and return its path.

    Raises:
        OutputsError: if the table isn't there.
    """
    table = read_table(name, root)
    swept = project_of(root).swept[table.of]
    baselines = swept.baselines(root, table.shared) if swept.baselines else {}
    page = root / "reports" / name / FILE
    replace_text(page, render_page(table, swept, baselines))
    return page


def answer_of(name: str, root: Path) -> tuple[str, str]:
    """Return the question of a sweep and its answer, for other pages.

    Raises:
        OutputsError: if its table isn't there.
    """
    table = read_table(name, root)
    swept = project_of(root).swept[table.of]
    return table.question, words.answer(table, swept, judge(table, swept))


def render_page(table: Table, swept: Swept, baselines: Mapping[str, float]) -> str:
    """Return the page as HTML, which loads nothing.

    Args:
        table: Of the sweep.
        swept: What its points compute.
        baselines: The score of simpler models, by their names.
    """
    verdict = judge(table, swept)
    environment = page_environment(Path(__file__).parent)
    environment.filters["number"] = words.number
    metrics = words.shown(swept)
    return environment.get_template("sweep.html.j2").render(
        table=table,
        swept=swept,
        verdict=verdict,
        answer=words.answer(table, swept, verdict),
        score=words.score_in_words(table, swept, verdict) if verdict else "",
        beside=words.beside_baselines(swept, baselines),
        leads=list(_leads(swept, verdict)),
        panels=list(_panels(table, swept, verdict, baselines)),
        metrics=metrics,
        rows=list(_rows(table, swept, metrics)),
        best=verdict.best if verdict else None,
        enough=verdict.enough if verdict else None,
    )


def _leads(swept: Swept, verdict: Verdict | None) -> Iterator[dict[str, Any]]:
    for what, row, found in words.leads(swept, verdict) if verdict else ():
        cells = [
            {"lead": words.interval(one), "says": words.lead_in_words(one)}
            if one
            else {"lead": words.NONE, "says": ""}
            for one in found
        ]
        yield {"what": what, "point": words.named(row), "cells": cells}


def _panels(
    table: Table, swept: Swept, verdict: Verdict | None, baselines: Mapping[str, float]
) -> Iterator[dict[str, str]]:
    best = verdict.best if verdict else None
    for metric in words.shown(swept):
        for name in table.names:
            beside = _strongest(baselines, swept.score) if metric == swept.score else {}
            picture = plot_panel(table, name, metric, best, beside)
            yield {
                "picture": base64.b64encode(picture).decode(),
                "says": f"{metric.says} by {name}",
            }


def _strongest(baselines: Mapping[str, float], score: Metric) -> dict[str, float]:
    """Return the best of simpler models: the others may be so far off that no seed can be seen."""
    sign = -1 if score.lower_is_better else 1
    ranked = sorted(baselines.items(), key=lambda item: sign * item[1])
    return dict(ranked[-1:])


def _rows(table: Table, swept: Swept, metrics: list[Metric]) -> Iterator[dict[str, Any]]:
    """Yield the points, the best first; those without a number for some seed come last."""
    ranked = ranking(table, swept.chosen_by)
    unranked = [row for row in table.rows if not any(row is one for one in ranked)]
    for row in (*ranked, *unranked):
        yield {
            "row": row,
            "size": mean(row, swept.size) if swept.size else None,
            "cells": [_cell(row, metric) for metric in metrics],
        }


def _cell(row: Row, metric: Metric) -> dict[str, str]:
    """Return the mean of a metric over the seeds, and how far they reach."""
    values = [value for value in row.metrics[metric.name] if value is not None]
    lost = len(row.metrics[metric.name]) - len(values)
    reach = f"{words.number(min(values))} to {words.number(max(values))}" if values else ""
    told = f"{lost} of {lost + len(values)} seeds gave no number" if lost else reach
    return {"mean": words.number(mean(row, metric)), "reach": told}
