"""Figures of a sweep: a metric against each parameter, seeds as intervals."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from notebook_pipeline.project import Metric
from notebook_pipeline.stages.points import Row, Table
from notebook_pipeline.sweeps.verdict import mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE = (5.0, 3.6)
"""In inches: of a panel, which stands alone on a phone."""

COLOURS = ("#0173b2", "#de8f05", "#029e73", "#cc78bc", "#ca9161", "#56b4e9", "#949494", "#fbafe4")
"""Colours that people with any kind of sight can tell apart."""

MARK: dict[str, Any] = {"ms": 11, "mfc": "none", "mec": "#d55e00", "mew": 1.8, "zorder": 4}
"""The ring around the best point."""

SPREAD = 0.09
"""How far lines stand beside each other, so that their intervals can be told apart."""

FEW = 8
"""So many values of a parameter stand side by side, each with its name; more are an axis."""


def plot_panel(
    table: Table, name: str, metric: Metric, best: Row | None, baselines: Mapping[str, float]
) -> bytes:
    """Plot a metric against a parameter: the mean of the seeds, and a bar over all of them.

    Where the points are all combinations of two parameters, those with the same value of the other
    one are joined by a line.

    Args:
        table: Of the sweep.
        name: The parameter.
        metric: What is plotted.
        best: The best point, which is marked.
        baselines: Values to compare with, by their names.

    Returns:
        A PNG picture; equal tables give equal bytes.
    """
    from matplotlib import rc_context, rcdefaults
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context():
        rcdefaults()  # a matplotlibrc of one's own has no say
        figure = Figure(figsize=SIZE, layout="constrained")
        FigureCanvasAgg(figure)
        axis = figure.subplots()
        place = _places(axis, table, name)
        lines = _lines(table, name)
        for at, (label, rows) in enumerate(lines.items()):
            shift = SPREAD * (at - (len(lines) - 1) / 2) if is_few(table, name) else 0.0
            points = [(place(row.given[name]) + shift, row) for row in rows]
            _plot_line(axis, points, metric, COLOURS[at % len(COLOURS)], label)
            marked = [x for x, row in points if row is best]
            axis.plot(marked, [mean(row, metric) for x, row in points if row is best], "o", **MARK)
        for label, value in baselines.items():
            axis.axhline(value, color="0.55", lw=1.2, ls="--", label=label)
        unit = f" ({metric.unit})" if metric.unit != "1" else ""
        better = "lower is better" if metric.lower_is_better else "higher is better"
        axis.set(xlabel=name, ylabel=f"{metric.says}{unit}\n{better}")
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="y", color="0.9")
        axis.set_axisbelow(True)
        if axis.get_legend_handles_labels()[0]:
            figure.legend(loc="outside upper left", ncols=3, frameon=False, fontsize=8.5)
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=150, metadata={"Software": None})
    return file.getvalue()


def is_few(table: Table, name: str) -> bool:
    """Whether the values of a parameter stand side by side, each with its name."""
    values = _distinct(table, name)
    return len(values) <= FEW or not all(_is_number(value) for value in values)


def _distinct(table: Table, name: str) -> list[Any]:
    """Return the values of a parameter: numbers in their order, others in that of the table."""
    values = list({json.dumps(v): v for v in (row.given[name] for row in table.rows)}.values())
    return sorted(values) if all(_is_number(value) for value in values) else values


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _places(axis: Axes, table: Table, name: str) -> Callable[[Any], float]:
    """Give an axis the values of a parameter, and return where on it a value is."""
    if is_few(table, name):
        values = _distinct(table, name)
        places = {json.dumps(value): at for at, value in enumerate(values)}
        axis.set_xticks(range(len(values)), [str(value) for value in values])
        axis.set_xlim(-0.5, len(values) - 0.5)
        return lambda value: places[json.dumps(value)]
    if name in table.logarithmic:
        axis.set_xscale("log")
    return float


def _lines(table: Table, name: str) -> dict[str, list[Row]]:
    """Return the points by the name of their line; without a name they are not joined."""
    others = [other for other in table.names if other != name]
    if not others or not table.combined:
        return {"": table.rows}
    if len(others) > 1:
        return {"": table.rows}
    lines: dict[str, list[Row]] = {}
    for value in _distinct(table, others[0]):
        rows = [row for row in table.rows if row.given[others[0]] == value]
        lines[f"{others[0]} {value}"] = rows
    return lines


def _plot_line(
    axis: Axes, points: Sequence[tuple[float, Row]], metric: Metric, colour: str, label: str
) -> None:
    """Plot points that have a number for some seed; bars reach from the lowest to the highest."""
    shown = sorted(
        ((x, row) for x, row in points if _numbers(row, metric)), key=lambda point: point[0]
    )
    for x, row in shown:
        values = _numbers(row, metric)
        axis.plot([x, x], [min(values), max(values)], color=colour, lw=1.6, alpha=0.55)
    middles = [sum(_numbers(row, metric)) / len(_numbers(row, metric)) for _, row in shown]
    is_joined = len({x for x, _ in shown}) == len(shown) <= FEW or label
    axis.plot(
        [x for x, _ in shown], middles, "o-" if is_joined else "o", ms=5, lw=1.2, color=colour,
        label=label or None, zorder=3,
    )  # fmt: skip


def _numbers(row: Row, metric: Metric) -> list[float]:
    return [value for value in row.metrics[metric.name] if value is not None]
