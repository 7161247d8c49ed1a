"""A claim's measured values against the limits of its rule."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lstm_states.plots.style import FLOOR, make_axes, show_from_floor

_HOLDS, _FAILS = "C2", "C3"
_OPPOSITE = {">": "<=", "<": ">=", ">=": "<", "<=": ">"}


def plot_rule(tests: Sequence[Mapping[str, Any]], *, title: str) -> Figure:
    """Plot what decided a claim, one row a test: every value, and where the claim holds and fails.

    Args:
        tests: Of one claim, as ``claims.decide`` returns them, those that were measured.
        title: The finding.
    """
    figure, axes = make_axes(len(tests), 1, 0.7 + 0.85 * len(tests))
    for axis, test in zip(axes[:, 0], tests, strict=True):
        values = np.array(list(test["values"].values()), float)
        values = values[np.isfinite(values)]
        limits = [float(test[key].split()[1]) for key in ("holds", "fails") if test[key]]
        low, high = _spread_axis(axis, [*values, *limits])
        sign, limit = test["holds"].split()
        _shade(axis, test["holds"], _HOLDS, low, high)
        _shade(axis, test["fails"] or f"{_OPPOSITE[sign]} {limit}", _FAILS, low, high)
        shown = np.maximum(values, FLOOR) if axis.get_xscale() == "log" else values
        axis.plot(shown, np.zeros(len(values)), "|", ms=14, mew=1.6, color="0.1")
        label = "\n".join(filter(None, (test["when"], test["says"])))
        wrapped = "\n".join(textwrap.fill(line, 46) for line in label.splitlines())
        axis.set_yticks([0], [wrapped])
        axis.tick_params(axis="y", length=0)
    axes[-1, 0].set_xlabel("measured values; green: the claim holds, orange: it fails")
    axes[0, 0].set_title(title)
    sns.despine(figure, left=True)
    return figure


def _spread_axis(axis: Axes, values: Sequence[float]) -> tuple[float, float]:
    """Give ``axis`` a scale that shows all ``values`` apart; return its ends."""
    smallest, largest = min(values), max(values)
    if smallest >= 0 and min((value for value in values if value > 0), default=1.0) < 0.01:
        low, high = FLOOR / 3, max(3 * largest, 1.0)
        show_from_floor(axis)
    else:
        margin = 0.15 * (largest - smallest or 1.0)
        low, high = smallest - margin, largest + margin
    axis.set_xlim(low, high)
    axis.set_ylim(-1, 1)
    return low, high


def _shade(axis: Axes, condition: str, color: str, low: float, high: float) -> None:
    """Shade where ``condition``, such as "> 1e-3", is satisfied."""
    sign, limit = condition.split()
    at = max(float(limit), low)
    start, end = (at, high) if sign.startswith(">") else (low, at)
    axis.axvspan(start, end, color=color, alpha=0.16, lw=0, zorder=0)
