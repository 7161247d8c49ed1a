"""Create runs from outputs that DVC has restored without running anything."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

from mlflow.entities import Metric
from mlflow.utils.time import get_current_time_millis

from notebook_pipeline.flat import flattened
from notebook_pipeline.mlflow_runs.runs import RESTORED, close_run
from notebook_pipeline.mlflow_runs.store import Client
from notebook_pipeline.stages.outputs import METRICS, RECORD, STEPS


def fill_run(client: Client, run_id: str, folder: Path) -> None:
    """Log what the outputs of a stage tell: metrics, steps, report, figures; and end it.

    The logged model is missing: its weights lie in ``model/``.

    Args:
        client: Of the store.
        run_id: Of a new run.
        folder: The stage's outputs, ``reports/<name>``.
    """
    client.log_batch(run_id, metrics=[*_results(folder), *_steps(folder)])
    client.set_tag(run_id, RESTORED, "true")
    # The record of a run that may lie there is of another one.
    close_run(client, run_id, "FINISHED", folder, leave=RECORD)


def _results(folder: Path) -> Iterator[Metric]:
    path = folder / METRICS
    values = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    for name, value in flattened(values):
        yield Metric(name, value, get_current_time_millis(), 0)


def _steps(folder: Path) -> Iterator[Metric]:
    path = folder / STEPS
    rows = csv.DictReader(path.read_text(encoding="utf-8").splitlines()) if path.is_file() else ()
    for row in rows:
        value, step = float(row["value"]), int(row["step"])
        yield Metric(row["name"], value, get_current_time_millis(), step)
