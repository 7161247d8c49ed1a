"""Figures of how states are carried from batch to batch."""

from __future__ import annotations

import seaborn as sns
import xarray as xr
from matplotlib.figure import Figure

from experiments.shared.words import describe_evidence
from lstm_states.plots.style import make_axes


def plot_border_gradients(gradients: xr.Dataset, border: xr.Dataset) -> Figure:
    """Plot the gradient by each step of a sequence that is cut in two, a panel for each carry.

    Args:
        gradients: ``gradient (model, carry, step)``, steps counted from the border.
        border: What ``measure_truncation`` found in them; it gives the title.
    """
    carries = gradients["carry"].values
    figure, axes = make_axes(1, len(carries), 3.4, sharex=True, sharey=True)
    steps = gradients["step"].values
    for axis, carry in zip(axes[0], carries, strict=True):
        for model in gradients["model"].values:
            trained = model == "trained"
            values = gradients["gradient"].sel(model=model, carry=carry)
            for part in (steps < 0, steps >= 0):
                axis.plot(
                    steps[part], values[part], "o-", ms=4 if trained else 2,
                    lw=2.2 if trained else 1.0, color="C3" if trained else "C0",
                    zorder=3 if trained else 2, clip_on=False, label=model,
                )  # fmt: skip
        axis.axvline(-0.5, color="0.4", ls=":", lw=1.2)
        axis.text(0.5, 1.0, carry, transform=axis.transAxes, ha="center", va="bottom")
        axis.set_xlabel("step, from the border")
    axes[0, 0].set_ylabel("gradient of the last h\nby the input of a step")
    axes[0, 0].set_ylim(bottom=0, top=1.05 * float(gradients["gradient"].max()))
    figure.suptitle(describe_evidence(border, "gradient_before_stateful"))
    others = gradients.sizes["model"] - 1
    if others:
        figure.supxlabel(f"thick: trained weights; thin: {others} random ones", fontsize="small")
    sns.despine(figure)
    return figure
