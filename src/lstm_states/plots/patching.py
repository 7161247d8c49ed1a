"""Figures of patch grids."""

from __future__ import annotations

import numpy as np
import seaborn as sns
import xarray as xr
from matplotlib.figure import Figure

from lstm_states.plots.style import make_axes


def plot_patch_grid(grid: xr.Dataset, *, title: str) -> Figure:
    """Plot the share of the output's difference that the states carry, at each step: a line a row.

    Args:
        grid: What ``record_patch_grid`` returns for a grid over ``time``, and maybe others.
        title: The title, which states the finding.

    Raises:
        ValueError: if the grid has no ``time``.
    """
    carried = grid["carried"]
    if "time" not in carried.dims:
        raise ValueError(f"grid has the dimensions {carried.dims}; a figure needs 'time'")
    others = [dim for dim in carried.dims if dim != "time"]
    rows = carried.stack(row=others).transpose("row", "time") if others else carried[np.newaxis]
    names = [", ".join(map(str, row)) for row in rows["row"].values] if others else ["all states"]
    figure, axes = make_axes(1, 1, 3.2)
    axis = axes[0, 0]
    for name, values in zip(names, rows.values, strict=True):
        axis.plot(grid["time"], values, label=name)
    axis.axhline(0, color="0.8", lw=1, zorder=0)
    axis.axhline(1, color="0.8", lw=1, zorder=0)
    axis.set(xlabel="patched timestep", ylabel="share of the difference", title=title)
    axis.margins(x=0)
    axis.legend(frameon=False)
    sns.despine(figure)
    return figure
