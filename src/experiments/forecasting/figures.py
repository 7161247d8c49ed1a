"""Figures of data, training and results."""

from __future__ import annotations

import numpy as np
import seaborn as sns
import xarray as xr
from matplotlib.dates import DateFormatter
from matplotlib.figure import Figure

from experiments.data.schema import PARTS
from experiments.forecasting.words import (
    describe_drift,
    describe_lead,
    describe_padding,
    describe_training,
    describe_warm_up,
)
from experiments.shared.scores import METRICS
from lstm_states.plots.style import make_axes


def plot_series(samples: xr.Dataset) -> Figure:
    """Plot the target over time, coloured by part; gaps are the embargo.

    Args:
        samples: ``y (sample)`` or ``(sample, time)``, ``part`` and ``end (sample)``.
    """
    figure, axes = make_axes(1, 1, 2.8)
    axis = axes[0, 0]
    y = samples["y"] if samples["y"].ndim == 1 else samples["y"].isel(time=-1)
    width = 100 if samples.sizes["sample"] > 200 else 1
    smoothed = f"; mean over {width} windows" if width > 1 else ""
    for index, name in enumerate(PARTS):
        part = y.where(samples["part"] == index, drop=True)
        values = part.values * samples.attrs["target_std"] + samples.attrs["target_mean"]
        span = min(width, len(values))
        smooth = np.convolve(values, np.ones(span) / span, mode="valid")
        times = part["end"].values[len(values) - len(smooth) :]
        axis.plot(times, smooth, lw=1.1, label=name)
    ylabel = f"{samples.attrs['target']}\n({samples.attrs['target_unit']})"
    axis.set(title=describe_drift(samples), ylabel=ylabel)
    if np.issubdtype(samples["end"].dtype, np.datetime64):
        axis.xaxis.set_major_formatter(DateFormatter("%H:%M"))
        axis.set_xlabel(f"time of day (UTC){smoothed}")
    else:
        axis.set_xlabel(f"time{smoothed}")
    figure.legend(loc="outside lower center", frameon=False, ncols=3)
    sns.despine(figure)
    return figure


def plot_lengths(samples: xr.Dataset) -> Figure:
    """Plot how many sequences of each length the parts hold.

    Args:
        samples: ``length`` and ``part (sample)``, along ``time`` the padded steps.
    """
    figure, axes = make_axes(1, 1, 2.6)
    names = np.array(PARTS)[samples["part"].values]
    sns.histplot(
        x=samples["length"].values, hue=names, hue_order=PARTS, multiple="stack", discrete=True,
        ax=axes[0, 0], alpha=0.9,
    )  # fmt: skip
    title = describe_padding(samples)
    axes[0, 0].set(title=title, xlabel="length (steps)", ylabel="sequences")
    axes[0, 0].get_legend().set_frame_on(False)
    sns.despine(figure)
    return figure


def plot_learning_curves(history: xr.Dataset, *, loss: str) -> Figure:
    """Plot training and validation loss of every seed by epoch; a dot marks the kept weights.

    Args:
        history: What ``fit_seeds`` returned.
        loss: Name of the loss.
    """
    figure, axes = make_axes(1, 2, 2.9)
    for axis, name, part in zip(
        axes[0], ("loss", "val_loss"), ("training part", "validation part"), strict=True
    ):
        for number, seed in enumerate(history["seed"].values):
            curve = history[name].sel(seed=seed)
            color = f"C{number % 10}"
            line = curve.dropna("epoch")
            axis.plot(line["epoch"], line, color=color, lw=1.2, label=f"seed {seed}")
            kept = int(history["kept_epoch"].sel(seed=seed))
            axis.plot(kept, float(curve.sel(epoch=kept)), "o", color=color, ms=4)
        axis.set(title=part, xlabel="epoch", ylabel=loss.replace("_", " "))
        axis.xaxis.get_major_locator().set_params(integer=True)
    axes[0, 0].legend(frameon=False, fontsize="small")
    figure.suptitle(describe_training(history))
    sns.despine(figure)
    return figure


