"""One notebook on two sides: all that differs between its reports."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat

from notebook_pipeline.comparison.cells import Cell, compare_cells
from notebook_pipeline.comparison.curves import Charts, compare_curves
from notebook_pipeline.comparison.figures import FOLDER, Pairs, compare_figures
from notebook_pipeline.comparison.measures import Measures, compare_evidence, compare_numbers
from notebook_pipeline.comparison.parameters import Differing, compare_parameters, other_causes
from notebook_pipeline.errors import OutputsError, UserError
from notebook_pipeline.stages.outputs import EVIDENCE, METRICS, RECORD, REPORT, STEPS

if TYPE_CHECKING:
    import pandas as pd

    from notebook_pipeline.comparison.sides import Report

TABLES = STEPS.partition("/")[0]
"""The folder of tables."""

UNREADABLE = (UserError, ValueError, KeyError, OSError)
"""What reading a file may raise that a crash or a hand has left half."""

Distances = Mapping[str, Callable[[Path, Path], "pd.DataFrame"]]
"""By the name of an output, what measures how far those of two reports are apart."""


@dataclass(frozen=True)
class Distance:
    """How far an output of two reports is apart.

    Attributes:
        output: Its name.
        says: What the table shows; or why there is none.
        columns: Of the table.
        rows: Of the table, as text.
    """

    output: str
    says: str
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Pair:
    """What differs between two reports.

    Attributes:
        names: The notebook's name on both sides.
        parameters: Parameters.
        causes: What else decides, in words.
        evidence: Measures of ``evidence.json``.
        numbers: Numbers of ``metrics.json``.
        charts: What was logged step by step.
        figures: Figures.
        cells: Cells.
        distances: Of the outputs that the project can measure.
        others: Further files and folders that differ.
        missing: What couldn't be compared, and why.
    """

    names: tuple[str, str]
    parameters: tuple[Differing, ...] = ()
    causes: tuple[str, ...] = ()
    evidence: Measures = field(default_factory=Measures)
    numbers: Measures = field(default_factory=Measures)
    charts: Charts = field(default_factory=Charts)
    figures: Pairs = field(default_factory=Pairs)
    cells: tuple[Cell, ...] = ()
    distances: tuple[Distance, ...] = ()
    others: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Both names, or the one that they are."""
        first, second = self.names
        return first if first == second else f"{first} and {second}"

    @property
    def summary(self) -> str:
        """What differs, in words: "the same" if nothing does."""
        told = [*self._counts(), *self.others]
        if self.missing:
            told.append(f"{len(self.missing)} not compared")
        if not told:
            return "only what it was made from differs" if self.causes else "the same"
        return ", ".join(told)

    @property
    def has_differences(self) -> bool:
        """Whether anything that was compared differs."""
        return bool(self.causes or self.others or list(self._counts()))

    @property
    def is_same(self) -> bool:
        """Whether nothing differs and all was compared."""
        return not self.has_differences and not self.missing

    def _counts(self) -> Iterator[str]:
        counts = {
            "parameter": len(self.parameters),
            "measure": self.evidence.differing,
            "number": self.numbers.differing,
            "curve": len(self.charts.differing),
            "figure": len(self.figures.differing),
            "cell": len(self.cells),
        }
        for what, count in counts.items():
            if count:
                yield f"{count} {what}{'' if count == 1 else 's'}"


def compare_reports(
    first: Report, second: Report, labels: Sequence[str], distances: Distances
) -> Pair:
    """Compare all outputs of two reports; those of equal digest are the same, and not brought.

    Pages are left out: they are made from the rest.

    Args:
        first: A report.
        second: What it is compared with.
        labels: What the two sides are called.
        distances: What the project can measure.
    """
    differing, missing = _differing(first, second)
    folders = first.folder, second.folder
    if REPORT in differing:
        _bring_records(first, second)
    found: dict[str, Any] = {}
    for output, compare in _SECTIONS.items():
        if output in differing:
            try:
                found |= compare(folders, labels)
            except UNREADABLE as error:
                differing.remove(output)
                missing.append(f"{second.name}: {output} can't be read: {error}")
    measured = [name for name in distances if _both_have(name, differing, folders)]
    return Pair(
        (first.name, second.name),
        **found,
        distances=tuple(_distance(name, *folders, distances[name]) for name in measured),
        others=tuple(_others(differing, folders, found)),
        missing=tuple(missing),
    )


