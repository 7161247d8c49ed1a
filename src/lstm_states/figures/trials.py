"""Figures of the evidence that trials measured."""

from __future__ import annotations

import textwrap

import numpy as np
import seaborn as sns
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lstm_states.figures.style import make_axes
from lstm_states.schema import MOVED

FLOOR = 1e-17
"""Where a logarithmic axis shows 0."""

_LAYERS = {"layer 1": (2.0, 1.0), "layer 2": (2.0, 2.6), "output": (2.0, 4.2)}
_STATES = {
    "x(t)": (2.0, 0.1),
    "h1(t-1)": (0.4, 0.8), "c1(t-1)": (0.4, 1.2), "h2(t-1)": (0.4, 2.4), "c2(t-1)": (0.4, 2.8),
    "h1(t)": (2.0, 1.85), "c1(t)": (3.4, 1.5), "h2(t)": (2.0, 3.45), "c2(t)": (3.4, 3.1),
}  # fmt: skip
_GIVEN_BY = {"h1(t)": "layer 1", "c1(t)": "layer 1", "h2(t)": "layer 2", "c2(t)": "layer 2"}


def plot_evidence(evidence: xr.Dataset, *, title: str) -> Figure:
    """Plot what was measured on each model, one row a measure, on a logarithmic axis.

    Args:
        evidence: Variables over ``model``, each with ``long_name``.
        title: The finding.
    """
    names = list(evidence.data_vars)
    figure, axes = make_axes(1, 1, 1.1 + 0.5 * len(names))
    axis = axes[0, 0]
    values = np.array([evidence[name].values for name in names])
    shown = np.maximum(np.abs(values), FLOOR)
    for column, model in enumerate(evidence["model"].values):
        trained = model == "trained"
        axis.plot(
            shown[:, column], range(len(names)), "o" if trained else "|", ms=6 if trained else 11,
            mew=1.4, color="C3" if trained else "C0", zorder=3 if trained else 2, label=model,
        )  # fmt: skip
    axis.set_xscale("log")
    axis.set_xlim(FLOOR / 3, max(10.0, 3 * shown.max()))
    ticks = [FLOOR, 1e-12, 1e-8, 1e-4, 1.0]
    axis.set_xticks(ticks, ["0", *[f"$10^{{{round(np.log10(t))}}}$" for t in ticks[1:-1]], "1"])
    axis.minorticks_off()
    labels = [textwrap.fill(evidence[name].attrs["long_name"], 44) for name in names]
    axis.set_yticks(range(len(names)), labels)
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.grid(axis="y", color="0.9")
    models = evidence.sizes["model"] - 1
    seeds = f"; dot: trained weights, ticks: {models} random ones" if models else ""
    axis.set(title=title, xlabel=f"largest difference{seeds}")
    sns.despine(figure, left=True)
    return figure


def plot_arrows(moves: xr.Dataset, *, title: str) -> Figure:
    """Draw a two-layer stack in one step: an arrow where a source moved a target, in all models.

    Args:
        moves: What ``measure_arrows`` returned.
        title: The finding.
    """
    figure, axes = make_axes(1, 1, 6.0)
    axis = axes[0, 0]
    for state, layer in _GIVEN_BY.items():
        axis.plot(*zip(_LAYERS[layer], _STATES[state], strict=True), color="0.6", lw=1.2, zorder=1)
    least, most = moves["move"].min("model"), moves["move"].max("model")
    for source in moves["source"].values:
        for target in moves["target"].values:
            value = float(most.sel(source=source, target=target))
            if not np.isnan(value):
                reaches = float(least.sel(source=source, target=target)) > MOVED
                _arrow(axis, source, target, value, reaches=reaches)
    box = {"boxstyle": "round,pad=0.5", "fc": "0.93", "ec": "0.3"}
    for name, place in _LAYERS.items():
        axis.text(*place, name, weight="bold", bbox=box, ha="center", va="center", zorder=4)
    box = {"boxstyle": "round,pad=0.25", "fc": "white", "ec": "0.6"}
    for name, place in _STATES.items():
        shown = name.replace("-", "−")
        axis.text(*place, shown, bbox=box, ha="center", va="center", zorder=4)
    axis.set(title=title, xlim=(0, 4), ylim=(-0.1, 4.5))
    axis.axis("off")
    return figure


def _arrow(axis: Axes, source: str, target: str, value: float, *, reaches: bool) -> None:
    """Draw an arrow labelled with the largest move; a broken line for none."""
    (x0, y0), (x1, y1) = _STATES[source], _LAYERS[target]
    around = source == "x(t)" and target == "layer 2"  # not through layer 1
    color = "C0" if reaches else "C3"
    axis.annotate(
        "", (x1, y1), (x0, y0), zorder=1,
        arrowprops={
            "arrowstyle": "-|>", "mutation_scale": 14, "shrinkA": 12, "shrinkB": 22,
            "color": color, "lw": 1.6, "linestyle": "-" if reaches else (0, (3, 2)),
            "connectionstyle": f"arc3,rad={0.5 if around else 0}",
        },
    )  # fmt: skip
    place = ((x0 + x1) / 2 + (0.45 if around else 0.06), (y0 + y1) / 2 + 0.03)
    axis.text(*place, f"{value:.1g}" if reaches else "0", color=color, fontsize="small")
