"""The common style of all figures."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH = 8.0
"""Width of a figure in inches."""

FLOOR = 1e-17
"""Where a logarithmic axis shows 0."""


def make_axes(rows: int, columns: int, height: float, **options: Any) -> tuple[Figure, np.ndarray]:
    """Return a closed figure in this style and its axes, rows by columns."""
    plt.rcdefaults()  # a matplotlibrc of one's own has no say
    sns.set_theme(style="ticks", context="notebook", palette="colorblind", font_scale=0.85)
    size = (WIDTH, height)
    figure, axes = plt.subplots(
        rows, columns, figsize=size, layout="constrained", squeeze=False, **options
    )
    plt.close(figure)
    return figure, axes


def make_logarithmic(axis: Axes, which: str, values: np.ndarray) -> None:
    """Make the axis ``x`` or ``y`` logarithmic if there is a number above 0 to show on it."""
    if (np.isfinite(values) & (values > 0)).any():
        axis.set(**{f"{which}scale": "log"})


def show_from_floor(axis: Axes) -> None:
    """Make the x axis logarithmic, with 0 at :data:`FLOOR`."""
    axis.set_xscale("log")
    ticks = [FLOOR, 1e-12, 1e-8, 1e-4, 1.0]
    axis.set_xticks(ticks, ["0", *[f"$10^{{{round(np.log10(t))}}}$" for t in ticks[1:-1]], "1"])
    axis.minorticks_off()
