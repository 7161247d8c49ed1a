"""A figure of the direct effects in a stack that is unrolled over some steps."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.how_states_flow.words import describe_arrows
from experiments.shared.evidence import MOVED
from lstm_states.plots.style import make_axes

_WIDTH = 3.0
"""From one step to the next."""

_LAYERS = {"layer 1": (0.0, 1.0), "layer 2": (0.0, 3.0), "output": (0.0, 5.0)}
_STATES = {
    "x(t)": (0.0, -0.4),
    "h1(t)": (1.25, 2.0), "c1(t)": (1.5, 1.0), "h2(t)": (1.25, 4.0), "c2(t)": (1.5, 3.0),
}  # fmt: skip
"""Where layers and states of the first step are drawn."""

_GIVEN_BY = {"h1(t)": "layer 1", "c1(t)": "layer 1", "h2(t)": "layer 2", "c2(t)": "layer 2"}


def plot_arrows(moves: xr.Dataset) -> Figure:
    """Draw a two-layer stack, unrolled: an arrow where a source moved a target, in all models.

    Args:
        moves: What ``measure_arrows`` returned.
    """
    figure, axes = make_axes(1, 1, 6.0)
    axis = axes[0, 0]
    steps = [int(step) for step in moves["step"].values]
    least, most = moves["move"].min("model"), moves["move"].max("model")
    for source in moves["source"].values:
        for target in moves["target"].values:
            for step in steps:
                at = {"source": source, "target": target, "step": step}
                value = float(most.sel(at))
                if not np.isnan(value):
                    reaches = float(least.sel(at)) > MOVED
                    _arrow(axis, source, target, step, value, reaches=reaches)
    for step in steps:
        _layers(axis, step)
    for step in (-1, *steps):
        _states(axis, step)
    axis.set(title=describe_arrows(moves), xlim=(-2.3, _WIDTH * len(steps) - 0.9), ylim=(-0.8, 5.3))
    axis.axis("off")
    return figure


def _layers(axis: Axes, step: int) -> None:
    """Draw the layers of a step, joined with the states that they give."""
    for state, layer in _GIVEN_BY.items():
        ends = zip(_at(_LAYERS[layer], step), _at(_STATES[state], step), strict=True)
        axis.plot(*ends, color="0.6", lw=1.2, zorder=1)
    box = {"boxstyle": "round,pad=0.5", "fc": "0.93", "ec": "0.3"}
    for name, place in _LAYERS.items():
        at = _at(place, step)
        axis.text(*at, name, weight="bold", bbox=box, ha="center", va="center", zorder=4)


def _states(axis: Axes, step: int) -> None:
    """Draw the states after a step, and its input; before the first step the states alone."""
    box = {"boxstyle": "round,pad=0.25", "fc": "white", "ec": "0.6"}
    when = {-1: "t−1", 0: "t"}.get(step, f"t+{step}")
    for name, place in _STATES.items():
        if step >= 0 or name in _GIVEN_BY:
            shown, at = name.replace("(t)", f"({when})"), _at(place, step)
            axis.text(*at, shown, bbox=box, ha="center", va="center", zorder=4, fontsize="small")


def _at(place: tuple[float, float], step: int) -> tuple[float, float]:
    return place[0] + step * _WIDTH, place[1]


def _arrow(axis: Axes, source: str, target: str, step: int, value: float, *, reaches: bool) -> None:
    """Draw an arrow labelled with the largest move; a broken line for none."""
    state = source.replace("(t-1)", "(t)")
    x0, y0 = _at(_STATES[state], step - (state != source))
    x1, y1 = _at(_LAYERS[target], step)
    around = source == "x(t)" and target == "layer 2"  # not through layer 1
    color = "C0" if reaches else "C3"
    axis.annotate(
        "", (x1, y1), (x0, y0), zorder=1,
        arrowprops={
            "arrowstyle": "-|>", "mutation_scale": 12, "shrinkA": 9, "shrinkB": 19,
            "color": color, "lw": 1.4, "linestyle": "-" if reaches else (0, (3, 2)),
            "connectionstyle": f"arc3,rad={-0.35 if around else 0}",
        },
    )  # fmt: skip
    place = ((x0 + x1) / 2 - (0.62 if around else 0), (y0 + y1) / 2)
    axis.text(
        *place, f"{value:.1g}" if reaches else "0", color=color, fontsize="x-small", zorder=3,
        ha="center", va="center", bbox={"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none"},
    )  # fmt: skip
