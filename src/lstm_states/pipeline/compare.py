"""The work of the stage `compare`: the index of all reports, from what they left behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lstm_states.config import CONFIGURATIONS, TRIALS, load_params
from lstm_states.pipeline.article import answer, first_heading
from lstm_states.pipeline.index import ReportRow, Thumbnail, TrialRow, render_index
from lstm_states.pipeline.outputs import find_output, read_report
from lstm_states.reporting import lead_in_words
from lstm_states.schema import METRICS

THUMBNAILS = {
    "results": "Result beside the baselines",
    "states": "Every state and gate of one sample",
    "gates": "Distribution of gates and states by layer",
    "learning_curves": "Learning curves",
}
"""Figures to set side by side, by file name, with what they show."""

INTRO = (
    "Three documented configurations of a stacked LSTM, trained on real data. Each report shows "
    "the result beside the simplest baselines, and then what the hidden state, the cell state and "
    "the gates of every layer did."
)


def write_index(root: Path) -> Path:
    """Write ``reports/index.html`` from the reports of all configurations.

    Args:
        root: The repository.

    Returns:
        The page.

    Raises:
        DataError: if a report is missing.
    """
    rows = [_row(name, root) for name in CONFIGURATIONS]
    trials = [_trial(name, root) for name in TRIALS]
    page = root / "reports" / "index.html"
    page.write_text(
        render_index(rows, title="How hidden states are handled", intro=INTRO, trials=trials)
    )
    return page


def verdict(metrics: dict[str, Any]) -> str:
    """Say in words how the model did beside its strongest baseline, from metrics.json."""
    name, best = min(metrics["baselines"].items(), key=lambda item: item[1]["gain"])
    return lead_in_words(name.replace("_", " "), best["gain"], best["gain_low"], best["gain_high"])


def _trial(name: str, root: Path) -> TrialRow:
    notebook = read_report(name, root)
    return TrialRow(first_heading(notebook), answer(notebook), f"{name}/report.html")


def _row(name: str, root: Path) -> ReportRow:
    notebook = read_report(name, root)
    metrics = json.loads(find_output(name, "metrics.json", root).read_text())
    settings = getattr(load_params(root / "params.yaml"), name)
    test = metrics["test"]
    metric = next(key for key in test if key in METRICS)
    lowest, highest = test[f"{metric}_lowest_seed"], test[f"{metric}_highest_seed"]
    return ReportRow(
        configuration=name,
        question=first_heading(notebook),
        data=f"{settings.dataset}, {settings.target}",
        metric=f"{METRICS[metric]}, test part",
        value=f"{test[metric]:.3f}",
        interval=f"median of {len(settings.seeds)} seeds, {lowest:.3f} to {highest:.3f}",
        baselines=tuple(
            f"{baseline.replace('_', ' ')} {scores[metric]:.3f}"
            for baseline, scores in metrics["baselines"].items()
        ),
        verdict=verdict(metrics),
        report=f"{name}/report.html",
        notebook=f"{name}/report.ipynb",
        thumbnails=tuple(
            Thumbnail(f"{name}/figures/{figure}.png", caption)
            for figure, caption in THUMBNAILS.items()
        ),
    )
