"""What a sweep gave: its points in the order of params.yaml, with the numbers of every seed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from notebook_pipeline.parameters.sweeps import point_in_words
from notebook_pipeline.stages.outputs import find_output, replace_text

FILE = "points.json"


@dataclass(frozen=True)
class Row:
    """A point.

    Attributes:
        given: The values by which it differs from other points.
        metrics: By the name of a metric its value for each seed; None where it isn't finite.
    """

    given: Mapping[str, Any]
    metrics: Mapping[str, list[float | None]]


@dataclass(frozen=True)
class Table:
    """All that is kept of a sweep.

    Attributes:
        name: The sweep's.
        question: What it asks.
        of: The section that it is over.
        seeds: Of each point.
        departs: The section's own values of what all points have alike, where they differ.
        logarithmic: Parameters that were drawn on a logarithmic scale.
        combined: Whether the points are all combinations of values.
        shared: All that the points are given alike.
        rows: The points.
    """

    name: str
    question: str
    of: str
    seeds: list[int]
    departs: Mapping[str, Any]
    logarithmic: list[str]
    combined: bool
    shared: Mapping[str, Any]
    rows: list[Row]

    @property
    def names(self) -> list[str]:
        """The parameters in which points differ."""
        return list(self.rows[0].given)

    def each(self) -> Iterator[tuple[Mapping[str, Any], int, dict[str, float | None]]]:
        """Yield every point with every seed and its numbers."""
        for row in self.rows:
            for at, seed in enumerate(self.seeds):
                yield row.given, seed, {name: row.metrics[name][at] for name in row.metrics}


def numbers_of(kept: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the numbers in the JSON of a table, by metric, point and seed."""
    return {
        f"{metric}.{point_in_words(row['given'])}, seed {seed}": value
        for row in kept["rows"]
        for metric, values in row["metrics"].items()
        for seed, value in zip(kept["seeds"], values, strict=True)
    }


def write_table(table: Table, folder: Path) -> Path:
    """Write a sweep's table into its folder, whole or not at all; return the file."""
    path = folder / FILE
    folder.mkdir(parents=True, exist_ok=True)
    replace_text(path, json.dumps(asdict(table), indent=1, ensure_ascii=False) + "\n")
    return path


def read_table(name: str, root: Path) -> Table:
    """Return what the stage of a sweep has kept.

    Raises:
        OutputsError: if it isn't there.
    """
    path = find_output(name, FILE, root)
    kept = json.loads(path.read_text(encoding="utf-8"))
    rows = [Row(**row) for row in kept.pop("rows")]
    return Table(**kept, rows=rows)
