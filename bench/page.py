"""Render a result as one page: `python -m bench.page [results.json]`."""

from __future__ import annotations

import json
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure

from bench.competitors import LEADERS, OURS
from bench.figures import plot_curves, plot_ratios, plot_stores, to_svg
from bench.processes import ROOT
from bench.statistics import growth
from bench.step_profile import KINDS
from bench.targets import curve_points, extrapolated_peak, judge, store_growth

Result = dict[str, Any]


def render_page(result: Result) -> str:
    """Return a whole HTML page that loads nothing; its verdicts are computed here, again."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"ms": _ms, "mb": _mb, "digits": _digits}
    return environment.get_template("page.html.j2").render(
        result=result,
        ours=OURS,
        verdicts=judge(result),
        runners=_runners(result, "record"),
        leaders=LEADERS,
        trainers={work: _runners(result, work) for work in ("train", "predict", "epoch", "step")},
        cell=_cell,
        limits=_limits(result),
        kinds=KINDS,
        figures={
            "ratios": _picture(plot_ratios(result)),
            "curves": _picture(plot_curves(result)),
            "stores": _picture(plot_stores(result)),
        },
        growths=_growths(result),
        store_line=_store_line(result),
    )


def _runners(result: Result, work: str) -> list[str]:
    """Return the competitors that were timed at least once at such work."""
    cases = [case for case in [*result["cases"], *result["training"]] if case["work"] == work]
    return [
        name
        for name in result["competitors"]
        if any("median_s" in case["competitors"].get(name, {}) for case in cases)
    ]


def _cell(case: dict[str, Any], name: str) -> dict[str, str]:
    """Return what a table says of a competitor at a case: a time and a ratio, or why not."""
    entry = case["competitors"].get(name)
    if entry is None:
        return {"time": "", "ratio": "", "note": "not run"}
    if "median_s" not in entry:
        return {"time": "", "ratio": "", "note": f"{entry['status']}: {entry['error']}"}
    ratio = entry.get("ours_to_theirs")
    return {
        "time": _ms(entry["median_s"]),
        "ratio": "" if ratio is None else f"{_digits(1 / ratio['median'])}×",
        "note": f"{_ms(entry['q1_s'])} to {_ms(entry['q3_s'])}",
    }


def _limits(result: Result) -> list[dict[str, Any]]:
    """Return what the cores could do each case in beside what this project takes."""
    rows, least = [], result["limits"]["cases"]
    for case in [*result["cases"], *result["training"]]:
        entry = case["competitors"].get(LEADERS[case["work"]], {})
        found = least.get(case["name"])
        if found and "median_s" in entry:
            what = {"record": "recorded", "train": "trained", "predict": "predicted"}[case["work"]]
            rows.append({**case, **found, "what": what, "measured_s": entry["median_s"]})
    return rows


def _growths(result: Result) -> list[dict[str, Any]]:
    rows = []
    for along in result["curves"]:
        sizes, seconds = curve_points(result, along, OURS)
        if len(sizes) > 1:
            span = f"{sizes[0]:g} to {sizes[-1]:g}"
            rows.append({"along": along, "span": span, **growth(sizes, seconds)})
    return rows


def _store_line(result: Result) -> dict[str, float] | None:
    rows = [row for row in result["stores"] if row["status"] == "ok"]
    if len(rows) < 2:
        return None
    return {**store_growth(rows), "extrapolated": extrapolated_peak(rows)}


def _picture(figure: Figure | None) -> str:
    if figure is None:
        return ""
    return "data:image/svg+xml;base64," + b64encode(to_svg(figure)).decode()


def _ms(seconds: float) -> str:
    return _digits(seconds * 1e3)


def _mb(size: float) -> str:
    return f"{size / 1e6:,.0f}"


def _digits(value: float) -> str:
    """Write a number with three digits, or all those before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "bench/results.json"
    source.with_suffix(".html").write_text(
        render_page(json.loads(source.read_text(encoding="utf-8"))), encoding="utf-8"
    )
