"""The figures of the page."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from bench.competitors import OURS
from bench.statistics import growth
from bench.targets import curve_points, store_growth

WIDTH = 10.5
"""Width of a figure in inches."""

_AXES = {"samples": "samples in one call", "steps": "time steps", "layers": "layers"}
_PLAIN = FuncFormatter(lambda value, _: f"{value:g}")
_MARKERS = "os^DvPX*ph"


def _axes(columns: int, height: float) -> tuple[Figure, Sequence[Axes]]:
    sns.set_theme(style="ticks", context="notebook", palette="colorblind", font_scale=0.85)
    size = (WIDTH, height)
    figure, axes = plt.subplots(1, columns, figsize=size, layout="constrained", squeeze=False)
    plt.close(figure)
    return figure, axes[0]


def _others(result: dict[str, Any]) -> list[str]:
    """Return whom record_traces is compared with."""
    recorders = [name for name, who in result["competitors"].items() if "record" in who["works"]]
    return [name for name in recorders if name != OURS]


def _style(result: dict[str, Any], name: str) -> dict[str, str]:
    """Return a competitor's label, colour and marker, the same in every figure."""
    others = _others(result)
    title = result["competitors"][name]["title"]
    if name == OURS:
        return {"label": title, "color": "k", "marker": "o"}
    n = others.index(name)
    return {"label": title, "color": f"C{n}", "marker": _MARKERS[n % len(_MARKERS)]}


def plot_ratios(result: dict[str, Any]) -> Figure:
    """Plot each competitor's time over this project's, case by case, with its range."""
    cases = result["cases"]
    figure, (axis,) = _axes(1, 1.4 + 0.42 * len(cases))
    others = _others(result)
    offsets = np.linspace(-0.3, 0.3, len(others))
    for name, offset in zip(others, offsets, strict=True):
        rows = [
            (row, case["competitors"][name]["ours_to_theirs"])
            for row, case in enumerate(cases)
            if "ours_to_theirs" in case["competitors"].get(name, {})
        ]
        if rows:
            _draw_ratios(axis, rows, offset, **_style(result, name))
    axis.axvline(1, color="0.3", lw=1)
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter(_PLAIN)
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set(xlabel="its time / time of record_traces (to the right of 1: slower)")
    axis.set_yticks(range(len(cases)), [case["shape"] for case in cases])
    axis.set_ylim(len(cases) - 0.5, -0.5)
    axis.grid(axis="x", color="0.9")
    figure.legend(loc="outside right upper", frameon=False)
    sns.despine(figure)
    return figure


def _draw_ratios(
    axis: Axes, rows: list[tuple[int, dict[str, float]]], offset: float, **style: Any
) -> None:
    heights = np.array([row for row, _ in rows]) + offset
    median, low, high = (
        1 / np.array([ratio[key] for _, ratio in rows]) for key in ("median", "max", "min")
    )
    spread = (median - low, high - median)
    axis.errorbar(median, heights, xerr=spread, ls="", ms=5, elinewidth=1, **style)


def plot_curves(result: dict[str, Any]) -> Figure:
    """Plot the cost along each axis, both logarithmic; proportional cost has slope 1."""
    figure, axes = _axes(len(result["curves"]), 3.9)
    for axis, along in zip(axes, result["curves"], strict=True):
        for name in (OURS, *_others(result)):
            sizes, seconds = curve_points(result, along, name)
            if len(sizes):
                axis.plot(sizes, seconds * 1e3, ms=5, **_style(result, name))
        _label_curve(axis, result, along)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", frameon=False, ncols=4)
    sns.despine(figure)
    return figure


def _label_curve(axis: Axes, result: dict[str, Any], along: str) -> None:
    sizes, seconds = curve_points(result, along, OURS)
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xticks(sizes)
    axis.xaxis.set_major_formatter(_PLAIN)
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.yaxis.set_major_formatter(_PLAIN)
    title = f"along {along}"
    if len(sizes) > 1:
        title += f": exponent {growth(sizes, seconds)['exponent']:.2f}"
    axis.set(xlabel=_AXES[along], ylabel="ms a call", title=title)


def plot_stores(result: dict[str, Any]) -> Figure | None:
    """Plot the peak memory of a process against the samples it records to a store."""
    rows = [row for row in result["stores"] if row["status"] == "ok"]
    if len(rows) < 2:
        return None
    figure, (axis,) = _axes(1, 3.2)
    samples = np.array([row["samples"] for row in rows])
    line = store_growth(rows)
    axis.plot(samples, [row["recorded_bytes"] / 1e9 for row in rows], "C1--", label="recorded")
    axis.plot(samples, [row["peak_bytes"] / 1e9 for row in rows], "ko", label="peak, measured")
    fitted = (line["constant"] + line["per_unit"] * samples) / 1e9
    slope = line["per_unit"] * 1000 / 1e6
    axis.plot(samples, fitted, "k", lw=1, label=f"{slope:.1f} MB per 1,000 samples")
    axis.set(xlabel="samples", ylabel="GB", ylim=(0, None))
    figure.legend(loc="outside right upper", frameon=False)
    sns.despine(figure)
    return figure


def to_svg(figure: Figure) -> bytes:
    """Draw a figure; the same figure gives the same bytes."""
    buffer = BytesIO()
    with plt.rc_context({"svg.hashsalt": "lstm-states"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()
