"""Word the answer from the measured values."""

from __future__ import annotations

import numpy as np
import xarray as xr

from experiments.cost.costs import LIMITS
from experiments.shared.evidence import Kept, values_of
from experiments.shared.words import passed_in_words
from notebook_pipeline.conditions import span


def answer(kept: Kept) -> str:
    """Say in Markdown which limits are passed in which cases, and that results are the same."""
    passed = [passed_in_words(limit.says, kept[name]["values"]) for name, limit in LIMITS.items()]
    apart = max(values_of(kept, *(f"{name}_apart" for name in LIMITS)))
    return (
        f"**Answer.** {'. '.join(passed)}. The results of the two ways differ by at most "
        f"{span([apart])}."
    )


def describe_ratios(taken: xr.DataArray) -> str:
    """Say how the medians of two ways compare, given ``(case, way, round)``."""
    costly, frugal = taken.median("round").transpose("way", "case").values
    # What took nothing measurable is compared with nothing.
    frugal = np.where(frugal == 0, np.nan, frugal)
    shown = [
        f"{span([ratio])} ({case})"
        for case, ratio in zip(taken["case"].values, costly / frugal, strict=True)
    ]
    first, second = taken["way"].values
    return f"{taken.attrs['long_name']}, {first} to {second}: {', '.join(shown)}"
