"""The inputs of a report, in its own bytes, and the record of its run, in a separate file.

A report holds only parameters and the digests of data, environment and code. They are the same
wherever and whenever it is made, so that equal runs produce equal bytes. Commit, time, host and
class of machine differ; they are in ``run.json``, which is not an output of DVC, and in MLflow.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebook_pipeline.repository import LOCK
from notebook_pipeline.stages.outputs import RECORD, REPORT, replace_text
from notebook_pipeline.stages.states import StageInputs, locked_inputs
from notebook_pipeline.stages.store_address import file_of, home_of, store_uri

if TYPE_CHECKING:
    from nbformat import NotebookNode

MADE_FROM = "made_from"
"""Key of a report's metadata."""


def provenance(state: StageInputs) -> dict[str, Any]:
    """Return what a report was made from.

    Returns:
        ``key`` of the state; ``parameters`` by section; ``data``, what other
        stages made, and ``code``, DVC's md5 by path;
        ``environment``, the md5 of requirements.lock.
    """
    dependencies = dict(state.dependencies)
    environment = dependencies.pop(LOCK, None)
    made = [path for path in dependencies if path.startswith(("data/", "reports/"))]
    data = {path: dependencies.pop(path) for path in made}
    return {
        "key": state.key,
        "parameters": dict(state.parameters),
        "data": data,
        "environment": environment,
        "code": dependencies,
    }


def read_provenance(folder: Path) -> dict[str, Any] | None:
    """Return what the report in a folder says it was made from; None where there is no report."""
    path = folder / REPORT
    if not path.is_file():
        return None
    return json.loads(path.read_text(encoding="utf-8"))["metadata"].get(MADE_FROM, {})


def write_run(folder: Path, record: dict[str, Any]) -> None:
    """Write the record of the run that made the report in a folder, whole or not at all."""
    replace_text(folder / RECORD, json.dumps(record, indent=2) + "\n")


def read_run(folder: Path) -> dict[str, Any] | None:
    """Return the record of the run that made the report in a folder; None where it isn't known.

    Returns:
        ``key`` of the stage's state; ``run``, its id, and ``store`` of MLflow; ``started`` and
        ``ended`` (UTC); ``commit`` and ``dirty``; ``host``; ``machine``, its class; ``seconds``,
        the whole, in ``cells``, and of these in ``imports``.
    """
    with suppress(FileNotFoundError, json.JSONDecodeError):
        record: dict[str, Any] = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        return record
    return None


def is_recorded(root: Path, stages: Mapping[str, str]) -> bool:
    """Whether each report lies beside the record of a run of its state, in our own store.

    Costs next to nothing: MLflow is not asked.

    Args:
        root: The repository.
        stages: Those that run notebooks or sweeps, by the notebook's or the sweep's name.
    """
    if not stages:
        return True
    uri = store_uri(root)
    file, home = file_of(uri), home_of(root)
    if file != home / "mlflow.db" or not file.is_file() or not (home / "mlartifacts").is_dir():
        return False
    states = locked_inputs(root)
    known = {
        stage: record["key"]
        for name, stage in stages.items()
        if (record := read_run(root / "reports" / name)) and record["store"] == uri
    }
    return all(
        known.get(stage) == states[stage].key for stage in stages.values() if stage in states
    )


def cell_seconds(executed: NotebookNode) -> dict[str, float]:
    """Return how long the cells of a notebook that papermill executed took, imports apart."""
    seconds = {"cells": 0.0, "imports": 0.0}
    for cell in executed.cells:
        took = cell.metadata.get("papermill", {}).get("duration") or 0.0
        seconds["cells"] += took
        if cell.cell_type == "code" and cell.source.startswith(("import ", "from ")):
            seconds["imports"] += took
    return {name: round(value, 1) for name, value in seconds.items()}
