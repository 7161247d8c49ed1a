"""Compare the findings of a run with those of the committed run of the notebook.

An expectation never decides whether a run succeeds: on another machine, with other seeds or on
other data, an experiment may have another outcome. Pages then show which value departs, and by
how much.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from notebook_pipeline.conditions import check_condition, excess, satisfies, short, span
from notebook_pipeline.parameters.names import near_or_all

FILE = "expectations.json"
"""Beside evidence.json."""


@dataclass(frozen=True)
class Expectation:
    """One measure, its expected and its measured values.

    Attributes:
        measure: Its name in evidence.json.
        says: Its description.
        expected: Conditions that every value should satisfy, such as "> 0.3, < 10".
        found: The values, in a few digits.
        departs: By how much the values miss the conditions, and in how many cases; empty if none.
    """

    measure: str
    says: str
    expected: str
    found: str
    departs: str

    @property
    def told(self) -> str:
        """The whole expectation as a sentence."""
        found = f" {self.found}," if self.found else ""
        return f"{self.says}:{found} expected {self.expected} ({self.departs})"


@dataclass(frozen=True)
class Expectations:
    """All expectations of a run.

    Attributes:
        held: One expectation per measure.
        differs: Parameters that differ from those of the expectations, in words.
    """

    held: tuple[Expectation, ...]
    differs: tuple[str, ...] = ()

    @property
    def departures(self) -> tuple[Expectation, ...]:
        """The expectations from which the run departs."""
        return tuple(one for one in self.held if one.departs)

    def write(self, folder: Path) -> None:
        """Write :data:`FILE` into ``folder``."""
        text = json.dumps(asdict(self), indent=2, ensure_ascii=False)
        (folder / FILE).write_text(text + "\n", encoding="utf-8")


def read_expectations(folder: Path) -> Expectations | None:
    """Read the file of :meth:`Expectations.write` in ``folder``; None if there is none."""
    path = folder / FILE
    if not path.is_file():
        return None
    kept = json.loads(path.read_text(encoding="utf-8"))
    held = tuple(Expectation(**one) for one in kept["held"])
    return Expectations(held, tuple(kept["differs"]))


def hold_against(
    expected: Mapping[str, str], evidence: Mapping[str, Any], *, optional: Collection[str] = ()
) -> tuple[Expectation, ...]:
    """Compare every value of each measure with its expectation.

    Args:
        expected: By measure, conditions as in claims.yaml, separated by ", ".
        evidence: As from :meth:`Results.evidence`: by measure ``values`` and ``says``.
        optional: Measures that may be missing with other data or parameters.

    Raises:
        ValueError: if a measure was not kept and is not optional, or if a condition is invalid.
    """
    held = []
    for measure, text in expected.items():
        conditions = [check_condition(one) for one in text.split(", ")]
        if measure in evidence:
            values = list(evidence[measure]["values"].values())
            departs = departure(values, conditions)
            found = Expectation(measure, evidence[measure]["says"], text, span(values), departs)
        elif measure in optional:
            found = Expectation(measure, measure, text, "", "not measured")
        else:
            hint = near_or_all(measure, evidence)
            raise ValueError(f"{measure!r} is expected, but was not measured; {hint}")
        held.append(found)
    return tuple(held)


def departure(values: Collection[float], conditions: Collection[str]) -> str:
    """Say by how much values miss conditions, and how many of them; empty if none does."""
    missing = [value for value in values if not all(satisfies(value, c) for c in conditions)]
    if not missing:
        return ""
    beyond = [max(excess(value, c) for c in conditions) for value in missing]
    known = [amount for amount in beyond if not math.isnan(amount)]
    by = f"by {'up to ' if len(known) > 1 else ''}{short(max(known))}" if known else "no number"
    return f"{by}, {len(missing)} of {len(values)}" if len(values) > 1 else by
