"""The index of all reports: each result against its baseline, figures side by side."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined

if TYPE_CHECKING:
    from collections.abc import Sequence

TEMPLATES = Path(__file__).parent / "templates"


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
    thumbnails: tuple[Thumbnail, ...] = ()


@dataclass(frozen=True)
class TrialRow:
    """What the index says of one trial.

    Attributes:
        question: The question that it answers.
        answer: Its answer, plain HTML.
        report: Path of the report, relative to the index.
    """

    question: str
    answer: str
    report: str


@dataclass(frozen=True)
class _Panel:
    """One figure of the index: its row, its thumbnail, and what to write below it."""

    row: ReportRow
    thumbnail: Thumbnail
    label: str


def render_index(
    rows: Sequence[ReportRow], *, title: str, intro: str, trials: Sequence[TrialRow]
) -> str:
    """Renders the index page of the reports.

    Args:
        rows: The configurations, in the order to show them.
        title: The page's title and heading.
        trials: The experiments that decide claims, in the order to show them.
        intro: A paragraph below the heading; plain text, empty lines separate paragraphs.

    Returns:
        A whole HTML page that loads nothing but the thumbnails. Everything in it is escaped.
    """
    return (
        page_environment()
        .get_template("index.html.j2")
        .render(
            rows=rows,
            title=title,
            trials=trials,
            intro=[text.strip() for text in intro.split("\n\n") if text.strip()],
            figures=_figure_groups(rows),
        )
    )


def page_environment() -> Environment:
    """Returns what renders whole pages from the templates; everything is escaped."""
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
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
