"""Figures of two ways to the same result: what they count, and what they took."""

from __future__ import annotations

import numpy as np
import seaborn as sns
import xarray as xr
from matplotlib.figure import Figure

from experiments.cost.words import describe_ratios
from experiments.shared.words import describe_passed
from lstm_states.plots.style import make_axes

_COLORS = ("C3", "C0")
"""Of the costlier way and of the other."""


def plot_counted(costs: xr.Dataset, passed: xr.DataArray) -> Figure:
    """Plot what two ways count in each case, and whether a limit of time or memory was passed.

    Args:
        costs: With ``counted (case, way)``, which has ``long_name`` and ``units``.
        passed: ``(model)``, the cases, 1 where the limit was passed; with ``long_name``.
    """
    counted = costs["counted"]
    rows = np.arange(counted.sizes["case"])
    figure, axes = make_axes(1, 1, 1.4 + 0.7 * len(rows))
    axis = axes[0, 0]
    for column, way in enumerate(counted["way"].values):
        values = counted.sel(way=way).values
        place = rows + 0.38 * (column - 0.5)
        axis.barh(place, values, 0.36, color=_COLORS[column], label=way)
        for y, value in zip(place, values, strict=True):
            axis.annotate(
                f"{value:,.0f}", (value, y), xytext=(4, 0), textcoords="offset points",
                va="center", fontsize="small",
            )  # fmt: skip
    words = ["limit passed" if value else "limit not passed" for value in passed.values]
    labels = [f"{case}\n{word}" for case, word in zip(costs["case"].values, words, strict=True)]
    axis.set_yticks(rows, labels)
    axis.invert_yaxis()
    axis.set_xlim(0, 1.15 * float(counted.max()))
    axis.xaxis.set_major_formatter("{x:,.0f}")
    axis.tick_params(axis="y", length=0)
    about = counted.attrs
    unit = "" if about["units"] == "1" else f" ({about['units']})"
    axis.set(title=describe_passed(passed), xlabel=f"{about['long_name']}{unit}")
    axis.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    sns.despine(figure, left=True)
    return figure


def plot_taken(taken: xr.DataArray) -> Figure:
    """Plot every round of two ways in each case, a line at the median.

    Args:
        taken: ``(case, way, round)``, with ``long_name`` and ``units``.
    """
    rows = np.arange(taken.sizes["case"])
    figure, axes = make_axes(1, 1, 1.4 + 0.7 * len(rows))
    axis = axes[0, 0]
    for column, way in enumerate(taken["way"].values):
        for row in rows:
            values = taken.isel(case=row, way=column).values
            y = np.full(len(values), row + 0.38 * (column - 0.5))
            axis.plot(values, y, "|", ms=9, color=_COLORS[column], label=None if row else way)
            axis.plot(np.median(values), y[0], "|", ms=18, mew=2, color="0.1")
    axis.set_yticks(rows, taken["case"].values)
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.set_xlim(0, 1.05 * float(taken.max()) or 1.0)
    axis.tick_params(axis="y", length=0)
    about = taken.attrs
    xlabel = f"{about['long_name']} ({about['units']}); black: median"
    axis.set(title=describe_ratios(taken), xlabel=xlabel)
    axis.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    sns.despine(figure, left=True)
    return figure
