"""Figures of evidence: measured values by model or seed."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import seaborn as sns
import xarray as xr
from IPython.display import display
from matplotlib.figure import Figure

from experiments.shared.words import describe_evidence, evidence_table
from lstm_states.plots.style import FLOOR, make_axes, make_logarithmic, show_from_floor

if TYPE_CHECKING:
    from pandas.io.formats.style import Styler

    from notebook_pipeline.results import Results


def show_evidence(
    run: Results,
    name: str,
    evidence: xr.Dataset,
    measure: str | None = None,
    *,
    here: Mapping[str, float] | None = None,
) -> Figure | Styler | None:
    """Keep evidence and return what a cell shows of it: a figure, or a table.

    Args:
        run: The results of the notebook.
        name: Name of the figure.
        evidence: Variables over ``model``, each with ``long_name`` and ``units``.
        measure: The variable that the title of the figure states; without one, the table is shown.
        here: What the cell found itself on one model, by variable. It stands in the table beside
            the evidence; above a figure, the table of these variables is shown.

    Raises:
        KeyError: if ``measure`` or one of ``here`` is no variable of ``evidence``.
    """
    if measure is None:
        run.keep_evidence(name, evidence)
        return evidence_table(evidence, here)
    if here is not None:
        display(evidence_table(evidence[[*here]], here))
    title = describe_evidence(evidence, measure)
    return run.keep_evidence(name, evidence, plot_evidence(evidence, title=title))


def plot_evidence(evidence: xr.Dataset, *, title: str) -> Figure:
    """Plot measured values of each model, one row per measure, on a logarithmic axis.

    Args:
        evidence: Variables over ``model``, each with ``long_name``.
        title: The title, which states the finding.
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
    show_from_floor(axis)
    largest = shown.max(where=np.isfinite(shown), initial=0.0)
    axis.set_xlim(FLOOR / 3, max(10.0, 3 * largest))
    labels = [textwrap.fill(evidence[name].attrs["long_name"], 44) for name in names]
    axis.set_yticks(range(len(names)), labels)
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.grid(axis="y", color="0.9")
    models = evidence.sizes["model"] - 1
    seeds = f"; dot: trained weights, ticks: {models} random ones" if models else ""
    axis.set(title=title, xlabel=f"largest difference{seeds}")
    sns.despine(figure, left=True)
    return figure


def show_seeds(
    run: Results,
    name: str,
    evidence: xr.Dataset,
    measure: str,
    *,
    without: Collection[str] = (),
    **options: Any,
) -> Figure | None:
    """Keep evidence of stacks with several seeds, and return the figure that a cell shows of it.

    Args:
        run: The results of the notebook.
        name: Name of the figure.
        evidence: As for :func:`plot_seeds`.
        measure: The variable that the title states.
        without: Variables that are kept but not drawn.
        options: ``xlabel``, ``baselines`` and ``log`` of :func:`plot_seeds`.

    Raises:
        KeyError: if ``measure`` is no variable of ``evidence``.
    """
    title = describe_evidence(evidence, measure)
    figure = plot_seeds(evidence.drop_vars(without), title=title, **options)
    return run.keep_evidence(name, evidence, figure)


def plot_seeds(
    evidence: xr.Dataset,
    *,
    title: str,
    xlabel: str,
    baselines: Collection[str] = (),
    log: bool = False,
) -> Figure:
    """Plot measured values of each seed, one row per measure; a line marks the median.

    Args:
        evidence: Variables over ``model``, each with ``long_name``. A model called ``trained`` is
            highlighted; the seeds are then stacks with random weights.
        title: The title, which states the finding.
        xlabel: The measured quantity with its unit.
        baselines: Variables drawn in grey, because they are not LSTM stacks.
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
        make_logarithmic(axis, "x", evidence[names].to_dataarray().values)
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