def _compare_books(folders: tuple[Path, Path], labels: Sequence[str]) -> dict[str, Any]:
    one, other = (nbformat.read(folder / REPORT, as_version=4) for folder in folders)
    return {
        "parameters": compare_parameters(one, other),
        "causes": other_causes((one, other), folders),
        "cells": tuple(compare_cells(one, other)),
    }


_SECTIONS: Mapping[str, Callable[[tuple[Path, Path], Sequence[str]], dict[str, Any]]] = {
    REPORT: _compare_books,
    EVIDENCE: lambda folders, _: {"evidence": compare_evidence(*folders)},
    METRICS: lambda folders, _: {"numbers": compare_numbers(*folders)},
    TABLES: lambda folders, labels: {"charts": compare_curves(*folders, labels)},
    FOLDER: lambda folders, _: {"figures": compare_figures(*folders)},
}
"""By the output that must differ, what compares it."""


def _differing(first: Report, second: Report) -> tuple[list[str], list[str]]:
    """Bring what may differ; return what does, and what couldn't be brought, in words."""
    differing, missing = [], []
    for name in sorted(first.digests.keys() | second.digests.keys()):
        if name == RECORD or name.startswith(".") or name.endswith(".html"):
            continue
        digest = first.digests.get(name)
        if digest and digest == second.digests.get(name):
            continue
        try:
            for report in (first, second):
                if name in report.digests:
                    report.bring(name)
        except OutputsError as error:
            missing.append(str(error))
            continue
        if not _are_equal(first.folder / name, second.folder / name):
            differing.append(name)
    return differing, missing


def _bring_records(first: Report, second: Report) -> None:
    for report in (first, second):
        if RECORD in report.digests:
            with suppress(OutputsError):
                report.bring(RECORD)


def _both_have(name: str, differing: Sequence[str], folders: Sequence[Path]) -> bool:
    return name in differing and all((folder / name).exists() for folder in folders)


def _are_equal(first: Path, second: Path) -> bool:
    """Whether two files, or all files in two folders, have the same bytes."""
    if first.is_dir() and second.is_dir():
        names = [sorted(path.name for path in folder.iterdir()) for folder in (first, second)]
        return names[0] == names[1] and all(_are_equal(first / n, second / n) for n in names[0])
    return first.is_file() and second.is_file() and first.read_bytes() == second.read_bytes()


def _others(
    differing: Sequence[str], folders: tuple[Path, Path], found: Mapping[str, Any]
) -> Iterator[str]:
    """Yield what differs and is in no section; of figures and tables each file on its own."""
    sections = {
        REPORT: any(found.get(part) for part in ("parameters", "causes", "cells")),
        EVIDENCE: "evidence" in found and found["evidence"].differing,
        METRICS: "numbers" in found and found["numbers"].differing,
        STEPS: "charts" in found and found["charts"].differing,
    }
    if figures := found.get("figures"):
        sections |= dict.fromkeys((f"{FOLDER}/{name}" for name in figures.equal), False)
        sections |= {f"{FOLDER}/{pair.name}": True for pair in figures.differing}
    for file in _files(differing, folders):
        if not sections.get(file):
            # Other metadata, another order of what a file says: nothing that a section shows.
            yield f"{file}, in its form alone" if file in sections else file


def _files(differing: Sequence[str], folders: tuple[Path, Path]) -> Iterator[str]:
    for name in differing:
        if name in (FOLDER, TABLES):
            inside = {
                path.relative_to(folder).as_posix()
                for folder in folders
                for path in (folder / name).rglob("*")
                if path.is_file()
            }
            first, second = folders
            yield from (n for n in sorted(inside) if not _are_equal(first / n, second / n))
        else:
            yield name


def _distance(
    name: str, first: Path, second: Path, measure: Callable[[Path, Path], pd.DataFrame]
) -> Distance:
    try:
        table = measure(first, second)
    except UNREADABLE as error:
        return Distance(name, str(error))
    rows = table.itertuples(index=False)
    return Distance(
        name,
        str(table.attrs.get("says", "")),
        tuple(map(str, table.columns)),
        tuple(tuple(f"{v:.3g}" if isinstance(v, float) else str(v) for v in row) for row in rows),
    )
