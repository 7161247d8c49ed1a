"""List where the runs of all notebooks depart from the committed ones."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from notebook_pipeline.expectations import Expectations, read_expectations

if TYPE_CHECKING:
    from pandas.io.formats.style import Styler


def expectations_of_all(root: Path, names: Iterable[str]) -> dict[str, Expectations]:
    """Return the expectations of the last run by notebook; notebooks that have not run are omitted.

    Args:
        root: The repository.
        names: Names of the notebooks.
    """
    found = {name: read_expectations(root / "reports" / name) for name in names}
    return {name: expectations for name, expectations in found.items() if expectations}


def departures_in_words(found: dict[str, Expectations]) -> list[str]:
    """Say how many measures depart, then list each in a line; empty if none departs."""
    lines = [f"  {name}: {one.told}" for name, kept in found.items() for one in kept.departures]
    lines += [
        f"  {name} ran with other parameters than its notebook's: {'; '.join(kept.differs)}"
        for name, kept in found.items()
        if kept.departures and kept.differs
    ]
    count = sum(len(kept.departures) for kept in found.values())
    of = sum(len(kept.held) for kept in found.values())
    told = f"{count} of {of} measures depart from the committed runs:"
    return [told, *lines] if count else []


def expectations_table(expectations: Expectations) -> Styler:
    """Show expected and measured values as a table, and parameters that differ."""
    import pandas as pd  # here: a `repro` that finds nothing to do draws no table

    rows = [
        {
            "measured": one.says,
            "expected": one.expected,
            "this run": one.found,
            "departs": one.departs,
        }
        for one in expectations.held
    ]
    return pd.DataFrame(rows).style.hide().set_caption(describe_departures(expectations))


def note_on(expectations: Expectations) -> str:
    """Return the note for a page beside the answer; empty for a run like the committed one."""
    if not expectations.departures and not expectations.differs:
        return ""
    return describe_departures(expectations)


def describe_departures(expectations: Expectations) -> str:
    """Say how many measures of a run depart, and which parameters differ."""
    departing = len(expectations.departures) or "none"
    found = f"This run departs from {departing} of {len(expectations.held)} expectations"
    if not expectations.differs:
        return f"{found}."
    return (
        f"{found}; these belong to the notebook's own parameters, but in this run "
        f"{'; '.join(expectations.differs)}."
    )
