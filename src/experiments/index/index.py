"""The stage `index`: write the index of all reports."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from markupsafe import escape

from experiments.claims.rules import load_ledger
from experiments.forecasting.settings import SECTIONS as CONFIGURATIONS
from experiments.forecasting.words import lead_in_words
from experiments.index.page import ReportRow, Thumbnail, TrialRow, render_index
from experiments.shared.scores import METRICS
from notebook_pipeline.departures import departures_in_words, expectations_of_all, note_on
from notebook_pipeline.parameters.file import load_parameters
from notebook_pipeline.reports.missing import Missing
from notebook_pipeline.reports.readable import answer, first_heading
from notebook_pipeline.stages.outputs import find_output, read_report, replace_text
from notebook_pipeline.stages.states import notebook_stages, sweep_stages
from notebook_pipeline.sweeps.page import FILE as SWEEP_PAGE
from notebook_pipeline.sweeps.page import answer_of

THUMBNAILS = {
    "results": "Result and baselines",
    "states": "Every state and gate of one sample",
    "gates": "Distribution of gates and states by layer",
    "learning_curves": "Learning curves",
}
"""Figures to set side by side, by file name, with what they show."""

INTRO = (
    "Three documented configurations of a stacked LSTM, each trained on its data. The reports "
    "compare the result with the simplest baselines, and then show the hidden state, the cell "
    "state and the gates of every layer."
)


def write_index(root: Path, missing: Sequence[Missing] = ()) -> Path:
    """Write ``reports/index.html`` from the reports of all configurations and trials.

    Args:
        root: The repository.
        missing: What the page names in place of the report of its stage; ``claims`` may be
            among it.

    Returns:
        The page.

    Raises:
        LedgerError: if claims.yaml, which names the experiments behind verdicts, breaks its rules.
        OutputsError: if another report is missing.
    """
    without = {one.stage for one in missing}
    shown = [name for name, stage in notebook_stages(root).items() if stage not in without]
    found = expectations_of_all(root, shown)
    departs = {name: note_on(kept) for name, kept in found.items()}
    scored = [name for name in shown if name in CONFIGURATIONS]
    rows = [replace(_row(name, root), departs=departs.get(name, "")) for name in scored]
    claims = {} if "claims" in without else load_ledger(root / "claims.yaml").claims
    deciding = {claim.notebook for claim in claims.values()}
    own_claims = sum(claim.section == "own" for claim in claims.values())
    trials = [
        _trial(name, root, decides=name in deciding, departs=departs.get(name, ""))
        for name in shown
        if name not in scored
    ]
    swept = [name for name, stage in sweep_stages(root).items() if stage not in without]
    page = root / "reports" / "index.html"
    text = render_index(
        rows,
        title="How hidden states are handled",
        intro=INTRO,
        trials=trials,
        sweeps=[_sweep(name, root) for name in swept],
        own_claims=own_claims,
        departures=departures_in_words(found),
        missing=missing,
    )
    replace_text(page, text)
    return page


def verdict(metrics: dict[str, Any]) -> str:
    """Say in words how the model did beside its strongest baseline, from metrics.json."""
    name, best = min(metrics["baselines"].items(), key=lambda item: item[1]["gain"])
    return lead_in_words(name.replace("_", " "), best["gain"], best["gain_low"], best["gain_high"])


def _trial(name: str, root: Path, *, decides: bool, departs: str) -> TrialRow:
    notebook = read_report(name, root)
    report = f"{name}/report.html"
    return TrialRow(first_heading(notebook), answer(notebook), report, decides, departs)


def _sweep(name: str, root: Path) -> TrialRow:
    question, found = answer_of(name, root)
    return TrialRow(question, str(escape(found)), f"{name}/{SWEEP_PAGE}", decides=False)


def _row(name: str, root: Path) -> ReportRow:
    notebook = read_report(name, root)
    metrics = json.loads(find_output(name, "metrics.json", root).read_text(encoding="utf-8"))
    settings = getattr(load_parameters(root), name)
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
        explorer=f"{name}/explorer.html",
        thumbnails=tuple(
            Thumbnail(f"{name}/figures/{figure}.png", caption)
            for figure, caption in THUMBNAILS.items()
        ),
    )
