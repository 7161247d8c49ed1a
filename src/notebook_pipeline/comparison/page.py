"""The page of a comparison, and the lines that tell of it in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from notebook_pipeline.comparison.curves import COLOURS
from notebook_pipeline.comparison.measures import LEVEL, PAIRS, in_words, shown
from notebook_pipeline.comparison.pairs import Distances, Pair, compare_reports
from notebook_pipeline.comparison.sides import Side
from notebook_pipeline.errors import ConfigError, OutputsError
from notebook_pipeline.reports.page import ExternalResourceError, external_resources
from notebook_pipeline.reports.templating import page_environment
from notebook_pipeline.stages.outputs import replace_text

if TYPE_CHECKING:
    from notebook_pipeline.project import Project


@dataclass(frozen=True)
class Comparison:
    """Two sides.

    Attributes:
        first: What is compared with.
        second: What is compared.
        pairs: Their notebooks.
        alone: What one side alone has, in words.
    """

    first: Side
    second: Side
    pairs: tuple[Pair, ...]
    alone: tuple[str, ...]

    @property
    def labels(self) -> tuple[str, str]:
        """What the sides are called."""
        return self.first.label, self.second.label


def compare_sides(sides: Sequence[Side], distances: Distances) -> tuple[Comparison, ...]:
    """Compare the first side with each of the others.

    Raises:
        ConfigError: if two sides have no notebook in common.
        OutputsError: if nothing of what may differ can be had.
    """
    first, *others = sides
    matched = [(other, _matched(first, other)) for other in others]  # all of them before any work
    found = tuple(_compare(first, other, names, distances) for other, names in matched)
    pairs = [pair for comparison in found for pair in comparison.pairs]
    if pairs and all(pair.missing and not pair.has_differences for pair in pairs):
        raise OutputsError(pairs[0].missing[0])
    return found


@dataclass(frozen=True)
class Told:
    """What a command tells of a comparison.

    Attributes:
        lines: One for each notebook: what differs.
        missing: What couldn't be compared, and why.
    """

    lines: tuple[str, ...]
    missing: tuple[str, ...]


def write_comparison(sides: Sequence[Side], path: Path, project: Project) -> Told:
    """Write the page of a comparison to ``path``.

    Raises:
        ConfigError, OutputsError: as :func:`compare_sides`.
    """
    comparisons = compare_sides(sides, project.distances)
    replace_text(path, render_comparison(comparisons))
    missing = (words for one in comparisons for pair in one.pairs for words in pair.missing)
    return Told(tuple(_lines(comparisons)), tuple(dict.fromkeys(missing)))


def _lines(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """Yield a line for each notebook: what differs."""
    for one in comparisons:
        whose = f"{one.second.label}: " if len(comparisons) > 1 else ""
        for pair in one.pairs:
            yield f"{whose}{pair.name}: {pair.summary}"
        yield from (f"{whose}{words}" for words in one.alone)


def render_comparison(comparisons: Sequence[Comparison]) -> str:
    """Render the page; it loads nothing.

    Args:
        comparisons: All with one first side.

    Raises:
        ExternalResourceError: if a part of the page would load something.
    """
    page = (
        page_environment(Path(__file__).parent)
        .get_template("comparison.html.j2")
        .render(
            comparisons=comparisons,
            sides=[comparisons[0].first, *(one.second for one in comparisons)],
            names=list(dict.fromkeys(p.name for one in comparisons for p in one.pairs)),
            colours=COLOURS,
            level=LEVEL,
            pairs=PAIRS,
            shown=lambda *values: list(shown(*values)),
            in_words=in_words,
        )
    )
    if loaded := external_resources(page):
        raise ExternalResourceError(f"the comparison would load {', '.join(loaded)}")
    return page


def _matched(first: Side, second: Side) -> list[tuple[str, str]]:
    """Pair the notebooks of two sides by name; two single reports whatever their names."""
    if first.is_single and second.is_single and first.reports and second.reports:
        return [(*first.reports, *second.reports)]  # type: ignore[list-item]
    common = [(name, name) for name in first.reports if name in second.reports]
    if not common:
        told = (f"{side.label} has {', '.join(side.reports) or 'none'}" for side in (first, second))
        raise ConfigError(f"no notebook in common: {'; '.join(told)}")
    return common


def _compare(
    first: Side, second: Side, names: Sequence[tuple[str, str]], distances: Distances
) -> Comparison:
    labels = first.label, second.label
    pairs = tuple(
        compare_reports(first.reports[a], second.reports[b], labels, distances) for a, b in names
    )
    taken = [{a for a, _ in names}, {b for _, b in names}]
    alone = [
        f"{name}: only in {side.label}"
        for side, done in zip((first, second), taken, strict=True)
        for name in side.reports
        if name not in done and not _is_part(first, second)
    ]
    return Comparison(first, second, pairs, tuple(alone))


def _is_part(first: Side, second: Side) -> bool:
    """Whether one side is a single report, beside which the rest of the other is not missed."""
    return first.is_single or second.is_single
