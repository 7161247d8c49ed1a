"""Texts and tables that all reports share, computed from measured values."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import xarray as xr
from pandas.io.formats.style import Styler

from experiments.data.schema import PARTS
from notebook_pipeline.conditions import span


def describe_data(samples: xr.Dataset) -> str:
    """Say in Markdown what data this is and how many samples each part holds."""
    counts = [int((samples["part"] == index).sum()) for index in range(len(PARTS))]
    shown = ", ".join(f"{count:,} {name}" for name, count in zip(PARTS, counts, strict=True))
    return (
        f"**{samples.attrs['title']}**, target `{samples.attrs['target']}`: {shown} samples of "
        f"{samples.sizes['feature']} features. {samples.attrs['description']} "
        f"Source: {samples.attrs['source']}."
    )


def describe_evidence(evidence: xr.Dataset, name: str) -> str:
    """Say what one measure is and what its values are."""
    values = evidence[name]
    return f"{values.attrs['long_name']}: {span(values.values.tolist())}"


def describe_passed(passed: xr.DataArray) -> str:
    """Say of a limit in which cases it is passed, given 0 or 1 for each."""
    return passed_in_words(passed.attrs["long_name"], passed.to_series().to_dict())


def passed_in_words(limit: str, cases: Mapping[str, float]) -> str:
    """Say in which cases a limit is passed, given its words and 0 or 1 by case."""
    sides = [
        f"{word} ({', '.join(names)})"
        for word, passed in (("yes", 1), ("no", 0))
        if (names := [case for case, value in cases.items() if value == passed])
    ]
    return f"{limit}: {'; '.join(sides)}"


def evidence_table(evidence: xr.Dataset, here: Mapping[str, float] | None = None) -> Styler:
    """Tabulate what was measured, a row per measure.

    Args:
        evidence: Variables over ``model``, each with ``long_name``.
        here: What a cell found itself on one model, by variable; a column of its own.

    Raises:
        KeyError: if one of ``here`` is no variable of ``evidence``.
    """
    table = pd.DataFrame(
        {"measured": v.attrs["long_name"], "value": span(v.values.tolist())}
        for v in evidence.data_vars.values()
    )
    if here is not None:
        found = {evidence[name].name: span([float(value)]) for name, value in here.items()}
        table.insert(1, "in this cell", [found.get(name, "") for name in evidence.data_vars])
        table = table.rename(columns={"value": "on all stacks"})
    return table.style.hide()
