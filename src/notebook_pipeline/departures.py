"""Where the runs of all notebooks depart from what the committed ones found."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from notebook_pipeline.expectations import Expectations, read_expectations

if TYPE_CHECKING:
    from pandas.io.formats.style import Styler


def expectations_of_all(root: Path, names: Iterable[str]) -> dict[str, Expectations]:
    """Return by notebook what its last run was held against; those that have not run are left out.

    Args:
        root: The repository.
        names: Of the notebooks.
    """
    found = {name: read_expectations(root / "reports" / name) for name in names}
    return {name: expectations for name, expectations in found.items() if expectations}


def departures_in_words(found: dict[str, Expectations]) -> list[str]:
    """Say in how many measures runs depart, and then a line for each; nothing if none does."""
    lines = [f"  {name}: {one.told}" for name, kept in found.items() for one in kept.departures]
    lines += [
        f"  {name} ran with other parameters than its notebook's: {'; '.join(kept.differs)}"
        for name, kept in found.items()
        if kept.departures and kept.differs
    ]
    count = sum(len(kept.departures) for kept in found.values())
    of = sum(len(kept.held) for kept in found.values())
    told = f"{count} of {of} measures depart from what the committed runs found:"
    return [told, *lines] if count else []


def expectations_table(expectations: Expectations) -> Styler:
    """Tabulate what is expected and what was found, and say where the run has other parameters."""
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
    """Say what a page must tell beside the answer; nothing of a run like the committed one."""
    if not expectations.departures and not expectations.differs:
        return ""
    return describe_departures(expectations)


def describe_departures(expectations: Expectations) -> str:
    """Say in how many measures a run departs, and in which parameters it differs."""
    departing = len(expectations.departures) or "none"
    found = f"This run departs from {departing} of {len(expectations.held)} expectations"
    if not expectations.differs:
        return f"{found}."
    return (
        f"{found}; they are of the notebook's own parameters, and here "
        f"{'; '.join(expectations.differs)}."
    )
