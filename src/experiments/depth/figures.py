"""Figures of what depth adds: a value for each seed, and how a change fades."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import seaborn as sns
import xarray as xr
from matplotlib.figure import Figure

from experiments.depth.words import describe_by_layer
from experiments.shared.figures import plot_seeds
from lstm_states.plots.style import make_axes

FLAT = 0.02
"""Distance, relative to its peak, below which a curve is not drawn on."""


def plot_by_layer(
    evidence: xr.Dataset,
    measure: str,
    *,
    what: str,
    xlabel: str,
    baselines: Collection[str] = (),
    without: Collection[str] = (),
) -> Figure:
    """Plot what was measured of two layers, a dot for each seed, by ``plot_seeds``.

    Args:
        evidence: ``<measure>_layer_1``, ``<measure>_layer_2`` and others over ``model``.
        measure: Beginning of the names of what the title states.
        what: What that is, in words.
        xlabel: The measured quantity with its unit.
        baselines: Variables drawn in grey.
        without: Variables that are not drawn.
    """
    title = describe_by_layer(evidence, measure, what=what)
    return plot_seeds(evidence.drop_vars(without), title=title, xlabel=xlabel, baselines=baselines)


def plot_fading(distances: dict[str, xr.Dataset], scales: xr.Dataset, measure: str) -> Figure:
    """Plot how far h is from what it would have been after one input was changed.

    Args:
        distances: By the name of a panel, what ``measure_distances`` returned.
        scales: The time scales of these, as evidence.
        measure: Beginning of the names there; of several stacks, the title states the trained one.
    """
    figure, axes = make_axes(1, len(distances), 3.4, sharex=True, sharey=True)
    seen = [
        np.flatnonzero((c["distance"] > FLAT).any(["model", "layer"])) for c in distances.values()
    ]
    axes[0, 0].set_xlim(0, max(steps.max(initial=0) for steps in seen) + 1)
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
    trained = scales.sel(model=["trained"]) if "trained" in scales["model"] else scales
    what = "Time scale once trained, in steps"
    figure.suptitle(describe_by_layer(trained, measure, what=what))
    sns.despine(figure)
    return figure
