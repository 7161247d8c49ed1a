"""Figures of the duration of states, the reach of gradients, and the learning results."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import seaborn as sns
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.memory.variants import VARIANTS
from experiments.memory.words import describe_errors, describe_recall, describe_slopes
from experiments.shared.words import describe_evidence
from lstm_states.plots.style import make_axes, make_logarithmic


def plot_recall(sweep: xr.Dataset) -> Figure:
    """Plot how a change of c fades at each forget bias, and its half-life.

    Args:
        sweep: ``change (forget_bias, model, layer, step)``, ``half_life`` and ``predicted
            (forget_bias, model, layer)``, of one layer.
    """
    figure, axes = make_axes(1, 2, 4.3)
    figure.suptitle(describe_recall(sweep))
    sweep = sweep.squeeze("layer", drop=True)
    fading, lives = axes[0]
    biases = sweep["forget_bias"].values
    colors = sns.color_palette("viridis", len(biases))
    for bias, color in zip(biases, colors, strict=True):
        curve = sweep["change"].sel(forget_bias=bias).median("model")
        fading.plot(curve, color=color, lw=1.6, label=f"{bias:g}".replace("-", "−"))
    fading.axhline(0.5, color="0.6", lw=1, ls="--")
    fading.set(xlabel="steps after the change", ylabel="remaining share\nof a change of c")
    left = sweep["change"].median("model").values
    fading.set_ylim(0, 1.1 * left.max(where=np.isfinite(left), initial=1.0))
    figure.legend(*fading.get_legend_handles_labels(), title="forget bias", frameon=False,
                  loc="outside lower center", ncols=len(biases))  # fmt: skip
    _half_lives(lives, sweep)
    sns.despine(figure)
    return figure


def _half_lives(axis: Axes, sweep: xr.Dataset) -> None:
    biases, most = sweep["forget_bias"].values, sweep.sizes["step"] - 1
    predicted = sweep["predicted"].median("model")
    axis.plot(biases, predicted, color="0.5", lw=1.4, label="predicted by the forget gates")
    for number, model in enumerate(sweep["model"].values):
        label = "measured, a seed each" if number == 0 else None
        measured = sweep["half_life"].sel(model=model)
        axis.plot(biases, measured, "o", color="C0", ms=5, alpha=0.6, mew=0, label=label)
    axis.axhline(most, color="0.6", lw=1, ls=":")
    axis.text(biases[0], most, f"{most} steps follow the change", va="bottom", color="0.4",
              fontsize="small")  # fmt: skip
    make_logarithmic(axis, "y", sweep["half_life"].values)
    axis.set(xlabel="forget bias", ylabel="half-life of c (steps)")
    axis.legend(frameon=False, loc="lower right", fontsize="small")


def plot_slopes_by_variant(panels: Mapping[str, xr.Dataset], kept: xr.Dataset) -> Figure:
    """Plot what is left of the gradient of each variant by lag.

    Args:
        panels: By the name of a panel ``slope (variant, model, lag)``. The first panel has all
            variants that there are.
        kept: What is left at the first step, as evidence.
    """
    return _plot_slopes(panels, "variant", title=describe_slopes(kept), labels=VARIANTS)


def plot_slopes_by_part(panels: Mapping[str, xr.Dataset], kept: xr.Dataset, whole: str) -> Figure:
    """Plot what is left of the gradient of each layer, and of the whole stack, by lag.

    Args:
        panels: By the name of a panel ``slope (part, model, lag)``.
        kept: What is left at the first step, as evidence.
        whole: The measure in it that the title states.
    """
    return _plot_slopes(panels, "part", title=describe_evidence(kept, whole), labels={})


def _plot_slopes(
    panels: Mapping[str, xr.Dataset], by: str, *, title: str, labels: Mapping[str, str]
) -> Figure:
    """Plot the median of the models and their range; lines are ``by``, called by ``labels``."""
    figure, axes = make_axes(1, len(panels), 4.4, sharey=True)
    names = list(next(iter(panels.values()))[by].values)
    for axis, (panel, slopes) in zip(axes[0], panels.items(), strict=True):
        kept = slopes["slope"] / slopes["slope"].isel(lag=0, drop=True)
        for name in slopes[by].values:
            line, color = kept.sel({by: name}), f"C{names.index(name)}"
            label = labels.get(name, name)
            axis.plot(line["lag"], line.median("model"), color=color, lw=1.6, label=label)
            axis.fill_between(line["lag"], line.min("model"), line.max("model"),
                              color=color, alpha=0.18, lw=0)  # fmt: skip
        make_logarithmic(axis, "y", kept.values)
        axis.set(title=panel, xlabel="lag (steps back from the last one)")
    axes[0, 0].set_ylabel("gradient of the last h by the input\n(relative to lag 0)")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center",
                  frameon=False, ncols=3)  # fmt: skip
    figure.suptitle(title)
    sns.despine(figure)
    return figure


def plot_errors(
    errors: xr.Dataset, *, labels: Mapping[str, str], baselines: Collection[str]
) -> Figure:
    """Plot the error on a task by the length of its sequences, a dot for each seed.

    Args:
        errors: ``error (predictor, length, model)``, NaN where a variant
            was not trained; and ``whole (length)``, whether all of them were.
        labels: What each predictor is, in words.
        baselines: Predictors that are drawn in grey.
    """
    figure, axes = make_axes(1, 1, 4.2)
    axis = axes[0, 0]
    apart = np.linspace(0.97, 1.03, len(labels))  # dots of one length don't cover each other
    for number, (name, label) in enumerate(labels.items()):
        line = errors["error"].sel(predictor=name).dropna("length")
        plain = name in baselines
        color, style = ("0.5", ":") if plain else (f"C{number}", "-")
        lengths = line["length"].values * apart[number]
        axis.plot(lengths, line.median("model"), color=color, lw=1.4, ls=style, label=label)
        dots = line.transpose("length", "model").values
        axis.plot(lengths, dots, "o", color=color, ms=4.5, alpha=0.6, mew=0)
    make_logarithmic(axis, "y", errors["error"].values)
    title = describe_errors(errors, labels)
    axis.set(xscale="log", title=title, xlabel="length of a sequence (steps)")
    axis.set_ylabel("mean squared error on the test part\n(squared sum)")
    ticks = errors["length"].values
    axis.set_xticks(ticks, [str(tick) for tick in ticks])
    axis.minorticks_off()
    figure.legend(loc="outside right center", frameon=False)
    sns.despine(figure)
    return figure
