"""What the committed run of a notebook found, held against what another run of it finds.

An expectation never decides whether a run succeeds: on another machine, with other seeds or on
other data an experiment may come out otherwise. Where it does, pages say which value and by how
much.
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
    """One measure, what is expected of it, and what was found.

    Attributes:
        measure: Its name in evidence.json.
        says: What it is, in words.
        expected: Conditions that every value is to satisfy, such as "> 0.3, < 10".
        found: The values, in few digits.
        departs: By how much they miss that and in how many cases; empty if they don't.
    """

    measure: str
    says: str
    expected: str
    found: str
    departs: str

    @property
    def told(self) -> str:
        """All of it in words."""
        found = f" {self.found}," if self.found else ""
        return f"{self.says}:{found} expected {self.expected} ({self.departs})"


@dataclass(frozen=True)
class Expectations:
    """All expectations of a run.

    Attributes:
        held: One for each measure.
        differs: Parameters that are others than those which the expectations are of, in words.
    """

    held: tuple[Expectation, ...]
    differs: tuple[str, ...] = ()

    @property
    def departures(self) -> tuple[Expectation, ...]:
        """Those that the run departs from."""
        return tuple(one for one in self.held if one.departs)

    def write(self, folder: Path) -> None:
        """Write :data:`FILE` into ``folder``."""
        text = json.dumps(asdict(self), indent=2, ensure_ascii=False)
        (folder / FILE).write_text(text + "\n", encoding="utf-8")


def read_expectations(folder: Path) -> Expectations | None:
    """Read what :meth:`Expectations.write` has left in ``folder``, None if it hasn't."""
    path = folder / FILE
    if not path.is_file():
        return None
    kept = json.loads(path.read_text(encoding="utf-8"))
    held = tuple(Expectation(**one) for one in kept["held"])
    return Expectations(held, tuple(kept["differs"]))


def hold_against(
    expected: Mapping[str, str], evidence: Mapping[str, Any], *, optional: Collection[str] = ()
) -> tuple[Expectation, ...]:
    """Hold every value of each measure against what is expected of it.

    Args:
        expected: By measure, conditions as in claims.yaml, separated by ", ".
        evidence: What :meth:`Results.evidence` returns: by measure ``values`` and ``says``.
        optional: Measures that other data or parameters may be without.

    Raises:
        ValueError: if a measure was not kept and isn't optional, or if a condition is none.
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
