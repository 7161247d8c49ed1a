"""Figures of what depth adds: a value for each seed, and how a change fades."""

from __future__ import annotations

import textwrap
from collections.abc import Collection

import numpy as np
import seaborn as sns
import xarray as xr
from matplotlib.figure import Figure

from lstm_states.figures.style import make_axes

FLAT = 0.02
"""Distance, relative to its peak, below which a curve is not drawn on."""


def plot_seeds(
    evidence: xr.Dataset,
    *,
    title: str,
    xlabel: str,
    baselines: Collection[str] = (),
    log: bool = False,
) -> Figure:
    """Plot what was measured for each seed, one row a measure; a line marks the median.

    Args:
        evidence: Variables over ``model``, each with ``long_name``. A model that is called
            ``trained`` is set apart: the seeds are then stacks with random weights.
        title: The finding.
        xlabel: What is measured, with its unit.
        baselines: Variables that are drawn in grey: no LSTM stack.
        log: Whether the axis is logarithmic.
    """
    names = [str(name) for name in evidence.data_vars]
    figure, axes = make_axes(1, 1, 1.2 + 0.42 * len(names))
    axis = axes[0, 0]
    trained = evidence["model"].values == "trained"
    for row, name in enumerate(names):
        values = evidence[name].values
        color = "0.5" if name in baselines else "C0"
        seeds = values[~trained]
        axis.plot(seeds, np.full(len(seeds), row), "o", ms=6, alpha=0.55, color=color, mew=0)
        axis.plot(np.median(seeds), row, "|", ms=18, mew=1.8, color=color)
        if trained.any() and name not in baselines:
            axis.plot(values[trained], [row], "D", ms=6, color="C3")
    if log:
        axis.set_xscale("log")
    labels = [textwrap.fill(evidence[name].attrs["long_name"], 46) for name in names]
    axis.set_yticks(range(len(names)), labels)
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.grid(axis="y", color="0.9")
    dots = "red: trained, dots: random weights" if trained.any() else "dots: seeds"
    grey = "; grey: no LSTM stack" if baselines else ""
    axis.set_xlabel(f"{xlabel}\n{dots}, line: their median{grey}")
    axis.set_title(title)
    sns.despine(figure, left=True)
    return figure


def plot_fading(distances: dict[str, xr.Dataset], *, title: str) -> Figure:
    """Plot how far h is from what it would have been after one input was changed.

    Args:
        distances: By the name of a panel, what ``measure_distances`` returned.
        title: The finding.
    """
    figure, axes = make_axes(1, len(distances), 3.4, sharex=True, sharey=True)
    seen = [
        np.flatnonzero((c["distance"] > FLAT).any(["model", "layer"])) for c in distances.values()
    ]
    axes[0, 0].set_xlim(0, max(steps.max() for steps in seen) + 1)
    for axis, (name, curves) in zip(axes[0], distances.items(), strict=True):
        for layer in curves["layer"].values:
            lines = curves["distance"].sel(layer=layer).values
            color = f"C{layer - 1}"
            for number, line in enumerate(lines):
                label = f"layer {layer}" if number == 0 else None
                axis.plot(line, color=color, lw=1.1, alpha=0.8, label=label)
        axis.axhline(np.exp(-1), color="0.6", lw=1, ls="--")
        axis.set(title=name, xlabel="steps after the changed one")
    axes[0, 0].set_ylabel("distance of h\n(relative to its peak)")
    axes[0, -1].text(1, np.exp(-1), "1/e ", ha="right", va="bottom", color="0.4",
                     transform=axes[0, -1].get_yaxis_transform())  # fmt: skip
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center",
                  frameon=False, ncols=2)  # fmt: skip
    figure.suptitle(title)
    sns.despine(figure)
    return figure