def plot_results(results: xr.Dataset) -> Figure:
    """Plot the score of the model and of each baseline with its 95 % interval, and every seed.

    Args:
        results: What ``measure_results`` returned.
    """
    figure, axes = make_axes(1, 1, 0.9 + 0.45 * results.sizes["predictor"])
    axis = axes[0, 0]
    for row, name in enumerate(results["predictor"].values):
        one = results.sel(predictor=name)
        color = "C0" if name == "model" else "0.45"
        axis.plot([one["low"], one["high"]], [row, row], color=color, lw=2, solid_capstyle="butt")
        axis.plot(one["score"], row, "o", color=color)
    # A constant forecast can be far off: it's named at the edge, to leave the others room.
    positive = results["low"].where(results["score"] > 0).min()
    left = float(positive.fillna(results["low"].min()))
    left -= 0.1 * (float(results["high"].max()) - left)
    if not np.isfinite(left):  # nothing has a number
        left = 0.0
    for row, score in enumerate(results["score"].values):
        if score < left:
            axis.text(left, row, f" ◂ {score:.2f}", va="center", color="0.45")
    axis.set_xlim(left=left)
    seeds = results["seed_score"].values
    axis.plot(seeds, np.zeros(len(seeds)) - 0.25, "|", color="C0", ms=8, mew=1.5)
    labels = ["LSTM stack, median\n(ticks: seeds)", *results["predictor"].values[1:]]
    axis.set_yticks(range(len(labels)), labels)
    axis.set_ylim(len(labels) - 0.5, -0.6)
    xlabel = f"{_metric(results)} on the test part, with 95 % interval"
    axis.set(title=describe_lead(results), xlabel=xlabel)
    sns.despine(figure)
    return figure


def plot_forecast(samples: xr.Dataset, predicted: np.ndarray, *, steps: int = 600) -> Figure:
    """Plot the first test samples of a series against their predictions.

    Args:
        samples: ``y`` and ``part (sample)``.
        predicted: Predictions ``(test sample)`` in the scale of ``y``.
        steps: How many samples to show.
    """
    figure, axes = make_axes(1, 1, 2.8)
    axis = axes[0, 0]
    test = samples["part"].values == PARTS.index("test")
    mean, std = samples.attrs["target_mean"], samples.attrs["target_std"]
    end = samples["end"].values[test][:steps]
    for values, label, style in (
        (samples["y"].values[test], "measured", {"color": "0.6", "lw": 1.0}),
        (predicted, "predicted", {"color": "C0", "lw": 1.3}),
    ):
        axis.plot(end, values[:steps] * std + mean, label=label, **style)
    if np.issubdtype(end.dtype, np.datetime64):
        axis.xaxis.set_major_formatter(DateFormatter("%H:%M:%S"))
    ylabel = f"{samples.attrs['target']}\n({samples.attrs['target_unit']})"
    title = "Forecast and measurement at the start of the test part"
    axis.set(title=title, xlabel="time (start of the test part)", ylabel=ylabel)
    axis.legend(frameon=False, ncols=2)
    sns.despine(figure)
    return figure


def plot_by_step(by_step: xr.Dataset, *, baseline: float, label: str) -> Figure:
    """Plot the score by the number of steps the stack has seen: median and range of the seeds.

    Args:
        by_step: What ``measure_by_step`` returned.
        baseline: A baseline's score, which always sees the whole window.
        label: The baseline's name.
    """
    figure, axes = make_axes(1, 1, 2.8)
    axis = axes[0, 0]
    score, steps = by_step["score"], by_step["steps_seen"]
    axis.fill_between(steps, score.min("seed"), score.max("seed"), color="C0", alpha=0.25, lw=0)
    axis.plot(
        steps, score.median("seed"), color="C0", label="LSTM stack, median and range of seeds"
    )
    axis.axhline(baseline, color="0.45", ls="--", label=f"{label}, whole window")
    axis.set(
        title=describe_warm_up(by_step),
        xlabel="steps seen since the states were zero",
        ylabel=f"{_metric(by_step)}, test part",
    )
    axis.legend(frameon=False, loc="lower right")
    sns.despine(figure)
    return figure


def plot_confusion(actual: np.ndarray, predicted: np.ndarray) -> Figure:
    """Plot how often each class was taken for which.

    Args:
        actual: Classes ``(sample)``, counted from 0.
        predicted: Predicted classes ``(sample)``.
    """
    size = int(max(actual.max(), predicted.max())) + 1
    counts = np.zeros((size, size), int)
    np.add.at(counts, (actual.astype(int), predicted.astype(int)), 1)
    figure, axes = make_axes(1, 1, 4.2)
    names = range(1, size + 1)
    sns.heatmap(
        counts, annot=np.where(counts, counts.astype(str), ""), fmt="", cmap="crest", ax=axes[0, 0],
        xticklabels=names, yticklabels=names, square=True, cbar_kws={"label": "sequences"},
        mask=counts == 0, linewidths=0.5, linecolor="0.92",
    )  # fmt: skip
    title = "Which class was taken for which"
    axes[0, 0].set(title=title, xlabel="predicted class", ylabel="actual class")
    return figure


def _metric(scores: xr.Dataset) -> str:
    return METRICS[scores.attrs["metric"]]
