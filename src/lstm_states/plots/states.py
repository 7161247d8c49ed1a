"""Figures of traces: states and gates."""

from __future__ import annotations

import numpy as np
import seaborn as sns
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lstm_states.cells import GATES, LSTM, QUANTITIES, layers_of
from lstm_states.plots.style import make_axes

_TITLES = {name: text.partition(",")[0] for name, text in LSTM.long_names.items()}
"""Such as ``cell state c``."""


def plot_states(traces: xr.DataTree, *, sample: int, title: str) -> Figure:
    """Plot every quantity of every layer for one sample: units down, time across.

    Units are sorted by their mean forget gate, with the longest memory at the top. Gates are blank
    at masked steps.

    Args:
        traces: A tree from ``record_traces``.
        sample: Index of the sample.
        title: The title, which states the finding.
    """
    layers = layers_of(traces)
    figure, axes = make_axes(len(QUANTITIES), len(layers), 8.2, sharex=True)
    for column, (name, node) in enumerate(layers.items()):
        one = node.isel(sample=sample)
        order = np.argsort(-one["forget_gate"].mean("time").values)
        for row, quantity in enumerate(QUANTITIES):
            _heatmap(figure, axes[row, column], one[quantity].values[:, order].T, quantity)
            if column == 0:
                axes[row, 0].set_ylabel(_TITLES[quantity].replace(" ", "\n", 1))
        axes[0, column].set_title(f"{name}, {node.sizes['unit']} units")
        axes[-1, column].set_xlabel("timestep")
    figure.suptitle(title)
    return figure


def _heatmap(figure: Figure, axis: Axes, values: np.ndarray, quantity: str) -> None:
    gate = quantity in GATES and quantity != "candidate"
    sizes = np.abs(values[np.isfinite(values)])
    limit = 1.0 if gate or not sizes.any() else float(np.quantile(sizes, 0.99)) or 1.0
    image = axis.imshow(
        values, aspect="auto", interpolation="nearest", cmap="mako" if gate else "vlag",
        vmin=0.0 if gate else -limit, vmax=limit,
    )  # fmt: skip
    axis.set_facecolor("0.9")
    axis.set_yticks([])
    bar = figure.colorbar(image, ax=axis, pad=0.01, fraction=0.05)
    bar.set_ticks([0.0, 0.5, 1.0] if gate else [-limit, 0, limit])
    bar.ax.set_yticklabels(["0", "½", "1"] if gate else [f"{-limit:.1f}", "0", f"{limit:.1f}"])


def plot_gates(traces: xr.DataTree, *, title: str) -> Figure:
    """Plot the distribution of each gate and state over samples, real steps and units, by layer.

    Args:
        traces: A tree from ``record_traces``.
        title: The title, which states the finding.
    """
    figure, axes = make_axes(2, 3, 4.4)
    for axis, quantity in zip(axes.flat, QUANTITIES, strict=True):
        for number, (name, node) in enumerate(layers_of(traces).items()):
            values = node[quantity].where(node["mask"]).values
            values = values[np.isfinite(values)]
            if not values.size:  # a training that diverged leaves no number
                continue
            # The tails of the cell state reach far; they are too thin to see.
            inner = np.quantile(values, [0.002, 0.998])
            density, edges = np.histogram(values, bins=60, range=inner, density=True)
            middles = (edges[1:] + edges[:-1]) / 2
            axis.fill_between(middles, density, alpha=0.3, color=f"C{number}", lw=0)
            axis.plot(middles, density, color=f"C{number}", lw=1.2, label=name)
        axis.set(title=_TITLES[quantity], xlabel="value", yticks=[])
        axis.set_ylim(bottom=0)
    axes[0, 0].set_ylabel("density")
    axes[1, 0].set_ylabel("density")
    axes[0, 0].legend(frameon=False, fontsize="small")
    figure.suptitle(title)
    sns.despine(figure, left=True)
    return figure


def plot_norms(traces: xr.DataTree, *, title: str) -> Figure:
    """Plot the root mean square of h and c over the units, by step and layer: median and quartiles.

    For a ConvLSTM, the mean includes its spatial positions.

    Args:
        traces: A tree from ``record_traces``.
        title: The title, which states the finding.
    """
    figure, axes = make_axes(1, 2, 2.9)
    for axis, quantity in zip(axes[0], ("hidden", "cell"), strict=True):
        for number, (name, node) in enumerate(layers_of(traces).items()):
            inner = set(node[quantity].dims) - {"sample", "time"}
            norm = (node[quantity].where(node["mask"]) ** 2).mean(inner) ** 0.5
            low, middle, high = norm.quantile([0.25, 0.5, 0.75], "sample").values
            steps = np.arange(len(middle))
            axis.fill_between(steps, low, high, color=f"C{number}", alpha=0.25, lw=0)
            axis.plot(steps, middle, color=f"C{number}", label=name)
        axis.set(title=_TITLES[quantity], xlabel="timestep")
        axis.set_ylim(bottom=0)
    axes[0, 0].set_ylabel("root mean square over units")
    axes[0, 0].legend(frameon=False)
    figure.suptitle(title)
    sns.despine(figure)
    return figure


def plot_padding(traces: xr.DataTree, *, sample: int, units: int = 6, title: str) -> Figure:
    """Plot the cell states of a padded sample, which stay constant through the shaded padding.

    Args:
        traces: A tree from ``record_traces``.
        sample: Index of a sample with masked steps.
        units: Number of units to show per layer, those with the largest states.
        title: The title, which states the finding.
    """
    layers = layers_of(traces)
    figure, axes = make_axes(1, len(layers), 2.9)
    for axis, (name, node) in zip(axes[0], layers.items(), strict=True):
        one = node.isel(sample=sample)
        cells = one["cell"].values.reshape(one.sizes["time"], -1)
        largest = np.argsort(-np.abs(cells).max(axis=0))[:units]
        axis.plot(cells[:, largest], lw=1.3, drawstyle="steps-post")
        for step in np.flatnonzero(~one["mask"].values):
            axis.axvspan(step, step + 1, color="0.9", lw=0, zorder=0)
        axis.set(title=f"{name}, {len(largest)} of {cells.shape[1]} units", xlabel="timestep")
        axis.margins(x=0)
    axes[0, 0].set_ylabel("cell state c")
    figure.suptitle(title)
    sns.despine(figure)
    return figure
