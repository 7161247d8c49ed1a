"""The index of all reports: results with their baselines, figures side by side."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from notebook_pipeline.reports.templating import page_environment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from notebook_pipeline.reports.missing import Missing


@dataclass(frozen=True)
class Thumbnail:
    """A figure of a report.

    Attributes:
        path: Its picture, relative to the index.
        caption: What it shows. Figures of several configurations under one caption are set side
            by side.
    """

    path: str
    caption: str


@dataclass(frozen=True)
class ReportRow:
    """What the index says of one configuration; all of it text, ready to be read.

    Attributes:
        configuration: Its name, such as "stacked".
        question: The question that it answers.
        data: What it was trained and tested on.
        metric: What was measured, with its unit.
        value: The result.
        interval: How far it can be trusted, such as "95 % CI 0.08 to 0.10"; may be empty.
        baselines: Results to compare with, such as "ridge 0.103".
        verdict: The comparison in words, such as "beats ridge by 0.012 (95 % CI 0.004 to 0.020)".
        report: Path of the report, relative to the index.
        notebook: Path of the executed notebook, relative to the index.
        thumbnails: Figures to show.
        departs: Where the run departs from what the committed one found; may be empty.
    """

    configuration: str
    question: str
    data: str
    metric: str
    value: str
    interval: str
    baselines: tuple[str, ...]
    verdict: str
    report: str
    notebook: str
    explorer: str
    thumbnails: tuple[Thumbnail, ...] = ()
    departs: str = ""


@dataclass(frozen=True)
class TrialRow:
    """What the index says of one trial, or of a sweep.

    Attributes:
        question: The question that it answers.
        answer: Its answer, plain HTML.
        report: Path of the report, relative to the index.
        decides: Whether it decides claims.
        departs: Where the run departs from what the committed one found; may be empty.
    """

    question: str
    answer: str
    report: str
    decides: bool
    departs: str = ""


@dataclass(frozen=True)
class _Panel:
    """One figure of the index: its row, its thumbnail, and what to write below it."""

    row: ReportRow
    thumbnail: Thumbnail
    label: str


def render_index(
    rows: Sequence[ReportRow],
    *,
    title: str,
    intro: str,
    trials: Sequence[TrialRow],
    sweeps: Sequence[TrialRow] = (),
    own_claims: int = 0,
    departures: Sequence[str] = (),
    missing: Sequence[Missing] = (),
) -> str:
    """Renders the index page of the reports.

    Args:
        rows: The configurations, in the order to show them.
        title: The page's title and heading.
        trials: The other experiments, in the order to show them.
        sweeps: The sweeps, in the order to show them.
        own_claims: How many claims the article does not make.
        departures: Where runs depart from what the committed ones found, the summary first.
        intro: A paragraph below the heading; plain text, empty lines separate paragraphs.
        missing: What the page is made without. If the stage ``claims`` is among it, no link leads
            to its page.

    Returns:
        A whole HTML page that loads nothing but the thumbnails. Everything in it is escaped.
    """
    return (
        page_environment(Path(__file__).parent)
        .get_template("index.html.j2")
        .render(
            rows=rows,
            title=title,
            trials=trials,
            sweeps=sweeps,
            own_claims=own_claims,
            departures=departures,
            missing=missing,
            has_claims="claims" not in {one.stage for one in missing},
            intro=[text.strip() for text in intro.split("\n\n") if text.strip()],
            figures=_figure_groups(rows),
        )
    )


def _figure_groups(rows: Sequence[ReportRow]) -> dict[str, list[_Panel]]:
    """Groups the figures so that those which show the same stand side by side.

    Returns:
        Figures by heading: the caption where several configurations share it, in which case each
        figure is labelled with its configuration, otherwise the configuration's name.
    """
    captions = Counter(
        caption for row in rows for caption in {thumbnail.caption for thumbnail in row.thumbnails}
    )
    shared: dict[str, list[_Panel]] = {}
    single: dict[str, list[_Panel]] = {}
    for row in rows:
        for thumbnail in row.thumbnails:
            if captions[thumbnail.caption] > 1:
                panel = _Panel(row, thumbnail, row.configuration)
                shared.setdefault(thumbnail.caption, []).append(panel)
            else:
                panel = _Panel(row, thumbnail, thumbnail.caption)
                single.setdefault(row.configuration, []).append(panel)
    return shared | single
