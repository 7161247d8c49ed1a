"""What notebooks logged step by step, such as learning curves: both sides in one chart."""

from __future__ import annotations

import base64
import csv
import io
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from notebook_pipeline.stages.outputs import STEPS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#0072B2", "#D55E00")
"""Of the two sides: blue and vermilion of Okabe and Ito (2008), apart for every kind of eye."""

DASHES = ("-", (0, (4, 1.5)))
"""Of the two medians, for prints without colour."""

LONGEST = 34
"""Signs of a label in a legend."""

Curves = Mapping[str, Mapping[str, Mapping[int, float]]]
"""By metric and series, the value of each step."""


@dataclass(frozen=True)
class Chart:
    """The curves of a metric.

    Attributes:
        metric: Its name.
        picture: An SVG as data URI.
        alt: What it shows, in words.
    """

    metric: str
    picture: str
    alt: str


@dataclass(frozen=True)
class Charts:
    """The charts of two reports.

    Attributes:
        differing: Charts of the metrics that differ.
        equal: Names of the others.
    """

    differing: tuple[Chart, ...] = ()
    equal: tuple[str, ...] = ()


def compare_curves(first: Path, second: Path, labels: Sequence[str]) -> Charts:
    """Draw each metric of two folders' ``plots/steps.csv`` that differs.

    Args:
        first: Folder of a report.
        second: Folder of the other.
        labels: What the two sides are called.
    """
    sides = [_read(folder / STEPS) for folder in (first, second)]
    metrics = list(dict.fromkeys(name for side in sides for name in side))
    pairs = {name: [side.get(name, {}) for side in sides] for name in metrics}
    return Charts(
        tuple(_chart(name, pair, labels) for name, pair in pairs.items() if pair[0] != pair[1]),
        tuple(name for name, pair in pairs.items() if pair[0] == pair[1]),
    )


def _read(path: Path) -> Curves:
    found: dict[str, dict[str, dict[int, float]]] = {}
    rows = csv.DictReader(path.read_text(encoding="utf-8").splitlines()) if path.is_file() else ()
    for row in rows:
        metric, _, series = row["name"].rpartition("/")
        curves = found.setdefault(metric or series, {})
        curves.setdefault(series, {})[int(row["step"])] = float(row["value"])
    return found


def _chart(
    metric: str, sides: Sequence[Mapping[str, Mapping[int, float]]], labels: Sequence[str]
) -> Chart:
    import matplotlib
    import matplotlib.style
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    # Neither a person's own settings nor chance may decide the bytes.
    fixed = {"svg.hashsalt": "comparison", "svg.fonttype": "path", "font.size": 9}
    with matplotlib.style.context(["default", fixed]):
        figure = Figure(figsize=(5, 3), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot(title=metric, xlabel="step")
        axes.spines[["top", "right"]].set_visible(False)
        for curves, colour, dashes, label in zip(sides, COLOURS, DASHES, labels, strict=True):
            _draw(axes, curves, colour, dashes, _cut(label))
        axes.legend(frameon=False)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    picture = base64.b64encode(text.getvalue().encode()).decode()
    counts = " and ".join(f"{len(c)} of {name}" for c, name in zip(sides, labels, strict=True))
    return Chart(metric, f"data:image/svg+xml;base64,{picture}", f"{metric} by step: {counts}")


def _draw(
    axes: Axes, curves: Mapping[str, Mapping[int, float]], colour: str, dashes: object, label: str
) -> None:
    """Draw the series of a side thin, and their median bold."""
    several = len(curves) > 1
    for curve in curves.values():
        thin = {"lw": 0.7, "alpha": 0.45} if several else {"lw": 1.8, "ls": dashes, "label": label}
        axes.plot(list(curve), list(curve.values()), color=colour, **thin)
    if several:
        middle = _median(curves)
        axes.plot(list(middle), list(middle.values()), color=colour, lw=2, ls=dashes, label=label)


def _median(curves: Mapping[str, Mapping[int, float]]) -> dict[int, float]:
    """Return the median of each step that at least half of the series have."""
    steps = sorted({step for curve in curves.values() for step in curve})
    at = {step: [c[step] for c in curves.values() if step in c] for step in steps}
    return {s: statistics.median(v) for s, v in at.items() if 2 * len(v) >= len(curves)}


def _cut(label: str) -> str:
    # Matplotlib leaves what begins with _ out of a legend, and reads $ as mathematics.
    plain = label.lstrip("_").replace("$", r"\$")
    return plain if len(plain) <= LONGEST else f"{plain[: LONGEST - 1]}…"
