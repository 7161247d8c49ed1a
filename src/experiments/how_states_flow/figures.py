"""A figure of the direct effects in one step of a stack."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.shared.evidence import MOVED
from lstm_states.plots.style import make_axes

_LAYERS = {"layer 1": (2.0, 1.0), "layer 2": (2.0, 2.6), "output": (2.0, 4.2)}


_STATES = {
    "x(t)": (2.0, 0.1),
    "h1(t-1)": (0.4, 0.8), "c1(t-1)": (0.4, 1.2), "h2(t-1)": (0.4, 2.4), "c2(t-1)": (0.4, 2.8),
    "h1(t)": (2.0, 1.85), "c1(t)": (3.4, 1.5), "h2(t)": (2.0, 3.45), "c2(t)": (3.4, 3.1),
}  # fmt: skip


_GIVEN_BY = {"h1(t)": "layer 1", "c1(t)": "layer 1", "h2(t)": "layer 2", "c2(t)": "layer 2"}


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
