"""Figures of masks and of encodings of missing numbers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import seaborn as sns
import xarray as xr
from matplotlib.figure import Figure

from experiments.masking.words import describe_handover
from experiments.shared.words import describe_evidence, describe_passed
from lstm_states.plots.style import make_axes

_FATES = ("handed on", "lost, with a warning", "lost silently")


def plot_handover(evidence: xr.Dataset) -> Figure:
    """Plot of each layer whether a mask gets past it.

    Args:
        evidence: ``mask_handed_on`` and ``warned``, 0 or 1, over ``model``, which are the layers.
    """
    names = evidence["model"].values
    figure, axes = make_axes(1, 1, 1.2 + 0.26 * len(names))
    axis = axes[0, 0]
    handed_on, warned = (evidence[name].values == 1 for name in ("mask_handed_on", "warned"))
    fate = np.where(handed_on, 0, np.where(warned, 1, 2))
    for column, color in enumerate(("C2", "C1", "C3")):
        rows = np.flatnonzero(fate == column)
        axis.plot(np.full(len(rows), column), rows, "o", ms=8, color=color)
    axis.set_xticks(range(len(_FATES)), _FATES)
    axis.set_yticks(range(len(names)), names)
    axis.set(xlabel="the mask", xlim=(-0.5, 2.5), ylim=(len(names) - 0.5, -0.5))
    axis.set_title(describe_handover(evidence))
    axis.grid(axis="y", color="0.9")
    sns.despine(figure, left=True)
    return figure


def plot_masks(masks: Mapping[str, np.ndarray], taken: xr.DataArray) -> Figure:
    """Draw masks, coloured by whether they are taken.

    Args:
        masks: By kind, ``(sample, time)``, true where a step is real.
        taken: 0 or 1 over ``model``, which are the kinds, with ``long_name``.
    """
    figure, axes = make_axes(1, 1, 1.2 + 0.5 * len(masks))
    axis = axes[0, 0]
    for place, (kind, mask) in enumerate(masks.items()):
        color = "C2" if float(taken.sel(model=kind)) == 1 else "C3"
        rows = place + np.linspace(0.1, 0.9, len(mask) + 1)
        shades = sns.light_palette(color, as_cmap=True)
        columns = np.arange(mask.shape[1] + 1)
        axis.pcolormesh(
            columns, rows, mask, vmin=0, vmax=1, cmap=shades, edgecolors="white", lw=1.5
        )
    axis.set_yticks(np.arange(len(masks)) + 0.5, list(masks))
    steps = max(mask.shape[1] for mask in masks.values())
    axis.set_xticks(np.arange(steps) + 0.5, range(steps))
    axis.tick_params(length=0)
    axis.set(ylim=(len(masks), 0), xlabel="step; dark: real, green: cuDNN accepts the mask")
    axis.set_title(describe_passed(taken))
    sns.despine(figure, left=True, bottom=True)
    return figure


def plot_encodings(errors: xr.Dataset, complete: xr.Dataset, zeros: xr.Dataset) -> Figure:
    """Plot the error with each encoding, one row each, beside that on complete data.

    Args:
        errors: ``test (encoding, seed)`` and ``ridge (encoding)``, mean squared errors of a
            standardised target.
        complete: The same with one entry, where nothing is missing.
        zeros: How zeros did beside the best encoding, a variable over ``model``.
    """
    names = errors["encoding"].values
    rows = np.arange(len(names))
    figure, axes = make_axes(1, 1, 1.6 + 0.4 * len(names))
    axis = axes[0, 0]
    test, bound = errors["test"], complete["test"].values
    if np.isfinite(bound).all():  # else a training diverged
        axis.axvspan(bound.min(), bound.max(), color="0.88", label="LSTM stack, nothing missing")
    for seed in range(test.sizes["seed"]):
        label = "" if seed else "LSTM stack, each seed"
        axis.plot(test[:, seed], rows, "|", ms=11, mew=1.4, color="C0", label=label)
    axis.plot(test.median("seed"), rows, "o", ms=6, color="C3", label="its median")
    axis.plot(errors["ridge"], rows, "D", ms=5, color="C2", label="ridge on the same")
    axis.set_yticks(rows, names)
    [measure] = map(str, zeros.data_vars)
    axis.set(ylim=(len(names) - 0.5, -0.5), ylabel="value in place of a missing one",
             xlabel="mean squared error on the test part (variances of the target)",
             title=describe_evidence(zeros, measure))  # fmt: skip
    axis.grid(axis="y", color="0.9")
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    sns.despine(figure, left=True)
    return figure
